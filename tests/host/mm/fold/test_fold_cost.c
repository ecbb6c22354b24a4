/* SPDX-License-Identifier: BSD-2-Clause */
/* The cost model's terms: what is counted where, the estimate of what could be shared, and how far
 * a pass has come. */
#include "world_scene.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 6u /* of each VM, from the second on */

/* A clock that counts looks at it. */
static uint64_t looks;
static uint64_t ticks(void)
{
    return ++looks;
}

/* Three VMs of a group, each present by one page read. */
static void scene(struct world *w)
{
    static const uint8_t create[] = {10, 0, 0, 0, 10 | 64, 0, 0, 0, 10 | 128, 0, 0, 0};

    world_init(w, 200);
    w->fold.ticks = ticks;
    world_run(w, create, sizeof(create), 1);
    for (unsigned i = 0; i < 3; i++) {
        w->vms[i].map.race = NULL; /* one thing at a time */
    }
}

static void finish(struct world *w)
{
    world_audit(w);
    world_compare(w);
    world_settle(w);
    world_fini(w);
}

static void test_each_cost_where_it_belongs(void **state)
{
    (void)state;
    struct world w;

    scene(&w);
    for (unsigned g = 1; g <= PAGES; g++) {
        for (unsigned vm = 0; vm < 3; vm++) {
            scene_fill(&w, vm, g, (uint8_t)(16 * vm + g)); /* no two are equal */
        }
    }
    scene_passes(&w, 3);
    struct fold_counters c = scene_counters(&w), d;
    assert_int_equal(c.merges, 0);
    assert_int_equal(c.cost_merge_ticks, 0);
    assert_true(c.scan_ticks > 0);
    assert_int_equal(c.cost_cow_ticks, 0); /* first touches are nobody's cost */

    /* Two pages become equal: merging is paid for, and little else changes. */
    scene_fill(&w, 1, 3, 3);
    scene_passes(&w, 2);
    d = scene_counters(&w);
    assert_int_equal(d.merges, 1);
    assert_true(d.cost_merge_ticks > 0 && d.cost_merge_ticks < d.scan_ticks);
    assert_int_equal(d.cost_cow_ticks, 0);
    scene_passes(&w, 5);
    assert_int_equal(scene_counters(&w).cost_merge_ticks, d.cost_merge_ticks);

    /* One of them is written, then the other, its frame's last user: both end a fold. */
    scene_poke(&w, 1, 3, 9, 77);
    c = scene_counters(&w);
    assert_int_equal(c.cow_breaks, 1);
    assert_true(c.cost_cow_ticks > 0);
    scene_poke(&w, 0, 3, 9, 78);
    assert_true(scene_counters(&w).cost_cow_ticks > c.cost_cow_ticks);
    c = scene_counters(&w);
    scene_poke(&w, 0, 3, 9, 79); /* its own by now */
    assert_int_equal(scene_counters(&w).cost_cow_ticks, c.cost_cow_ticks);
    finish(&w);
}

/* A read of a page never touched maps the zero page; a write to that is not folding's cost. */
static void test_zero_pages_that_nobody_folded(void **state)
{
    (void)state;
    struct world w;
    uint8_t byte;

    scene(&w);
    assert_int_equal(fake_guest_read(&w.vms[0].p2m, 0, 0, GFN(5), 0, &byte), OK);
    scene_poke(&w, 0, 5, 9, 1);
    assert_int_equal(scene_counters(&w).zero_breaks, 1);
    assert_int_equal(scene_counters(&w).cost_cow_ticks, 0);
    /* But one that the scanner found is. */
    scene_fill(&w, 0, 6, 0);
    scene_passes(&w, 2);
    assert_int_equal(scene_counters(&w).zero_merges, 1);
    scene_poke(&w, 0, 6, 9, 1);
    assert_int_equal(scene_counters(&w).zero_breaks, 2);
    assert_true(scene_counters(&w).cost_cow_ticks > 0);
    finish(&w);
}

static void test_without_a_clock(void **state)
{
    (void)state;
    struct world w;

    scene(&w);
    w.fold.ticks = NULL;
    for (unsigned vm = 0; vm < 3; vm++) {
        w.vms[vm].p2m.ticks = NULL;
        scene_fill(&w, vm, 1, 7);
    }
    uint64_t before = looks;
    scene_passes(&w, 2);
    scene_poke(&w, 0, 1, 9, 8);
    assert_int_equal(scene_counters(&w).merges, 2);
    assert_int_equal(looks, before);
    assert_int_equal(scene_counters(&w).cost_merge_ticks + scene_counters(&w).cost_cow_ticks +
                         scene_counters(&w).scan_ticks,
                     0);
    finish(&w);
}

static void test_the_estimate_follows_what_was_found(void **state)
{
    (void)state;
    struct world w;

    scene(&w);
    assert_int_equal(scene_counters(&w).cost_unshared_pages, 0); /* nothing is known yet */
    for (unsigned g = 1; g <= PAGES; g++) {
        scene_fill(&w, 0, g, (uint8_t)g);
        scene_fill(&w, 1, g, (uint8_t)(g <= PAGES / 2 ? g : 100 + g));
    }
    scene_passes(&w, 3);
    assert_int_equal(scene_counters(&w).merges, PAGES / 2);
    assert_int_equal(scene_counters(&w).cost_unshared_pages, 0); /* all that could be is */
    /* 6 pages more, that nobody has looked at: of 12 candidates 3 were merged, so 1.5 of them. */
    for (unsigned g = 1; g <= PAGES; g++) {
        scene_fill(&w, 2, g, (uint8_t)(150 + g));
    }
    assert_int_equal(scene_counters(&w).cost_unshared_pages, PAGES / 4);
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).cost_unshared_pages,
                     0); /* they are known to have changed */
    scene_passes(&w, 2);
    assert_int_equal(scene_counters(&w).cost_unshared_pages, 0); /* and that they have no equal */
    finish(&w);
}

static void test_progress(void **state)
{
    (void)state;
    struct world w;
    uint32_t last = 0;
    unsigned steps = 0;

    scene(&w);
    for (unsigned g = 1; g <= PAGES; g++) {
        for (unsigned vm = 0; vm < 3; vm++) {
            scene_fill(&w, vm, g, (uint8_t)(16 * vm + g));
        }
    }
    assert_int_equal(fold_progress(&w.fold, 65536), 0);
    scene_passes(&w, 1);
    assert_int_equal(fold_progress(&w.fold, 65536), 0); /* between two passes */
    uint64_t pass = w.fold.full_scans;
    while (fold_step(&w.fold, 1, NULL) > 0 && w.fold.full_scans == pass) {
        uint32_t now = fold_progress(&w.fold, 65536);
        assert_true(now >= last && now <= 65536);
        steps += now > last;
        last = now;
    }
    assert_true(steps > 2 * PAGES); /* it does not only tell VMs apart */
    assert_true(last > 65536 * 2 / 3);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_cost_where_it_belongs),
        cmocka_unit_test(test_zero_pages_that_nobody_folded),
        cmocka_unit_test(test_without_a_clock),
        cmocka_unit_test(test_the_estimate_follows_what_was_found),
        cmocka_unit_test(test_progress),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
