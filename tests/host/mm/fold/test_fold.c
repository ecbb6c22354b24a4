/* SPDX-License-Identifier: BSD-2-Clause */
/* Folding: small scenes, and long random runs against an oracle that never shares. */
#include "world_scene.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#define BYTES 3000

static void fill_random(uint8_t *data, size_t n, uint64_t seed)
{
    struct rnd r = {seed * 0x9E3779B97F4A7C15u + 1};

    for (size_t i = 0; i < n; i++) {
        data[i] = (uint8_t)rnd_below(&r, 256);
    }
}

static void test_random_runs(void **state)
{
    (void)state;
    static uint8_t data[BYTES];
    uint64_t merges = 0, breaks = 0, takeovers = 0;

    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct world w;
        struct fold_counters c;

        fill_random(data, sizeof(data), seed);
        world_init(&w, seed % 3 == 0 ? 30 : 90); /* every third machine is too small */
        if (seed % 2 == 0) {
            world_join_zero(&w);
        }
        world_run(&w, data, sizeof(data), 16);
        world_compare(&w);
        world_settle(&w);
        world_compare(&w);
        fold_read(&w.fold, &c);
        merges += c.merges;
        breaks += c.cow_breaks;
        for (unsigned i = 0; i < WORLD_VMS; i++) {
            takeovers += w.vms[i].p2m.takeovers;
        }
        world_fini(&w);
    }
    /* The runs have to have done something. */
    assert_true(merges > 2000);
    assert_true(breaks > 500);
    assert_true(takeovers > 100);
}

/* The same run again and again, each time with another operation that gets no memory. */
static void test_each_allocation_failed_in_turn(void **state)
{
    (void)state;
    static uint8_t data[700];
    unsigned ops = 1;

    fill_random(data, sizeof(data), 4711);
    for (unsigned k = 0; k < 2 * ops; k++) {
        struct world w;

        world_init(&w, 90);
        w.starve_at = k / 2;
        w.starve_maps = k % 2;
        world_run(&w, data, sizeof(data), 64);
        ops = w.ops;
        world_compare(&w);
        world_settle(&w);
        world_fini(&w);
    }
    assert_true(ops > 100);
}

/* ---- scenes -------------------------------------------------------------------------------- */

/* The paper's own engine (section 4.1). */
static void baseline(struct world *w)
{
    struct fold_switches to = w->fold.on;

    to.index = FOLD_TREE;
    to.volatility = FOLD_CHECKSUM;
    to.lookahead = false;
    fold_switch(&w->fold, &to);
}

static void test_counters_have_ksm_meanings(void **state)
{
    (void)state;
    struct world w;

    scene_init(&w);
    baseline(&w);
    for (unsigned vm = 0; vm < 3; vm++) {
        scene_fill(&w, vm, 1, 0xAA);              /* three equal ones, */
        scene_fill(&w, vm, 2, 0xBB);              /* three more, two in one VM, */
        scene_fill(&w, vm, 3, (uint8_t)(vm + 1)); /* three of their own */
        scene_fill(&w, vm, 4, 0);
    }
    scene_fill(&w, 0, 5, 0xBB);
    scene_fill(&w, 3, 1, 0xAA); /* and one that is in another share group */
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).pages_volatile, 11);
    assert_int_equal(scene_counters(&w).pages_sharing, 0);
    assert_int_equal(scene_counters(&w).zero_merges, 3);
    scene_passes(&w, 1);
    struct fold_counters c = scene_counters(&w);
    assert_int_equal(c.pages_shared, 2);
    assert_int_equal(c.pages_sharing, 2 + 3);
    assert_int_equal(c.pages_unshared, 4);
    assert_int_equal(c.pages_volatile, 0);
    assert_int_equal(c.merges, 5);
    assert_int_equal(c.pages_zero, 3 + 4);
    assert_int_equal(c.full_scans, 2);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).pages_unshared, 4);
    assert_int_equal(scene_counters(&w).hashes - c.hashes,
                     4); /* what is folded is not read again */
    world_compare(&w);
    world_fini(&w);
}

static void test_volatile_pages_are_left_alone(void **state)
{
    (void)state;
    struct world w;

    scene_init(&w);
    baseline(&w);
    for (unsigned i = 0; i < 10; i++) {
        scene_fill(&w, 0, 1, (uint8_t)(i + 1));
        scene_fill(&w, 1, 1, (uint8_t)(i + 1));
        scene_passes(&w, 1);
        assert_int_equal(scene_counters(&w).pages_volatile, 2);
    }
    assert_int_equal(scene_counters(&w).merges, 0);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).merges, 1);
    world_fini(&w);
}

static void test_pinned_pages_are_skipped(void **state)
{
    (void)state;
    struct world w;
    mfn_t m;

    scene_init(&w);
    baseline(&w);
    scene_fill(&w, 0, 1, 5);
    scene_fill(&w, 1, 1, 5);
    assert_int_equal(p2m_get_write(&w.vms[0].p2m, GFN(1), &m), OK);
    scene_passes(&w, 4);
    assert_int_equal(scene_counters(&w).merges, 0);
    assert_true(scene_counters(&w).pages_ineligible >= 4);
    p2m_put(&w.vms[0].p2m, m);
    scene_passes(&w, 3);
    assert_int_equal(scene_counters(&w).merges, 1);
    world_fini(&w);
}

/* Entered in the unstable index, then its VM is detached: nobody merges with it, nothing breaks. */
static void test_detach_in_the_middle_of_a_pass(void **state)
{
    (void)state;
    struct world w;

    scene_init(&w);
    baseline(&w);
    scene_fill(&w, 0, 1, 5);
    scene_fill(&w, 1, 1, 5);
    scene_fill(&w, 2, 1, 5);
    scene_passes(&w, 1);
    while (w.fold.unstable == 0) {
        fold_step(&w.fold, 1, NULL);
    }
    fold_detach(&w.fold, &w.vms[0].p2m);
    scene_passes(&w, 1);
    assert_int_equal(w.vms[0].p2m.shared_maps, 0);
    assert_int_equal(scene_counters(&w).pages_sharing, 1);
    fold_attach(&w.fold, &w.vms[0].p2m);
    scene_passes(&w, 2);
    assert_int_equal(scene_counters(&w).pages_sharing, 2);
    world_audit(&w);
    world_fini(&w);
}

static void test_budget_bounds_a_step(void **state)
{
    (void)state;
    struct world w;

    scene_init(&w);
    baseline(&w);
    for (unsigned g = 0; g < WORLD_PAGES / 2; g++) {
        scene_fill(&w, 0, g, (uint8_t)(g + 1));
    }
    for (unsigned i = 0; i < 200; i++) {
        uint64_t before = w.fold.pages_scanned;
        unsigned done = fold_step(&w.fold, 3, NULL);
        assert_true(done <= 3);
        assert_true(w.fold.pages_scanned - before <= done);
    }
    assert_true(w.fold.full_scans > 5);
    assert_int_equal(fold_step(&w.fold, 0, NULL), 0);
    world_fini(&w);
}

/* A device's write counts as a change, even of the same bytes: it sets no dirty bit. */
static void test_device_writes_make_volatile(void **state)
{
    (void)state;
    struct world w;
    mfn_t m;

    scene_init(&w);
    baseline(&w);
    scene_fill(&w, 0, 1, 5);
    scene_passes(&w, 2);
    assert_int_equal(scene_counters(&w).pages_volatile, 0);
    scene_fill(&w, 0, 1, 5);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).pages_volatile, 1);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).pages_volatile, 0);
    assert_int_equal(p2m_get_write(&w.vms[0].p2m, GFN(1), &m), OK);
    p2m_put(&w.vms[0].p2m, m);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).pages_volatile, 1);
    world_fini(&w);
}

/* Frames leave a half torn down unstable tree; the audit follows its links. */
static void test_frames_leave_during_teardown(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 3; steps++) {
        struct world w;

        scene_init(&w);
        baseline(&w);
        for (unsigned vm = 0; vm < 3; vm++) {
            for (unsigned g = 0; g < WORLD_PAGES; g++) {
                scene_fill(&w, vm, g < WORLD_PAGES / 2 ? g : g + 2, (uint8_t)(g * 3 + vm + 1));
            }
        }
        scene_passes(&w, 2);
        assert_int_equal(w.fold.unstable, 3 * WORLD_PAGES);
        assert_int_equal(w.fold.phase, FOLD_TEARDOWN);
        fold_step(&w.fold, steps, NULL);
        /* From the high end: the teardown comes from the low one. */
        for (unsigned vm = 3; vm-- > 0;) {
            while (p2m_drop_some(&w.vms[vm].p2m, 1, NULL)) {
                world_audit(&w);
            }
            memset(w.vms[vm].oracle, 0, (WORLD_PAGES + 2) * PAGE_SIZE);
        }
        assert_int_equal(w.fold.unstable, 0);
        scene_passes(&w, 1);
        world_compare(&w);
        world_fini(&w);
    }
}

static void write_all(void *ctx, struct fake_map *m)
{
    const struct world *w = ctx;
    const struct fake_slot *c = &m->cached[0][0][1];

    if (c->present && c->writable) {
        memset(frame_bytes(&w->f, c->mfn), 0xBB, PAGE_SIZE);
    }
}

/* Two equal pages turn, while they are being frozen, into what the stable index holds already. */
static void test_pages_that_become_stable_content(void **state)
{
    (void)state;
    struct world w;

    scene_init(&w);
    baseline(&w);
    for (unsigned vm = 0; vm < 3; vm++) {
        scene_fill(&w, vm, 2, 0xBB);
    }
    scene_passes(&w, 2);
    assert_int_equal(scene_counters(&w).pages_shared, 1);
    for (unsigned vm = 0; vm < 2; vm++) {
        scene_fill(&w, vm, 1, 0xAA);
        /* The CPU has the right to write cached. */
        assert_int_equal(fake_guest_write(&w.vms[vm].p2m, 0, 0, GFN(1), 0, 0xAA), OK);
    }
    scene_passes(&w, 1);
    for (unsigned vm = 0; vm < 2; vm++) {
        w.vms[vm].map.race = write_all;
        memset(w.vms[vm].oracle[1], 0xBB, PAGE_SIZE);
    }
    scene_passes(&w, 2);
    world_audit(&w); /* among others: no content stands twice in the stable index */
    assert_int_equal(scene_counters(&w).pages_shared, 1);
    assert_int_equal(scene_counters(&w).pages_sharing, 4);
    for (unsigned vm = 0; vm < 2; vm++) {
        w.vms[vm].map.race = NULL;
    }
    world_compare(&w);
    world_fini(&w);
}

static uint64_t fake_ticks(void)
{
    static uint64_t now;

    return now += 10;
}

static void test_switch_off_and_clock(void **state)
{
    (void)state;
    struct world w;
    struct fold_switches to;

    scene_init(&w);
    to = w.fold.on;
    to.run = false;
    fold_switch(&w.fold, &to);
    assert_int_equal(fold_step(&w.fold, 10, NULL), 0);
    to.run = true;
    fold_switch(&w.fold, &to);
    w.fold.ticks = fake_ticks;
    assert_true(fold_step(&w.fold, 10, NULL) > 0);
    assert_true(scene_counters(&w).scan_ticks >= 10);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_have_ksm_meanings),
        cmocka_unit_test(test_volatile_pages_are_left_alone),
        cmocka_unit_test(test_pinned_pages_are_skipped),
        cmocka_unit_test(test_detach_in_the_middle_of_a_pass),
        cmocka_unit_test(test_budget_bounds_a_step),
        cmocka_unit_test(test_device_writes_make_volatile),
        cmocka_unit_test(test_frames_leave_during_teardown),
        cmocka_unit_test(test_pages_that_become_stable_content),
        cmocka_unit_test(test_switch_off_and_clock),
        cmocka_unit_test(test_random_runs),
        cmocka_unit_test(test_each_allocation_failed_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
