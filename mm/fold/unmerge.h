/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Undoing folds: a walk that gives a VM's folded pages frames of their own (KSM's run = 2).
 *
 * A page that maps a SHARED frame, folded or read from a disk, gets a copy, or takes the frame over
 * when nothing else holds it. A page of zeroes that was folded gets a frame too. A hole stays one,
 * and what a read of a hole mapped stays on the zero page: folding had nothing to do with it.
 * Frames of the VM leave the unstable index.
 *
 *     unmerge_begin -> unmerge_step, again and again -> UNMERGE_DONE
 *
 * The guest may run between two steps. Nothing is lost when frames run short: what is folded stays
 * folded, and a later step goes on there. For a VM that is to stay unfolded, p2m.fold_off is set
 * and the VM detached from mm/fold before; otherwise pages may be folded again behind the walk.
 */
#ifndef MM_FOLD_UNMERGE_H
#define MM_FOLD_UNMERGE_H

#include "mm/fold/fold.h"

struct unmerge {
    bool on;        /* begun, and not done */
    gfn_t next;     /* where the walk is */
    uint64_t given; /* pages that were given frames since it began */
};

enum unmerge_end {
    UNMERGE_DONE,  /* all pages have been looked at */
    UNMERGE_MORE,  /* the budget is used up */
    UNMERGE_SHORT, /* the next page wants a frame, and no more than the reserve is left */
};

/* Frames that can be had: free ones, and those that the disk cache alone holds. */
uint64_t unmerge_room(const struct frames *f);
void unmerge_begin(struct unmerge *u, const struct p2m *p);
/* A step of it. A page looked at, or a region passed, costs 1 of the budget; a page that gets a
 * frame costs UNMERGE_COST. It ends as UNMERGE_SHORT rather than to leave fewer than `reserve`
 * frames to all others. */
#define UNMERGE_COST 16u
enum unmerge_end unmerge_step(struct unmerge *u, struct fold *f, struct p2m *p, unsigned budget,
                              uint64_t reserve);

#endif
