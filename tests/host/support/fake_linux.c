/* SPDX-License-Identifier: BSD-2-Clause */
/* A Linux kernel's account of its pages: see fake_linux.h. */
#include "fake_linux.h"

#include "base/bits.h"
#include "base/log.h"

#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define IMAGE UINT64_C(0xffffffff80000000)
#define PHYS_BASE UINT64_C(0xffffffffff000000) /* -16 MiB: moved down from where it was linked */
#define ROOT_VA (IMAGE - PHYS_BASE + (LINUX_ROOT << PAGE_SHIFT))
#define DIRECT UINT64_C(0xffff888000000000) /* direct map of all memory */
#define ARRAY UINT64_C(0xffffea0000000000)  /* vmemmap */
#define MAPS UINT64_C(3)                    /* section_mem_map: present, has a map */

/* Every second frame is nobody's: a read that leaves a page at either end is found by ASan. */
#define FRAMES (2 * LINUX_PAGES + 1)

static mfn_t frame_at(uint64_t gfn)
{
    return MFN(2 * gfn + 1);
}

static enum status count_lookup(void *ctx, gfn_t gfn, struct p2m_entry *out)
{
    struct linux_guest *g = ctx;

    g->looks++;
    ASSERT(gfn.n < LINUX_PAGES); /* nobody may ask for what is not RAM */
    if (!g->present[gfn.n]) {
        return E_NOTFOUND;
    }
    *out = (struct p2m_entry){frame_at(gfn.n), true};
    return OK;
}

static enum status count_next(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out)
{
    const struct linux_guest *g = ctx;

    for (uint64_t n = from.n; n < end.n; n++) {
        if (g->present[n]) {
            *at = GFN(n);
            return count_lookup(ctx, GFN(n), out);
        }
    }
    return E_NOTFOUND;
}

static const struct p2m_ops looking_ops = {.lookup = count_lookup, .next = count_next};

void *linux_bytes(struct linux_guest *g, uint64_t gfn)
{
    ASSERT(gfn < LINUX_PAGES);
    return frame_bytes(&g->frames, frame_at(gfn));
}

/* ---- page tables ----------------------------------------------------------------------------- */

static void set_entry(struct linux_guest *g, uint64_t table, uint64_t index, uint64_t value)
{
    store_le64((uint8_t *)linux_bytes(g, table) + index * 8, value);
}

/* The table that maps va at `level`, made on the way where it is missing. */
static uint64_t table_of(struct linux_guest *g, uint64_t va, unsigned level)
{
    uint64_t table = LINUX_ROOT;

    for (unsigned l = g->v.five_level ? 5 : 4; l > level; l--) {
        uint64_t index = va >> (PAGE_SHIFT + 9 * (l - 1)) & 511;
        uint64_t e = load_le64((uint8_t *)linux_bytes(g, table) + index * 8);
        if (e == 0) {
            ASSERT(LINUX_TABLES + g->tables < LINUX_ROOTS);
            uint64_t made = LINUX_TABLES + g->tables++;
            e = made << PAGE_SHIFT | LINUX_PRESENT;
            set_entry(g, table, index, e);
        }
        table = e >> PAGE_SHIFT;
    }
    return table;
}

static void map_page(struct linux_guest *g, uint64_t va, uint64_t gfn)
{
    set_entry(g, table_of(g, va, 1), va >> 12 & 511, gfn << PAGE_SHIFT | LINUX_PRESENT);
}

static void map_large(struct linux_guest *g, uint64_t va, uint64_t gfn)
{
    set_entry(g, table_of(g, va, 2), va >> 21 & 511,
              gfn << PAGE_SHIFT | LINUX_PRESENT | LINUX_LARGE);
}

static void make_tables(struct linux_guest *g)
{
    map_large(g, IMAGE, 0);
    map_large(g, DIRECT, 0);
    if (!g->v.small) {
        map_large(g, ARRAY, LINUX_ARRAY);
    }
    for (unsigned i = 0; g->v.small && i < LINUX_PAGES * LINUX_STRUCT / PAGE_SIZE; i++) {
        map_page(g, ARRAY + i * PAGE_SIZE, LINUX_SCATTERED + 2 * i);
    }
    /* A process has the kernel's half of the top table; the one for user mode is another page. */
    memcpy(linux_bytes(g, LINUX_PROCESS), linux_bytes(g, LINUX_ROOT), PAGE_SIZE);
    set_entry(g, LINUX_OTHER, 511, UINT64_C(0x7000) | LINUX_PRESENT);
}

static void make_sections(struct linux_guest *g)
{
    if (g->v.memory == LINUX_MEM_MAP) {
        set_entry(g, LINUX_ROOTS, 0, ARRAY);
        return;
    }
    if (g->v.memory == LINUX_EXTREME) {
        set_entry(g, LINUX_ROOTS, 0, DIRECT + (LINUX_SECTIONS << PAGE_SHIFT));
    }
    set_entry(g, g->v.memory == LINUX_EXTREME ? LINUX_SECTIONS : LINUX_ROOTS, 0, ARRAY | MAPS);
}

/* ---- the note -------------------------------------------------------------------------------- */

size_t linux_note(struct linux_guest *g, uint64_t gfn, const char *release)
{
    uint8_t *page = linux_bytes(g, gfn);
    char sections[256], types[320];
    size_t at = g->v.elf ? 24 : 0;

    if (g->v.memory == LINUX_MEM_MAP) {
        snprintf(sections, sizeof(sections), "SYMBOL(mem_map)=%llx\n",
                 (unsigned long long)(DIRECT + (LINUX_ROOTS << PAGE_SHIFT)));
    } else {
        snprintf(sections, sizeof(sections),
                 "SYMBOL(mem_section)=%llx\nLENGTH(mem_section)=%u\nSIZE(mem_section)=16\n"
                 "OFFSET(mem_section.section_mem_map)=0\nNUMBER(SECTION_SIZE_BITS)=27\n"
                 "NUMBER(MAX_PHYSMEM_BITS)=46\n",
                 (unsigned long long)(DIRECT + (LINUX_ROOTS << PAGE_SHIFT)),
                 g->v.memory == LINUX_EXTREME ? 2048 : 524288);
    }
    if (g->v.newer) {
        snprintf(types, sizeof(types),
                 "NUMBER(PG_lru)=5\nNUMBER(PG_swapbacked)=17\nNUMBER(PG_head_mask)=64\n"
                 "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=%d\nNUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=%d\n"
                 "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=%d\n",
                 g->slab, g->buddy, g->hugetlb);
    } else {
        snprintf(types, sizeof(types),
                 "OFFSET(page.compound_dtor)=16\nNUMBER(PG_lru)=4\nNUMBER(PG_swapbacked)=19\n"
                 "NUMBER(PG_slab)=9\nNUMBER(PG_head_mask)=65536\nNUMBER(HUGETLB_PAGE_DTOR)=2\n"
                 "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=%d\n",
                 g->buddy);
    }
    memset(page, 0, PAGE_SIZE);
    if (g->v.elf) {
        store_le32(page, 11);
        memcpy(page + 12, "VMCOREINFO", 11);
    }
    int n = snprintf((char *)page + at, PAGE_SIZE - at,
                     "OSRELEASE=%s\nBUILD-ID=00\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=%llx\n"
                     "SYMBOL(_stext)=ffffffff81000000\n%sSIZE(page)=%u\nOFFSET(page.flags)=0\n"
                     "OFFSET(page._refcount)=52\nOFFSET(page.mapping)=24\nOFFSET(page.lru)=8\n"
                     "OFFSET(page._mapcount)=48\nOFFSET(page.private)=40\n"
                     "OFFSET(page.compound_head)=8\nLENGTH(zone.free_area)=11\n%s"
                     "NUMBER(phys_base)=%lld\nNUMBER(pgtable_l5_enabled)=%d\nKERNELOFFSET=0\n"
                     "NUMBER(sme_mask)=0\n",
                     release, (unsigned long long)ROOT_VA, sections, LINUX_STRUCT, types,
                     (long long)PHYS_BASE, g->v.five_level);
    ASSERT(n > 0 && (size_t)n < PAGE_SIZE - at);
    store_le32(page + 4, g->v.elf ? (uint32_t)n : load_le32(page + 4));
    return (size_t)n;
}

/* ---- struct page ----------------------------------------------------------------------------- */

uint64_t linux_va(uint64_t gfn)
{
    return ARRAY + gfn * LINUX_STRUCT;
}

uint64_t linux_at(const struct linux_guest *g, uint64_t gfn)
{
    uint64_t offset = gfn * LINUX_STRUCT;

    return g->v.small ? ((LINUX_SCATTERED + 2 * (offset >> PAGE_SHIFT)) << PAGE_SHIFT) +
                            (offset & PAGE_MASK)
                      : ((uint64_t)LINUX_ARRAY << PAGE_SHIFT) + offset;
}

void linux_set(struct linux_guest *g, uint64_t gfn, const struct linux_page *p)
{
    uint64_t at = linux_at(g, gfn);
    uint8_t *b = (uint8_t *)linux_bytes(g, at >> PAGE_SHIFT) + (at & PAGE_MASK);

    memset(b, 0, LINUX_STRUCT);
    store_le64(b, p->flags);
    store_le64(b + 8, p->head);
    b[16] = p->dtor;
    store_le64(b + 24, p->mapping);
    store_le64(b + 40, p->private);
    store_le32(b + 48, (uint32_t)p->mapcount);
    store_le32(b + 52, (uint32_t)p->refcount);
}

void linux_free(struct linux_guest *g, uint64_t gfn, unsigned order)
{
    for (uint64_t i = 0; i < BIT(order); i++) {
        linux_set(g, gfn + i,
                  &(struct linux_page){.mapcount = i == 0 ? g->buddy : -1,
                                       .private = i == 0 ? order : 0});
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Zero, and mostly never touched. Made once: fuzzers make thousands of guests, one at a time. */
static uint8_t *window;

static uint8_t *take_window(void)
{
    uint8_t *w = window;

    window = NULL;
    if (!w) {
        w = mmap(NULL, (size_t)FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT(w != MAP_FAILED);
        for (size_t i = 0; i < FRAMES; i += 2) {
            ASAN_POISON_MEMORY_REGION(w + i * PAGE_SIZE, PAGE_SIZE);
        }
    }
    return w;
}

void linux_init(struct linux_guest *g, const struct linux_variant *v)
{
    memset(g, 0, sizeof(*g));
    g->v = *v;
    g->frames.window = take_window();
    g->frames.count = FRAMES;
    g->p2m = (struct p2m){
        .ops = &looking_ops,
        .ctx = g,
        .frames = &g->frames,
        .n_runs = 2,
        .runs = {{GFN(0), LINUX_HOLE}, {GFN(LINUX_HIGH), LINUX_PAGES - LINUX_HIGH}},
        .ram_pages = LINUX_PAGES - (LINUX_HIGH - LINUX_HOLE),
    };
    for (unsigned i = 0; i < LINUX_PAGES; i++) {
        g->present[i] = i < LINUX_HOLE || i >= LINUX_HIGH;
    }
    g->lru = BIT(v->newer ? 5 : 4);
    g->swapbacked = BIT(v->newer ? 17 : 19);
    g->slab_flag = v->newer ? 0 : BIT(9);
    g->head = v->newer ? 64 : 65536;
    g->buddy = v->newer ? (int32_t)0xf0000000 : -129;
    g->slab = v->newer ? (int32_t)0xf5000000 : 0;
    g->hugetlb = v->newer ? (int32_t)0xf4000000 : 0;
    make_tables(g);
    make_sections(g);
    for (unsigned i = 0; i < LINUX_PAGES; i++) {
        linux_set(g, i, &(struct linux_page){.mapcount = -1, .refcount = 1});
    }
    (void)linux_note(g, LINUX_NOTE, "6.1.0-test");
    guest_pages_init(&g->pages, &g->p2m);
}

void linux_fini(struct linux_guest *g)
{
    ASSERT(!window); /* one guest at a time */
    window = g->frames.window;
    ASSERT(madvise(window, (size_t)FRAMES * PAGE_SIZE, MADV_DONTNEED) == 0);
}
