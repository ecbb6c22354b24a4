/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiboot2 parser: a structure as GRUB gives it, and every way it can be wrong. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "boot/multiboot2.h"

struct builder {
    uint8_t bytes[65536];
    size_t n;
};

static void begin(struct builder *b)
{
    b->n = 8;
    memset(b->bytes, 0, sizeof(b->bytes));
}

static uint8_t *tag(struct builder *b, uint32_t type, size_t payload)
{
    uint8_t *t = b->bytes + b->n;

    store_le32(t, type);
    store_le32(t + 4, (uint32_t)(8 + payload));
    b->n += (size_t)ALIGN_UP(8 + payload, 8);
    assert_true(b->n < sizeof(b->bytes));
    return t + 8;
}

static uint8_t *mmap_tag(struct builder *b, unsigned n)
{
    uint8_t *t = tag(b, 6, 8 + 24 * (size_t)n);

    store_le32(t, 24);
    return t + 8;
}

static void region(uint8_t *entries, unsigned i, uint64_t base, uint64_t len, uint32_t type)
{
    store_le64(entries + 24 * i, base);
    store_le64(entries + 24 * i + 8, len);
    store_le32(entries + 24 * i + 16, type);
}

static void module(struct builder *b, uint32_t start, uint32_t end, const char *name)
{
    uint8_t *t = tag(b, 3, 8 + strlen(name) + 1);

    store_le32(t, start);
    store_le32(t + 4, end);
    memcpy(t + 8, name, strlen(name) + 1);
}

/* The parser reads a copy of exactly the size it is told, so that one byte too many is caught. */
static enum status finish(struct builder *b, struct mb2_info *out, char *why)
{
    uint8_t *copy;
    enum status s;

    tag(b, 0, 0);
    store_le32(b->bytes, (uint32_t)b->n);
    copy = malloc(b->n);
    memcpy(copy, b->bytes, b->n);
    s = mb2_parse(copy, b->n, out, why, 200);
    free(copy);
    return s;
}

static struct builder b;
static struct mb2_info info;
static char why[200];

static void rsdp_fill(uint8_t *t, bool new, uint32_t mark)
{
    uint8_t sum = 0;

    memcpy(t, "RSD PTR ", 8);
    store_le32(t + 16, mark);
    for (int i = 0; i < 20; i++) {
        sum = (uint8_t)(sum + t[i]);
    }
    t[8] = (uint8_t)-sum;
    if (new) {
        store_le32(t + 20, 36);
        t[15] = 2;
        t[8] = (uint8_t)(t[8] - 2);
        sum = 0;
        for (int i = 0; i < 36; i++) {
            sum = (uint8_t)(sum + t[i]);
        }
        t[32] = (uint8_t)-sum;
    }
}

static void plain_pc(void)
{
    uint8_t *e;

    begin(&b);
    memcpy(tag(&b, 1, 12), "quiet\x1b[2J a", 12);
    memcpy(tag(&b, 2, 10), "GRUB 2.06", 10);
    module(&b, 0x200000, 0x210000, "config  some arguments");
    module(&b, 0x300000, 0x900000, "vmlinuz");
    e = mmap_tag(&b, 3);
    region(e, 0, 0, 0x9fc00, 1);
    region(e, 1, 0xf0000, 0x10000, 2);
    region(e, 2, 0x100000, 0x1ff00000, 1);
}

static void test_pc(void **state)
{
    (void)state;
    plain_pc();
    rsdp_fill(tag(&b, 14, 20), false, 0x1111);
    assert_int_equal(finish(&b, &info, why), OK);
    assert_string_equal(info.cmdline, "quiet?[2J a");
    assert_string_equal(info.loader, "GRUB 2.06");
    assert_int_equal(info.n_mem, 3);
    assert_int_equal(info.mem[2].len, 0x1ff00000);
    assert_int_equal(info.n_modules, 2);
    assert_string_equal(info.modules[0].name, "config");
    assert_int_equal(info.modules[1].end, 0x900000);
    assert_int_equal(info.rsdp_len, 20);
    assert_false(info.efi);
    assert_int_equal(info.n_dropped, 0);
    assert_ptr_equal(mb2_module_find(&info, "vmlinuz"), &info.modules[1]);
    assert_null(mb2_module_find(&info, "vmlinu"));
}

static void test_rsdp(void **state)
{
    uint8_t *t;
    (void)state;

    for (int order = 0; order < 2; order++) { /* the new one wins, wherever it stands */
        plain_pc();
        rsdp_fill(tag(&b, order ? 15 : 14, order ? 36 : 20), order, order ? 2 : 1);
        rsdp_fill(tag(&b, order ? 14 : 15, order ? 20 : 36), !order, order ? 1 : 2);
        assert_int_equal(finish(&b, &info, why), OK);
        assert_int_equal(info.rsdp_len, 36);
        assert_int_equal(load_le32(info.rsdp + 16), 2);
    }
    for (int byte = 0; byte < 36; byte++) { /* each byte counts */
        plain_pc();
        t = tag(&b, 15, 36);
        rsdp_fill(t, true, 7);
        t[byte] ^= 0x40;
        assert_int_equal(finish(&b, &info, why), OK);
        assert_int_equal(info.rsdp_len, 0);
        assert_int_equal(info.n_dropped, 1);
    }
    plain_pc(); /* too short for what it says */
    t = tag(&b, 15, 35);
    memset(t, 0, 35);
    memcpy(t, "RSD PTR ", 8);
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(info.rsdp_len, 0);
}

static unsigned strict(uint32_t type)
{
    return type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 3 : type == 5 ? 5 : 4;
}

/* Against a map of single bytes that applies the rule literally. */
static void test_overlaps(void **state)
{
    (void)state;
    srand(1);
    for (int round = 0; round < 2000; round++) {
        uint8_t want[64] = {0}, got[64] = {0};
        unsigned n = 1 + (unsigned)rand() % 8;
        uint8_t *e;

        begin(&b);
        e = mmap_tag(&b, n);
        for (unsigned i = 0; i < n; i++) {
            unsigned at = (unsigned)rand() % 60, len = (unsigned)rand() % (64 - at);
            uint32_t type = (uint32_t)rand() % 7;

            region(e, i, at, len, type);
            for (unsigned j = at; j < at + len; j++) {
                uint8_t t = type < 1 || type > 5 ? 2 : (uint8_t)type;
                want[j] = want[j] == 0 || strict(t) > strict(want[j]) ? t : want[j];
            }
        }
        if (finish(&b, &info, why) != OK) {
            info.n_mem = 0;
        }
        for (unsigned i = 0; i < info.n_mem; i++) {
            for (uint64_t j = info.mem[i].base; j < info.mem[i].base + info.mem[i].len; j++) {
                assert_true(j < 64 && got[j] == 0);
                got[j] = (uint8_t)info.mem[i].type;
            }
        }
        assert_memory_equal(want, got, sizeof(want));
    }
}

static void test_absurd_regions(void **state)
{
    uint8_t *e;
    (void)state;

    begin(&b);
    e = mmap_tag(&b, 4);
    region(e, 0, 0, UINT64_MAX, 1);
    region(e, 1, UINT64_MAX - 10, 100, 1); /* wraps: dropped */
    region(e, 2, BIT(51), UINT64_MAX, 2);  /* wraps: reserved up to the end */
    region(e, 3, 0x5000, 0, 2);            /* empty */
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(info.n_mem, 2);
    assert_int_equal(info.mem[0].len, BIT(51));
    assert_int_equal(info.mem[1].base + info.mem[1].len, BIT(52));
    assert_int_equal(info.n_dropped, 1);

    begin(&b); /* more regions than there is room for: the first ones stay */
    e = mmap_tag(&b, 300);
    for (unsigned i = 0; i < 300; i++) {
        region(e, i, i * 0x2000, 0x1000, 1);
    }
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(info.n_mem, MB2_MEMS);
    assert_int_equal(info.n_dropped, 300 - MB2_MEMS);

    begin(&b);
    (void)mmap_tag(&b, 1500);
    assert_int_equal(finish(&b, &info, why), E_INVAL);
}

static void efi_map(void)
{
    static const uint32_t types[] = {7, 4, 2, 0, 9, 10, 11};
    uint8_t *t = tag(&b, 17, 8 + 48 * ARRAY_LEN(types));

    store_le32(t, 48);
    for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
        uint8_t *e = t + 8 + 48 * (size_t)i;

        store_le32(e, types[i]);
        store_le64(e + 8, 0x100000 * (uint64_t)i);
        store_le64(e + 24, 0x100);
    }
}

static void test_efi(void **state)
{
    uint8_t *e;
    (void)state;

    begin(&b);
    efi_map();
    assert_int_equal(finish(&b, &info, why), OK);
    assert_true(info.efi);
    assert_int_equal(info.n_mem, 5);
    assert_int_equal(info.mem[0].len, 0x300000);
    assert_int_equal(info.mem[2].type, MB2_MEM_ACPI);
    assert_int_equal(info.mem[3].type, MB2_MEM_NVS);

    begin(&b); /* boot services still run: theirs is not free, whichever tag comes first */
    efi_map();
    (void)tag(&b, 18, 0);
    assert_int_equal(finish(&b, &info, why), OK);
    assert_true(info.efi_boot_services);
    assert_int_equal(info.mem[0].len, 0x100000);
    assert_int_equal(info.mem[1].type, MB2_MEM_RESERVED);

    begin(&b); /* a plain map is preferred */
    efi_map();
    e = mmap_tag(&b, 1);
    region(e, 0, 0x1000, 0x1000, 1);
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(info.n_mem, 1);
    assert_int_equal(info.mem[0].base, 0x1000);
}

static void test_meminfo(void **state)
{
    uint8_t *t;
    (void)state;

    begin(&b);
    t = tag(&b, 4, 8);
    store_le32(t, 640);
    store_le32(t + 4, 31 * 1024);
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(info.n_mem, 2);
    assert_int_equal(info.mem[0].len, 640 * 1024);
    assert_int_equal(info.mem[1].base, 1 << 20);
    assert_int_equal(info.mem[1].len, 31u << 20);

    begin(&b); /* a map that cannot be used falls back to it */
    store_le32(tag(&b, 6, 8 + 24), 23);
    t = tag(&b, 4, 8);
    store_le32(t, 640);
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(info.n_mem, 1);

    begin(&b); /* nothing at all */
    assert_int_equal(finish(&b, &info, why), E_INVAL);
    assert_string_equal(why, "multiboot2 information from the boot loader: there is no memory map");
}

static void test_modules(void **state)
{
    char name[32];
    (void)state;

    plain_pc();
    module(&b, 0x900000, 0x900000, "empty");
    module(&b, 0xa00000, 0x900000, "backwards");
    module(&b, 0x8fffff, 0xa00000, "overlap");
    module(&b, 0x20000000, 0x20001000, "beyond");
    module(&b, 0x1ffff000, 0x20001000, "across");
    module(&b, 0xf0000, 0xf1000, "rom");
    module(&b, 0xa00000, 0xa01000, "vmlinuz");
    module(&b, 0xa00000, 0xa01000, "");
    module(&b, 0xa00000, 0xa01000, "\x1b[2J");
    module(&b, 0xa00000, 0xa01000,
           "0123456789012345678901234567890123456789012345678901234567890123");
    (void)tag(&b, 3, 4);
    (void)tag(&b, 3, 8);
    module(&b, 0xa00000, 0xa01000, "good");
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(info.n_modules, 3);
    assert_string_equal(info.modules[2].name, "good");
    assert_int_equal(info.n_dropped, 12);

    plain_pc();
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        module(&b, 0x1000000 + i * 0x1000, 0x1001000 + i * 0x1000, name);
    }
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(info.n_modules, MB2_MODULES);
}

static void test_long_text(void **state)
{
    (void)state;
    plain_pc();
    memset(tag(&b, 1, 5000), 'x', 5000); /* too long, and without its NUL */
    assert_int_equal(finish(&b, &info, why), OK);
    assert_int_equal(strlen(info.cmdline), MB2_CMDLINE - 1);
}

/* Every truncation, and every size field set to every small or absurd value. */
static void test_broken_structure(void **state)
{
    static const uint32_t sizes[] = {0,  1,  7,  8,  9,          12,         15,
                                     16, 17, 24, 31, 0x7fffffff, 0xfffffff8, 0xffffffff};
    size_t whole;
    (void)state;

    plain_pc();
    rsdp_fill(tag(&b, 15, 36), true, 1);
    assert_int_equal(finish(&b, &info, why), OK);
    whole = b.n;
    for (size_t cut = 0; cut < whole; cut++) {
        uint8_t *copy = malloc(cut + 1);

        memcpy(copy, b.bytes, cut);
        assert_int_equal(mb2_parse(copy, cut, &info, why, sizeof(why)), E_INVAL);
        if (cut >= 4) { /* also when the structure agrees that it is that short */
            store_le32(copy, (uint32_t)cut);
            assert_int_equal(mb2_parse(copy, cut, &info, why, sizeof(why)), E_INVAL);
        }
        free(copy);
    }
    for (size_t at = 0; at + 4 <= whole; at += 4) {
        for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
            uint8_t *copy = malloc(whole);

            memcpy(copy, b.bytes, whole);
            store_le32(copy + at, sizes[i]);
            (void)!mb2_parse(copy, whole, &info, why, sizeof(why));
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pc),
        cmocka_unit_test(test_rsdp),
        cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_absurd_regions),
        cmocka_unit_test(test_efi),
        cmocka_unit_test(test_meminfo),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_broken_structure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
