/* SPDX-License-Identifier: BSD-2-Clause */
/* Which SHARED frames a VM holds alone: see p2m_sole_walk in p2m.h. */
#include "mm/p2m_count.h"

/* Entries, and regions passed, between two looks at the clock. */
#define LOOK_EVERY 32u

bool p2m_sole_walk(struct p2m *p, gfn_t *next, const struct deadline *d)
{
    gfn_t end = GFN((uint64_t)p->n_regions * P2M_REGION_PAGES), at;
    struct p2m_entry e;
    uint64_t n = 0;

    while (p->ops->next(p->ctx, *next, end, &at, &e) == OK) {
        if (p2m_state_of(p, e.mfn) == FRAME_SHARED) {
            p2m_count_sole(p, at, p2m_is_sole(frame_of(p->frames, e.mfn)));
        }
        n += 1 + (at.n - next->n) / P2M_REGION_PAGES;
        *next = GFN(at.n + 1);
        if (n >= LOOK_EVERY && deadline_passed(d)) {
            return true;
        }
        n %= LOOK_EVERY;
    }
    *next = GFN(0);
    return false;
}
