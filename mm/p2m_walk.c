/* SPDX-License-Identifier: BSD-2-Clause */
/* A walk over all entries of a map that takes as long as it takes: see p2m.h. */
#include "base/bits.h"
#include "mm/p2m.h"

/* gfns of the tables' whole reach, or far more than the memory of any VM. */
#define BEYOND (UINT64_C(1) << 32)

bool p2m_walk(const struct p2m *p, struct yield *y, gfn_t *at, struct p2m_entry *e)
{
    const uint64_t ram = (uint64_t)p->n_regions * P2M_REGION_PAGES;

    while (yield_go_on(y)) {
        /* Within the memory a region a call, because its lowest table may be empty. Beyond it there
         * should be no tables, and what one entry of a higher table covers grows with its place. */
        uint64_t end = at->n < ram ? ALIGN_DOWN(at->n, P2M_REGION_PAGES) + P2M_REGION_PAGES
                                   : MIN(2 * at->n, BEYOND);
        if (p->ops->next(p->ctx, *at, GFN(end), at, e) == OK) {
            return true;
        }
        if (end == BEYOND) {
            return false;
        }
        at->n = end;
    }
    return false;
}
