/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of the block store: the blocks that the disk has not got yet. Everybody else:
 * mm/cache/store.h.
 */
#ifndef MM_CACHE_DIRTY_H
#define MM_CACHE_DIRTY_H

#include "mm/cache/store.h"

/* No entry is DIRTY. */
void cache_dirty_init(struct cache *c);
/* The entry is DIRTY no longer, and in no queue; its bytes may be lost. Not while it is OUT. */
void cache_dirty_leave(struct cache *c, uint32_t e);
/* Whether a block in this frame is DIRTY. */
bool cache_frame_is_dirty(const struct cache *c, mfn_t mfn);

#endif
