/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * S3-FIFO's two queues, and the ghosts.
 *
 * A ghost is a word: a fingerprint of the block's name above, the time of its eviction below. Time
 * counts ghosts. Ghosts lie in sets of four by their hash; a new one takes the place of the oldest
 * of its set. One counts as long as no more have been made after it than the main queue is long; a
 * false one, or one forgotten too early, costs no more than a block in the wrong queue.
 */
#include "mm/cache_queue.h"

#include "base/bits.h"

#define SMALL_SHARE 10u /* the small queue's part of what is held: a tenth */
#define WAYS 4u
#define TIME_BITS 16u
#define TIME_MASK 0xffffu
/* Time is kept so coarse that the main queue's length is at most this. */
#define TIME_SPAN 0x4000u

unsigned cache_queue_uses(const struct cache_entry *x)
{
    return x->uses == CACHE_USES_AHEAD ? 0 : x->uses;
}

static struct cache_queue *queue_of(struct cache *c, const struct cache_entry *x)
{
    return (x->flags & CACHE_E_MAIN) != 0 ? &c->main : &c->small;
}

static void push(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];
    struct cache_queue *q = queue_of(c, x);

    x->prev = CACHE_NIL;
    x->next = q->newest;
    if (q->newest != CACHE_NIL) {
        c->entries[q->newest].prev = e;
    } else {
        q->oldest = e;
    }
    q->newest = e;
    q->n++;
}

void cache_queue_leave(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];
    struct cache_queue *q = queue_of(c, x);

    if (x->prev != CACHE_NIL) {
        c->entries[x->prev].next = x->next;
    } else {
        q->newest = x->next;
    }
    if (x->next != CACHE_NIL) {
        c->entries[x->next].prev = x->prev;
    } else {
        q->oldest = x->prev;
    }
    q->n--;
}

uint32_t cache_queue_share(const struct cache *c)
{
    return MAX(cache_held(c) / SMALL_SHARE, 1u);
}

/* ---- ghosts ---- */

static uint64_t ghost_sets(uint64_t n_max)
{
    uint64_t n = 1;

    while (n * WAYS < n_max) {
        n *= 2;
    }
    return n;
}

uint64_t cache_queue_bytes(uint64_t n_max)
{
    return ghost_sets(n_max) * WAYS * sizeof(uint32_t);
}

void cache_queue_init(struct cache *c, uint32_t *ghosts)
{
    uint64_t sets = ghost_sets(c->n_max);

    c->small = c->main = (struct cache_queue){CACHE_NIL, CACHE_NIL, 0};
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

static uint32_t age(const struct cache *c, uint32_t ghost)
{
    return ((c->ghost_clock >> time_shift(c)) - ghost) & TIME_MASK;
}

/* The set of a block, and what its ghost has in the high half: never 0. */
static uint32_t *ghost_set(const struct cache *c, const struct cache_entry *x, uint32_t *print)
{
    uint64_t h = cache_hash(c, x->disk, x->block);

    *print = (uint32_t)MAX(h >> 48, 1u) << TIME_BITS;
    return &c->ghosts[((h >> TIME_BITS) & c->ghost_mask) * WAYS];
}

static void remember(struct cache *c, const struct cache_entry *x)
{
    uint32_t print, *set = ghost_set(c, x, &print), *place = &set[0];

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i] == 0 || (set[i] & ~TIME_MASK) == print) {
            place = &set[i];
            break;
        }
        if (age(c, set[i]) > age(c, *place)) {
            place = &set[i];
        }
    }
    *place = print | (c->ghost_clock >> time_shift(c) & TIME_MASK);
    c->ghost_clock++;
}

/* Whether the block was evicted not long ago; its ghost is gone then. */
static bool recall(struct cache *c, const struct cache_entry *x)
{
    uint32_t print, *set = ghost_set(c, x, &print);
    uint32_t span = (cache_held(c) - MIN(cache_queue_share(c), cache_held(c))) >> time_shift(c);

    for (unsigned i = 0; i < WAYS; i++) {
        if ((set[i] & ~TIME_MASK) == print) {
            bool is_fresh = age(c, set[i]) <= span;
            set[i] = 0;
            return is_fresh;
        }
    }
    return false;
}

/* ---- who goes ---- */

void cache_queue_enter(struct cache *c, uint32_t e, bool is_new)
{
    struct cache_entry *x = &c->entries[e];

    if (is_new && recall(c, x)) {
        x->flags |= CACHE_E_MAIN;
    }
    push(c, e);
}

/* Another round in the main queue. */
static void keep(struct cache *c, uint32_t e)
{
    cache_queue_leave(c, e);
    c->entries[e].flags |= CACHE_E_MAIN;
    push(c, e);
}

uint32_t cache_queue_victim(struct cache *c)
{
    /* An entry enters the main queue once and has at most three more rounds there. When as many
     * steps have found nobody, those that are left are pinned. */
    uint64_t steps = (CACHE_USES_MAX + 2) * ((uint64_t)c->small.n + c->main.n);

    for (; steps > 0; steps--) {
        bool from_small = c->main.n == 0 || c->small.n >= cache_queue_share(c);
        uint32_t e = from_small ? c->small.oldest : c->main.oldest;
        struct cache_entry *x = &c->entries[e];
        if (frame_of(c->frames, MFN(x->frame))->pins != 0) {
            keep(c, e);
        } else if (from_small && cache_queue_uses(x) > 1) {
            x->uses = 0;
            keep(c, e);
        } else if (!from_small && cache_queue_uses(x) > 0) {
            x->uses--;
            keep(c, e);
        } else {
            cache_queue_leave(c, e);
            if (from_small) {
                remember(c, x);
            }
            return e;
        }
    }
    return CACHE_NIL;
}

uint32_t cache_queue_victim_small(struct cache *c)
{
    uint32_t e = c->small.oldest;

    if (e == CACHE_NIL || cache_queue_uses(&c->entries[e]) > 1 ||
        frame_of(c->frames, cache_frame(c, e))->pins != 0) {
        return CACHE_NIL;
    }
    cache_queue_leave(c, e);
    remember(c, &c->entries[e]);
    return e;
}
