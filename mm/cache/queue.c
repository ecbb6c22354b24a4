/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * S3-FIFO's two queues; and which of the blocks that guests let go of are evicted first.
 *
 * A block that guests let go of is the newest of its queue, as S3-FIFO has it for a new one, or the
 * oldest, so that it goes first and what has been here longer stays. The former suits guests that
 * soon want again what they have just dropped. When they go round in more than fits, everything is
 * evicted shortly before it is wanted, and the latter keeps a part of it that is found in each
 * round (Qureshi et al., "Adaptive Insertion Policies for High Performance Caching", ISCA 2007, has
 * the idea for processors' caches). Which one it is, is learnt from what is read: `lean`.
 *
 * While the newest stay, a read of a block that was evicted is a point for letting the oldest stay,
 * less the longer ago it came: of as many blocks as came since, the cache would hold that part.
 * Half a point against it is each read that found its block, or would have with the whole cache for
 * a queue. While the oldest stay, what counts is known: a point for each read of a block that the
 * other way would have been evicted by then, a point against for each of one that would have been
 * here.
 */
#include "mm/cache/queue.h"

#include "base/bits.h"

#define SMALL_SHARE 10u /* the small queue's part of what is held: a tenth */
/* For how many arrivals a block of the main queue stays there without a use, in times what is held.
 */
#define MAIN_AGE 3u

/* An entry's `wb`: when it came to its queue, in units of a 32nd of the bound or up to twice that.
 */
#define CAME_MASK 0x7fu
#define CAME_SPAN 32u
#define CAME_AHEAD 16u /* so far it may be ahead of what has come */
#define CAME_NEW 0x80u /* nobody has had it from there yet */

/* c->lean is between a share of what is held and its negative. */
#define POINT 64
#define LEAN_SHARE 8u
#define LEAN_LEAST 16u
#define LEAN_MOST 0x100000u
#define GHOST_SPAN 4u   /* a block that came longer ago, in times what is held, is no argument */
#define ONE_STAYS 8u    /* of so many runs of blocks, */
#define RUN_BLOCKS 16u  /* so long, */
#define SPARED_FOR 256u /* for so many arrivals, then others */

unsigned cache_queue_uses(const struct cache_entry *x)
{
    return x->uses == CACHE_USES_AHEAD ? 0 : x->uses;
}

void cache_queue_init(struct cache *c)
{
    c->small = c->main = (struct cache_queue){CACHE_NIL, CACHE_NIL, 0};
    c->arrivals = 0;
    c->lean = 0;
    c->oldest_stay = false;
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

static void push_oldest(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];
    struct cache_queue *q = queue_of(c, x);

    x->next = CACHE_NIL;
    x->prev = q->oldest;
    if (q->oldest != CACHE_NIL) {
        c->entries[q->oldest].next = e;
    } else {
        q->newest = e;
    }
    q->oldest = e;
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

/* ---- when blocks came ---- */

static unsigned came_shift(const struct cache *c)
{
    unsigned shift = 0;

    while (c->max >> shift > CAME_SPAN) {
        shift++;
    }
    return shift;
}

static void stamp(const struct cache *c, struct cache_entry *x, bool is_new)
{
    x->wb = (uint8_t)((c->arrivals >> came_shift(c) & CAME_MASK) | (is_new ? CAME_NEW : 0));
}

/* How many blocks have come since, as far as is known. Those that only passed through are taken off
 * again, so that what came before they did may be from after now. */
static uint32_t came_ago(const struct cache *c, const struct cache_entry *x)
{
    unsigned shift = came_shift(c);
    uint32_t ago = ((c->arrivals >> shift) - x->wb) & CAME_MASK;

    return ago > CAME_MASK - CAME_AHEAD ? 0 : ago << shift;
}

/* ---- which way ---- */

static void lean(struct cache *c, int32_t points)
{
    if (c->mode != CACHE_FOLD) {
        return; /* nobody lets go of anything */
    }
    int32_t most = (int32_t)MIN(MAX(cache_held(c) / LEAN_SHARE, LEAN_LEAST), LEAN_MOST) * POINT;

    c->lean = MAX(MIN(c->lean + points, most), -most);
    if (c->lean >= most / 2) {
        c->oldest_stay = true;
    } else if (c->lean <= -most / 2) {
        c->oldest_stay = false;
    }
}

/* A block of the small queue is read; it came so long ago. */
static void judge_hit(struct cache *c, uint32_t came)
{
    if (!c->oldest_stay) {
        lean(c, -POINT / 2);
    } else if (came > cache_held(c)) {
        lean(c, POINT);
    }
}

/* A block that was evicted is read. */
static void judge_miss(struct cache *c, uint32_t came)
{
    uint32_t held = MAX(cache_held(c), 1u);

    if (came <= held) {
        lean(c, c->oldest_stay ? -POINT : -POINT / 2);
    } else if (!c->oldest_stay && came / held < GHOST_SPAN) {
        lean(c, (int32_t)((uint64_t)POINT * held / came));
    }
}

void cache_queue_use(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];

    if (x->uses == CACHE_USES_AHEAD) {
        return;
    }
    if ((x->flags & CACHE_E_MAIN) == 0) {
        judge_hit(c, came_ago(c, x));
    }
    x->uses = (uint8_t)MIN(x->uses + 1u, CACHE_USES_MAX);
}

/* ---- who goes ---- */

/* Whether the block was evicted so shortly ago that it belongs to the main queue. */
static bool recall(struct cache *c, const struct cache_entry *x)
{
    uint32_t made, came, held = cache_held(c);

    if (!cache_ghost_take(c, x, &made, &came)) {
        return false;
    }
    judge_miss(c, came);
    return made <= held - MIN(cache_queue_share(c), held);
}

/* Whether the block is one of those that stay whatever is learnt, so that what is old goes at last.
 * Neighbours stay together: a command to the disk reads what lies between two that do. */
static bool is_spared(const struct cache *c, const struct cache_entry *x)
{
    return ((x->block / RUN_BLOCKS) + c->arrivals / SPARED_FOR) % ONE_STAYS == 0;
}

void cache_queue_enter(struct cache *c, uint32_t e, enum cache_arrival how)
{
    struct cache_entry *x = &c->entries[e];

    c->arrivals += how != CACHE_BACK;
    stamp(c, x, how == CACHE_NEW);
    if (how == CACHE_NEW && recall(c, x)) {
        x->flags |= CACHE_E_MAIN;
    }
    bool first_out = how == CACHE_LEFT && c->oldest_stay && (x->flags & CACHE_E_MAIN) == 0 &&
                     cache_queue_uses(x) == 0 && !is_spared(c, x);
    if (first_out) {
        push_oldest(c, e);
    } else {
        push(c, e);
    }
}

void cache_queue_map(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];

    if ((x->wb & CAME_NEW) == 0) {
        cache_queue_use(c, e);
    } else {
        c->arrivals--; /* it has not come yet, but passed through */
    }
    cache_queue_leave(c, e);
}

/* Another round in the main queue. */
static void keep(struct cache *c, uint32_t e)
{
    cache_queue_leave(c, e);
    c->entries[e].flags |= CACHE_E_MAIN;
    stamp(c, &c->entries[e], false);
    push(c, e);
}

/* Whether the main queue's oldest has waited in vain for so long that it only stands in the way of
 * guests that go round in something else. */
static bool is_main_stale(const struct cache *c)
{
    return c->oldest_stay && came_ago(c, &c->entries[c->main.oldest]) / MAIN_AGE > cache_held(c);
}

static bool is_from_small(const struct cache *c)
{
    return c->main.n == 0 || (c->small.n >= cache_queue_share(c) && !is_main_stale(c));
}

uint32_t cache_queue_victim(struct cache *c)
{
    /* An entry has at most three more rounds, so each pinned one is met that often before all that
     * are left are pinned. */
    const uint64_t rounds = (CACHE_USES_MAX + 2) * ((uint64_t)c->small.n + c->main.n);
    const uint32_t most_pinned = (uint32_t)MIN(rounds, (uint64_t)CACHE_PINNED_MAX);
    const uint32_t most_main = MIN(c->main.n, CACHE_PINNED_MAX / 2);
    uint32_t in_row = 0, pinned = 0, spared = 0; /* in_row: pinned ones, one after the other */

    while (pinned < most_pinned) {
        /* However short the small queue is, where the main one has only pinned ones to show. */
        bool from_small = is_from_small(c) || (c->small.n > 0 && in_row >= most_main);
        uint32_t e = from_small ? c->small.oldest : c->main.oldest;
        struct cache_entry *x = &c->entries[e];
        if (frame_of(c->frames, MFN(x->frame))->pins != 0) {
            keep(c, e);
            in_row++;
            pinned++;
            continue;
        }
        in_row = 0;
        if (from_small && cache_queue_uses(x) > 1 && spared < CACHE_SPARED_MAX) {
            x->uses = 0;
            keep(c, e);
            spared++;
        } else if (!from_small && cache_queue_uses(x) > 0 && spared < CACHE_SPARED_MAX) {
            x->uses--;
            keep(c, e);
            spared++;
        } else {
            cache_queue_leave(c, e);
            if (from_small) {
                cache_ghost_make(c, x, came_ago(c, x));
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
    cache_ghost_make(c, &c->entries[e], came_ago(c, &c->entries[e]));
    return e;
}
