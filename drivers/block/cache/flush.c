/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When dirty blocks are written out: walks over each leaf disk's dirty blocks in the order of their
 * addresses, round and round, that take what is wanted.
 */
#include "base/bits.h"
#include "drivers/block/cache/internal.h"

#define TICKS_OF_AGE 4u /* as W_AGE counts */
/* A tick where blocks do not get older, but some have failed. */
#define RETRY_NS UINT64_C(1000000000)

/* ---- passes ---- */

/* Whether the walk takes the block; it gets older by the way. */
static bool wants(struct blkcache *bc, const struct blkcache_leaf *leaf, uint32_t e)
{
    struct cache *c = bc->cache;
    uint8_t marks = cache_marks(c, e);
    bool failed = (marks & W_FAILED) != 0, due = false;

    if (!cache_is_new(c, e) || cache_is_out(c, e) || (marks & W_HELD) != 0) {
        return false;
    }
    if ((leaf->pass & PASS_AGE) != 0) {
        due = (marks & W_AGE) == W_AGE;
        if (!due) {
            cache_unmark(c, e, W_AGE);
            cache_mark(c, e, (marks & W_AGE) + W_AGE_ONE);
        }
    }
    return due || ((leaf->pass & PASS_SWEEP) != 0 && (marks & W_GEN) != leaf->gen) ||
           (leaf->pass & (failed ? PASS_RETRY : PASS_ALL | PASS_PRESSURE)) != 0;
}

/* The circle is closed; for a sweep there may have to be another. */
static void end_pass(struct blkcache_leaf *leaf)
{
    leaf->pass = 0;
    if (leaf->again && leaf->sweeping && leaf->n_old > 0) {
        blkcache_pass_start(leaf, PASS_SWEEP);
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

        if (e == CACHE_NIL || (leaf->wrapped && cache_block(bc->cache, e) >= leaf->pass_end)) {
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
        leaf->at = cache_block(bc->cache, e) + 1;
        if (charged != cache_vm(bc->cache, e)) {
            charged = cache_vm(bc->cache, e);
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
            blkcache_sweep_give_up(bc, leaf);
            return true;
        }
        if ((leaf->pass & PASS_PRESSURE) != 0 && blkcache_healthy(bc) <= blkcache_bound(bc) / 4) {
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

    if (period == 0 && blkcache_healthy(bc) != bc->cache->dirty) {
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
                blkcache_pass_start(leaf, PASS_AGE);
            }
            if (leaf->n_failed > 0 && bc->starving) {
                blkcache_pass_start(leaf, PASS_RETRY);
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
            blkcache_pass_start_fresh(leaf, PASS_ALL);
        }
    }
    bc->budget = LOOK_MAX;
}

uint64_t blkcache_due(const struct blkcache *bc)
{
    return bc->cache->dirty != 0 ? bc->tick_ns : UINT64_MAX;
}
