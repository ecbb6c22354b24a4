/* SPDX-License-Identifier: BSD-2-Clause */
/* The leaf disks: what of each is dirty, and the walks over it that are wanted. */
#include "base/bits.h"
#include "drivers/block/cache/internal.h"

void blkcache_leaf_join(struct blkcache_dev *d)
{
    struct blkcache *bc = d->bc;
    struct blkcache_leaf *leaf;

    STAILQ_FOREACH(leaf, &bc->leaves, link)
    {
        if (leaf->id == d->dev.id) {
            break;
        }
    }
    if (leaf == NULL) {
        leaf = &d->own_leaf;
        *leaf = (struct blkcache_leaf){.id = d->dev.id};
        STAILQ_INIT(&leaf->devs);
        TAILQ_INIT(&leaf->active);
        STAILQ_INIT(&leaf->flushing);
        STAILQ_INIT(&leaf->to_flush);
        STAILQ_INSERT_TAIL(&bc->leaves, leaf, link);
    }
    bc->budget = LOOK_MAX;
    d->leaf = leaf;
    d->errors_told = bc->errors;
    STAILQ_INSERT_TAIL(&leaf->devs, d, leaf_link);
}

void blkcache_note_new(struct cache *c, struct blkcache_leaf *leaf, uint32_t e)
{
    leaf->n_new++;
    cache_unmark(c, e, W_GEN | W_FAILED | W_AGE);
    cache_mark(c, e, leaf->gen);
}

void blkcache_note_not_new(struct cache *c, struct blkcache_leaf *leaf, uint32_t e)
{
    leaf->n_new--;
    leaf->n_failed -= (cache_marks(c, e) & W_FAILED) != 0;
    leaf->n_old -= leaf->sweeping && (cache_marks(c, e) & W_GEN) != leaf->gen;
    cache_unmark(c, e, W_FAILED);
}

void blkcache_pass_start(struct blkcache_leaf *leaf, unsigned why)
{
    leaf->pass |= why;
    leaf->pass_end = leaf->at;
    leaf->wrapped = false;
}

void blkcache_pass_start_fresh(struct blkcache_leaf *leaf, unsigned why)
{
    if (leaf->n_new > leaf->n_failed && (leaf->pass & why) == 0) {
        blkcache_pass_start(leaf, why);
    }
}

uint32_t blkcache_healthy(const struct blkcache *bc)
{
    const struct blkcache_leaf *leaf;
    uint32_t failed = 0;

    STAILQ_FOREACH(leaf, &bc->leaves, link)
    {
        failed += leaf->n_failed;
    }
    return bc->cache->dirty - failed;
}

uint32_t blkcache_bound(const struct blkcache *bc)
{
    uint32_t failed = bc->cache->dirty - blkcache_healthy(bc);

    return bc->writing.dirty_max - MIN(failed, bc->writing.dirty_max);
}

void blkcache_dirtied(struct blkcache *bc)
{
    struct blkcache_leaf *leaf;

    if (blkcache_healthy(bc) <= blkcache_bound(bc) / 2) {
        return;
    }
    STAILQ_FOREACH(leaf, &bc->leaves, link)
    {
        blkcache_pass_start_fresh(leaf, PASS_PRESSURE);
        if (leaf->pass != 0) {
            blkcache_stir(&bc->common);
        }
    }
}
