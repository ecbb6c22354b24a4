/* SPDX-License-Identifier: BSD-2-Clause */
/* Room for blocks that are read ahead: what is free, or what would be evicted next anyway. */
#include "base/bits.h"
#include "mm/cache/queue.h"
#include "mm/cache/share.h"
#include "mm/cache/store.h"

/* Of all frames, the part that reading ahead leaves free: for guests' first writes. */
#define RESERVE_SHARE 64u

/* Whether a frame and an entry can be had without anybody losing one. */
static bool is_free(const struct cache *c)
{
    const struct frames *f = c->frames;

    return cache_held(c) < c->max && c->used < c->n_max &&
           f->by_state[FRAME_FREE] > f->count / RESERVE_SHARE;
}

/* Makes a frame free by evicting a block that goes next anyway, if not too many wait unused. */
static bool evict_next(struct cache *c)
{
    uint32_t share = cache_queue_share(c);
    uint64_t before = c->frames->by_state[FRAME_FREE];

    /* What is being read comes to the small queue soon. */
    if (c->small.n + c->busy < share || 2 * c->ahead >= share || !cache_evict_small(c)) {
        return false;
    }
    return c->frames->by_state[FRAME_FREE] > before && cache_held(c) < c->max;
}

uint32_t cache_ahead_room(const struct cache *c)
{
    if (is_free(c)) {
        uint64_t spare = c->frames->by_state[FRAME_FREE] - c->frames->count / RESERVE_SHARE;
        return (uint32_t)MIN(spare, (uint64_t)MIN(c->max - cache_held(c), c->n_max - c->used));
    }
    uint32_t half = cache_queue_share(c) / 2;
    return half - MIN(half, c->ahead);
}

enum status cache_insert_ahead(struct cache *c, uint32_t disk, uint64_t block, uint32_t *out)
{
    if (cache_find(c, disk, block) != CACHE_NIL) {
        return E_EXISTS;
    }
    if (c->mode == CACHE_OFF || (!is_free(c) && !evict_next(c))) {
        return E_NOMEM;
    }
    enum status s = cache_insert(c, disk, block, out);
    if (s == OK) {
        c->entries[*out].uses = CACHE_USES_AHEAD;
        c->ahead++;
        c->stats.readahead++;
    }
    return s;
}
