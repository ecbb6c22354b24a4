/* SPDX-License-Identifier: BSD-2-Clause */
/* The classes of a guest's pages: found, right, forgotten when wrong, and never at any price. */
#include "fake_linux.h"

#include "base/bits.h"
#include "fake_p2m.h"
#include "mm/introspect/memmap.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAPPING UINT64_C(0xffff888000123400)
/* A class of one page: the orders' heads, each at most a translation's worth of looks. */
#define LOOKS_CLASS 100u
#define LOOKS_CHECK 200u
#define CR3(frame) ((uint64_t)(frame) << PAGE_SHIFT)

static const struct linux_variant variants[] = {
    {.memory = LINUX_EXTREME},
    {.memory = LINUX_EXTREME, .five_level = true, .elf = true},
    {.memory = LINUX_EXTREME, .newer = true},
    {.memory = LINUX_EXTREME, .newer = true, .five_level = true, .small = true},
    {.memory = LINUX_FLAT, .elf = true},
    {.memory = LINUX_MEM_MAP, .small = true},
};

static void search_all(struct linux_guest *g, uint64_t cr3)
{
    for (unsigned i = 0; i < LINUX_PAGES; i++) {
        if (guest_pages_search(&g->pages, cr3, 64)) {
            return;
        }
    }
    fail_msg("the search does not end");
}

static void open_guest(struct linux_guest *g, const struct linux_variant *v)
{
    linux_init(g, v);
    search_all(g, 0);
    assert_true(g->pages.known);
    assert_int_equal(g->pages.note.n, LINUX_NOTE);
}

static enum page_class class_of(struct linux_guest *g, uint64_t gfn)
{
    uint64_t before = g->looks;
    enum page_class c = guest_pages_class(&g->pages, GFN(gfn), false);

    assert_true(g->looks - before <= LOOKS_CLASS);
    return c;
}

static void check_bounded(struct linux_guest *g)
{
    uint64_t before = g->looks;

    (void)guest_pages_search(&g->pages, CR3(LINUX_ROOT), 8);
    assert_true(g->looks - before <= LOOKS_CHECK);
}

static void expect(struct linux_guest *g, enum page_class want, struct linux_page p)
{
    linux_set(g, 200, &p);
    assert_int_equal(class_of(g, 200), want);
}

static void test_classes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(variants); i++) {
        struct linux_guest g;
        open_guest(&g, &variants[i]);
        uint64_t lru = g.lru, shmem = g.lru | g.swapbacked;

        /* Reserved; a driver's; a page table of 6.1; on a CPU's list of free pages. */
        expect(&g, PAGE_KERNEL, (struct linux_page){.mapcount = -1, .refcount = 1});
        expect(&g, PAGE_KERNEL, (struct linux_page){.mapcount = 0, .refcount = 2});
        expect(&g, PAGE_KERNEL, (struct linux_page){.mapcount = -1025, .refcount = 1});
        expect(&g, PAGE_KERNEL, (struct linux_page){.mapcount = -1, .refcount = 0});
        /* Slab, whose other fields are its own. */
        expect(&g, PAGE_KERNEL,
               (struct linux_page){.flags = g.slab_flag,
                                   .mapcount = g.slab ? g.slab : 12345,
                                   .refcount = 1,
                                   .mapping = g.slab ? 1 : MAPPING | 1,
                                   .private = 77});
        /* Types of 6.12 keep numbers of their own below the type. */
        if (g.slab) {
            expect(&g, PAGE_KERNEL,
                   (struct linux_page){.mapcount = g.slab | 0x1234, .refcount = 1, .mapping = 1});
        }
        expect(&g, PAGE_ANON,
               (struct linux_page){shmem, MAPPING | 1, 0, 0, .mapcount = 0, .refcount = 1});
        expect(&g, PAGE_ANON, /* in the swap cache, or KSM's */
               (struct linux_page){shmem, MAPPING | 3, 9, 0, .mapcount = -1, .refcount = 2});
        expect(&g, PAGE_KERNEL, /* a driver's, movable */
               (struct linux_page){0, MAPPING | 2, 0, 0, .mapcount = -1, .refcount = 1});
        expect(&g, PAGE_CACHE, (struct linux_page){lru, MAPPING, 0, 0, -1, 2, 0});
        expect(&g, PAGE_CACHE,
               (struct linux_page){0, MAPPING, 0, 0, -1, 2, 0});             /* not on LRU yet */
        expect(&g, PAGE_CACHE, (struct linux_page){lru, 0, 0, 0, -1, 1, 0}); /* just truncated */
        expect(&g, PAGE_MAPPED, (struct linux_page){lru, MAPPING, 0, 0, 3, 5, 0});
        expect(&g, PAGE_MAPPED, (struct linux_page){shmem, MAPPING, 0, 0, -1, 2, 0}); /* tmpfs */
        /* Nonsense. */
        expect(&g, PAGE_UNKNOWN, (struct linux_page){lru, 0x1234, 0, 0, -1, 2, 0});
        expect(&g, PAGE_UNKNOWN, (struct linux_page){lru, MAPPING, 0, 0, -1, -2, 0});
        expect(&g, PAGE_UNKNOWN, (struct linux_page){UINT64_MAX, MAPPING, 0, 0, -1, 2, 0});
        expect(&g, PAGE_UNKNOWN, (struct linux_page){lru, MAPPING, 0, 12345, -1, 2, 0});
        linux_fini(&g);
    }
}

static void test_disk_hint(void **state)
{
    struct linux_guest g;

    (void)state;
    linux_init(&g, &variants[0]);
    assert_int_equal(guest_pages_class(&g.pages, GFN(3), false), PAGE_UNKNOWN);
    assert_int_equal(guest_pages_class(&g.pages, GFN(3), true), PAGE_CACHE);
    search_all(&g, 0);
    assert_int_equal(guest_pages_class(&g.pages, GFN(3), false), PAGE_KERNEL);
    assert_int_equal(guest_pages_class(&g.pages, GFN(3), true), PAGE_KERNEL);
    linux_fini(&g);
}

static void test_what_is_no_ram(void **state)
{
    struct linux_guest g;
    const uint64_t none[] = {LINUX_HOLE,        LINUX_HIGH - 1,    LINUX_PAGES,
                             UINT64_C(1) << 32, UINT64_C(1) << 52, UINT64_MAX};

    (void)state;
    open_guest(&g, &variants[0]);
    assert_int_equal(class_of(&g, LINUX_HOLE - 1), PAGE_KERNEL);
    assert_int_equal(class_of(&g, LINUX_HIGH), PAGE_KERNEL);
    for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
        assert_int_equal(class_of(&g, none[i]), PAGE_UNKNOWN);
    }
    linux_fini(&g);
}

static void test_free_blocks(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(variants); i++) {
        struct linux_guest g;
        open_guest(&g, &variants[i]);
        for (unsigned order = 0; order <= 8; order++) {
            linux_free(&g, 512 - BIT(order), order);
            linux_set(&g, 511 - BIT(order), &(struct linux_page){.mapcount = -1, .refcount = 1});
            for (uint64_t n = 512 - BIT(order); n < 512; n++) {
                assert_int_equal(class_of(&g, n), PAGE_FREE);
            }
            assert_int_equal(class_of(&g, 511 - BIT(order)), PAGE_KERNEL);
            assert_int_equal(class_of(&g, 512), PAGE_KERNEL);
        }
        for (uint64_t n = 256; n < 512; n++) {
            linux_set(&g, n, &(struct linux_page){.mapcount = -1, .refcount = 1});
        }
        /* A head that says less than how far the page is away; more than there can be; a block that
         * would not be aligned. */
        linux_free(&g, 320, 4);
        linux_set(&g, 320, &(struct linux_page){.mapcount = g.buddy, .private = 2});
        assert_int_equal(class_of(&g, 323), PAGE_FREE);
        assert_int_equal(class_of(&g, 324), PAGE_KERNEL);
        linux_set(&g, 320, &(struct linux_page){.mapcount = g.buddy, .private = 11});
        assert_int_equal(class_of(&g, 320), PAGE_KERNEL);
        linux_set(&g, 320, &(struct linux_page){.mapcount = g.buddy, .private = UINT64_MAX});
        assert_int_equal(class_of(&g, 320), PAGE_KERNEL);
        linux_free(&g, 328, 3);
        linux_set(&g, 328, &(struct linux_page){.mapcount = g.buddy, .private = 4});
        assert_int_equal(class_of(&g, 330), PAGE_KERNEL);
        /* In use inside what a head claims: nor can a block begin before it that its neighbours are
         * in. */
        linux_free(&g, 256, 5);
        linux_set(&g, 260, &(struct linux_page){.mapcount = -1, .refcount = 1});
        assert_int_equal(class_of(&g, 260), PAGE_KERNEL);
        assert_int_equal(class_of(&g, 261), PAGE_KERNEL);
        assert_int_equal(class_of(&g, 264), PAGE_FREE);
        linux_fini(&g);
    }
}

static void test_compound_pages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(variants); i++) {
        struct linux_guest g;
        open_guest(&g, &variants[i]);
        const struct linux_page tail = {.head = linux_va(256) | 1, .mapcount = -1};
        const struct linux_page mapped = {.head = linux_va(256) | 1, .mapcount = 0};

        /* A transparent huge page of a process. */
        linux_set(&g, 256,
                  &(struct linux_page){g.lru | g.head | g.swapbacked, MAPPING | 1, 0, 0, -1, 1, 0});
        linux_set(&g, 257, &tail);
        assert_int_equal(class_of(&g, 256), PAGE_ANON);
        assert_int_equal(class_of(&g, 257), PAGE_ANON);
        /* A large folio of a file: each page is mapped by itself. */
        linux_set(&g, 256, &(struct linux_page){g.lru | g.head, MAPPING, 0, 0, -1, 1, 0});
        linux_set(&g, 258, &mapped);
        assert_int_equal(class_of(&g, 256), PAGE_CACHE);
        assert_int_equal(class_of(&g, 257), PAGE_CACHE);
        assert_int_equal(class_of(&g, 258), PAGE_MAPPED);
        /* A large slab. */
        linux_set(&g, 256, &(struct linux_page){g.head | g.slab_flag, MAPPING, 0, 0, g.slab, 1, 0});
        assert_int_equal(class_of(&g, 257), PAGE_KERNEL);
        /* hugetlbfs, in use by a file; and in its pool. */
        linux_set(&g, 256, &(struct linux_page){g.head, MAPPING, 0, 0, g.hugetlb ?: -1, 1, 0});
        linux_set(&g, 257,
                  &(struct linux_page){
                      .head = linux_va(256) | 1, .mapcount = -1, .dtor = g.hugetlb ? 0 : 2});
        assert_int_equal(class_of(&g, 256), PAGE_MAPPED);
        assert_int_equal(class_of(&g, 257), PAGE_MAPPED);
        linux_set(&g, 256, &(struct linux_page){g.head, MAPPING | 1, 0, 0, g.hugetlb ?: -1, 1, 0});
        assert_int_equal(class_of(&g, 258), PAGE_ANON);
        linux_set(&g, 256, &(struct linux_page){g.head, 0, 0, 0, g.hugetlb ?: -1, 1, 0});
        assert_int_equal(class_of(&g, 258), PAGE_KERNEL);
        linux_fini(&g);
    }
}

static void test_bad_heads(void **state)
{
    struct linux_guest g;

    (void)state;
    open_guest(&g, &variants[0]);
    linux_set(&g, 256, &(struct linux_page){g.lru | g.head, MAPPING, 0, 0, -1, 1, 0});
    linux_set(&g, 258, &(struct linux_page){.head = linux_va(256) | 1, .mapcount = -1});
    const uint64_t heads[] = {
        linux_va(300),     /* itself */
        linux_va(301),     /* behind it */
        linux_va(258),     /* no head itself */
        linux_va(255),     /* not marked as a head */
        linux_va(256) + 8, /* inside a struct page */
        linux_va(0) - 64,  /* before all of them */
        UINT64_C(0x1000),  /* no kernel address */
        UINT64_C(0xfffffffffffffffe),
        UINT64_C(0x8000000000000000),
    };
    for (unsigned i = 0; i < ARRAY_LEN(heads); i++) {
        linux_set(&g, 300, &(struct linux_page){g.lru, MAPPING, 0, heads[i] | 1, -1, 0, 0});
        assert_int_equal(class_of(&g, 300), PAGE_UNKNOWN);
    }
    linux_set(&g, 300, &(struct linux_page){.head = linux_va(256) | 1, .mapcount = -1});
    assert_int_equal(class_of(&g, 300), PAGE_CACHE);
    linux_fini(&g);
}

static void test_array_is_not_there(void **state)
{
    struct linux_guest g;

    (void)state;
    open_guest(&g, &variants[0]);
    assert_int_equal(class_of(&g, 200), PAGE_KERNEL);
    /* A page of the array that the guest has never touched, or given away. */
    g.present[linux_at(&g, 200) >> PAGE_SHIFT] = false;
    assert_int_equal(class_of(&g, 200), PAGE_UNKNOWN);
    assert_int_equal(class_of(&g, 300), PAGE_KERNEL);
    linux_fini(&g);

    /* The same of an array in single pages, by its table. */
    open_guest(&g, &variants[3]);
    assert_int_equal(class_of(&g, 200), PAGE_KERNEL);
    g.present[linux_at(&g, 200) >> PAGE_SHIFT] = false;
    assert_int_equal(class_of(&g, 200), PAGE_UNKNOWN);
    assert_int_equal(class_of(&g, 300), PAGE_KERNEL);
    linux_fini(&g);
}

/*
 * The flat model's word is taken from the guest as it is. Where it is no multiple of 8, fields
 * would lie across the end of a page, with machine memory of somebody else behind it. No such array
 * is read, neither by the look at one page nor by the sweep.
 */
static void test_array_is_not_aligned(void **state)
{
    static const unsigned ends[] = {1, 2, 3, 4, 5, 6, 7, 0x14, 0x3c, 0xfcc, 0xffc, 0xfff};

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_LEN(ends); i++) {
        struct linux_guest g;
        unsigned end = ends[i / 2];
        open_guest(&g, &(struct linux_variant){.memory = LINUX_MEM_MAP, .small = i & 1});
        store_le64(linux_bytes(&g, LINUX_ROOTS), linux_va(0) + end);
        guest_pages_drop_cache(&g.pages);
        for (uint64_t n = 0; n < LINUX_PAGES; n++) {
            assert_int_equal(class_of(&g, n), PAGE_UNKNOWN);
        }
        assert_true(guest_pages_sweep(&g.pages, UINT32_MAX));
        assert_int_equal(g.pages.counts[PAGE_UNKNOWN], g.p2m.ram_pages);
        /* Nor is a note taken up whose array it is. */
        check_bounded(&g);
        assert_false(g.pages.known);
        search_all(&g, 0);
        assert_false(g.pages.known);
        linux_fini(&g);
    }
}

/* At a multiple of 8 a struct page may lie across two pages, but none of its fields does. */
static void test_array_across_pages(void **state)
{
    (void)state;
    for (unsigned end = 0; end < LINUX_STRUCT; end += 8) {
        struct linux_guest g;
        open_guest(&g, &(struct linux_variant){.memory = LINUX_MEM_MAP, .small = end & 8});
        store_le64(linux_bytes(&g, LINUX_ROOTS), linux_va(0) + end);
        guest_pages_drop_cache(&g.pages);
        for (uint64_t n = 0; n < LINUX_PAGES; n++) {
            enum page_class c = class_of(&g, n);
            assert_true(c < PAGE_CLASSES &&
                        (end != 0 || !p2m_is_ram(&g.p2m, GFN(n)) || c == PAGE_KERNEL));
        }
        linux_fini(&g);
    }
}

static void test_sweep_counts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(variants); i++) {
        struct linux_guest g;
        uint64_t want[PAGE_CLASSES] = {0};
        unsigned steps = 1;

        open_guest(&g, &variants[i]);
        assert_int_equal(g.pages.counts[PAGE_UNKNOWN], g.p2m.ram_pages);
        linux_free(&g, 256, 8);
        linux_free(&g, 600, 3);
        linux_free(&g, 992, 5); /* reaches into the hole */
        linux_set(&g, 700, &(struct linux_page){g.lru, MAPPING, 0, 0, -1, 2, 0});
        linux_set(&g, 1999, &(struct linux_page){g.lru, MAPPING | 1, 0, 0, 0, 2, 0});
        for (uint64_t n = 0; n < LINUX_PAGES; n++) {
            if (p2m_is_ram(&g.p2m, GFN(n))) {
                want[class_of(&g, n)]++;
            }
        }
        assert_int_equal(want[PAGE_FREE], 256 + 8 + 8);
        while (!guest_pages_sweep(&g.pages, 7)) {
            steps++;
        }
        assert_int_equal(g.pages.sweeps, 1);
        assert_memory_equal(g.pages.counts, want, sizeof(want));
        /* Blocks of free pages are taken at once. */
        assert_true(steps < (LINUX_PAGES - 256) / 7 + 2);
        assert_true(guest_pages_sweep(&g.pages, UINT32_MAX));
        assert_memory_equal(g.pages.counts, want, sizeof(want));
        guest_pages_forget(&g.pages);
        assert_int_equal(g.pages.counts[PAGE_UNKNOWN], g.p2m.ram_pages);
        assert_true(guest_pages_sweep(&g.pages, 1));
        assert_int_equal(g.pages.counts[PAGE_FREE], 0);
        linux_fini(&g);
    }
}

static void test_search_is_bounded(void **state)
{
    struct linux_guest g;
    unsigned steps = 1;

    (void)state;
    linux_init(&g, &variants[0]);
    memset(linux_bytes(&g, LINUX_NOTE), 0, PAGE_SIZE);
    for (uint64_t n = 300; n < 900; n++) {
        g.present[n] = false; /* never touched: not looked at */
    }
    uint64_t before = g.looks;
    while (!guest_pages_search(&g.pages, 0, 10)) {
        assert_true(g.looks - before <= 11);
        before = g.looks;
        steps++;
    }
    assert_false(g.pages.known);
    assert_int_equal(steps, (LINUX_PAGES - 600 - 24 + 9) / 10);

    /* Notes that lead nowhere cost more, and a step takes fewer of them. */
    for (uint64_t n = 200; n < 300; n++) {
        linux_note(&g, n, "6.1.0-none");
    }
    g.present[LINUX_ROOT] = false;
    steps = 1;
    while (!guest_pages_search(&g.pages, 0, 64)) {
        steps++;
    }
    assert_false(g.pages.known);
    assert_true(steps >= 100 * 32 / 64);
    linux_fini(&g);
}

/* A note is read in pieces; and not to its end when its page goes meanwhile. */
static void test_note_in_steps(void **state)
{
    struct linux_guest g;
    char *text;
    unsigned steps = 0;

    (void)state;
    linux_init(&g, &variants[0]);
    text = (char *)linux_bytes(&g, LINUX_NOTE);
    size_t n = strlen(text);
    memset(text + n, 'x', 3000); /* one long line, no NUL */
    text[n + 3000] = '\0';
    while (!g.pages.reading) {
        assert_false(guest_pages_search(&g.pages, 0, 1));
    }
    while (!guest_pages_search(&g.pages, 0, 16)) {
        steps++;
    }
    assert_true(g.pages.known);
    assert_true(steps >= 3000 / 400);

    guest_pages_forget(&g.pages);
    assert_false(g.pages.reading);
    while (!g.pages.reading) {
        assert_false(guest_pages_search(&g.pages, 0, 1));
    }
    memset(text, 0, PAGE_SIZE);
    search_all(&g, 0);
    assert_false(g.pages.known || g.pages.reading);
    linux_fini(&g);
}

/* What has been read of a note that changes meanwhile does not go together with the rest. */
static void test_note_that_changes(void **state)
{
    struct linux_guest g;

    (void)state;
    linux_init(&g, &variants[0]);
    char *text = (char *)linux_bytes(&g, LINUX_NOTE);
    size_t n = strlen(text);
    memset(text + n, 'x', 3000);
    text[n + 3000] = '\0';
    while (!g.pages.reading) {
        assert_false(guest_pages_search(&g.pages, 0, 1));
    }
    text[12] ^= 1; /* of the release, which has been read */
    while (g.pages.reading) {
        assert_false(guest_pages_search(&g.pages, 0, 16));
    }
    search_all(&g, 0); /* to the end */
    assert_false(g.pages.known);
    search_all(&g, 0);
    assert_true(g.pages.known); /* it is found again when it stays as it is */
    linux_fini(&g);
}

static void test_note_in_the_last_page(void **state)
{
    struct linux_guest g;

    (void)state;
    linux_init(&g, &variants[0]);
    memset(linux_bytes(&g, LINUX_NOTE), 0, PAGE_SIZE);
    linux_note(&g, LINUX_PAGES - 1, "6.1.0-last");
    search_all(&g, 0);
    assert_true(g.pages.known);
    assert_string_equal(g.pages.info.release, "6.1.0-last");
    linux_fini(&g);
}

static void test_only_the_running_kernel(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(variants); i++) {
        struct linux_guest g;
        linux_init(&g, &variants[i]);
        search_all(&g, CR3(LINUX_OTHER));
        assert_false(g.pages.known);
        search_all(&g, UINT64_MAX & ~UINT64_C(0xfff));
        assert_false(g.pages.known);
        /* A process's table, with PCID bits; the other of its two. */
        search_all(&g, CR3(LINUX_PROCESS) | 5);
        assert_true(g.pages.known);
        guest_pages_forget(&g.pages);
        search_all(&g, CR3(LINUX_PROCESS + 1) | 0x805);
        assert_true(g.pages.known);
        assert_int_equal(g.pages.found, 2);

        /* Another's tables for a moment: it stays; for longer: it goes. */
        assert_true(guest_pages_search(&g.pages, CR3(LINUX_OTHER), 64));
        assert_true(guest_pages_search(&g.pages, CR3(LINUX_OTHER), 64));
        assert_true(guest_pages_search(&g.pages, CR3(LINUX_PROCESS), 64));
        for (unsigned k = 0; k < 3; k++) {
            assert_true(g.pages.known);
            (void)guest_pages_search(&g.pages, CR3(LINUX_OTHER), 1);
        }
        assert_false(g.pages.known);
        assert_int_equal(g.pages.lost, 2);
        linux_fini(&g);
    }
}

static void test_forgets_what_does_not_hold(void **state)
{
    struct linux_guest g;

    (void)state;
    /* The note is overwritten, and comes back elsewhere as another kernel's. */
    open_guest(&g, &variants[0]);
    memset(linux_bytes(&g, LINUX_NOTE), 0, PAGE_SIZE);
    check_bounded(&g);
    assert_false(g.pages.known);
    assert_int_equal(guest_pages_class(&g.pages, GFN(200), false), PAGE_UNKNOWN);
    linux_note(&g, 900, "6.1.0-next");
    search_all(&g, CR3(LINUX_ROOT));
    assert_true(g.pages.known);
    assert_string_equal(g.pages.info.release, "6.1.0-next");
    /* Its text changes. */
    linux_note(&g, 900, "6.1.0-mext");
    check_bounded(&g);
    assert_false(g.pages.known);
    search_all(&g, CR3(LINUX_ROOT));
    assert_string_equal(g.pages.info.release, "6.1.0-mext");
    /* Its page goes, as when the guest is made anew. */
    g.present[900] = false;
    check_bounded(&g);
    assert_false(g.pages.known);
    linux_fini(&g);

    /* The tables go; translations that were kept do not help. */
    open_guest(&g, &variants[0]);
    assert_int_equal(class_of(&g, 200), PAGE_KERNEL);
    memset(linux_bytes(&g, LINUX_ROOT), 0, PAGE_SIZE);
    check_bounded(&g);
    assert_false(g.pages.known);
    linux_fini(&g);

    /* The note's own page is given away by the kernel. */
    open_guest(&g, &variants[0]);
    linux_free(&g, LINUX_NOTE, 0);
    check_bounded(&g);
    assert_false(g.pages.known);
    linux_fini(&g);
}

static void test_translations_are_renewed(void **state)
{
    struct linux_guest g;

    (void)state;
    open_guest(&g, &variants[0]);
    assert_int_equal(class_of(&g, 200), PAGE_KERNEL);
    /* The guest moves the array; the large page's entry is in the last table that was made. */
    uint64_t from = linux_at(&g, 0) >> PAGE_SHIFT, to = 512;
    for (unsigned i = 0; i < 128u * 1024 / PAGE_SIZE; i++) {
        memcpy(linux_bytes(&g, to + i), linux_bytes(&g, from + i), PAGE_SIZE);
    }
    uint64_t *table = linux_bytes(&g, LINUX_TABLES + g.tables - 1);
    table[0] = to << PAGE_SHIFT | LINUX_PRESENT | LINUX_LARGE;
    for (unsigned i = 0; i < 128u * 1024 / PAGE_SIZE; i++) {
        memset(linux_bytes(&g, from + i), 0xff, PAGE_SIZE);
    }
    unsigned uses = 0;
    while (class_of(&g, 200) != PAGE_KERNEL) {
        uses++;
        assert_true(uses < 10000);
    }
    linux_fini(&g);
}

/* Tables that lead to themselves, everywhere: as deep as tables go, and no deeper. */
static void test_tables_that_lead_in_circles(void **state)
{
    struct linux_guest g;

    (void)state;
    for (unsigned five = 0; five < 2; five++) {
        linux_init(&g, &variants[five]);
        uint64_t *table = linux_bytes(&g, LINUX_ROOT);
        for (unsigned i = 0; i < 512; i++) {
            table[i] = LINUX_ROOT << PAGE_SHIFT | LINUX_PRESENT;
        }
        search_all(&g, 0);
        for (unsigned n = 0; n < LINUX_PAGES; n += 13) {
            (void)class_of(&g, n);
        }
        for (unsigned i = 0; i < 512; i++) {
            table[i] = LINUX_ROOT << PAGE_SHIFT | LINUX_PRESENT | LINUX_LARGE; /* reserved there */
        }
        guest_pages_forget(&g.pages);
        search_all(&g, 0);
        assert_false(g.pages.known);
        linux_fini(&g);
    }
}

/* Words at random places, in what is read and anywhere: any answer, within the bounds. */
static void test_garbled_memory(void **state)
{
    struct rnd r = {12345};

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct linux_guest g;
        open_guest(&g, &variants[round % ARRAY_LEN(variants)]);
        for (unsigned i = 0; i < 40; i++) {
            uint64_t gfn = rnd_below(&r, 3) > 0 ? LINUX_ROOT + rnd_below(&r, 50)
                                                : linux_at(&g, rnd_below(&r, LINUX_PAGES)) >> 12;
            uint64_t *word = (uint64_t *)linux_bytes(&g, gfn) + rnd_below(&r, 512);
            uint64_t old = *word;
            *word = rnd_below(&r, 2) ? (uint64_t)rnd_below(&r, UINT32_MAX) << 32 | old
                                     : old ^ BIT(rnd_below(&r, 64));
            for (unsigned k = 0; k < 8; k++) {
                assert_true(class_of(&g, rnd_below(&r, LINUX_PAGES)) < PAGE_CLASSES);
            }
            if (i % 8 == 0) {
                check_bounded(&g);
            }
        }
        uint64_t sum = 0;
        (void)guest_pages_sweep(&g.pages, UINT32_MAX);
        for (unsigned c = 0; c < PAGE_CLASSES; c++) {
            sum += g.pages.counts[c];
        }
        assert_int_equal(sum, g.p2m.ram_pages);
        linux_fini(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_disk_hint),
        cmocka_unit_test(test_what_is_no_ram),
        cmocka_unit_test(test_free_blocks),
        cmocka_unit_test(test_compound_pages),
        cmocka_unit_test(test_bad_heads),
        cmocka_unit_test(test_array_is_not_there),
        cmocka_unit_test(test_array_is_not_aligned),
        cmocka_unit_test(test_array_across_pages),
        cmocka_unit_test(test_sweep_counts),
        cmocka_unit_test(test_search_is_bounded),
        cmocka_unit_test(test_note_in_steps),
        cmocka_unit_test(test_note_that_changes),
        cmocka_unit_test(test_note_in_the_last_page),
        cmocka_unit_test(test_only_the_running_kernel),
        cmocka_unit_test(test_forgets_what_does_not_hold),
        cmocka_unit_test(test_translations_are_renewed),
        cmocka_unit_test(test_tables_that_lead_in_circles),
        cmocka_unit_test(test_garbled_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
