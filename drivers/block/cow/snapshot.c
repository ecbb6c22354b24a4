/* SPDX-License-Identifier: BSD-2-Clause */
/* The copy-on-write store in memory: a place is a frame's number. */
#include "drivers/block/cow/snapshot.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/block/cow/internal.h"

/* Chunks copied to or from the store in one request, which is done at once. */
#define RUN 2u

/* A written chunk may need a place and, once in a while, nodes of the map. */
#define FRAMES_A_WRITE (1u + CHUNKMAP_LEVELS)

bool snapshot_pool_is_full(const struct snapshot_pool *pool)
{
    return pool->max < FRAMES_A_WRITE || pool->used > pool->max - FRAMES_A_WRITE;
}

static struct snapshot *of(struct cow *c)
{
    return (struct snapshot *)c;
}

static enum status take(struct cow *c, uint32_t *place)
{
    const struct snapshot *s = of(c);
    struct snapshot_pool *pool = s->pool;
    mfn_t mfn;

    if (snapshot_pool_is_full(pool) ||
        (s->may_hold && !s->may_hold(s->may_hold_ctx, FRAMES_A_WRITE))) {
        return E_NOMEM;
    }
    enum status st = frames_alloc(c->frames, FRAME_HYP, &mfn);
    if (st != OK) {
        return st;
    }
    ASSERT(mfn.n > COW_ZERO && mfn.n <= UINT32_MAX);
    *place = (uint32_t)mfn.n;
    pool->used++;
    return OK;
}

static void give(struct cow *c, uint32_t place)
{
    frames_free(c->frames, MFN(place));
    of(c)->pool->used--;
}

static const struct cow_ops ops = {.take = take, .give = give};

enum status snapshot_init(struct snapshot *s, struct snapshot_pool *pool, struct blk_dev *base)
{
    struct frames *f = pool->frames;
    uint64_t bytes = f->count << PAGE_SHIFT;
    enum status st =
        ramdisk_init(&s->memory, "memory", UINT32_MAX, f->window, bytes, HPA(0), bytes, false);

    if (st != OK) {
        return st;
    }
    s->pool = pool;
    s->may_hold = NULL;
    st = cow_init(&s->cow, &ops, f, base, &s->memory.dev, true);
    if (st == OK) {
        s->cow.store_run = RUN;
        s->cow.map.counted = &pool->used;
        s->cow.map.bound = &pool->max;
    }
    return st;
}

static void release(void *ctx, uint32_t value)
{
    struct snapshot *s = ctx;

    if (value > COW_ZERO) {
        give(&s->cow, value);
        s->cow.stats.chunks--;
    }
}

bool snapshot_drop_some(struct snapshot *s, const struct deadline *d)
{
    ASSERT(s->cow.in_flight == 0);
    return chunkmap_drop_some(&s->cow.map, d, release, s);
}

void snapshot_fini(struct snapshot *s)
{
    while (snapshot_drop_some(s, NULL)) {
    }
    cow_fini(&s->cow);
}

struct audit {
    const struct snapshot *s;
    uint64_t chunks;
    uint64_t bad; /* a chunk whose place is no frame for it; UINT64_MAX: none */
};

static void count(void *ctx, uint64_t chunk, uint32_t place)
{
    struct audit *a = ctx;
    const struct cow *c = &a->s->cow;

    if (place == COW_ZERO) {
        return;
    }
    a->chunks++;
    if (chunk >= cow_chunks(c) || place >= c->frames->count ||
        frame_of(c->frames, MFN(place))->state != FRAME_HYP) {
        a->bad = chunk;
    }
}

enum status snapshot_check(const struct snapshot *s, struct yield *y, char *why, size_t size)
{
    struct audit a = {.s = s, .bad = UINT64_MAX};
    uint64_t nodes = chunkmap_each(&s->cow.map, y, count, &a);

    if (a.bad != UINT64_MAX) {
        (void)format(why, size, "chunk %llu of the snapshot has no frame of the hypervisor's",
                     (unsigned long long)a.bad);
        return E_INVAL;
    }
    if (nodes != s->cow.map.nodes || a.chunks != s->cow.stats.chunks) {
        (void)format(why, size,
                     "the snapshot's map has %llu nodes, %llu chunks; counted %llu, %llu",
                     (unsigned long long)nodes, (unsigned long long)a.chunks,
                     (unsigned long long)s->cow.map.nodes, (unsigned long long)s->cow.stats.chunks);
        return E_INVAL;
    }
    return OK;
}
