/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest whose account of its pages is the fuzzer's: it writes words into the note, the page
 * tables, the table of sections and the struct pages while the hypervisor looks, searches and
 * counts. Any answer will do; it must come soon, from RAM only, and without touching the guest.
 */
#include "fake_linux.h"

#include "base/bits.h"
#define RECORD_HEAD 1u
#define RECORD_BYTES 12u
#include "records.h"
#include "work.h"

#include <string.h>

/* What an operation may look up in the p2m at most. */
#define LOOKS_CLASS 100u
#define LOOKS_CHECK 200u
#define BUDGET 64u

/* A word that the way to a struct page leads over, or one of a struct page; or any word at all. */
static uint8_t *place(struct linux_guest *g, struct input *in)
{
    uint32_t which = take(in, 1), n = which >> 2;

    switch (which & 3) {
    case 0: /* mem_map, or the tables of sections */
        return (uint8_t *)linux_bytes(g, n & 1 ? LINUX_SECTIONS : LINUX_ROOTS) + (n >> 1) % 4 * 8;
    case 1: /* the page tables: the top one, and those below */
        return (uint8_t *)linux_bytes(g, n & 1 ? LINUX_TABLES + (n >> 1) % 8 : LINUX_ROOT) +
               take(in, 2) % 512 * 8;
    case 2: {
        uint64_t at = linux_at(g, take(in, 2) % LINUX_PAGES) + n % (LINUX_STRUCT / 8) * 8;
        return (uint8_t *)linux_bytes(g, at >> PAGE_SHIFT) + (at & PAGE_MASK);
    }
    default:
        return (uint8_t *)linux_bytes(g, take(in, 2) % LINUX_PAGES) + take(in, 2) % 512 * 8;
    }
}

/* A frame that something is read from, or any. */
static uint64_t frame(struct linux_guest *g, struct input *in)
{
    static const uint16_t read[] = {LINUX_NOTE, LINUX_ROOT, LINUX_ROOTS, LINUX_SECTIONS};
    uint32_t which = take(in, 1);

    switch (which & 3) {
    case 0:
        return read[(which >> 2) % ARRAY_LEN(read)];
    case 1:
        return LINUX_TABLES + (which >> 2) % 8;
    case 2:
        return linux_at(g, take(in, 2) % LINUX_PAGES) >> PAGE_SHIFT;
    default:
        return take(in, 2) % LINUX_PAGES;
    }
}

/* A word like those that are read there: an address, an entry, small numbers. */
static uint64_t word(struct input *in)
{
    uint32_t kind = take(in, 1);

    switch (kind & 7) {
    case 0:
        return (uint64_t)take(in, 2) << PAGE_SHIFT | LINUX_PRESENT | (kind & LINUX_LARGE);
    case 1:
        return linux_va(take(in, 2)) + (kind >> 3);
    case 2:
        return (uint64_t)take(in, 4) << 32 | take(in, 4);
    case 3:
        return take(in, 1);
    case 4:
        return ~(uint64_t)take(in, 1);
    default:
        return (uint64_t)(kind >> 3) << take(in, 1) % 64;
    }
}

static void poke(struct linux_guest *g, struct input *in)
{
    uint8_t *at = place(g, in);

    store_le64(at, word(in));
}

/* Text into the note: any bytes at any place. */
static void poke_note(struct linux_guest *g, struct input *in)
{
    uint8_t *page = linux_bytes(g, LINUX_NOTE);
    uint32_t at = take(in, 2) % 1500, n = take(in, 1) % 24;

    for (uint32_t i = 0; i < n; i++) {
        page[at + i] = (uint8_t)take(in, 1);
    }
}

static void set_page(struct linux_guest *g, struct input *in)
{
    const struct linux_page p = {
        .flags = word(in),
        .mapping = word(in),
        .private = take(in, 1),
        .head = word(in),
        .mapcount = (int32_t)(take(in, 1) << (take(in, 1) % 32)),
        .refcount = (int8_t)take(in, 1),
        .dtor = (uint8_t)take(in, 1),
    };

    linux_set(g, take(in, 2) % LINUX_PAGES, &p);
}

static void look(struct linux_guest *g, uint64_t gfn, bool from_disk)
{
    uint64_t before = g->looks;
    enum page_class c = guest_pages_class(&g->pages, GFN(gfn), from_disk);

    require(g->looks - before <= LOOKS_CLASS);
    require((unsigned)c < PAGE_CLASSES && !(from_disk && c == PAGE_UNKNOWN));
    require(g->pages.known || c == (from_disk ? PAGE_CACHE : PAGE_UNKNOWN));
    require(p2m_is_ram(&g->p2m, GFN(gfn)) || c == (from_disk ? PAGE_CACHE : PAGE_UNKNOWN));
}

static void sweep(struct linux_guest *g, uint32_t budget)
{
    uint64_t before = g->looks, sum = 0;
    bool done = guest_pages_sweep(&g->pages, budget);

    require(g->looks - before <= LOOKS_CLASS * (uint64_t)budget);
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        sum += g->pages.counts[c];
    }
    require(!done || sum == g->p2m.ram_pages);
}

static void search(struct linux_guest *g, struct input *in)
{
    static const uint64_t tables[] = {0, LINUX_ROOT, LINUX_PROCESS, LINUX_PROCESS + 1, LINUX_OTHER};
    uint64_t before = g->looks;
    uint32_t which = take(in, 1);
    uint64_t cr3 = which < ARRAY_LEN(tables) ? tables[which] << PAGE_SHIFT : word(in);

    (void)guest_pages_search(&g->pages, cr3, take(in, 1) % BUDGET);
    require(g->looks - before <= 2 * BUDGET + (1 + BUDGET / 32) * LOOKS_CHECK);
}

static void step(struct linux_guest *g, struct input *in)
{
    switch (take(in, 1) % 8) {
    case 0:
        poke_note(g, in);
        break;
    case 1:
    case 2:
        poke(g, in);
        break;
    case 3:
        set_page(g, in);
        break;
    case 4: {
        uint64_t gfn = frame(g, in);
        if (p2m_is_ram(&g->p2m, GFN(gfn))) {
            g->present[gfn] = !g->present[gfn];
        }
        break;
    }
    case 5:
        search(g, in);
        break;
    case 6:
        sweep(g, take(in, 1));
        break;
    default:
        for (uint32_t i = 0, n = take(in, 1) % 8; i < n; i++) {
            look(g, take(in, 1) == 0 ? word(in) : take(in, 2) % LINUX_PAGES, n & 1);
        }
        break;
    }
}

static int one_input(const uint8_t *data, size_t size)
{
    static struct linux_guest g;
    struct input in = {data, size};
    uint32_t kind = take(&in, 1);
    const struct linux_variant v = {
        .five_level = kind & 1,
        .newer = kind & 2,
        .elf = kind & 4,
        .small = kind & 8,
        .memory = (enum linux_memory)((kind >> 4) % 3),
    };

    linux_init(&g, &v);
    while (!guest_pages_search(&g.pages, 0, BUDGET)) {
    }
    require(g.pages.known);
    struct input record;
    for (unsigned i = 0; i < 200 && next_record(&in, &record); i++) {
        step(&g, &record);
    }
    linux_fini(&g);
    return 0;
}

FUZZ_ENTRY(one_input, 200000, 20000)
