/* SPDX-License-Identifier: BSD-2-Clause */
/* Page walks over tables built at random, against a second model of each format; and by hand. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/decode/gwalk.h"
#include "base/bits.h"

#define P 1u
#define W 2u
#define U 4u
#define PS 0x80u
#define NX BIT(63)
#define PAGES 64

static uint8_t memory[PAGES][4096];
static unsigned reads;

static enum status read_memory(void *ctx, gpa_t at, void *to, unsigned n)
{
    (void)ctx;
    reads++;
    assert_true((n == 4 || n == 8) && at.a % n == 0);
    if (!range_within(at.a, n, sizeof(memory))) {
        return E_FAULT;
    }
    memcpy(to, &memory[0][0] + at.a, n);
    return OK;
}

static const struct gwalk_reader reader = {.read = read_memory};

static void entry(unsigned page, unsigned index, uint64_t value)
{
    store_le64(&memory[page][8 * index], value);
}

static void entry32(unsigned page, unsigned index, uint32_t value)
{
    store_le32(&memory[page][4 * index], value);
}

#define PG (BIT(31) | 1)
#define WP BIT(16)
#define PSE BIT(4)
#define PAE BIT(5)
#define LA57 BIT(12)
#define SMEP BIT(20)
#define SMAP BIT(21)
#define LMA BIT(10)
#define NXE BIT(11)

static gpa_t gpa;
static uint32_t error;

static enum status walk(const struct gwalk_mode *m, uint64_t linear, unsigned access)
{
    enum status s;

    reads = 0;
    error = 0x5555;
    gpa = GPA(0x7777);
    s = gwalk(m, &reader, linear, access, &gpa, &error);
    assert_true(reads <= 5);
    assert_true(s == OK || gpa.a == 0x7777);
    assert_true(s == E_FAULT || error == 0x5555);
    return s;
}

static void test_no_paging(void **state)
{
    struct gwalk_mode m = {.cr0 = 1, .cr4 = PAE};
    (void)state;

    assert_int_equal(walk(&m, 0x100001234, GWALK_WRITE | GWALK_USER), OK);
    assert_true(gpa.a == 0x1234 && reads == 0);
}

static void test_32bit(void **state)
{
    struct gwalk_mode m = {.cr0 = PG | WP, .cr3 = 0x1fff, .cr4 = PSE};
    (void)state;

    memset(memory, 0, sizeof(memory));
    entry32(1, 0x300, 0x2000 | P | W | U);
    entry32(2, 0x155, 0xabcde000 | P);
    entry32(1, 0x301, 0x00400000 | P | W | PS);
    entry32(1, 0x302, 0x00c02000 | P | PS); /* PSE-36: bit 32 */
    entry32(1, 0x303, 0x00e00000 | P | PS); /* bit 21 is reserved */
    entry32(1, 0x304, 0xfff00000 | P);      /* a table outside memory */
    assert_int_equal(walk(&m, 0xc0155678, 0), OK);
    assert_true(gpa.a == 0xabcde678);
    assert_int_equal(walk(&m, 0xc0155678, GWALK_WRITE), E_FAULT);
    assert_int_equal(error, 3);
    assert_int_equal(walk(&m, 0xc0155678, GWALK_USER), E_FAULT);
    assert_int_equal(error, 5);
    assert_int_equal(walk(&m, 0xc0156678, GWALK_USER | GWALK_WRITE | GWALK_FETCH), E_FAULT);
    assert_int_equal(error, 6); /* not present, and no fetch bit without NX or SMEP */
    assert_int_equal(walk(&m, 0xc0555678, GWALK_WRITE), OK);
    assert_true(gpa.a == 0x555678);
    assert_int_equal(walk(&m, 0xc0800001, 0), OK);
    assert_true(gpa.a == 0x100c00001);
    m.phys_bits = 32;
    assert_int_equal(walk(&m, 0xc0800001, 0), E_FAULT);
    assert_int_equal(error, 9);
    m.phys_bits = 36;
    assert_int_equal(walk(&m, 0xc0800001, 0), OK);
    assert_int_equal(walk(&m, 0xc0c00000, 0), E_FAULT);
    assert_int_equal(error, 9);
    assert_int_equal(walk(&m, 0xc1000000, 0), E_RANGE);
    m.cr4 = 0; /* without PSE the bit is ignored, and the entry is a table's */
    assert_int_equal(walk(&m, 0xc0555678, 0), E_RANGE);
    m.cr0 = PG; /* without WP a supervisor writes where it likes */
    assert_int_equal(walk(&m, 0xc0155678, GWALK_WRITE), OK);
}

static void test_pae(void **state)
{
    struct gwalk_mode m = {.cr0 = PG | WP, .cr3 = 0x1020, .cr4 = PAE, .efer = NXE};
    (void)state;

    memset(memory, 0, sizeof(memory));
    entry(1, 4 + 3, 0x2000 | P);
    entry(1, 4 + 2, 0x2000 | P | W); /* bit 1 is reserved in the four */
    entry(2, 5, 0x3000 | P | W | U);
    entry(3, 6, 0x100004000 | P | W | U | NX);
    entry(2, 7, 0x40000000 | P | W | U | PS);
    entry(2, 8, 0x40002000 | P | PS);
    entry(2, 9, 0x3000 | P | BIT(52));
    assert_int_equal(walk(&m, 0xc0a06123, GWALK_USER | GWALK_WRITE), OK);
    assert_true(gpa.a == 0x100004123);
    assert_int_equal(walk(&m, 0xc0a06123, GWALK_USER | GWALK_FETCH), E_FAULT);
    assert_int_equal(error, 0x15);
    assert_int_equal(walk(&m, 0xc0e12345, 0), OK);
    assert_true(gpa.a == 0x40012345);
    assert_int_equal(walk(&m, 0xc1000000, 0), E_FAULT);
    assert_int_equal(error, 9);
    assert_int_equal(walk(&m, 0xc1206000, 0), E_FAULT);
    assert_int_equal(error, 9);
    assert_int_equal(walk(&m, 0x80a06123, 0), E_FAULT);
    assert_int_equal(error, 9);
    m.efer = 0; /* NX is a reserved bit then */
    assert_int_equal(walk(&m, 0xc0a06123, 0), E_FAULT);
    assert_int_equal(error, 9);
}

/*
 * 4 and 5 levels: a chain of tables with random permissions ends at a page of each size; the rules
 * of SDM vol. 3, 5.6.1, are written down once more, as sentences.
 */
static void test_long_mode(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 200000; round++) {
        struct gwalk_mode m = {.cr0 = PG | (rand() % 2 ? WP : 0),
                               .cr3 = 0x1000 | (unsigned)rand() % 0x1000,
                               .cr4 = PAE | (rand() % 2 ? SMEP : 0) | (rand() % 2 ? SMAP : 0) |
                                      (rand() % 2 ? LA57 : 0),
                               .efer = LMA | (rand() % 8 ? NXE : 0),
                               .ac = rand() % 2};
        unsigned levels = m.cr4 & LA57 ? 5 : 4, last = 1 + (unsigned)rand() % 3;
        uint64_t linear = ((uint64_t)rand() << 31 ^ (uint64_t)rand() << 60 ^ (unsigned)rand());
        unsigned spare = levels == 5 ? 7 : 16;
        bool user = true, write = true, nx = false, present = true, reserved = false;
        unsigned access = (rand() % 2 ? GWALK_USER : 0) | (rand() % 3 == 0   ? GWALK_WRITE
                                                           : rand() % 2 == 0 ? GWALK_FETCH
                                                                             : 0);
        uint64_t page = (UINT64_C(1) << (12 + 9 * (last - 1))) - 1;
        uint64_t frame = ((uint64_t)rand() << 12) & ~page;
        bool ok;
        enum status s;

        linear = (uint64_t)((int64_t)(linear << spare) >> spare);
        memset(memory, 0, sizeof(memory[0]) * 8);
        for (unsigned level = levels; level >= last; level--) {
            unsigned at = levels - level + 1;
            uint64_t e = (rand() % 40 ? P : 0) | (rand() % 4 ? W : 0) | (rand() % 3 ? U : 0) |
                         (rand() % 12 ? 0 : NX) | (level > 3 && rand() % 40 == 0 ? PS : 0);

            e |= level > last ? (at + 1) * 0x1000 : frame | (last > 1 ? PS : 0);
            if (present && !reserved) {
                present = e & P;
                reserved = present && (((e & NX) && !(m.efer & NXE)) || (level > 3 && (e & PS)));
            }
            user &= (e & U) != 0;
            write &= (e & W) != 0;
            nx |= (e & NX) != 0;
            entry(at, linear >> (12 + 9 * (level - 1)) & 511, e);
        }
        if (access & GWALK_USER) {
            ok = user && (!(access & GWALK_WRITE) || write) && (!(access & GWALK_FETCH) || !nx);
        } else if (access & GWALK_FETCH) {
            ok = !nx && !(user && (m.cr4 & SMEP));
        } else {
            ok = !(user && (m.cr4 & SMAP) && !m.ac);
            ok &= !(access & GWALK_WRITE) || write || !(m.cr0 & WP);
        }
        s = walk(&m, linear, access);
        if (present && !reserved && ok) {
            assert_int_equal(s, OK);
            assert_true(gpa.a == (frame | (linear & page)));
            continue;
        }
        assert_int_equal(s, E_FAULT);
        assert_int_equal(error & 9, !present ? 0 : reserved ? 9 : 1);
        assert_int_equal(error & 6, access & 6);
        assert_int_equal(error & 16, (m.efer & NXE) || (m.cr4 & SMEP) ? access & GWALK_FETCH : 0);
    }
}

static void test_bounds(void **state)
{
    struct gwalk_mode m = {.cr0 = PG, .cr3 = UINT64_MAX, .cr4 = PAE, .efer = LMA | NXE};
    (void)state;

    assert_int_equal(walk(&m, UINT64_C(1) << 47, 0), E_RANGE); /* not canonical */
    assert_int_equal(walk(&m, 0, 0), E_RANGE);                 /* the root is outside memory */
    memset(memory, 0, sizeof(memory));
    m.cr3 = 0x1000;
    m.phys_bits = 40;
    entry(1, 0, 0x2000 | P | BIT(40));
    assert_int_equal(walk(&m, 0, 0), E_FAULT);
    assert_int_equal(error, 9);
    entry(1, 0, 0x1000 | P | W | U); /* a table that maps itself, at every level */
    assert_int_equal(walk(&m, 0, GWALK_USER), OK);
    assert_true(gpa.a == 0x1000 && reads == 4);
}

static enum status mark_memory(void *ctx, gpa_t at, uint8_t bits)
{
    (void)ctx;
    assert_true(at.a < sizeof(memory));
    (&memory[0][0])[at.a] |= bits;
    return OK;
}

static const struct gwalk_reader marking = {.read = read_memory, .mark = mark_memory};

/* Accessed and dirty bits: on all levels of an access that is allowed, and nowhere else. */
static void test_marks(void **state)
{
    struct gwalk_mode m = {.cr0 = PG | WP, .cr3 = 0x1000, .cr4 = PAE, .efer = LMA};
    (void)state;

    memset(memory, 0, sizeof(memory));
    entry(1, 0, 0x2000 | P | W);
    entry(2, 0, 0x3000 | P | W);
    entry(3, 0, 0x4000 | P | W);
    entry(4, 1, 0x5000 | P | W);
    entry(4, 2, 0x6000 | P);
    assert_int_equal(gwalk(&m, &marking, 0x2000, GWALK_WRITE, &gpa, &error), E_FAULT);
    assert_int_equal(memory[1][0] | memory[4][16], P | W); /* nothing was marked */
    assert_int_equal(gwalk(&m, &marking, 0x2000, 0, &gpa, &error), OK);
    assert_int_equal(memory[1][0], P | W | 0x20);
    assert_int_equal(memory[2][0], P | W | 0x20);
    assert_int_equal(memory[3][0], P | W | 0x20);
    assert_int_equal(memory[4][16], P | 0x20);
    assert_int_equal(gwalk(&m, &marking, 0x1000, GWALK_WRITE, &gpa, &error), OK);
    assert_int_equal(memory[4][8], P | W | 0x60);
    assert_int_equal(memory[3][0], P | W | 0x20);
    /* PAE's four top entries have no such bits. */
    m.efer = 0;
    memset(memory, 0, sizeof(memory));
    entry(1, 0, 0x2000 | P);
    entry(2, 0, 0x200000 | P | W | PS);
    assert_int_equal(gwalk(&m, &marking, 0x1000, GWALK_WRITE, &gpa, &error), OK);
    assert_int_equal(memory[1][0], P);
    assert_int_equal(memory[2][0], P | W | PS | 0x60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_paging), cmocka_unit_test(test_32bit),
        cmocka_unit_test(test_pae),       cmocka_unit_test(test_long_mode),
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
