/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way to a struct page: the section's entry tells its linear address, the guest's page tables
 * where that is.
 *
 * Linux, include/linux/mmzone.h: mem_section[] is, with SPARSEMEM_EXTREME, an array of pointers to
 * pages of struct mem_section; section_mem_map is the address of the section's first struct page
 * less that of the pages before the section, so that it is indexed with the frame number itself;
 * its low bits are flags.
 */
#include "mm/introspect/memmap.h"

#include "base/bits.h"
#include "base/string.h"

#define MAP_PRESENT BIT(0)
#define MAP_HAS_MAP BIT(1)
#define MAP_FLAGS UINT64_C(0xfff) /* maps are page-aligned, flags are fewer */

/* Linux aligns every struct page to its words; vmcoreinfo_parse makes sure that its size and the
 * offsets of its fields keep each field at its own alignment then. */
#define STRUCT_ALIGN 8u

#define CHUNK_SHIFT 21 /* a cache entry's piece of linear memory */
#define CHUNK (BIT(CHUNK_SHIFT))
/* Uses of a translation before it is looked up anew: Linux changes them when memory is plugged, or
 * when it frees some of the array itself (huge pages). */
#define CACHE_USES 4096u

/* Linux, arch/x86: the kernel's image begins here, moved by phys_base. */
#define IMAGE_MAP UINT64_C(0xffffffff80000000)

struct guestwalk_root guest_pages_root(const struct guest_pages *g)
{
    const struct vmcoreinfo *i = &g->info;

    return (struct guestwalk_root){
        .table = i->swapper_pg_dir - IMAGE_MAP + i->phys_base,
        .mask = i->sme_mask,
        .five_level = i->five_level,
    };
}

/* The word at a linear address, uncached: for the table of sections. */
static bool word_at(struct guest_pages *g, uint64_t va, uint64_t *out)
{
    const struct guestwalk_root root = guest_pages_root(g);
    struct guestwalk_result r;

    return guestwalk(g->p2m, &root, va, &r) && guestwalk_word(g->p2m, r.gpa, out);
}

/* Address arithmetic wraps around: an address that makes no sense is mapped nowhere. */
static bool section_find(struct guest_pages *g, uint64_t number, uint64_t *map)
{
    const struct vmcoreinfo *i = &g->info;
    uint64_t at = i->mem_section, within = number;

    if (number >= i->sections) {
        return false;
    }
    if (i->sections_in_root > 0) {
        within = number % i->sections_in_root;
        if (!word_at(g, at + number / i->sections_in_root * 8, &at) || at == 0) {
            return false;
        }
    }
    if (!word_at(g, at + within * i->section_bytes + i->section_map, map) ||
        !(*map & MAP_PRESENT) || !(*map & MAP_HAS_MAP)) {
        return false;
    }
    *map &= ~MAP_FLAGS;
    return true;
}

bool guest_pages_va(struct guest_pages *g, gfn_t gfn, uint64_t *va, uint64_t *base)
{
    const struct vmcoreinfo *i = &g->info;
    struct guest_pages_section *s = &g->section;
    uint64_t number = i->mem_map ? 0 : gfn.n >> (i->section_shift - PAGE_SHIFT);

    if (s->number != number || s->uses == 0) {
        s->number = UINT64_MAX;
        if (i->mem_map ? !word_at(g, i->mem_map, &s->map) : !section_find(g, number, &s->map)) {
            return false;
        }
        if (s->map % STRUCT_ALIGN != 0) {
            return false;
        }
        s->number = number;
        s->uses = CACHE_USES;
    }
    s->uses--;
    *base = s->map;
    *va = s->map + gfn.n * i->page_bytes;
    return true;
}

/* Where a piece of the array is; NULL: nowhere. */
static const struct guest_pages_entry *chunk_find(struct guest_pages *g, uint64_t va)
{
    struct guest_pages_entry *e = &g->cache[(va >> CHUNK_SHIFT) % GUEST_PAGES_CACHE];
    uint64_t chunk = ALIGN_DOWN(va, CHUNK);

    if (e->va != chunk || e->uses == 0) {
        const struct guestwalk_root root = guest_pages_root(g);
        struct guestwalk_result r;
        e->va = 0;
        if (chunk == 0 || !guestwalk(g->p2m, &root, va, &r)) {
            return NULL;
        }
        *e = (struct guest_pages_entry){
            .va = chunk,
            .gpa = r.small ? r.table : r.gpa - (va - chunk),
            .table = r.small,
            .uses = CACHE_USES,
        };
    }
    e->uses--;
    return e;
}

/* The page at a linear address of the array. */
static const uint8_t *page_at(struct guest_pages *g, uint64_t va)
{
    const struct guest_pages_entry *e = chunk_find(g, va);
    uint64_t in_chunk = va % CHUNK, gpa;

    if (!e) {
        return NULL;
    }
    if (!e->table) {
        gpa = e->gpa + in_chunk;
    } else {
        const struct guestwalk_root root = guest_pages_root(g);
        if (!guestwalk_entry(g->p2m, &root, e->gpa, (unsigned)(in_chunk >> PAGE_SHIFT), &gpa)) {
            return NULL;
        }
    }
    return guestwalk_page(g->p2m, gpa_to_gfn(GPA(gpa)));
}

/*
 * The n bytes at an address; NULL when they are not there, or not all in one page: the frame that
 * lies behind a guest's page is another's.
 */
static inline const uint8_t *bytes_at(struct guest_pages_look *look, uint64_t va, size_t n)
{
    if ((va & PAGE_MASK) + n > PAGE_SIZE) {
        return NULL;
    }
    if (look->va != ALIGN_DOWN(va, PAGE_SIZE)) {
        look->va = 1;
        look->bytes = page_at(look->g, va);
        if (!look->bytes) {
            return NULL;
        }
        look->va = ALIGN_DOWN(va, PAGE_SIZE);
    }
    return look->bytes + (va & PAGE_MASK);
}

static inline bool word(struct guest_pages_look *look, uint64_t va, uint64_t *out)
{
    const uint8_t *b = bytes_at(look, va, sizeof(*out));

    if (!b) {
        return false;
    }
    *out = load_le64(b);
    return true;
}

static inline bool half(struct guest_pages_look *look, uint64_t va, int32_t *out)
{
    const uint8_t *b = bytes_at(look, va, sizeof(*out));

    if (!b) {
        return false;
    }
    *out = (int32_t)load_le32(b);
    return true;
}

bool guest_pages_byte(struct guest_pages_look *look, uint64_t va, uint8_t *out)
{
    const uint8_t *b = bytes_at(look, va, sizeof(*out));

    if (!b) {
        return false;
    }
    *out = *b;
    return true;
}

bool guest_pages_read(struct guest_pages_look *look, uint64_t va, struct page_fields *out)
{
    const struct vmcoreinfo *i = &look->g->info;
    const uint8_t *b = bytes_at(look, va, i->page_bytes);

    if (b) {
        out->flags = load_le64(b + i->flags);
        out->mapping = load_le64(b + i->mapping);
        out->private = load_le64(b + i->private);
        out->head = load_le64(b + i->compound_head);
        out->mapcount = (int32_t)load_le32(b + i->mapcount);
        out->refcount = (int32_t)load_le32(b + i->refcount);
        return true;
    }
    /* It crosses the end of a page, or is not there. No field of an aligned one crosses. */
    return word(look, va + i->flags, &out->flags) && word(look, va + i->mapping, &out->mapping) &&
           word(look, va + i->private, &out->private) &&
           word(look, va + i->compound_head, &out->head) &&
           half(look, va + i->mapcount, &out->mapcount) &&
           half(look, va + i->refcount, &out->refcount);
}

void guest_pages_drop_cache(struct guest_pages *g)
{
    g->section.number = UINT64_MAX;
    memset(g->cache, 0, sizeof(g->cache));
}
