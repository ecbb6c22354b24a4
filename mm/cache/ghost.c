/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ghosts: which blocks were evicted not long ago, and when they had come.
 *
 * A ghost is a word: a fingerprint of the block's name, the time of its eviction in ghosts made so
 * far, and the time when the block came to its queue. Ghosts lie in sets of four by their hash; a
 * new one takes the place of the oldest of its set. A false one, or one forgotten too early, costs
 * no more than a block in the wrong queue.
 */
#include "base/bits.h"
#include "mm/cache/queue.h"

#define WAYS 4u
#define PRINT_SHIFT 48u
#define MADE_SHIFT 32u
#define TIME_MASK 0xffffu
/* Times are kept so coarse that the longest queue is at most this. */
#define TIME_SPAN 0x4000u

static uint64_t ghost_sets(uint64_t n_max)
{
    uint64_t n = 1;

    while (n * WAYS < n_max) {
        n *= 2;
    }
    return n;
}

uint64_t cache_ghost_bytes(uint64_t n_max)
{
    return ghost_sets(n_max) * WAYS * sizeof(uint64_t);
}

void cache_ghost_init(struct cache *c, uint64_t *ghosts)
{
    uint64_t sets = ghost_sets(c->n_max);

    c->ghosts = ghosts;
    c->ghost_mask = (uint32_t)(sets - 1);
    c->ghost_clock = 0;
    for (uint64_t i = 0; i < sets * WAYS; i++) {
        ghosts[i] = 0;
    }
}

static unsigned time_shift(const struct cache *c)
{
    unsigned shift = 0;

    while (c->n_max >> shift > TIME_SPAN) {
        shift++;
    }
    return shift;
}

/* How long ago the time was that a ghost has above `at`, on a clock that shows `now`. */
static uint32_t age(const struct cache *c, uint64_t ghost, unsigned at, uint32_t now)
{
    unsigned shift = time_shift(c);

    return (((now >> shift) - (uint32_t)(ghost >> at)) & TIME_MASK) << shift;
}

static uint32_t made_ago(const struct cache *c, uint64_t ghost)
{
    return age(c, ghost, MADE_SHIFT, c->ghost_clock);
}

/* The set of a block, and what its ghost has on top: never 0. */
static uint64_t *ghost_set(const struct cache *c, const struct cache_entry *x, uint64_t *print)
{
    uint64_t h = cache_hash(c, x->disk, x->block);

    *print = MAX(h >> PRINT_SHIFT, UINT64_C(1));
    return &c->ghosts[((h >> 16) & c->ghost_mask) * WAYS];
}

void cache_ghost_make(struct cache *c, const struct cache_entry *x, uint32_t came_ago)
{
    unsigned shift = time_shift(c);
    uint64_t print, *set = ghost_set(c, x, &print), *place = &set[0];

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i] == 0 || set[i] >> PRINT_SHIFT == print) {
            place = &set[i];
            break;
        }
        if (made_ago(c, set[i]) > made_ago(c, *place)) {
            place = &set[i];
        }
    }
    *place = print << PRINT_SHIFT | (uint64_t)(c->ghost_clock >> shift & TIME_MASK) << MADE_SHIFT |
             ((c->arrivals - came_ago) >> shift & TIME_MASK);
    c->ghost_clock++;
}

bool cache_ghost_take(struct cache *c, const struct cache_entry *x, uint32_t *made, uint32_t *came)
{
    uint64_t print, *set = ghost_set(c, x, &print);

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i] >> PRINT_SHIFT == print) {
            *made = made_ago(c, set[i]);
            *came = age(c, set[i], 0, c->arrivals);
            set[i] = 0;
            return true;
        }
    }
    return false;
}
