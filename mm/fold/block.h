/* SPDX-License-Identifier: BSD-2-Clause */
/* What mm/fold does with blocks of the disk cache. Private to mm/. */
#ifndef MM_FOLD_BLOCK_H
#define MM_FOLD_BLOCK_H

#include "mm/fold/fold.h"

/*
 * Looks for the content of a block's frame, CACHE or SHARED, of group g, in no index and not
 * pinned. Returns the frame that holds it from now on:
 *
 *     x itself         it is stable (or left out) now, and an equal page of the unstable index was
 *                      merged into it
 *     another, stable  the cache has its blocks there now
 *     the zero page    the cache needs no frame for its blocks
 *
 * In the last two cases x is free, or guests map it still: then it is marked NEW, in no queue, and
 * their pages are to follow.
 */
mfn_t fold_block(struct fold *f, struct share_group *g, mfn_t x);
/* Of a frame that is SHARED and NEW, and that a guest's page was just merged away from into `into`,
 * which is stable: the cache's blocks follow. */
void fold_block_follow(struct fold *f, mfn_t x, mfn_t into);

/* Takes the oldest of the cache's new blocks, at the cost of the VM that brought it there. False:
 * there is none. */
bool fold_block_next(struct fold *f);

/* A pass comes to its end: counts what of the cache is to be looked at before. False: nothing. */
bool fold_cached_begin(struct fold *f);
/* One page's worth of it; returns whether that was all. */
bool fold_cached_step(struct fold *f);
/* In mode SCRUB: one page's worth of looks at entries; of f->cached_left, the last ones are next.
 */
void fold_scrub_step(struct fold *f);

#endif
