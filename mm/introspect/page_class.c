/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The class of a page, from the fields of its struct page, in the order that dump tools use.
 *
 * Linux, include/linux/mm_types.h and page-flags.h: the meaning of _mapcount depends on the page.
 * It is the number of mappings less one; but below -128 it is the type of a page that nobody maps.
 * Up to 6.10 a type is a bit taken away from -1, and slab is a page flag; later a type is the
 * highest byte, whatever the others are, and slab is one.
 */
#include "mm/introspect/page_class.h"

#include "base/bits.h"
#include "base/string.h"
#include "mm/introspect/memmap.h"

#define TYPES_BELOW (-128)
/* Low bits of `mapping` (PAGE_MAPPING_FLAGS): anonymous, movable by a driver, both for KSM. */
#define MAPPING_ANON 1u
#define MAPPING_MOVABLE 2u
#define MAPPING_BITS 3u
/* The kernel's half of linear memory begins here, of 5 levels and so of 4. */
#define KERNEL_VA UINT64_C(0xff00000000000000)

static bool is_type(int32_t mapcount, uint32_t type)
{
    uint32_t m = (uint32_t)mapcount;

    if (type == 0 || mapcount >= TYPES_BELOW) {
        return false;
    }
    return (type & 0xffffff) == 0 ? m >> 24 == type >> 24 : m == type;
}

/* Whether f, the struct page of `head`, begins a block of the page allocator that has gfn in it. */
static bool begins_free(struct guest_pages *g, const struct page_fields *f, uint64_t head,
                        gfn_t gfn, uint64_t *block)
{
    const struct vmcoreinfo *i = &g->info;

    if (!is_type(f->mapcount, i->type_buddy) || f->private >= i->orders ||
        head % BIT(f->private) != 0 || gfn.n - head >= BIT(f->private)) {
        return false;
    }
    g->free_head = head;
    g->free_pages = BIT(f->private);
    *block = head + g->free_pages - gfn.n;
    return true;
}

/*
 * Whether gfn, which has no user, is in the page allocator: some aligned block around it has the
 * allocator's mark and its order in its first page. *block is the pages from gfn to the block's end
 * then. The block that was found last is tried first: mostly it is the same.
 */
static bool is_free(struct guest_pages_look *look, gfn_t gfn, uint64_t base, uint64_t *block)
{
    struct guest_pages *g = look->g;
    uint64_t size = g->info.page_bytes, last = UINT64_MAX;
    struct page_fields f;

    if (gfn.n - g->free_head < g->free_pages &&
        guest_pages_read(look, base + g->free_head * size, &f) &&
        begins_free(g, &f, g->free_head, gfn, block)) {
        return true;
    }
    for (unsigned order = 0; order < g->info.orders; order++) {
        uint64_t head = ALIGN_DOWN(gfn.n, BIT(order));
        if (head == last) {
            continue;
        }
        last = head;
        if (!guest_pages_read(look, base + head * size, &f)) {
            return false;
        }
        if (is_type(f.mapcount, g->info.type_buddy)) {
            return begins_free(g, &f, head, gfn, block);
        }
        if (f.refcount != 0) {
            return false; /* in use: no block of the allocator reaches over it */
        }
    }
    return false;
}

/* A huge page of hugetlbfs; kernels that have no type for it tell it in the second struct page. */
static bool is_hugetlb(struct guest_pages_look *look, uint64_t va, const struct page_fields *f)
{
    const struct vmcoreinfo *i = &look->g->info;
    uint8_t dtor;

    if (is_type(f->mapcount, i->type_hugetlb)) {
        return true;
    }
    return i->hugetlb_dtor != 0 && i->compound_dtor != VMCOREINFO_NONE && (f->flags & i->head) &&
           !(f->flags & i->lru) &&
           guest_pages_byte(look, va + i->page_bytes + i->compound_dtor, &dtor) &&
           dtor == i->hugetlb_dtor;
}

/*
 * A page in use, or a block's head. `mapped` says whether somebody maps the very page: a count that
 * a head has for its whole block is not looked at, but in hugetlbfs, where all is mapped.
 */
static enum page_class class_used(struct guest_pages_look *look, uint64_t va,
                                  const struct page_fields *f, bool mapped)
{
    const struct vmcoreinfo *i = &look->g->info;
    bool hugetlb = f->mapping != 0 && is_hugetlb(look, va, f);

    if (((f->mapcount < TYPES_BELOW) && !hugetlb) || (f->flags & (i->slab | i->hwpoison))) {
        return PAGE_KERNEL;
    }
    if (f->mapping == 0) {
        return (f->flags & i->lru) ? PAGE_CACHE : PAGE_KERNEL; /* LRU: cut off its file just now */
    }
    if (f->mapping < KERNEL_VA) {
        return PAGE_UNKNOWN;
    }
    switch (f->mapping & MAPPING_BITS) {
    case 0:
        /* No disk backs a swap-backed page (shared memory, tmpfs). */
        return mapped || hugetlb || (f->flags & i->swapbacked) ? PAGE_MAPPED : PAGE_CACHE;
    case MAPPING_MOVABLE:
        return PAGE_KERNEL;
    default:
        return PAGE_ANON;
    }
}

/* A later page of a compound one: what its head is, but mapped by itself. */
static enum page_class class_tail(struct guest_pages_look *look, gfn_t gfn, uint64_t base,
                                  const struct page_fields *tail)
{
    const struct vmcoreinfo *i = &look->g->info;
    uint64_t va = tail->head - 1, head = (va - base) / i->page_bytes;
    struct page_fields f;

    if ((va - base) % i->page_bytes != 0 || head >= gfn.n ||
        gfn.n - head >= BIT(VMCOREINFO_ORDERS) || !guest_pages_read(look, va, &f) || (f.head & 1) ||
        f.refcount < 0 || (i->head != 0 && !(f.flags & i->head))) {
        return PAGE_UNKNOWN;
    }
    return class_used(look, va, &f, tail->mapcount >= 0);
}

/* *block: this many pages from gfn on have the class, as far as one look tells. */
static enum page_class classify(struct guest_pages_look *look, gfn_t gfn, uint64_t *block)
{
    struct guest_pages *g = look->g;
    struct page_fields f;
    uint64_t va, base;

    *block = 1;
    if (!g->known || !p2m_is_ram(g->p2m, gfn) || !guest_pages_va(g, gfn, &va, &base) ||
        !guest_pages_read(look, va, &f) || f.refcount < 0 || f.flags == UINT64_MAX) {
        return PAGE_UNKNOWN;
    }
    if (f.head & 1) {
        return class_tail(look, gfn, base, &f);
    }
    if (f.refcount == 0 && is_free(look, gfn, base, block)) {
        return PAGE_FREE;
    }
    return class_used(look, va, &f, f.mapcount >= 0);
}

enum page_class guest_pages_class(struct guest_pages *g, gfn_t gfn, bool from_disk)
{
    struct guest_pages_look look = guest_pages_look(g);
    uint64_t block;
    enum page_class c = classify(&look, gfn, &block);

    return c == PAGE_UNKNOWN && from_disk ? PAGE_CACHE : c;
}

void guest_pages_init(struct guest_pages *g, struct p2m *p)
{
    memset(g, 0, sizeof(*g));
    g->p2m = p;
    guest_pages_forget(g);
}

void guest_pages_forget(struct guest_pages *g)
{
    g->lost += g->known;
    g->known = false;
    g->doubts = 0;
    g->reading = false;
    g->next = GFN(0);
    guest_pages_drop_cache(g);
    memset(g->counts, 0, sizeof(g->counts));
    g->counts[PAGE_UNKNOWN] = g->p2m->ram_pages;
    guest_pages_restart(g);
}

void guest_pages_restart(struct guest_pages *g)
{
    g->sweep_next = GFN(0);
    memset(g->sweeping, 0, sizeof(g->sweeping));
}

bool guest_pages_sweep(struct guest_pages *g, unsigned budget)
{
    struct guest_pages_look look = guest_pages_look(g);
    const struct p2m *p = g->p2m;

    if (!g->known) {
        return true;
    }
    for (unsigned r = 0; r < p->n_runs; r++) {
        uint64_t end = p->runs[r].first.n + p->runs[r].pages, block;
        uint64_t n = MAX(g->sweep_next.n, p->runs[r].first.n);
        for (; n < end; n += block) {
            if (budget-- == 0) {
                g->sweep_next = GFN(n);
                return false;
            }
            enum page_class c = classify(&look, GFN(n), &block);
            block = MIN(block, end - n);
            g->sweeping[c] += block;
        }
        g->sweep_next = GFN(MAX(g->sweep_next.n, end));
    }
    memcpy(g->counts, g->sweeping, sizeof(g->counts));
    g->sweeps++;
    guest_pages_restart(g);
    return true;
}
