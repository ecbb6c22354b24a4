/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMCOREINFO note: what real kernels write, and what nobody should believe. */
#include "mm/introspect/vmcoreinfo.h"

#include "base/bits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of Debian's 6.1 kernel, without most of the lines that are not read. */
static const char debian_6_1[] = "OSRELEASE=6.1.0-56-cloud-amd64\n"
                                 "BUILD-ID=3b43fad5034874490492495d552c0af6a5fab235\n"
                                 "PAGESIZE=4096\n"
                                 "SYMBOL(init_uts_ns)=ffffffffb1ff9b60\n"
                                 "SYMBOL(swapper_pg_dir)=ffffffffb1e10000\n"
                                 "SYMBOL(mem_section)=ff1df46b47d97000\n"
                                 "LENGTH(mem_section)=131072\n"
                                 "SIZE(mem_section)=16\n"
                                 "OFFSET(mem_section.section_mem_map)=0\n"
                                 "NUMBER(SECTION_SIZE_BITS)=27\n"
                                 "NUMBER(MAX_PHYSMEM_BITS)=52\n"
                                 "SIZE(page)=64\n"
                                 "OFFSET(page.flags)=0\n"
                                 "OFFSET(page._refcount)=52\n"
                                 "OFFSET(page.mapping)=24\n"
                                 "OFFSET(page.lru)=8\n"
                                 "OFFSET(page._mapcount)=48\n"
                                 "OFFSET(page.private)=40\n"
                                 "OFFSET(page.compound_dtor)=16\n"
                                 "OFFSET(page.compound_order)=17\n"
                                 "OFFSET(page.compound_head)=8\n"
                                 "LENGTH(zone.free_area)=11\n"
                                 "NUMBER(PG_lru)=4\n"
                                 "NUMBER(PG_swapbacked)=19\n"
                                 "NUMBER(PG_slab)=9\n"
                                 "NUMBER(PG_head_mask)=65536\n"
                                 "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n"
                                 "NUMBER(HUGETLB_PAGE_DTOR)=2\n"
                                 "NUMBER(phys_base)=-734003200\n"
                                 "NUMBER(pgtable_l5_enabled)=1\n"
                                 "KERNELOFFSET=2f400000\n"
                                 "NUMBER(sme_mask)=0\n";

static const char debian_6_12[] = "OSRELEASE=6.12.107+deb12-cloud-amd64\n"
                                  "PAGESIZE=4096\n"
                                  "SYMBOL(swapper_pg_dir)=ffffffff8c622000\n"
                                  "NUMBER(VMALLOC_START)=0xff6fc11ec0000000\n"
                                  "SYMBOL(vmemmap)=ffdfc43200000000\n"
                                  "SYMBOL(mem_section)=ff2126d4c7d97680\n"
                                  "LENGTH(mem_section)=2048\n"
                                  "SIZE(mem_section)=16\n"
                                  "OFFSET(mem_section.section_mem_map)=0\n"
                                  "NUMBER(SECTION_SIZE_BITS)=27\n"
                                  "NUMBER(MAX_PHYSMEM_BITS)=46\n"
                                  "SIZE(page)=64\n"
                                  "OFFSET(page.flags)=0\n"
                                  "OFFSET(page._refcount)=52\n"
                                  "OFFSET(page.mapping)=24\n"
                                  "OFFSET(page._mapcount)=48\n"
                                  "OFFSET(page.private)=40\n"
                                  "OFFSET(page.compound_head)=8\n"
                                  "LENGTH(zone.free_area)=11\n"
                                  "NUMBER(PG_lru)=5\n"
                                  "NUMBER(PG_swapbacked)=17\n"
                                  "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376\n"
                                  "NUMBER(PG_hwpoison)=20\n"
                                  "NUMBER(PG_head_mask)=64\n"
                                  "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\n"
                                  "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592\n"
                                  "NUMBER(phys_base)=-161480704\n"
                                  "NUMBER(pgtable_l5_enabled)=0\n"
                                  "NUMBER(sme_mask)=0\n";

static void test_debian_6_1(void **state)
{
    struct vmcoreinfo i;

    (void)state;
    assert_int_equal(vmcoreinfo_parse(debian_6_1, strlen(debian_6_1), &i), OK);
    assert_string_equal(i.release, "6.1.0-56-cloud-amd64");
    assert_int_equal(i.swapper_pg_dir, UINT64_C(0xffffffffb1e10000));
    assert_int_equal(i.phys_base, -UINT64_C(734003200));
    assert_true(i.five_level);
    assert_int_equal(i.mem_section, UINT64_C(0xff1df46b47d97000));
    assert_int_equal(i.sections, BIT(25));
    assert_int_equal(i.sections_in_root, 256);
    assert_int_equal(i.section_shift, 27);
    assert_int_equal(i.page_bytes, 64);
    assert_int_equal(i.refcount, 52);
    assert_int_equal(i.mapping, 24);
    assert_int_equal(i.mapcount, 48);
    assert_int_equal(i.private, 40);
    assert_int_equal(i.compound_head, 8);
    assert_int_equal(i.compound_dtor, 16);
    assert_int_equal(i.orders, 11);
    assert_int_equal(i.lru, BIT(4));
    assert_int_equal(i.swapbacked, BIT(19));
    assert_int_equal(i.slab, BIT(9));
    assert_int_equal(i.hwpoison, 0);
    assert_int_equal(i.head, 65536);
    assert_int_equal(i.type_buddy, 0xffffff7f);
    assert_int_equal(i.type_hugetlb, 0);
    assert_int_equal(i.hugetlb_dtor, 2);
    assert_int_equal(i.mem_map, 0);
}

static void test_debian_6_12(void **state)
{
    struct vmcoreinfo i;

    (void)state;
    assert_int_equal(vmcoreinfo_parse(debian_6_12, strlen(debian_6_12), &i), OK);
    assert_string_equal(i.release, "6.12.107+deb12-cloud-amd64");
    assert_false(i.five_level);
    assert_int_equal(i.sections, BIT(19));
    assert_int_equal(i.sections_in_root, 256);
    assert_int_equal(i.slab, 0);
    assert_int_equal(i.hwpoison, BIT(20));
    assert_int_equal(i.type_buddy, 0xf0000000);
    assert_int_equal(i.type_hugetlb, 0xf4000000);
    assert_int_equal(i.compound_dtor, VMCOREINFO_NONE);
    assert_int_equal(i.hugetlb_dtor, 0);
}

/* The text with the line that begins with `name` replaced by `line`, or left out when that is NULL;
 * the status of parsing it. */
static enum status parse_with(const char *name, const char *line, struct vmcoreinfo *out)
{
    char text[4096];
    const char *at = strstr(debian_6_1, name), *end = at ? strchr(at, '\n') + 1 : NULL;

    assert_non_null(at);
    int n = snprintf(text, sizeof(text), "%.*s%s%s%s", (int)(at - debian_6_1), debian_6_1,
                     line ? line : "", line ? "\n" : "", end);
    /* Exactly its bytes, without a NUL, so that a read past the end is seen. */
    char *bytes = malloc((size_t)n);
    assert_non_null(bytes);
    memcpy(bytes, text, (size_t)n);
    enum status s = vmcoreinfo_parse(bytes, (size_t)n, out);
    free(bytes);
    return s;
}

static void test_what_is_needed(void **state)
{
    static const char *const needed[] = {"OSRELEASE",
                                         "PAGESIZE",
                                         "SYMBOL(swapper_pg_dir)",
                                         "SYMBOL(mem_section)",
                                         "LENGTH(mem_section)",
                                         "SIZE(mem_section)",
                                         "OFFSET(mem_section.section_mem_map)",
                                         "NUMBER(SECTION_SIZE_BITS)",
                                         "NUMBER(MAX_PHYSMEM_BITS)",
                                         "SIZE(page)",
                                         "OFFSET(page.flags)",
                                         "OFFSET(page._refcount)",
                                         "OFFSET(page.mapping)",
                                         "OFFSET(page._mapcount)",
                                         "OFFSET(page.private)",
                                         "OFFSET(page.compound_head)",
                                         "LENGTH(zone.free_area)",
                                         "NUMBER(PG_lru)",
                                         "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)",
                                         "NUMBER(phys_base)"};
    static const char *const optional[] = {
        "BUILD-ID",         "SYMBOL(init_uts_ns)",        "OFFSET(page.compound_dtor)",
        "NUMBER(PG_slab)",  "NUMBER(pgtable_l5_enabled)", "NUMBER(HUGETLB_PAGE_DTOR)",
        "NUMBER(sme_mask)", "NUMBER(PG_swapbacked)",      "NUMBER(PG_head_mask)",
    };
    struct vmcoreinfo i;

    (void)state;
    for (unsigned k = 0; k < ARRAY_LEN(needed); k++) {
        assert_int_equal(parse_with(needed[k], NULL, &i), E_INVAL);
    }
    for (unsigned k = 0; k < ARRAY_LEN(optional); k++) {
        assert_int_equal(parse_with(optional[k], NULL, &i), OK);
    }
}

static void test_what_makes_no_sense(void **state)
{
    static const char *const lines[][2] = {
        {"PAGESIZE", "PAGESIZE=16384"},
        {"OSRELEASE", "OSRELEASE="},
        {"OSRELEASE", "OSRELEASE=a\033[2Jb"},
        {"SIZE(page)", "SIZE(page)=24"},
        {"SIZE(page)", "SIZE(page)=65"},
        {"SIZE(page)", "SIZE(page)=512"},
        {"SIZE(page)", "SIZE(page)=-64"},
        {"SIZE(page)", "SIZE(page)="},
        {"SIZE(page)", "SIZE(page)=64 "},
        {"SIZE(page)", "SIZE(page)"},
        {"SIZE(page)", "SIZE(page)=18446744073709551680"},
        {"OFFSET(page.flags)", "OFFSET(page.flags)=57"},
        {"OFFSET(page.flags)", "OFFSET(page.flags)=64"},
        {"OFFSET(page.flags)", "OFFSET(page.flags)=4"},
        {"OFFSET(page._mapcount)", "OFFSET(page._mapcount)=62"},
        {"OFFSET(page._mapcount)", "OFFSET(page._mapcount)=-4"},
        {"OFFSET(page.mapping)", "OFFSET(page.mapping)=280"},
        {"NUMBER(PG_lru)", "NUMBER(PG_lru)=64"},
        {"NUMBER(PAGE_BUDDY", "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-1"},
        {"NUMBER(PAGE_BUDDY", "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=0"},
        {"NUMBER(PAGE_BUDDY", "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-4294967296"},
        {"LENGTH(zone.free_area)", "LENGTH(zone.free_area)=0"},
        {"LENGTH(zone.free_area)", "LENGTH(zone.free_area)=64"},
        {"NUMBER(SECTION_SIZE_BITS)", "NUMBER(SECTION_SIZE_BITS)=12"},
        {"NUMBER(SECTION_SIZE_BITS)", "NUMBER(SECTION_SIZE_BITS)=63"},
        {"NUMBER(MAX_PHYSMEM_BITS)", "NUMBER(MAX_PHYSMEM_BITS)=20"},
        {"NUMBER(MAX_PHYSMEM_BITS)", "NUMBER(MAX_PHYSMEM_BITS)=91"},
        {"LENGTH(mem_section)", "LENGTH(mem_section)=131071"},
        {"LENGTH(mem_section)", "LENGTH(mem_section)=0"},
        {"SIZE(mem_section)", "SIZE(mem_section)=0"},
        {"SIZE(mem_section)", "SIZE(mem_section)=8192"},
        {"OFFSET(mem_section.", "OFFSET(mem_section.section_mem_map)=9"},
        {"SYMBOL(mem_section)", "SYMBOL(mem_section)=0"},
        {"SYMBOL(swapper_pg_dir)", "SYMBOL(swapper_pg_dir)=zz"},
        {"SYMBOL(swapper_pg_dir)", "SYMBOL(swapper_pg_dir)=1ffffffffb1e10000"},
        {"NUMBER(phys_base)", "NUMBER(phys_base)=--1"},
    };
    struct vmcoreinfo i;

    (void)state;
    for (unsigned k = 0; k < ARRAY_LEN(lines); k++) {
        if (parse_with(lines[k][0], lines[k][1], &i) != E_INVAL) {
            fail_msg("taken: %s", lines[k][1]);
        }
    }
}

static void test_other_forms(void **state)
{
    char name[200];
    struct vmcoreinfo i;

    (void)state;
    /* A flat table of sections, and no sections at all. */
    assert_int_equal(parse_with("LENGTH(mem_section)", "LENGTH(mem_section)=33554432", &i), OK);
    assert_int_equal(i.sections_in_root, 0);
    assert_int_equal(parse_with("SYMBOL(mem_section)", "SYMBOL(mem_map)=ffffffff81234000", &i), OK);
    assert_int_equal(i.mem_map, UINT64_C(0xffffffff81234000));
    /* Types without a sign; the first of two lines counts. */
    assert_int_equal(parse_with("NUMBER(PAGE_BUDDY",
                                "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=4026531840\n"
                                "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129",
                                &i),
                     OK);
    assert_int_equal(i.type_buddy, 0xf0000000);
    assert_int_equal(parse_with("NUMBER(phys_base)", "NUMBER(phys_base)=0x1000000", &i), OK);
    assert_int_equal(i.phys_base, 0x1000000);
    /* A release is cut where there is no more room. */
    snprintf(name, sizeof(name), "OSRELEASE=%0100d", 7);
    assert_int_equal(parse_with("OSRELEASE", name, &i), OK);
    assert_int_equal(strlen(i.release), VMCOREINFO_RELEASE - 1);
    /* It is shown, and may be wrapped by a terminal: no part of it looks like the monitor's. */
    assert_int_equal(parse_with("OSRELEASE", "OSRELEASE=6.1_~+x@{pagefold>[a]:", &i), OK);
    assert_string_equal(i.release, "6.1_~+x??pagefold??a??");
}

static void test_every_cut(void **state)
{
    struct vmcoreinfo i;
    size_t all = strlen(debian_6_1), missing = strlen("NUMBER(pgtable_l5_enabled)=1\n"
                                                      "KERNELOFFSET=2f400000\n"
                                                      "NUMBER(sme_mask)=0\n");

    (void)state;
    for (size_t n = 0; n <= all; n++) {
        char *bytes = malloc(n + 1);
        assert_non_null(bytes);
        memcpy(bytes, debian_6_1, n);
        enum status s = vmcoreinfo_parse(bytes, n, &i);
        /* phys_base is the last that is needed; a number cut short is still a number. */
        assert_true(s == OK ? n > all - missing - 10 : n < all - missing);
        /* As a page has it: a NUL ends it. */
        bytes[n] = '\0';
        assert_int_equal(vmcoreinfo_parse(bytes, n + 1, &i), s);
        free(bytes);
    }
}

/* A step parses a bounded part of the text, whatever its lines are, and all steps together what one
 * call does; a line that is too long to be of use is left out, also where a step ends within it. */
static void test_in_steps(void **state)
{
    char text[PAGE_SIZE];
    struct vmcoreinfo_lines l;
    struct vmcoreinfo i, want;
    enum status s;

    (void)state;
    for (unsigned longer = 0; longer < 600; longer++) {
        const char *rest = strstr(debian_6_1, "PAGESIZE");
        int n = snprintf(text, sizeof(text), "%.*sX%0*d(PAGESIZE=1\n%s", (int)(rest - debian_6_1),
                         debian_6_1, (int)longer, 0, rest);
        size_t before = 0, steps = 1;
        vmcoreinfo_begin(&l);
        while ((s = vmcoreinfo_step(&l, text, (size_t)n, &i)) == E_BUSY) {
            assert_true(l.at > before && l.at - before < VMCOREINFO_STEP + 100);
            before = l.at;
            steps++;
        }
        assert_int_equal(s, OK);
        assert_true(steps >= (size_t)n / (VMCOREINFO_STEP + 100));
        assert_int_equal(vmcoreinfo_parse(debian_6_1, strlen(debian_6_1), &want), OK);
        assert_memory_equal(&i, &want, sizeof(i));
    }
}

/* Text that shrinks to nothing between two steps. */
static void test_text_that_changes(void **state)
{
    struct vmcoreinfo_lines l;
    struct vmcoreinfo i;

    (void)state;
    vmcoreinfo_begin(&l);
    assert_int_equal(vmcoreinfo_step(&l, debian_6_1, strlen(debian_6_1), &i), E_BUSY);
    assert_int_equal(vmcoreinfo_step(&l, debian_6_1, 3, &i), E_INVAL);
}

static void test_find(void **state)
{
    uint8_t page[PAGE_SIZE];
    const char *text;
    size_t n;

    (void)state;
    memset(page, 0, sizeof(page));
    assert_false(vmcoreinfo_find(page, &text, &n));
    memcpy(page, debian_6_1, sizeof(debian_6_1));
    assert_true(vmcoreinfo_find(page, &text, &n));
    assert_ptr_equal(text, page);
    assert_int_equal(n, PAGE_SIZE);
    page[5] ^= 1;
    assert_false(vmcoreinfo_find(page, &text, &n));

    memset(page, 0, sizeof(page));
    store_le32(page, 11);
    store_le32(page + 4, sizeof(debian_6_1));
    memcpy(page + 12, "VMCOREINFO", 11);
    memcpy(page + 24, debian_6_1, sizeof(debian_6_1));
    assert_true(vmcoreinfo_find(page, &text, &n));
    assert_ptr_equal(text, page + 24);
    assert_int_equal(n, PAGE_SIZE - 24);
    store_le32(page + 8, 1); /* another type of note */
    assert_false(vmcoreinfo_find(page, &text, &n));
    store_le32(page + 8, 0);
    page[12] = 'X'; /* another's */
    assert_false(vmcoreinfo_find(page, &text, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_debian_6_1),     cmocka_unit_test(test_debian_6_12),
        cmocka_unit_test(test_what_is_needed), cmocka_unit_test(test_what_makes_no_sense),
        cmocka_unit_test(test_other_forms),    cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_in_steps),       cmocka_unit_test(test_text_that_changes),
        cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
