/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The merges of mm/fold. Each write-protects what it compares, flushes, compares all bytes, and
 * only then changes a map. A page that turns out to differ stays read-only: its next write fault
 * gives the right back without a copy. Private to mm/.
 */
#ifndef MM_FOLD_MERGE_H
#define MM_FOLD_MERGE_H

#include "mm/fold/fold.h"

/* Into the group's zero page. False: not all zero, or the map refused. */
bool fold_merge_zero(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn);
/* Into a SHARED frame of the group. */
bool fold_merge_stable(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, mfn_t into);
/* With `twin`, a PRIVATE frame that `owner` owns; it becomes SHARED, and stable. */
bool fold_merge_twins(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, struct p2m *owner,
                      mfn_t twin);
/* Of `owner`'s page, which is or was in the unstable index, into a block's frame, which is stable.
 */
bool fold_merge_twin_of_block(struct fold *f, struct p2m *owner, mfn_t twin, mfn_t block);
/* Of a page that maps `block`, a SHARED frame, into one of equal content: the group's zero page, a
 * SHARED or a CACHE frame. */
bool fold_merge_block(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t block, mfn_t into);
/* Whether the page's content is, or may be, another than when it had that hash. By dirty bits where
 * they are used, else by hashing it again. */
bool fold_has_changed(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, uint64_t hash);

#endif
