/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sweeps, which FLUSHes wait for: all blocks of a leaf disk that are dirty when one begins.
 *
 * A sweep marks nothing: each NEW block has the generation (0 or 1) that its leaf had when it
 * became NEW, and a sweep begins by turning the leaf's over. What is left of the old one is
 * counted, and when none is, and no request that held one is at the disk, the sweep is over. What
 * is written meanwhile is of the new generation and keeps nobody waiting.
 */
#include "base/bits.h"
#include "drivers/block/cache/internal.h"

#define GIVE_UP 16u /* blocks that are let off in one piece of work */
/* A disk that fails this often in a row is left alone until the next tick, and by the sweep. */
#define FAILURES_MAX 8u

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
    blkcache_pass_start(leaf, PASS_SWEEP);
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

void blkcache_sweep_give_up(struct blkcache *bc, struct blkcache_leaf *leaf)
{
    struct cache *c = bc->cache;
    uint32_t e = CACHE_NIL;

    leaf->pass = 0;
    for (unsigned i = 0; i < GIVE_UP && leaf->sweeping && leaf->n_old > 0; i++) {
        e = cache_next_dirty(c, leaf->id, leaf->given_up);
        if (e == CACHE_NIL) {
            break;
        }
        if (cache_is_new(c, e) && (cache_marks(c, e) & W_GEN) != leaf->gen) {
            cache_unmark(c, e, W_GEN);
            cache_mark(c, e, leaf->gen);
            leaf->n_old--;
        }
        leaf->given_up = cache_block(c, e) + 1;
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
        blkcache_sweep_give_up(bc, leaf);
    }
    check_sweep(bc, leaf);
    if (leaf->sweeping && leaf->n_old > 0) { /* those that it had to leave out */
        if ((leaf->pass & PASS_SWEEP) != 0) {
            leaf->again = true; /* perhaps it is past them */
        } else {
            blkcache_pass_start(leaf, PASS_SWEEP);
        }
    }
}
