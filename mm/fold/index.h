/* SPDX-License-Identifier: BSD-2-Clause */
/* The indexes of mm/fold: searching, entering, leaving, teardown. Private to mm/. */
#ifndef MM_FOLD_INDEX_H
#define MM_FOLD_INDEX_H

#include "mm/fold/fold.h"

/* Where a search by content ended: the equal node (`match`), or where one would be hung. */
struct fold_place {
    uint32_t match; /* FRAME_NIL: none */
    uint32_t parent;
    bool left;
};

/*
 * Looks for `page` in the tree by content at `root`. Nodes of an unstable tree may have changed
 * since they were entered, so a search there can miss; it always ends, and the place is always a
 * valid one.
 */
struct fold_place fold_index_find(struct fold *f, uint32_t root, const void *page);
/* Enters a frame at the place that the last search of that tree gave. */
void fold_index_add_stable(struct fold *f, struct share_group *g, mfn_t mfn,
                           const struct fold_place *at);
void fold_index_add_unstable(struct fold *f, struct share_group *g, mfn_t mfn,
                             const struct fold_place *at);
/* The page's hash as the index has it: no two groups have the same for the same content. */
uint64_t fold_index_hash(const struct fold *f, const struct share_group *g, mfn_t mfn);
/* The same for a CACHE or SHARED frame that is in no index: its content cannot change while it is
 * none of ours, so it is computed once, and remembered in the frame. For any group, or none. */
uint64_t fold_index_block_hash(struct fold *f, uint32_t group, mfn_t mfn);
/*
 * The group's frame of that hash that is to be compared with `page`, or FRAME_NIL. `flag`:
 * FRAME_F_STABLE or FRAME_F_UNSTABLE. If there is only one it is told without a look; of several
 * (HASH_TREE_CHAIN at most) the one with the bytes of the page, if any.
 */
uint32_t fold_index_find_hash(struct fold *f, const struct share_group *g, uint64_t hash,
                              uint8_t flag, const void *page);
/*
 * Enters a frame in the index by hash. A stable frame sends unstable ones of its hash away, to be
 * looked at again, as they may be its equals. Where HASH_TREE_CHAIN frames have its hash, a stable
 * frame is left out, and an unstable one is not entered.
 */
void fold_index_hash_stable(struct fold *f, struct share_group *g, mfn_t mfn, uint64_t hash);
bool fold_index_hash_unstable(struct fold *f, struct share_group *g, mfn_t mfn, uint64_t hash);
/* A SHARED frame whose place in the index another has. */
void fold_index_leave_out(struct fold *f, struct share_group *g, mfn_t mfn);
/* Takes a frame out of whichever tree holds it: struct frames' unindex. `ctx` is the struct fold.
 */
void fold_index_remove(void *ctx, mfn_t mfn);
/* Takes a frame out, if it is unstable, whose page may be another than when it was entered: nodes
 * that were entered meanwhile may be in the wrong place of a tree by content. */
void fold_index_written(struct fold *f, mfn_t mfn);
/* The same for an unstable frame whose page is to be looked at again, whether written or not. */
void fold_index_expel(struct fold *f, mfn_t mfn);
/* Takes up to `budget` nodes out of the unstable trees by content; returns whether all are empty.
 */
bool fold_index_teardown(struct fold *f, unsigned budget);
/* Moves what up to `budget` frames hold to the kind of index that f->on.index says, the unstable
 * ones out of any; returns whether it is through with all. */
bool fold_index_rebuild(struct fold *f, unsigned budget);

#endif
