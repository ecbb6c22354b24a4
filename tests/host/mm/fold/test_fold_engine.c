/* SPDX-License-Identifier: BSD-2-Clause */
/* Folding by dirty bits and by hash: what is due, what is read, what backs off, what is kept. */
#include "mm/index/treap.h"
#include "world_scene.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static void same_savings(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    scene_init_with(&w, index, volatility);
    for (unsigned vm = 0; vm < 3; vm++) {
        scene_fill(&w, vm, 1, 0xAA);
        scene_fill(&w, vm, 2, 0xBB);
        scene_fill(&w, vm, 3, (uint8_t)(vm + 1));
        scene_fill(&w, vm, 4, 0);
    }
    scene_fill(&w, 0, 5, 0xBB);
    scene_fill(&w, 3, 1, 0xAA);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).pages_sharing,
                     0); /* nobody is taken for quiet at first sight */
    scene_passes(&w, 1);
    struct fold_counters c = scene_counters(&w);
    assert_int_equal(c.pages_shared, 2);
    assert_int_equal(c.pages_sharing, 2 + 3);
    assert_int_equal(c.pages_zero, 3 + 4);
    assert_int_equal(c.pages_unshared, 4);
    assert_int_equal(c.merges, 5);
    scene_passes(&w, 3);
    assert_int_equal(scene_counters(&w).pages_unshared, 4);
    assert_int_equal(scene_counters(&w).pages_volatile, 0);
    world_audit(&w);
    world_compare(&w);
    world_settle(&w);
    world_fini(&w);
}

static void test_same_savings(void **state)
{
    (void)state;
    scene_each(same_savings);
}

/* Memory that nobody writes is not read; nor is what has been folded. */
static void nothing_is_read(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    scene_init_with(&w, index, volatility);
    fold_detach(&w.fold, &w.vms[2].p2m); /* the one without dirty bits */
    for (unsigned vm = 0; vm < 2; vm++) {
        for (unsigned g = 1; g < 6; g++) {
            scene_fill(&w, vm, g, (uint8_t)(g < 3 ? g : vm * 16 + g));
        }
    }
    scene_passes(&w, 3);
    struct fold_counters c = scene_counters(&w);
    assert_int_equal(c.pages_sharing, 2);
    scene_passes(&w, 5);
    assert_int_equal(scene_counters(&w).compares, c.compares);
    assert_int_equal(scene_counters(&w).hashes, c.hashes);
    assert_int_equal(scene_counters(&w).pages_scanned, c.pages_scanned);
    assert_int_equal(scene_counters(&w).pages_unshared, 6);
    /* One page is written: that one is looked at, after a pass in which it stays clean. */
    scene_poke(&w, 0, 4, 9, 99);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).pages_volatile, 1);
    assert_int_equal(scene_counters(&w).pages_scanned, c.pages_scanned);
    if (index == FOLD_HASH) {
        assert_int_equal(scene_counters(&w).pages_unshared, 5);
        scene_passes(&w, 1);
        assert_int_equal(scene_counters(&w).pages_scanned, c.pages_scanned + 1);
        assert_int_equal(scene_counters(&w).hashes, c.hashes + 1);
    }
    scene_passes(&w, 2);
    assert_int_equal(scene_counters(&w).pages_unshared, 6);
    world_fini(&w);
}

static void test_nothing_is_read(void **state)
{
    (void)state;
    nothing_is_read(FOLD_HASH, FOLD_DIRTY);
    nothing_is_read(FOLD_TREE, FOLD_DIRTY);
}

/* A page that is written in each round is never looked at; when that ends it is folded. */
static void test_written_pages_wait(void **state)
{
    (void)state;
    struct world w;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    for (unsigned i = 0; i < 10; i++) {
        scene_poke(&w, 0, 1, 0, (uint8_t)(i + 1));
        scene_poke(&w, 1, 1, 0, (uint8_t)(i + 1));
        scene_passes(&w, 1);
    }
    assert_int_equal(scene_counters(&w).merges, 0);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).merges, 1);
    world_compare(&w);
    world_fini(&w);
}

/* A VM without dirty bits folds with the others, by checksums. */
static void test_without_dirty_bits(void **state)
{
    (void)state;
    struct world w;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    scene_fill(&w, 2, 1, 7);
    scene_fill(&w, 2, 2, 7);
    scene_fill(&w, 0, 1, 7);
    scene_passes(&w, 3);
    assert_int_equal(scene_counters(&w).pages_sharing, 2);
    world_fini(&w);
}

static void follows(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    scene_init_with(&w, index, volatility);
    for (unsigned vm = 0; vm < 2; vm++) {
        for (unsigned g = 0; g < 6; g++) {
            scene_fill(&w, vm, g, (uint8_t)(g + 1));
        }
    }
    scene_passes(&w, 2);
    struct fold_counters c = scene_counters(&w);
    assert_int_equal(c.pages_sharing, 6);
    assert_int_equal(c.lookahead_hits, 5); /* all but the first of the run */
    assert_int_equal(c.lookahead_misses, 0);
    uint64_t runs[FOLD_RUNS], sum = 0;
    fold_sequences(&w.fold, NULL, runs);
    assert_int_equal(runs[2], 1); /* one run of 4 to 7 pages */
    for (unsigned k = 0; k < FOLD_RUNS; k++) {
        sum += runs[k];
    }
    assert_int_equal(sum, 1);
    /* The place that was remembered is gone: another takes over, and the next VM finds it. */
    for (unsigned g = 0; g < 6; g++) {
        scene_poke(&w, 0, g, 100, 200);
        scene_poke(&w, 0, g, 100, (uint8_t)(0x40 + g));
    }
    scene_fill(&w, 2, 0, 1);
    scene_fill(&w, 2, 1, 2);
    scene_fill(&w, 2, 2, 99);
    scene_passes(&w, 3);
    assert_int_equal(w.vms[2].p2m.shared_maps, 2);
    scene_fill(&w, 2, 4, 1);
    scene_fill(&w, 2, 5, 2);
    uint64_t hits = scene_counters(&w).lookahead_hits;
    scene_passes(&w, 3);
    assert_int_equal(w.vms[2].p2m.shared_maps, 4);
    assert_int_equal(scene_counters(&w).lookahead_hits, hits + 1); /* where the second VM is now */
    world_compare(&w);
    world_audit(&w);
    world_fini(&w);
}

static void test_lookahead(void **state)
{
    (void)state;
    scene_each(follows);
}

static void test_lookahead_can_be_off(void **state)
{
    (void)state;
    struct world w;
    struct fold_switches to;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    to = w.fold.on;
    to.lookahead = false;
    fold_switch(&w.fold, &to);
    for (unsigned vm = 0; vm < 2; vm++) {
        for (unsigned g = 0; g < 6; g++) {
            scene_fill(&w, vm, g, (uint8_t)(g + 1));
        }
    }
    scene_passes(&w, 2);
    assert_int_equal(scene_counters(&w).pages_sharing, 6);
    assert_int_equal(scene_counters(&w).lookahead_hits + scene_counters(&w).lookahead_misses, 0);
    world_fini(&w);
}

/* A fold that breaks at once, again and again, is tried less and less; then it comes back. */
static void test_backing_off(void **state)
{
    (void)state;
    struct world w;
    uint64_t merges[2];

    for (unsigned on = 0; on < 2; on++) {
        scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
        struct fold_switches to = w.fold.on;
        to.backoff = on;
        fold_switch(&w.fold, &to);
        scene_fill(&w, 1, 1, 5);
        for (unsigned i = 0; i < 300; i++) {
            if (w.vms[0].map.entries[1].present && !w.vms[0].map.entries[1].writable) {
                scene_poke(&w, 0, 1, 1, 9); /* as soon as it is folded */
            }
            scene_fill(&w, 0, 1, 5);
            scene_passes(&w, 3);
        }
        merges[on] = scene_counters(&w).merges;
        assert_int_equal(scene_counters(&w).pages_backed_off > 0, on);
        /* Left in peace, it is folded again, and stays so. */
        scene_passes(&w, 40 * 8);
        assert_int_equal(w.vms[0].p2m.shared_maps, 1);
        world_compare(&w);
        world_fini(&w);
    }
    assert_true(merges[0] > 200);
    assert_true(merges[1] < merges[0] / 5);
}

static enum page_class by_gfn(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk)
{
    (void)ctx;
    (void)p;
    (void)from_disk;
    return gfn.n == 1 ? PAGE_FREE : gfn.n == 2 || gfn.n == 3 ? PAGE_CACHE : PAGE_ANON;
}

static void test_classes(void **state)
{
    (void)state;
    struct world w;
    struct fold_switches to;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    w.fold.classify = by_gfn;
    to = w.fold.on;
    to.skip = 1u << PAGE_FREE;
    fold_switch(&w.fold, &to);
    for (unsigned vm = 0; vm < 2; vm++) {
        for (unsigned g = 1; g < 6; g++) {
            scene_fill(&w, vm, g, (uint8_t)(g + 1));
        }
    }
    scene_passes(&w, 3);
    struct fold_counters c = scene_counters(&w);
    assert_int_equal(c.pages_sharing, 4);
    assert_int_equal(c.by_class[PAGE_FREE].folded, 0);
    assert_int_equal(c.by_class[PAGE_FREE].skipped, 2);
    assert_int_equal(c.by_class[PAGE_CACHE].folded, 4);
    assert_int_equal(c.by_class[PAGE_CACHE].candidates, 4);
    assert_int_equal(c.by_class[PAGE_CACHE].merges, 2);
    assert_int_equal(c.by_class[PAGE_ANON].folded, 4);
    scene_poke(&w, 0, 2, 0, 99);
    c = scene_counters(&w);
    assert_int_equal(c.by_class[PAGE_CACHE].folded, 3);
    assert_int_equal(c.by_class[PAGE_CACHE].breaks, 1);
    /* Skipped pages rest for long, and are found when skipping ends. */
    to.skip = 0;
    fold_switch(&w.fold, &to);
    scene_passes(&w, 3);
    assert_int_equal(scene_counters(&w).by_class[PAGE_FREE].folded, 2);
    world_fini(&w);
}

/* The paper's rule: page cache is folded where lookahead finds it, and nowhere else. */
static void test_pagecache_once(void **state)
{
    (void)state;
    struct world w;
    struct fold_switches to;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    to = w.fold.on;
    to.pagecache = FOLD_PAGECACHE_ONCE;
    for (unsigned vm = 0; vm < 2; vm++) {
        for (unsigned g = 1; g < 5; g++) {
            scene_fill(&w, vm, g, (uint8_t)(g + 1));
        }
    }
    scene_passes(&w, 3); /* all folded, as pages of no class */
    scene_poke(&w, 1, 2, 0, 9);
    scene_poke(&w, 1, 3, 0, 9);
    scene_poke(&w, 1, 2, 0, 3);
    scene_poke(&w, 1, 3, 0, 4);
    w.fold.classify = by_gfn;
    fold_switch(&w.fold, &to);
    uint64_t hashes = scene_counters(&w).hashes, sharing = scene_counters(&w).pages_sharing;
    scene_passes(&w, 3);
    /* 2 follows 1, which VM 0 holds too; 3 then follows 2. */
    assert_int_equal(scene_counters(&w).pages_sharing, sharing + 2);
    assert_int_equal(scene_counters(&w).hashes, hashes);
    /* One that lookahead does not find is left alone. */
    scene_fill(&w, 1, 2, 77);
    scene_fill(&w, 2, 2, 77);
    scene_passes(&w, 5);
    assert_int_equal(w.vms[2].p2m.shared_maps, 0);
    world_compare(&w);
    world_fini(&w);
}

/* What a disk read has just brought is looked at before anything else, at once. */
static void hinted(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    scene_init_with(&w, index, volatility);
    scene_fill(&w, 0, 1, 5);
    scene_passes(&w, 2); /* known, and without an equal */
    uint64_t scans = w.fold.full_scans;
    scene_fill(&w, 1, 6, 5);
    fold_hint(&w.fold, &w.vms[1].p2m, GFN(6));
    while (w.fold.phase != FOLD_SCAN && w.fold.phase != FOLD_BEGIN) {
        fold_step(&w.fold, 1, NULL);
    }
    fold_step(&w.fold, 1, NULL);
    if (index == FOLD_HASH) {
        assert_int_equal(scene_counters(&w).pages_sharing, 1);
        assert_int_equal(w.fold.full_scans, scans);
    }
    assert_int_equal(scene_counters(&w).pages_hinted, 1);
    /* A hint that has been overtaken is none. */
    scene_fill(&w, 1, 1, 6);
    fold_hint(&w.fold, &w.vms[1].p2m, GFN(1));
    scene_poke(&w, 1, 1, 3, 7);
    for (unsigned i = 0; i < 2 * FOLD_HINTS; i++) {
        fold_hint(&w.fold, &w.vms[0].p2m, GFN(i)); /* most are none of its pages */
    }
    scene_passes(&w, 3);
    world_audit(&w);
    world_compare(&w);
    world_settle(&w);
    world_fini(&w);
}

static void test_hints(void **state)
{
    (void)state;
    scene_each(hinted);
}

/* All pages have one hash: equal ones are folded all the same while there are not too many others,
 * nothing is merged that differs, and cost stays bounded. */
static uint64_t bad_hash(const void *page, const struct content_key *key)
{
    (void)page;
    (void)key;
    return 42;
}

static void collisions(enum fold_index index, enum fold_volatility volatility)
{
    struct content_ops bad = content_scalar;
    struct content_unit unit = {.ops = &bad};
    struct world w;

    if (index == FOLD_TREE) {
        return;
    }
    bad.hash = bad_hash;
    scene_init_with(&w, index, volatility);
    w.fold.unit = &unit;
    for (unsigned vm = 0; vm < 2; vm++) {
        for (unsigned g = 1; g < 7; g++) {
            scene_fill(&w, vm, g, (uint8_t)(g + 1));
        }
    }
    scene_passes(&w, 6);
    struct fold_counters a = scene_counters(&w), b;
    assert_true(a.collisions > 0);
    assert_int_equal(a.pages_sharing, 6);
    scene_passes(&w, 10);
    b = scene_counters(&w);
    /* At most a chain of compares and two hashes a page and pass. */
    assert_true(b.compares - a.compares <= 10 * 12 * HASH_TREE_CHAIN);
    assert_true(b.hashes - a.hashes <= 10 * 3 * 14);
    if (volatility == FOLD_DIRTY) {
        assert_true(b.compares - a.compares == 0);
    }
    world_audit(&w);
    world_compare(&w);
    w.fold.unit = &(const struct content_unit){.ops = &content_scalar};
    struct fold_switches to = w.fold.on;
    to.index = FOLD_TREE; /* a tree by content knows no collisions */
    fold_switch(&w.fold, &to);
    scene_passes(&w, 3);
    assert_int_equal(scene_counters(&w).pages_sharing, 6);
    world_audit(&w);
    world_fini(&w);
}

static void test_collisions(void **state)
{
    (void)state;
    scene_each(collisions);
}

/*
 * Ten equal pages of two guests, beside pages of a third that all have the same hash as they. Four
 * of those leave room in the chain: nine frames are saved. More of them than the chain takes may
 * keep the ten from folding, but what a pass costs stays bounded.
 */
static void crowd(enum fold_index index, enum fold_volatility volatility)
{
    struct content_ops bad = content_scalar;
    struct content_unit unit = {.ops = &bad};

    bad.hash = bad_hash;
    for (unsigned others = 4; others <= 12; others += 8) {
        struct world w;

        scene_init_with(&w, index, volatility);
        w.fold.unit = &unit;
        for (unsigned g = 0; g < others; g++) { /* they come first, and are stable before the ten */
            scene_fill(&w, 2, g < 7 ? g : g + 2, (uint8_t)(100 + g / 2));
        }
        scene_passes(&w, 5);
        struct fold_counters before = scene_counters(&w);
        assert_int_equal(before.pages_sharing, others / 2);
        for (unsigned g = 0; g < others; g += 2) {
            scene_fill(&w, 2, g < 7 ? g : g + 2, (uint8_t)(200 + g));
        }
        for (unsigned vm = 0; vm < 2; vm++) {
            for (unsigned g = 1; g < 6; g++) {
                scene_fill(&w, vm, g, 77);
            }
        }
        scene_passes(&w, 6);
        if (others == 4 || index == FOLD_TREE) {
            assert_int_equal(scene_counters(&w).pages_sharing, 9);
        }
        struct fold_counters a = scene_counters(&w);
        scene_passes(&w, 10);
        struct fold_counters b = scene_counters(&w);
        if (index == FOLD_HASH) {
            uint64_t pages = 10 + others;
            assert_true(b.compares - a.compares <= 10 * pages * 2 * HASH_TREE_CHAIN);
            assert_true(b.hashes - a.hashes <= 10 * 4 * pages);
        }
        world_audit(&w);
        world_compare(&w);
        world_fini(&w);
    }
}

static void test_crowd_of_one_hash(void **state)
{
    (void)state;
    scene_each(crowd);
}

/* From each combination to each other, in the middle of things. */
static void test_switching(void **state)
{
    (void)state;
    for (unsigned from = 0; from < 4; from++) {
        for (unsigned to = 0; to < 4; to++) {
            for (unsigned steps = 0; steps < 60; steps += 7) {
                struct world w;
                struct fold_switches s;

                scene_init_with(&w, from & 1, from >> 1);
                for (unsigned vm = 0; vm < 3; vm++) {
                    for (unsigned g = 0; g < 7; g++) {
                        scene_fill(&w, vm, g, (uint8_t)(g < 4 ? g : g + 16 * vm));
                    }
                }
                scene_passes(&w, 1);
                for (unsigned i = 0; i < steps; i++) {
                    fold_step(&w.fold, 1, NULL);
                }
                s = w.fold.on;
                s.index = to & 1;
                s.volatility = to >> 1;
                fold_switch(&w.fold, &s);
                for (unsigned i = 0; i < 40; i++) {
                    fold_step(&w.fold, 1, NULL);
                    world_audit(&w);
                }
                world_settle(&w);
                world_compare(&w);
                world_fini(&w);
            }
        }
    }
}

/* Two who want to know about writes, and mm/fold: each is told of each write. */
static void test_logs_share_the_dirty_bits(void **state)
{
    (void)state;
    struct world w;
    uint64_t bits[2][P2M_REGION_WORDS];
    struct p2m_log logs[2] = {{.bits = bits[0]}, {.bits = bits[1]}};
    struct rnd r = {7};

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    struct p2m *p = &w.vms[0].p2m;
    assert_int_equal(p2m_log_join(&w.vms[2].p2m, &logs[0]), E_UNSUPPORTED);
    assert_int_equal(p2m_log_join(p, &logs[0]), OK);
    assert_true(bits[0][0] & 1);                       /* what was before counts as written, */
    assert_false(bits[0][0] >> (WORLD_PAGES / 2) & 1); /* what is no memory does not */
    assert_int_equal(p2m_log_join(p, &logs[1]), OK);
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t written = 0;
        unsigned k = round % 2;

        p2m_log_collect(p);
        bits[k][0] = 0;
        for (unsigned i = rnd_below(&r, 6); i > 0; i--) {
            uint64_t gfn = rnd_below(&r, WORLD_PAGES / 2);
            switch (rnd_below(&r, 4)) {
            case 0:
                scene_fill(&w, 0, gfn, (uint8_t)rnd_below(&r, 3)); /* a device */
                written |= UINT64_C(1) << gfn;
                break;
            case 1:
                fold_step(&w.fold, rnd_below(&r, 30), NULL); /* takes dirty bits, merges */
                break;
            default:
                scene_poke(&w, 0, gfn, 0, (uint8_t)rnd_below(&r, 3));
                written |= UINT64_C(1) << gfn;
                break;
            }
        }
        p2m_log_collect(p);
        assert_int_equal(bits[k][0] & written, written);
        assert_int_equal(bits[1 - k][0] & written, written);
    }
    assert_true(scene_counters(&w).merges > 20);
    p2m_log_leave(p, &logs[0]);
    p2m_log_leave(p, &logs[1]);
    assert_null(p->logs);
    world_settle(&w);
    world_compare(&w);
    world_fini(&w);
}

/* Hints can be taken alone, and the pass stays where it is. */
static void test_hints_alone(void **state)
{
    (void)state;
    struct world w;

    scene_init_with(&w, FOLD_TREE, FOLD_CHECKSUM); /* with a teardown after each pass */
    for (unsigned g = 1; g < 5; g++) {
        scene_fill(&w, 0, g, (uint8_t)(20 + g));
    }
    scene_passes(&w, 2);
    uint64_t full_scans = w.fold.full_scans, scanned = scene_counters(&w).pages_scanned;
    fold_hint(&w.fold, &w.vms[0].p2m, GFN(1));
    fold_hint(&w.fold, &w.vms[0].p2m, GFN(2));
    assert_int_equal(w.fold.phase, FOLD_TEARDOWN);
    assert_int_equal(fold_hints(&w.fold), 0); /* not now */
    assert_int_equal(fold_step_hints(&w.fold, 5, NULL), 0);
    while (w.fold.phase == FOLD_TEARDOWN) {
        fold_step(&w.fold, 1, NULL);
    }
    uint32_t progress = fold_progress(&w.fold, 65536);
    enum fold_phase phase = w.fold.phase;
    scanned = scene_counters(&w).pages_scanned - scanned;
    assert_int_equal(fold_hints(&w.fold) + scanned, 2);
    while (fold_hints(&w.fold) > 0) {
        assert_int_equal(fold_step_hints(&w.fold, 1, NULL), 1);
    }
    assert_int_equal(scene_counters(&w).pages_hinted, 2);
    assert_int_equal(fold_step_hints(&w.fold, 5, NULL), 0);
    assert_int_equal(w.fold.full_scans, full_scans);
    assert_int_equal(w.fold.phase, phase);
    assert_int_equal(fold_progress(&w.fold, 65536), progress);
    fold_hint(&w.fold, &w.vms[0].p2m, GFN(3));
    w.fold.on.run = false;
    assert_int_equal(fold_hints(&w.fold), 0);
    world_audit(&w);
    world_compare(&w);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_savings),       cmocka_unit_test(test_nothing_is_read),
        cmocka_unit_test(test_written_pages_wait), cmocka_unit_test(test_without_dirty_bits),
        cmocka_unit_test(test_lookahead),          cmocka_unit_test(test_lookahead_can_be_off),
        cmocka_unit_test(test_backing_off),        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_pagecache_once),     cmocka_unit_test(test_hints),
        cmocka_unit_test(test_collisions),         cmocka_unit_test(test_crowd_of_one_hash),
        cmocka_unit_test(test_switching),          cmocka_unit_test(test_logs_share_the_dirty_bits),
        cmocka_unit_test(test_hints_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
