/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's MSR values: each bit of each register, every type, and hostile numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86_64/hvm/guest_msrs.h"
#include "base/bits.h"
#include "rnd.h"
#include "world_platform.h"

#define HOLE 0xe0000000u

static struct guest_msrs m;

static bool takes(uint32_t msr, uint64_t value)
{
    uint64_t before = 0, after = 0;
    enum status found = guest_msrs_read(&m, msr, &before), s = guest_msrs_write(&m, msr, value);

    assert_int_equal(guest_msrs_read(&m, msr, &after), found);
    assert_true(s == OK || s == E_FAULT || s == E_NOTFOUND);
    assert_int_equal(s == E_NOTFOUND, found == E_NOTFOUND);
    if (s != OK) {
        assert_int_equal(before, after); /* a refused write changes nothing */
    }
    return s == OK;
}

static uint64_t value_of(uint32_t msr)
{
    uint64_t v = 0;

    assert_int_equal(guest_msrs_read(&m, msr, &v), OK);
    return v;
}

static bool is_type(unsigned type)
{
    return type == 0 || type == 1 || type == 4 || type == 5 || type == 6;
}

static void test_start(void **state)
{
    (void)state;
    for (unsigned bits = 36; bits <= 52; bits++) {
        guest_msrs_reset(&m, bits, HOLE);
        assert_int_equal(value_of(0x2ff), 0xc06);
        assert_int_equal(value_of(0x200), HOLE);
        /* Every address of the hole matches, its neighbours do not. */
        uint64_t mask = value_of(0x201);
        assert_true(mask & BIT(11));
        assert_int_equal(mask >> bits, 0);
        mask &= ~UINT64_C(0xfff);
        assert_int_equal(HOLE & mask, HOLE);
        assert_int_equal(UINT64_C(0xfffff000) & mask, HOLE);
        assert_int_not_equal((HOLE - 4096) & mask, HOLE);
        assert_int_not_equal(UINT64_C(0x100000000) & mask, HOLE);
        assert_true(takes(0x200, value_of(0x200)) && takes(0x201, value_of(0x201)));
        assert_true(guest_msrs_apic_base_fits(&m, BIT(bits) - 1));
        assert_false(guest_msrs_apic_base_fits(&m, BIT(bits)));
        assert_false(guest_msrs_apic_base_fits(&m, BIT(63)));
    }
    assert_int_equal(value_of(0x179), 0); /* no machine-check banks */
}

static void test_mtrr_values(void **state)
{
    (void)state;
    guest_msrs_reset(&m, 40, HOLE);
    assert_false(takes(0xfe, value_of(0xfe)));
    for (unsigned type = 0; type < 256; type++) {
        assert_int_equal(takes(0x2ff, 0xc00 | type), is_type(type));
        assert_int_equal(takes(0x20e, type), is_type(type));
        for (unsigned byte = 0; byte < 8; byte++) {
            assert_int_equal(takes(0x250, (uint64_t)type << 8 * byte), is_type(type));
            assert_int_equal(takes(0x259, (uint64_t)type << 8 * byte), is_type(type));
            assert_int_equal(takes(0x26f, (uint64_t)type << 8 * byte), is_type(type));
        }
    }
    for (unsigned bit = 8; bit < 64; bit++) {
        assert_int_equal(takes(0x2ff, BIT(bit)), bit == 10 || bit == 11);
        assert_int_equal(takes(0x200, BIT(bit)), bit >= 12 && bit < 40);
        assert_int_equal(takes(0x20f, BIT(bit)), bit >= 11 && bit < 40);
    }
}

/* Types 0 and 1 that spell the number i. */
static uint64_t spelled(unsigned i)
{
    return (i & 1) | (i >> 1 & 1) << 8 | (i >> 2 & 1) << 16 | (uint64_t)(i >> 3 & 1) << 56;
}

/* What was written is read, and registers are not one another's. */
static void test_slots(void **state)
{
    static const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                     0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

    (void)state;
    guest_msrs_reset(&m, 40, HOLE);
    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++) {
        assert_true(takes(fixed[i], spelled(i)));
    }
    for (unsigned i = 0; i < 16; i++) {
        assert_true(takes(0x200 + i, (uint64_t)(i + 1) << 12));
    }
    for (unsigned i = 0; i < ARRAY_LEN(fixed); i++) {
        assert_int_equal(value_of(fixed[i]), spelled(i));
    }
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(value_of(0x200 + i), (uint64_t)(i + 1) << 12);
    }
}

static void test_misc_enable(void **state)
{
    uint64_t writable = UINT64_C(0x400c50009), readonly = 0x1880, fixed = 0x1800;

    (void)state;
    guest_msrs_reset(&m, 40, HOLE);
    assert_int_equal(value_of(0x1a0), fixed | 1);
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_int_equal(takes(0x1a0, BIT(bit)), ((writable | readonly) >> bit) & 1);
        assert_int_equal(value_of(0x1a0) & ~fixed, m.misc_enable);
        assert_int_equal(m.misc_enable & ~writable, 0);
    }
}

/* Any number with any value: an answer, and nothing beyond the structure. */
static void test_hostile(void **state)
{
    struct rnd seed = {99};
    unsigned known = 0;

    (void)state;
    guest_msrs_reset(&m, 46, HOLE);
    for (uint32_t msr = 0; msr < 0x2000; msr++) {
        known += guest_msrs_read(&m, msr, &(uint64_t){0}) == OK;
        for (unsigned i = 0; i < 8; i++) {
            (void)takes(msr, rnd_next(&seed) >> (rnd_next(&seed) & 63));
        }
    }
    assert_int_equal(known, 8 + 1 + 1 + 11 + 16);
    for (unsigned i = 0; i < 100000; i++) {
        (void)takes((uint32_t)rnd_next(&seed), rnd_next(&seed));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),   cmocka_unit_test(test_mtrr_values),
        cmocka_unit_test(test_slots),   cmocka_unit_test(test_misc_enable),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
