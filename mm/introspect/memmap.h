/* SPDX-License-Identifier: BSD-2-Clause */
/* From a guest frame to the fields of its struct page. Between the parts of
 * mm/introspect/page_class. */
#ifndef MM_INTROSPECT_MEMMAP_H
#define MM_INTROSPECT_MEMMAP_H

#include "mm/introspect/page_class.h"
#include "mm/introspect/walk.h"

/* What one look at a few struct pages keeps: they mostly lie in the same page. Good until the guest
 * runs. */
struct guest_pages_look {
    struct guest_pages *g;
    uint64_t va; /* the page that `bytes` are of; 1: none */
    const uint8_t *bytes;
};

/* A struct page's fields. */
struct page_fields {
    uint64_t flags, mapping, private, head;
    int32_t mapcount, refcount;
};

static inline struct guest_pages_look guest_pages_look(struct guest_pages *g)
{
    return (struct guest_pages_look){g, 1, NULL};
}

/* The tables of the kernel in g->info. */
struct guestwalk_root guest_pages_root(const struct guest_pages *g);
/* The linear address of gfn's struct page, and the one that gfn 0's would have by the same
 * reckoning. False: the guest has none. */
bool guest_pages_va(struct guest_pages *g, gfn_t gfn, uint64_t *va, uint64_t *base);
/* Reads it. False: it cannot be read. */
bool guest_pages_read(struct guest_pages_look *look, uint64_t va, struct page_fields *out);
/* One byte of it. */
bool guest_pages_byte(struct guest_pages_look *look, uint64_t va, uint8_t *out);
/* Forgets the translations that are kept. */
void guest_pages_drop_cache(struct guest_pages *g);
/* Begins the sweep anew: what is known has changed. */
void guest_pages_restart(struct guest_pages *g);

#endif
