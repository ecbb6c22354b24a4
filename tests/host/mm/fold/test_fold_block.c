/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks of the disk cache in folding: where each goes, what that costs; and scrubbing. */
#include "base/bits.h"
#include "mm/cache/store.h"
#include "world_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* With that index in use, and at the beginning of a pass. */
static void begin(struct world *w, enum fold_index index, enum fold_volatility volatility)
{
    scene_init_with(w, index, volatility);
    scene_passes(w, 1);
}

/* ---- where a block goes -------------------------------------------------------------------- */

static void zeroes(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    uint64_t before = w.f.by_state[FRAME_FREE];
    cache_set_mode(&w.cache, CACHE_INCLUSIVE); /* else they are in no frame at once */
    mfn_t alone = scene_put(&w, 1, 0, 0);
    (void)scene_put(&w, 2, 0, 0);
    cache_set_mode(&w.cache, CACHE_FOLD);
    scene_adopt(&w, 0, 3, 2);
    (void)fold_step(&w.fold, 10, NULL);
    world_audit(&w);
    assert_int_equal(w.cache.zeroes, 2);
    assert_int_equal(scene_frame(&w, alone)->state, FRAME_FREE);
    scene_passes(&w, 3);
    assert_int_equal(scene_frame_at(&w, 0, 3).n, w.groups[0].zero.n);
    assert_int_equal(w.f.by_state[FRAME_FREE], before);
    scene_end(&w);
}

/* A SHARED frame has the content: the blocks are in that. */
static void stable(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    scene_fill(&w, 0, 3, 9);
    scene_fill(&w, 1, 4, 9);
    scene_passes(&w, 3);
    mfn_t shared = scene_frame_at(&w, 0, 3);
    assert_int_equal(scene_frame(&w, shared)->state, FRAME_SHARED);
    mfn_t block = scene_put(&w, 1, 9, 0);
    mfn_t other = scene_put(&w, 2, 9, 1); /* of another group: stays */
    (void)fold_step(&w.fold, 10, NULL);
    world_audit(&w);
    assert_int_equal(scene_frame_of(&w, 1).n, shared.n);
    assert_int_equal(scene_frame(&w, block)->state, FRAME_FREE);
    assert_int_equal(scene_frame(&w, shared)->refs, 3);
    assert_int_equal(scene_frame_of(&w, 2).n, other.n);
    assert_int_equal(w.cache.mapped, 1);
    assert_int_equal(cache_held(&w.cache), 1);
    /* The guests go: it is the cache's alone, and still in the index. */
    scene_poke(&w, 0, 3, 1, 1);
    scene_poke(&w, 1, 4, 1, 2);
    assert_int_equal(scene_frame(&w, shared)->state, FRAME_CACHE_ONLY);
    assert_true(scene_frame(&w, shared)->flags & FRAME_F_STABLE);
    scene_end(&w);
}

/* A page waits in the unstable index: it goes into the block's frame, at once. */
static void unstable(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    scene_fill(&w, 0, 3, 9);
    scene_fill(&w, 3, 3, 9); /* another group's */
    while (!(scene_frame(&w, scene_frame_at(&w, 0, 3))->flags & FRAME_F_UNSTABLE)) {
        fold_step(&w.fold, 1, NULL);
    }
    mfn_t page = scene_frame_at(&w, 0, 3), block = scene_put(&w, 1, 9, 0);
    (void)fold_step(&w.fold, 1, NULL);
    world_audit(&w);
    assert_int_equal(scene_frame_at(&w, 0, 3).n, block.n);
    assert_int_equal(scene_frame(&w, page)->state, FRAME_FREE);
    assert_int_equal(scene_frame(&w, block)->state, FRAME_SHARED);
    assert_int_equal(scene_frame(&w, block)->refs, 2);
    assert_int_equal(scene_frame(&w, block)->gfn, 3); /* where lookahead finds it */
    assert_int_equal(w.vms[0].p2m.merges, 1);
    assert_int_not_equal(scene_frame_at(&w, 3, 3).n, block.n);
    scene_end(&w);
}

/* Nobody has the content: who gets it later, and a second such block, goes into that frame. */
static void alone(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    mfn_t block = scene_put(&w, 1, 9, 0);
    (void)fold_step(&w.fold, 5, NULL);
    assert_true(scene_frame(&w, block)->flags & FRAME_F_STABLE);
    assert_int_equal(scene_frame(&w, block)->state, FRAME_CACHE_ONLY);
    assert_int_equal(scene_counters(&w).pages_shared, 0); /* nobody shares it yet */
    mfn_t second = scene_put(&w, 2, 9, 0);
    (void)fold_step(&w.fold, 5, NULL);
    world_audit(&w);
    mfn_t left = scene_frame(&w, block)->state == FRAME_FREE ? second : block;
    assert_int_equal(scene_frame_of(&w, 1).n, left.n);
    assert_int_equal(scene_frame_of(&w, 2).n, left.n);
    assert_int_equal(cache_held(&w.cache), 1);
    scene_fill(&w, 1, 5, 9);
    scene_fill(&w, 2, 5, 9);
    scene_passes(&w, 4);
    assert_int_equal(scene_frame_at(&w, 1, 5).n, left.n);
    assert_int_equal(scene_frame_at(&w, 2, 5).n, left.n);
    assert_int_equal(w.cache.mapped, 2);
    assert_int_equal(scene_counters(&w).pages_shared, 1);
    assert_int_equal(scene_counters(&w).pages_sharing, 1);
    scene_end(&w);
}

/* Two guests have read equal blocks as frames, side by side: lookahead serves. */
static void mapped_both(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    for (unsigned b = 0; b < 4; b++) {
        (void)scene_put(&w, b, (uint8_t)(20 + b), 0);
        scene_adopt(&w, 0, 2 + b, b);
        fold_hint(&w.fold, &w.vms[0].p2m, GFN(2 + b));
        (void)scene_put(&w, 4 + b, (uint8_t)(20 + b), 0);
        scene_adopt(&w, 1, 1 + b, 4 + b);
        fold_hint(&w.fold, &w.vms[1].p2m, GFN(1 + b));
    }
    while (w.fold.n_hints > 0) {
        (void)fold_step(&w.fold, 1, NULL); /* nothing but them */
    }
    world_audit(&w);
    struct fold_counters c = scene_counters(&w);
    for (unsigned b = 0; b < 4; b++) {
        assert_int_equal(scene_frame_at(&w, 0, 2 + b).n, scene_frame_at(&w, 1, 1 + b).n);
        assert_int_equal(scene_frame_of(&w, b).n, scene_frame_of(&w, 4 + b).n);
    }
    assert_int_equal(c.pages_hinted, 8);
    assert_int_equal(c.lookahead_hits, 3); /* all but the first */
    assert_int_equal(c.pages_shared, 4);
    assert_int_equal(c.pages_sharing, 4);
    assert_int_equal(w.cache.n_new, 0);
    if (index == FOLD_HASH) {
        assert_int_equal(c.hashes, 5);   /* those not found by lookahead */
        assert_int_equal(c.compares, 4); /* each pair once */
    }
    scene_end(&w);
}

static uint64_t poor_hash(const void *page, const struct content_key *key)
{
    (void)page;
    (void)key;
    return 42;
}

/* Equal hashes prove nothing. */
static void test_collisions(void **state)
{
    const struct content_ops ops = {
        .compare = content_compare, .is_zero = content_is_zero, .hash = poor_hash};
    const struct content_unit unit = {.ops = &ops};
    struct world w;

    (void)state;
    begin(&w, FOLD_HASH, FOLD_DIRTY);
    w.fold.unit = &unit;
    mfn_t first = scene_put(&w, 1, 9, 0), second = scene_put(&w, 2, 8, 0);
    (void)fold_step(&w.fold, 2, NULL);
    assert_int_equal(scene_frame_of(&w, 1).n, first.n);
    assert_int_equal(scene_frame_of(&w, 2).n, second.n);
    assert_true(scene_frame(&w, first)->flags & FRAME_F_STABLE);
    assert_true(scene_frame(&w, second)->flags & FRAME_F_STABLE);
    scene_adopt(&w, 1, 3, 2);
    scene_fill(&w, 0, 3, 7);
    scene_passes(&w, 3);
    world_audit(&w);
    world_compare(&w);
    assert_int_equal(scene_frame_at(&w, 1, 3).n, second.n);
    cache_set_mode(&w.cache, CACHE_SCRUB);
    (void)scene_put(&w, 3, 6, 0);
    scene_passes(&w, 2);
    assert_int_equal(w.cache.stats.scrubbed, 0);
    world_audit(&w);
    world_compare(&w);
    world_fini(&w);
}

/* ---- what is let alone --------------------------------------------------------------------- */

static void pinned(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    mfn_t block = scene_put(&w, 1, 9, 0);
    frames_pin(&w.f, block);
    scene_passes(&w, 2);
    assert_true(scene_frame(&w, block)->flags & FRAME_F_UNSCANNED);
    assert_int_equal(w.cache.n_new, 1);
    world_audit(&w);
    frames_unpin(&w.f, block);
    scene_passes(&w, 1);
    assert_true(scene_frame(&w, block)->flags & FRAME_F_STABLE);
    /* Somebody is about to map that one: an equal block goes there, and not the other way. */
    frames_pin(&w.f, block);
    (void)scene_put(&w, 2, 9, 0);
    scene_passes(&w, 1);
    assert_int_equal(scene_frame_of(&w, 1).n, block.n);
    assert_int_equal(scene_frame_of(&w, 2).n, block.n);
    frames_unpin(&w.f, block);
    scene_end(&w);
}

/* What the cache writes to leaves the index first, and what it drops. */
static void changed(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    mfn_t block = scene_put(&w, 1, 9, 0);
    mfn_t other = scene_put(&w, 2, 8, 0);
    scene_passes(&w, 1);
    uint32_t e = cache_find(&w.cache, SCENE_DISK, 1);
    assert_true(cache_is_alone(&w.cache, e));
    cache_lock(&w.cache, e);
    assert_false(scene_frame(&w, block)->flags & (FRAME_F_STABLE | FRAME_F_UNSCANNED));
    memset(frame_bytes(&w.f, block), 7, PAGE_SIZE);
    memset(w.disk[1], 7, PAGE_SIZE);
    scene_fill(&w, 0, 3, 9);
    scene_fill(&w, 1, 3, 7);
    scene_passes(&w, 4);
    assert_int_not_equal(scene_frame_at(&w, 0, 3).n, block.n);
    assert_int_not_equal(scene_frame_at(&w, 1, 3).n, block.n);
    cache_publish(&w.cache, e, CACHE_MASK_ALL);
    scene_passes(&w, 2);
    assert_int_equal(scene_frame_at(&w, 1, 3).n, block.n);
    cache_remove(&w.cache, cache_find(&w.cache, SCENE_DISK, 2));
    assert_int_equal(scene_frame(&w, other)->state, FRAME_FREE);
    scene_end(&w);
}

/* Not more in a step than was asked for, and the pass goes on however many come. */
static void test_budget(void **state)
{
    struct world w;

    (void)state;
    scene_init(&w);
    for (unsigned b = 0; b < 8; b++) {
        (void)scene_put(&w, b, (uint8_t)(b + 1), 0);
    }
    (void)fold_step(&w.fold, 3, NULL);
    assert_int_equal(w.fold.blocks_scanned, 3);
    assert_int_equal(w.cache.n_new, 5);
    uint64_t scans = w.fold.full_scans;
    for (unsigned i = 0; i < 4000 && w.fold.full_scans == scans; i++) {
        cache_remove(&w.cache,
                     cache_find(&w.cache, SCENE_DISK, i % 8)); /* a guest reads without end */
        (void)scene_put(&w, i % 8, (uint8_t)(i % 250 + 1), 0);
        (void)fold_step(&w.fold, 1, NULL);
    }
    assert_true(w.fold.full_scans > scans);
    /* However few may be taken before the pass goes on: when it ends, all that were there are done.
     */
    while (w.fold.phase != FOLD_SCAN) {
        (void)fold_step(&w.fold, 1, NULL);
    }
    scans = w.fold.full_scans;
    cache_remove(&w.cache, cache_find(&w.cache, SCENE_DISK, 1));
    (void)scene_put(&w, 1, 99, 0);
    while (w.fold.full_scans == scans) {
        w.fold.block_credit = 0;
        (void)fold_step(&w.fold, 1, NULL);
    }
    assert_int_equal(w.cache.n_new, 0);
    scene_end(&w);
}

static void test_switched_off(void **state)
{
    struct world w;

    (void)state;
    scene_init(&w);
    w.fold.on.run = false;
    mfn_t block = scene_put(&w, 1, 9, 0);
    scene_adopt(&w, 0, 3, 1);
    assert_int_equal(fold_step(&w.fold, 100, NULL), 0);
    assert_int_equal(scene_frame_at(&w, 0, 3).n, block.n);
    assert_int_equal(w.cache.n_new, 1);
    world_audit(&w);
    w.fold.on.run = true;
    scene_passes(&w, 1);
    assert_int_equal(w.cache.n_new, 0);
    scene_end(&w);
}

static enum page_class classify_by_gfn(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk)
{
    (void)ctx;
    (void)p;
    (void)from_disk;
    return gfn.n == 3 ? PAGE_FREE : gfn.n == 4 ? PAGE_CACHE : PAGE_ANON;
}

/* A page of a class that is left alone keeps what it maps, unless it is free; the cache's own hold
 * on the frame moves all the same. */
static void test_classes(void **state)
{
    struct world w;

    (void)state;
    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    w.fold.classify = classify_by_gfn;
    struct fold_switches to = w.fold.on;
    to.skip = BIT(PAGE_FREE) | BIT(PAGE_CACHE);
    to.backoff = false;
    fold_switch(&w.fold, &to);
    scene_fill(&w, 0, 5, 9);
    scene_fill(&w, 1, 5, 9);
    scene_passes(&w, 4);
    mfn_t shared = scene_frame_at(&w, 0, 5), block = scene_put(&w, 1, 9, 0);
    scene_adopt(&w, 0, 4, 1);
    scene_fill(&w, 0, 3, 8);
    scene_fill(&w, 1, 4, 8);
    (void)scene_put(&w, 2, 8, 0);
    scene_passes(&w, 4);
    world_audit(&w);
    assert_int_equal(scene_frame_at(&w, 0, 4).n, block.n);
    assert_int_equal(scene_frame_of(&w, 1).n, shared.n);
    assert_int_equal(scene_frame_at(&w, 0, 3).n, scene_frame_of(&w, 2).n);     /* free */
    assert_int_not_equal(scene_frame_at(&w, 1, 4).n, scene_frame_of(&w, 2).n); /* somebody's */
    scene_end(&w);
}

/* ---- scrubbing ----------------------------------------------------------------------------- */

static uint64_t fake_ticks(void)
{
    static uint64_t now;

    return now += 10;
}

static void scrub(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    w.fold.ticks = fake_ticks;
    cache_set_mode(&w.cache, CACHE_SCRUB);
    scene_fill(&w, 0, 3, 9);
    scene_fill(&w, 1, 3, 9); /* stable */
    scene_fill(&w, 0, 4, 8); /* unstable */
    scene_fill(&w, 3, 4, 7); /* of another group */
    (void)scene_put(&w, 0, 9, 0);
    (void)scene_put(&w, 1, 9, 0);
    (void)scene_put(&w, 2, 8, 0);
    (void)scene_put(&w, 3, 7, 0);
    (void)scene_put(&w, 4, 6, 0); /* nobody has that one */
    (void)scene_put(&w, 5, 6, 1);
    (void)scene_put(&w, 6, 0, 0); /* guests map the zero page */
    (void)scene_put(&w, 7, 5, 0);
    mfn_t held = scene_frame_of(&w, 7);
    frames_pin(&w.f, held); /* a device is at it */
    scene_fill(&w, 2, 3, 5);
    uint64_t hashes = w.fold.hashes;
    scene_passes(&w, 4);
    world_audit(&w);
    assert_int_equal(w.cache.used, 3);
    assert_int_equal(w.cache.stats.scrubbed, 5);
    assert_int_equal(w.cache.stats.evictions + w.cache.stats.invalidations, 0);
    assert_int_not_equal(cache_find(&w.cache, SCENE_DISK, 4), CACHE_NIL);
    assert_int_not_equal(cache_find(&w.cache, SCENE_DISK, 5), CACHE_NIL);
    assert_int_equal(w.fold.stable, 1); /* blocks are in no index */
    assert_true(w.fold.scrub_ticks > 0 && w.fold.scrub_ticks < w.fold.scan_ticks);
    if (index == FOLD_HASH && volatility == FOLD_DIRTY) {
        /* Each block once, and each page. VM 2 has no dirty bits. */
        assert_true(w.fold.hashes - hashes <= 7 + 4 + 4);
    }
    frames_unpin(&w.f, held);
    scene_passes(&w, 1);
    assert_int_equal(w.cache.used, 2);
    scene_end(&w);
}

/* The walk is cut by the budget, and the pass ends after it. */
static void test_scrub_budget(void **state)
{
    struct world w;

    (void)state;
    scene_init(&w);
    cache_set_mode(&w.cache, CACHE_SCRUB);
    for (unsigned b = 0; b < 8; b++) {
        (void)scene_put(&w, b, (uint8_t)(b + 1), 0);
    }
    while (w.fold.phase != FOLD_CACHED) {
        (void)fold_step(&w.fold, 1, NULL);
    }
    uint64_t scans = w.fold.full_scans, seen = w.fold.blocks_scanned;
    for (unsigned steps = 0; steps < 3; steps++) {
        assert_int_equal(fold_step(&w.fold, 2, NULL), 2);
        assert_true(w.fold.blocks_scanned - seen <= 2 * (steps + 1));
        assert_int_equal(w.fold.full_scans, scans);
        assert_int_equal(fold_progress(&w.fold, 100), 100);
    }
    cache_set_mode(&w.cache, CACHE_FOLD); /* in the middle of it */
    scene_passes(&w, 1);
    assert_int_equal(w.cache.n_new, 0);
    scene_end(&w);
}

#define EACH(name)                                                                                 \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        scene_each(name);                                                                          \
    }
EACH(zeroes)
EACH(stable)
EACH(unstable)
EACH(alone)
EACH(mapped_both)
EACH(pinned)
EACH(changed)
EACH(scrub)

/* ---- whose look it is ---------------------------------------------------------------------- */

static struct {
    const struct fold *f;
    uint16_t vm;               /* of the work that is being done */
    uint64_t since, hashes[4]; /* computed for each VM; [0]: for all */
} charged;

static void note_charge(uint16_t vm)
{
    charged.hashes[charged.vm] += charged.f->hashes - charged.since;
    charged.since = charged.f->hashes;
    charged.vm = vm;
}

/* Each look at a new block is the cost of the VM that brought it, also where blocks of several VMs
 * are in one frame, and at the pass's end. */
static void test_charge(void **state)
{
    struct world w;

    (void)state;
    begin(&w, FOLD_HASH, FOLD_DIRTY);
    w.fold.charge = note_charge;
    charged.f = &w.fold;
    charged.since = w.fold.hashes;
    for (unsigned block = 1; block < 6; block++) {
        (void)scene_put(&w, block, (uint8_t)(block < 3 ? 9 : 20 + block), 0);
        cache_set_vm(&w.cache, cache_find(&w.cache, SCENE_DISK, block), block < 5 ? 1 : 2);
    }
    uint32_t e = cache_find(&w.cache, SCENE_DISK, 4);
    cache_set_vm(&w.cache, e, UINT16_MAX); /* no VM has that number */
    assert_int_equal(w.cache.entries[e].vm, 0);
    while (w.cache.n_new > 0) {
        (void)fold_step(&w.fold, 1, NULL);
        assert_int_equal(charged.vm, 0);
    }
    assert_int_equal(charged.hashes[1], 3);
    assert_int_equal(charged.hashes[2], 1);
    assert_int_equal(charged.hashes[0], 1);
    scene_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collisions),   cmocka_unit_test(test_zeroes),
        cmocka_unit_test(test_stable),       cmocka_unit_test(test_unstable),
        cmocka_unit_test(test_alone),        cmocka_unit_test(test_mapped_both),
        cmocka_unit_test(test_pinned),       cmocka_unit_test(test_changed),
        cmocka_unit_test(test_scrub),        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_switched_off), cmocka_unit_test(test_classes),
        cmocka_unit_test(test_scrub_budget), cmocka_unit_test(test_charge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
