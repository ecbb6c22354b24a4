/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When dirty blocks are written out: walks over each leaf disk's dirty blocks in the order of their
 * addresses, round and round, that take what is wanted; and sweeps, which FLUSHes wait for.
 *
 * A sweep marks nothing: each NEW block has the generation (0 or 1) that its leaf had when it
 * became NEW, and a sweep begins by turning the leaf's over. What is left of the old one is
 * counted, and when none is, and no request that held one is at the disk, the sweep is over. What
 * is written meanwhile is of the new generation and keeps nobody waiting.
 */
#include "base/bits.h"
#include "drivers/block/cache/internal.h"

/* Why a leaf's blocks are walked over. */
#define PASS_ALL 1u      /* all must go */
#define PASS_PRESSURE 2u /* until a quarter of the bound is dirty */
#define PASS_SWEEP 4u    /* those of the old generation */
#define PASS_AGE 8u      /* they get older; the oldest go */
#define PASS_RETRY 16u   /* those that failed: somebody waits for their frames */

#define TICKS_OF_AGE 4u /* as W_AGE counts */
/* A tick where blocks do not get older, but some have failed. */
#define RETRY_NS UINT64_C(1000000000)
#define LOOK_MAX 512u /* blocks looked at in one go, if the time is not up before */
#define GIVE_UP 16u   /* blocks that are let off in one piece of work */
/* A disk that fails this often in a row is left alone until the next tick, and by the sweep. */
#define FAILURES_MAX 8u

static const struct cache_entry *entry(const struct blkcache *bc, uint32_t e)
{
    return &bc->cache->entries[e];
}

static void start_pass(struct blkcache_leaf *leaf, unsigned why)
{
    leaf->pass |= why;
    leaf->pass_end = leaf->at;
    leaf->wrapped = false;
}

/* For blocks that have not failed: where nothing else is left, there is no sense in a walk. */
static void start_fresh_pass(struct blkcache_leaf *leaf, unsigned why)
{
    if (leaf->n_new > leaf->n_failed && (leaf->pass & why) == 0) {
        start_pass(leaf, why);
    }
}

/* ---- sweeps ---- */

static void begin_sweep(struct blkcache *bc, struct blkcache_leaf *leaf)
{
    STAILQ_CONCAT(&leaf->flushing, &leaf->to_flush);
    leaf->sweeping = true;
    leaf->gen ^= W_GEN;
    leaf->n_old = leaf->n_new;
    leaf->sweep_error = leaf->error;
    leaf->failures = 0;
    leaf->n_wait = leaf->n_out;
    leaf->again = false;
    for (unsigned i = 0; i < OUTS; i++) {
        if (bc->outs[i].leaf == leaf) {
            bc->outs[i].waited_for = true; /* those that are at no disk begin with false again */
        }
    }
    start_pass(leaf, PASS_SWEEP);
}

static void end_sweep(struct blkcache_leaf *leaf)
{
    bool failed = leaf->error != leaf->sweep_error;
    struct blkcache_job *j;

    leaf->sweeping = false;
    leaf->pass &= ~PASS_SWEEP;
    while ((j = STAILQ_FIRST(&leaf->flushing)) != NULL) {
        STAILQ_REMOVE_HEAD(&leaf->flushing, queue);
        j->swept = true;
        if (failed) {
            j->status = E_IO;
        }
        blkcache_job_ready(j);
    }
}

static void check_sweep(struct blkcache *bc, struct blkcache_leaf *leaf)
{
    while (leaf->sweeping && leaf->n_old == 0 && leaf->n_wait == 0) {
        end_sweep(leaf);
        if (!STAILQ_EMPTY(&leaf->to_flush)) {
            begin_sweep(bc, leaf);
        }
    }
}

/* The disk does not take them: what the sweep still wants has failed, untried. Some of these blocks
 * are let off. */
static void give_up(struct blkcache *bc, struct blkcache_leaf *leaf)
{
    struct cache *c = bc->cache;
    uint32_t e = CACHE_NIL;

    leaf->pass = 0;
    for (unsigned i = 0; i < GIVE_UP && leaf->sweeping && leaf->n_old > 0; i++) {
        e = cache_next_dirty(c, leaf->id, leaf->given_up);
        if (e == CACHE_NIL) {
            break;
        }
        struct cache_entry *x = &c->entries[e];
        if ((x->wb & CACHE_W_NEW) != 0 && (x->wb & W_GEN) != leaf->gen) {
            x->wb ^= W_GEN;
            leaf->n_old--;
        }
        leaf->given_up = x->block + 1;
    }
    leaf->giving_up = leaf->sweeping && leaf->n_old > 0 && e != CACHE_NIL;
    check_sweep(bc, leaf);
}

void blkcache_sweep(struct blkcache_job *j)
{
    struct blkcache_leaf *leaf = j->d->leaf;

    j->d->bc->budget = LOOK_MAX;
    j->parked = true;
    STAILQ_INSERT_TAIL(&leaf->to_flush, j, queue);
    if (!leaf->sweeping) {
        begin_sweep(j->d->bc, leaf);
        check_sweep(j->d->bc, leaf);
        blkcache_stir(&j->d->bc->common);
    }
}

void blkcache_leaf_changed(struct blkcache *bc, struct blkcache_leaf *leaf)
{
    bc->budget = LOOK_MAX;
    if (leaf->pass != 0 || leaf->sweeping || leaf->failures >= FAILURES_MAX) {
        blkcache_stir(&bc->common);
    }
    if (leaf->failures >= FAILURES_MAX && !leaf->giving_up) {
        leaf->given_up = 0;
        give_up(bc, leaf);
    }
    check_sweep(bc, leaf);
    if (leaf->sweeping && leaf->n_old > 0) { /* those that it had to leave out */
        if ((leaf->pass & PASS_SWEEP) != 0) {
            leaf->again = true; /* perhaps it is past them */
        } else {
            start_pass(leaf, PASS_SWEEP);
        }
    }
}

/* ---- passes ---- */

static uint32_t healthy(const struct blkcache *bc)
{
    const struct blkcache_leaf *leaf;
    uint32_t failed = 0;

    STAILQ_FOREACH(leaf, &bc->leaves, link)
    {
        failed += leaf->n_failed;
    }
    return bc->cache->dirty - failed;
}

/* What there is room for beside the blocks that no disk takes. */
static uint32_t bound(const struct blkcache *bc)
{
    uint32_t failed = bc->cache->dirty - healthy(bc);

    return bc->writing.dirty_max - MIN(failed, bc->writing.dirty_max);
}

void blkcache_dirtied(struct blkcache *bc)
{
    struct blkcache_leaf *leaf;

    if (healthy(bc) <= bound(bc) / 2) {
        return;
    }
    STAILQ_FOREACH(leaf, &bc->leaves, link)
    {
        start_fresh_pass(leaf, PASS_PRESSURE);
        if (leaf->pass != 0) {
            blkcache_stir(&bc->common);
        }
    }
}

/* Whether the walk takes the block; it gets older by the way. */
static bool wants(struct blkcache *bc, const struct blkcache_leaf *leaf, uint32_t e)
{
    struct cache_entry *x = &bc->cache->entries[e];
    bool failed = (x->wb & W_FAILED) != 0, due = false;

    if ((x->wb & (CACHE_W_NEW | CACHE_W_OUT | W_HELD)) != CACHE_W_NEW) {
        return false;
    }
    if ((leaf->pass & PASS_AGE) != 0) {
        due = (x->wb & W_AGE) == W_AGE;
        x->wb = (uint8_t)(due ? x->wb : x->wb + W_AGE_ONE);
    }
    return due || ((leaf->pass & PASS_SWEEP) != 0 && (x->wb & W_GEN) != leaf->gen) ||
           (leaf->pass & (failed ? PASS_RETRY : PASS_ALL | PASS_PRESSURE)) != 0;
}

/* The circle is closed; for a sweep there may have to be another. */
static void end_pass(struct blkcache_leaf *leaf)
{
    leaf->pass = 0;
    if (leaf->again && leaf->sweeping && leaf->n_old > 0) {
        start_pass(leaf, PASS_SWEEP);
    }
    leaf->again = false;
}

/* The next block that the walk takes; CACHE_NIL when it has ended, or must be put off. Each look is
 * the cost of the VM that wrote the block, and so is what the caller does with it. */
static uint32_t next_wanted(struct blkcache *bc, struct blkcache_leaf *leaf)
{
    uint16_t charged = 0;

    for (unsigned looks = 0; leaf->pass != 0; looks++) {
        uint32_t e = cache_next_dirty(bc->cache, leaf->id, leaf->at);

        if (e == CACHE_NIL || (leaf->wrapped && entry(bc, e)->block >= leaf->pass_end)) {
            if (leaf->wrapped) {
                end_pass(leaf);
            } else {
                leaf->wrapped = true;
                leaf->at = 0;
            }
            continue;
        }
        if (bc->budget == 0 || (looks > 0 && time_is_up(bc))) {
            bc->more = true;
            break;
        }
        bc->budget--;
        leaf->at = entry(bc, e)->block + 1;
        if (charged != entry(bc, e)->vm) {
            charged = entry(bc, e)->vm;
            blkcache_charge(bc, charged);
        }
        if (wants(bc, leaf, e)) {
            return e;
        }
    }
    return CACHE_NIL;
}

bool blkcache_flush_step(struct blkcache *bc)
{
    struct blkcache_leaf *leaf;

    STAILQ_FOREACH(leaf, &bc->leaves, link)
    {
        if (leaf->giving_up) {
            give_up(bc, leaf);
            return true;
        }
        if ((leaf->pass & PASS_PRESSURE) != 0 && healthy(bc) <= bound(bc) / 4) {
            leaf->pass &= ~PASS_PRESSURE;
        }
        if (leaf->pass == 0 || !blkcache_out_possible(bc, leaf)) {
            continue;
        }
        uint32_t e = next_wanted(bc, leaf);
        bool started = e != CACHE_NIL && blkcache_out_start(bc, leaf, e);
        blkcache_charge(bc, 0);
        if (e != CACHE_NIL) {
            return started;
        }
    }
    return false;
}

/* ---- from outside ---- */

void blkcache_set_writing(struct blkcache *bc, const struct blkcache_writing *w)
{
    bc->writing = *w;
    bc->tick_ns = UINT64_MAX; /* anew, with the new age */
    blkcache_dirtied(bc);
}

static void tick(struct blkcache *bc, uint64_t now_ns)
{
    struct blkcache_leaf *leaf;
    uint64_t period = bc->writing.age_ns / TICKS_OF_AGE;

    if (period == 0 && healthy(bc) != bc->cache->dirty) {
        period = RETRY_NS;
    }
    if (period == 0) {
        bc->tick_ns = UINT64_MAX;
    } else if (bc->tick_ns == UINT64_MAX) {
        bc->tick_ns = now_ns + period;
    } else if (now_ns >= bc->tick_ns) {
        bc->tick_ns = now_ns + period;
        STAILQ_FOREACH(leaf, &bc->leaves, link)
        {
            blkcache_say_failed(leaf);
            if (!leaf->sweeping) { /* which ends sooner or later, however slowly they fail */
                leaf->failures = 0;
            }
            if (leaf->n_new > 0 && bc->writing.age_ns != 0) {
                start_pass(leaf, PASS_AGE);
            }
            if (leaf->n_failed > 0 && bc->starving) {
                start_pass(leaf, PASS_RETRY);
            }
        }
        bc->starving = false;
    }
}

void blkcache_flush_tick(struct blkcache *bc, uint64_t now_ns)
{
    struct cache *c = bc->cache;
    struct blkcache_leaf *leaf;

    bc->more = false;
    if (c->dirty == 0) {
        c->starved = bc->starving = false;
        bc->tick_ns = UINT64_MAX;
        return;
    }
    tick(bc, now_ns);
    bc->starving |= c->starved;
    if (c->mode == CACHE_OFF || !bc->writing.back || c->starved) {
        c->starved = false;
        STAILQ_FOREACH(leaf, &bc->leaves, link)
        {
            start_fresh_pass(leaf, PASS_ALL);
        }
    }
    bc->budget = LOOK_MAX;
}

uint64_t blkcache_due(const struct blkcache *bc)
{
    return bc->cache->dirty != 0 ? bc->tick_ns : UINT64_MAX;
}

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
