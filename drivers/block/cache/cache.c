/* SPDX-License-Identifier: BSD-2-Clause */
/* The cached block devices: their pools, and what each offers to those above. */
#include "drivers/block/cache/cache.h"

#include "base/bits.h"
#include "base/log.h"
#include "drivers/block/cache/internal.h"

uint64_t blkcache_bytes(uint32_t n_jobs, uint32_t n_ios)
{
    return ALIGN_UP((uint64_t)n_jobs * sizeof(struct blkcache_job), 16) +
           ALIGN_UP((uint64_t)n_ios * sizeof(struct blkcache_io), 16) +
           OUTS * sizeof(struct blkcache_out);
}

static void init_writing(struct blkcache *bc, void *mem)
{
    bc->outs = mem;
    bc->errors = 1;
    bc->tick_ns = UINT64_MAX;
    STAILQ_INIT(&bc->leaves);
    STAILQ_INIT(&bc->free_outs);
    STAILQ_INIT(&bc->finished_outs);
    STAILQ_INIT(&bc->want_out);
    for (unsigned i = 0; i < OUTS; i++) {
        bc->outs[i] = (struct blkcache_out){.bc = bc};
        STAILQ_INSERT_TAIL(&bc->free_outs, &bc->outs[i], link);
    }
}

enum status blkcache_init(struct blkcache *bc, struct cache *cache, void *mem, uint32_t n_jobs,
                          uint32_t n_ios)
{
    struct blkcache_job *jobs = mem;

    if (n_jobs == 0 || n_ios == 0 || mem == NULL) {
        return E_INVAL;
    }
    *bc = (struct blkcache){.cache = cache, .n_ios = n_ios, .run = blkcache_run};
    bc->ios = (struct blkcache_io *)(void *)((uint8_t *)mem +
                                             ALIGN_UP((uint64_t)n_jobs * sizeof(*jobs), 16));
    init_writing(bc, (uint8_t *)bc->ios + ALIGN_UP((uint64_t)n_ios * sizeof(*bc->ios), 16));
    STAILQ_INIT(&bc->free_ios);
    STAILQ_INIT(&bc->free_jobs);
    STAILQ_INIT(&bc->starved);
    blkcache_queue_make(&bc->common, bc, n_jobs, n_ios);
    for (uint32_t i = 0; i < n_jobs; i++) {
        STAILQ_INSERT_TAIL(&bc->free_jobs, &jobs[i], queue);
    }
    for (uint32_t i = 0; i < n_ios; i++) {
        bc->ios[i].bc = bc;
        bc->ios[i].job = NULL;
        STAILQ_INSERT_TAIL(&bc->free_ios, &bc->ios[i], link);
    }
    blkcache_ahead_init(bc);
    return OK;
}

static void blkcache_submit(struct blk_dev *dev, struct blk_req *r)
{
    struct blkcache_dev *d = (struct blkcache_dev *)dev;
    struct blkcache_queue *q = &d->bc->common;

    if (r->account != NULL && r->account->queue != NULL) {
        q = r->account->queue;
    }
    r->dev_priv = d;
    d->in_flight++;
    STAILQ_INSERT_TAIL(&q->incoming, r, link);
    blkcache_stir(q);
}

static bool blkcache_keeps(struct blk_dev *dev, uint64_t sector)
{
    struct blkcache_dev *d = (struct blkcache_dev *)dev;

    return d->bc->cache->mode == CACHE_FOLD && d->bc->writing.give && d->readers != FRAME_COMMON &&
           (d->dev.start + sector) % CACHE_BLOCK_SECTORS == 0;
}

static const struct blk_ops blkcache_ops = {
    .submit = blkcache_submit,
    .hold = blkcache_hold,
    .taken = blkcache_taken,
    .keeps = blkcache_keeps,
};

void blkcache_dev_init(struct blkcache_dev *d, struct blkcache *bc, struct blk_dev *lower)
{
    *d = (struct blkcache_dev){.dev = *lower, .lower = lower, .bc = bc, .readers = FRAME_NO_GROUP};
    d->dev.ops = &blkcache_ops;
    blkcache_leaf_join(d);
}

/* Whether a block is, in part at least, in both. */
static bool have_a_block_in_common(const struct blk_dev *a, const struct blk_dev *b)
{
    return a->sectors > 0 && b->sectors > 0 &&
           block_of(a->start) <= block_of(b->start + b->sectors - 1) &&
           block_of(b->start) <= block_of(a->start + a->sectors - 1);
}

void blkcache_add_reader(struct blkcache_dev *d, uint32_t group)
{
    struct blkcache_dev *other;

    ASSERT(group < FRAME_COMMON);
    if (d->readers == FRAME_NO_GROUP) {
        d->readers = (uint16_t)group;
    }
    STAILQ_FOREACH(other, &d->leaf->devs, leaf_link)
    {
        if (have_a_block_in_common(&d->dev, &other->dev) && other->readers != group &&
            other->readers != FRAME_NO_GROUP) {
            d->readers = other->readers = FRAME_COMMON;
        }
    }
}
