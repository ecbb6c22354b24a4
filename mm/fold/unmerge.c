/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk that undoes folds: see unmerge.h. */
#include "mm/fold/unmerge.h"

#include "base/bits.h"
#include "mm/fold/index.h"

uint64_t unmerge_room(const struct frames *f)
{
    return f->by_state[FRAME_FREE] + f->by_state[FRAME_CACHE_ONLY];
}

void unmerge_begin(struct unmerge *u, const struct p2m *p)
{
    *u = (struct unmerge){.on = true, .next = p->runs[0].first};
}

/* Whether the page shares its frame by folding, or with the disk cache. */
static bool is_folded(const struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    const struct frame *fr = frame_of(p->frames, mfn);

    return fr->state == FRAME_SHARED ||
           (fr->state == FRAME_ZERO && (p2m_page(p, gfn)->flags & GPAGE_F_FOLDED) != 0);
}

/* Whether that takes a frame; the last user of one takes it over. */
static bool wants_frame(const struct p2m *p, mfn_t mfn)
{
    const struct frame *fr = frame_of(p->frames, mfn);

    return fr->state == FRAME_ZERO || fr->refs > 1 || fr->pins > 0;
}

/* As a write by the guest would; but that is no sign of what the guest is going to do. */
static bool give(struct p2m *p, gfn_t gfn)
{
    if (p2m_fault(p, gfn, true) != OK) {
        return false;
    }
    p2m_page(p, gfn)->flags &= (uint8_t)~GPAGE_F_BROKEN;
    return true;
}

enum unmerge_end unmerge_step(struct unmerge *u, struct fold *f, struct p2m *p, unsigned budget,
                              uint64_t reserve)
{
    const struct p2m_slot *last = &p->runs[p->n_runs - 1];
    gfn_t end = GFN(last->first.n + last->pages), gfn;
    struct p2m_entry e;

    while (budget > 0) {
        uint64_t cost = 1, passed;

        if (p->ops->next(p->ctx, u->next, end, &gfn, &e) != OK) {
            u->on = false;
            return UNMERGE_DONE;
        }
        passed = (gfn.n - u->next.n) / P2M_REGION_PAGES;
        if (is_folded(p, gfn, e.mfn)) {
            bool room = unmerge_room(p->frames) > reserve || !wants_frame(p, e.mfn);
            if (!room || !give(p, gfn)) {
                u->next = gfn;
                return UNMERGE_SHORT;
            }
            u->given++;
            cost = UNMERGE_COST;
        } else if (frame_of(p->frames, e.mfn)->flags & FRAME_F_UNSTABLE) {
            fold_index_expel(f, e.mfn);
        }
        u->next = GFN(gfn.n + 1);
        budget -= (unsigned)MIN((uint64_t)budget, cost + passed);
    }
    return UNMERGE_MORE;
}
