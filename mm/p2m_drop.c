/* SPDX-License-Identifier: BSD-2-Clause */
/* Gives a VM's memory back, a region at a time: pages, then the notes on them. */
#include "base/bits.h"
#include "base/log.h"
#include "mm/p2m_count.h"
#include "mm/p2m_notes.h"

/* How many frames are released behind one flush, and between two looks at the clock. */
#define DROP_BATCH 16u
/* Regions that were never touched and are passed over between two looks at the clock. */
#define SKIP_REGIONS 256u

/* Up to `most` pages from p->drop_next to the end of its region; returns how many. */
static unsigned drop_pages(struct p2m *p, gfn_t end, unsigned most)
{
    mfn_t batch[DROP_BATCH];
    struct p2m_entry e;
    unsigned n = 0;

    while (n < most && p->ops->next(p->ctx, p->drop_next, end, &p->drop_next, &e) == OK) {
        p->ops->unmap(p->ctx, p->drop_next);
        p2m_count_lose(p, p->drop_next, p2m_state_of(p, e.mfn));
        batch[n++] = e.mfn;
        p->drop_next.n++;
    }
    if (n > 0) {
        p->ops->flush(p->ctx);
    }
    for (unsigned i = 0; i < n; i++) {
        frames_put(p->frames, batch[i]);
    }
    return n;
}

/* The region of p->drop_next, or the next one that was ever touched; false when the walk is at its
 * end, or the time is over. */
static bool next_region(struct p2m *p, const struct deadline *d, uint32_t *out)
{
    uint32_t r = (uint32_t)(p->drop_next.n / P2M_REGION_PAGES), first = r;

    while (r < p->n_regions && p->regions[r].notes == 0) {
        r++;
        if ((r - first) % SKIP_REGIONS == 0 && deadline_passed(d)) {
            break;
        }
    }
    if (r != first) {
        p->drop_next = GFN((uint64_t)r * P2M_REGION_PAGES);
    }
    *out = r;
    return r < p->n_regions && p->regions[r].notes != 0;
}

/* The walk has come to the region's end: its notes go, unless it was touched again meanwhile. */
static void end_region(struct p2m *p, uint32_t region)
{
    gfn_t first = GFN((uint64_t)region * P2M_REGION_PAGES), end = GFN(first.n + P2M_REGION_PAGES);
    struct p2m_entry e;
    gfn_t at;

    if (p->ops->next(p->ctx, first, end, &at, &e) == OK) {
        p->drop_next = at;
        return;
    }
    p2m_region_drop(p, region);
    p->drop_next = end;
}

bool p2m_drop_some(struct p2m *p, uint64_t budget, const struct deadline *d)
{
    uint32_t r;

    while (budget > 0 && p->n_notes > 0 && next_region(p, d, &r)) {
        unsigned most = (unsigned)MIN(budget, (uint64_t)DROP_BATCH);
        unsigned n = drop_pages(p, GFN(((uint64_t)r + 1) * P2M_REGION_PAGES), most);

        budget -= n;
        if (n < most) {
            end_region(p, r);
        }
        if (deadline_passed(d)) {
            break;
        }
    }
    if (p->n_notes == 0 || p->drop_next.n / P2M_REGION_PAGES >= p->n_regions) {
        p->drop_next = GFN(0); /* what is left was touched after that had been dropped */
    }
    return p->n_notes > 0;
}

void p2m_drop_all(struct p2m *p)
{
    while (p2m_drop_some(p, UINT64_MAX, NULL)) {
    }
    ASSERT(p->present == 0);
}
