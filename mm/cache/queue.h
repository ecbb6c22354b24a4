/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the block store: in which order blocks leave. Everybody else:
 * mm/cache/store.h. */
#ifndef MM_CACHE_QUEUE_H
#define MM_CACHE_QUEUE_H

#include "mm/cache/store.h"

/* Whether the entry, in use, is in one of the queues. */
static inline bool cache_is_queued(const struct cache_entry *x)
{
    return (x->flags & CACHE_E_NO_QUEUE) == 0;
}

/* How an entry comes to its queue. */
enum cache_arrival {
    CACHE_NEW,  /* it was read from the disk or written */
    CACHE_LEFT, /* the last guest that mapped its frame has let go */
    CACHE_BACK, /* it was held for a while, or is in another frame now */
};

/* Empty queues. */
void cache_queue_init(struct cache *c);
/* The entry is VALID and in no queue. */
void cache_queue_enter(struct cache *c, uint32_t e, enum cache_arrival how);
/* The entry is BUSY or DIRTY from now on, or dropped. */
void cache_queue_leave(struct cache *c, uint32_t e);
/* Guests map its frame from now on: a use, and it leaves the queue. */
void cache_queue_map(struct cache *c, uint32_t e);
/* Notes a use of an entry that is in a queue. */
void cache_queue_use(struct cache *c, uint32_t e);
/* So many entries get another round in one search; then the oldest goes, whatever its uses. In a
 * cache in which everything is hot a search would else walk over all of it. */
#define CACHE_SPARED_MAX 256u
/* And so many pinned ones are passed over. They become the newest, so the next search finds others.
 */
#define CACHE_PINNED_MAX 512u
/* The entry to be evicted, out of its queue; CACHE_NIL when all are pinned, or as many as that. */
uint32_t cache_queue_victim(struct cache *c);

/* The small queue's oldest, if it had no second use and is not pinned; out of its queue. */
uint32_t cache_queue_victim_small(struct cache *c);
/* How long the small queue may be while it need not give away its oldest block first. */
uint32_t cache_queue_share(const struct cache *c);
/* How often the block was used since it entered its queue, as far as is counted. */
unsigned cache_queue_uses(const struct cache_entry *x);

/* Memory for the ghosts of a store of n_max blocks. */
uint64_t cache_ghost_bytes(uint64_t n_max);
/* No ghosts. c->n_max is set. */
void cache_ghost_init(struct cache *c, uint64_t *ghosts);
/* The block, evicted now, came to its queue when c->arrivals was so much less. */
void cache_ghost_make(struct cache *c, const struct cache_entry *x, uint32_t came_ago);
/* Takes the block's ghost away: how many ghosts were made and how many blocks have come since; both
 * wrap, and are coarse. False: it has none. */
bool cache_ghost_take(struct cache *c, const struct cache_entry *x, uint32_t *made_ago,
                      uint32_t *came_ago);

/* A keyed hash of a block's name. */
uint64_t cache_hash(const struct cache *c, uint32_t disk, uint64_t block);
/* The head of the chain of entries that the block is in, if it is in one. */
uint32_t *cache_bucket(const struct cache *c, uint32_t disk, uint64_t block);

#endif
