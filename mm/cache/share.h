/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of the block store: which frames the entries are in, and who else has these.
 * Everybody else: mm/cache/store.h.
 */
#ifndef MM_CACHE_SHARE_H
#define MM_CACHE_SHARE_H

#include "mm/cache/store.h"

/* Sets frames->cache. c->frame_buckets are empty. */
void cache_share_init(struct cache *c);
/* The entry, BUSY, is in the frame from now on. The cache takes a reference if it has none. */
void cache_share_join(struct cache *c, uint32_t e, mfn_t mfn);
/* The same with a frame that guests map, which makes it MAPPED, or a zero page, which makes it ZERO
 * and in no frame. */
void cache_share_join_mapped(struct cache *c, uint32_t e, mfn_t mfn);
/* The entry, in no queue, is in no frame and not MAPPED nor ZERO any more; with the frame's last
 * entry goes the cache's reference. */
void cache_share_leave(struct cache *c, uint32_t e);
/* mm/fold knows nothing of the CACHE frame any more. */
void cache_share_hide(struct cache *c, mfn_t mfn);
/* The mode has changed. */
void cache_share_mode(struct cache *c, struct yield *y);

/* Whether more than n entries are in the frame. */
bool cache_share_exceeds(const struct cache *c, mfn_t mfn, unsigned n);
/* The first of the entries that are in the frame, or CACHE_NIL; and their chain. */
uint32_t cache_share_first(const struct cache *c, mfn_t mfn);
uint32_t *cache_share_bucket(const struct cache *c, uint32_t frame);

/* A BUSY entry in the frame, as cache_share_join_mapped has it. E_NOMEM: no entry is free. */
enum status cache_insert_frame(struct cache *c, uint32_t disk, uint64_t block, mfn_t mfn,
                               uint32_t *out) MUST_CHECK;
/* The entry is gone, whatever it was; who calls it counts why. */
void cache_drop(struct cache *c, uint32_t e);
/* Evicts one block; false when every one is pinned. */
bool cache_evict(struct cache *c);
/* Evicts towards the bound, as far as blocks are not pinned: no more in a call than a step bears.
 */
void cache_trim(struct cache *c);
/* A CACHE frame within the bound, evicting for it, its one reference the cache's; of no group. The
 * caller puts an entry into it. E_NOMEM. */
enum status cache_new_frame(struct cache *c, mfn_t *out) MUST_CHECK;
/* The oldest block of the small queue, unless it is of more use than that. */
bool cache_evict_small(struct cache *c);

#endif
