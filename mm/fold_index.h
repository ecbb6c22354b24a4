/* SPDX-License-Identifier: BSD-2-Clause */
/* The content-ordered trees of mm/fold: searching, entering, leaving, teardown. Private to mm/. */
#ifndef MM_FOLD_INDEX_H
#define MM_FOLD_INDEX_H

#include "mm/fold.h"

/* Where a search ended: the equal node (`match`), or the place where one would be hung. */
struct fold_place {
    uint32_t match; /* FRAME_NIL: none */
    uint32_t parent;
    bool left;
};

/*
 * Looks for `page` in the tree at `root`. Nodes of an unstable tree may have changed since they
 * were entered, so a search there can miss; it always ends, and the place is always a valid one.
 */
struct fold_place fold_index_find(struct fold *f, uint32_t root, const void *page);
/* Enters a frame at the place that the last search of that tree gave. */
void fold_index_add_stable(struct fold *f, struct share_group *g, mfn_t mfn,
                           const struct fold_place *at);
void fold_index_add_unstable(struct fold *f, struct share_group *g, mfn_t mfn,
                             const struct fold_place *at);
/* Takes a frame out of whichever tree holds it: struct frames' unindex. `ctx` is the struct fold.
 */
void fold_index_remove(void *ctx, mfn_t mfn);
/* Takes up to `budget` nodes out of the unstable trees; returns whether all are empty. */
bool fold_index_teardown(struct fold *f, unsigned budget);

#endif
