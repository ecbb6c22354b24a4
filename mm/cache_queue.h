/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the block store: in which order blocks leave. Everybody else: mm/cache.h. */
#ifndef MM_CACHE_QUEUE_H
#define MM_CACHE_QUEUE_H

#include "mm/cache.h"

/* Whether the entry, in use, is in one of the queues. */
static inline bool cache_is_queued(const struct cache_entry *x)
{
    return (x->flags & CACHE_E_NO_QUEUE) == 0;
}

/* Memory for the ghosts of a store of n_max blocks. */
uint64_t cache_queue_bytes(uint64_t n_max);
/* Empty queues, no ghosts. c->n_max is set. */
void cache_queue_init(struct cache *c, uint32_t *ghosts);
/* The entry is VALID from now on: a new one, or one that was held or mapped
 * and goes back to its queue. */
void cache_queue_enter(struct cache *c, uint32_t e, bool is_new);
/* The entry is BUSY or mapped from now on, or dropped. */
void cache_queue_leave(struct cache *c, uint32_t e);
/* The entry to be evicted, out of its queue; CACHE_NIL when all are pinned. */
uint32_t cache_queue_victim(struct cache *c);

/* The small queue's oldest, if it had no second use and is not pinned; out of its queue. */
uint32_t cache_queue_victim_small(struct cache *c);
/* How long the small queue may be while it need not give away its oldest block first. */
uint32_t cache_queue_share(const struct cache *c);
/* How often the block was used since it entered its queue, as far as is counted. */
unsigned cache_queue_uses(const struct cache_entry *x);

/* A keyed hash of a block's name. */
uint64_t cache_hash(const struct cache *c, uint32_t disk, uint64_t block);

#endif
