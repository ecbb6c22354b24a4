/* SPDX-License-Identifier: BSD-2-Clause */
/* pages_skipped has KSM's meaning: a page that its history keeps out of a pass counts in each. */

#include "world_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Page 1 of VM 0 is put to rest for its history, in the last of the passes done here. Returns the
 * counters before that pass. */
static struct fold_counters make_tired(struct world *w, uint8_t level)
{
    struct gpage *page;
    struct fold_counters before;

    scene_fill(w, 1, 1, 5);
    scene_fill(w, 0, 1, 5);
    scene_passes(w, 4);
    assert_int_equal(scene_counters(w).pages_sharing, 1);
    scene_poke(w, 0, 1, 1, 9);
    page = p2m_page(&w->vms[0].p2m, GFN(1));
    page->level = level; /* as if that had happened before */
    do {
        before = scene_counters(w);
        scene_passes(w, 1);
        assert_true(page->rests > 0 || scene_counters(w).pages_skipped == before.pages_skipped);
    } while (page->rests == 0);
    assert_int_equal(page->rests, 1u << (level - 1));
    return before;
}

static void skipped_in_each_pass(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;
    uint64_t n = 1;

    scene_init_with(&w, index, volatility);
    struct fold_counters then = make_tired(&w, 2), c = scene_counters(&w);
    struct gpage *page = p2m_page(&w.vms[0].p2m, GFN(1));
    while (page->rests == 2) {
        assert_int_equal(c.pages_skipped, then.pages_skipped + n);
        assert_in_range(n, 1, 8);
        scene_passes(&w, 1);
        c = scene_counters(&w);
        n++;
    }
    for (unsigned i = 0; i < 8; i++, n++) { /* the second round, whole */
        assert_int_equal(page->rests, 1);
        assert_int_equal(c.pages_skipped, then.pages_skipped + n);
        scene_passes(&w, 1);
        c = scene_counters(&w);
    }
    assert_int_equal(page->rests, 0); /* looked at in the last of these passes */
    assert_int_equal(c.pages_skipped, then.pages_skipped + n - 1);
    assert_int_equal(c.pages_backed_off, then.pages_backed_off + 1);
    assert_int_equal(c.pages_ineligible, then.pages_ineligible);
    then = c;
    scene_passes(&w, 4);
    if (volatility == FOLD_DIRTY) { /* by checksums, it may rest now as it stays what it is */
        assert_int_equal(scene_counters(&w).pages_skipped, then.pages_skipped);
    }
    world_fini(&w);
}

static void test_skipped_in_each_pass(void **state)
{
    (void)state;
    scene_each(skipped_in_each_pass);
}

/* A write ends the last round early: the page is looked at, and is not skipped from then on. */
static void test_a_write_ends_it(void **state)
{
    (void)state;
    struct world w;
    struct fold_counters c;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    (void)make_tired(&w, 2);
    struct gpage *page = p2m_page(&w.vms[0].p2m, GFN(1));
    while (page->rests != 1) {
        scene_passes(&w, 1);
    }
    scene_poke(&w, 0, 1, 1, 10);
    scene_passes(&w, 1);
    assert_int_equal(page->rests, 1); /* it was written in this pass */
    c = scene_counters(&w);
    for (unsigned i = 0; i < 4; i++) {
        scene_passes(&w, 1);
        assert_int_equal(page->rests, 0);
        assert_int_equal(scene_counters(&w).pages_skipped, c.pages_skipped);
    }
    world_fini(&w);
}

/* By checksums a page that stays as it is rests for a round. */
static void test_settled(void **state)
{
    (void)state;
    struct world w;
    struct fold_switches to;

    scene_init_with(&w, FOLD_HASH, FOLD_CHECKSUM);
    scene_fill(&w, 0, 1, 5);
    scene_passes(&w, 40);
    struct fold_counters then = scene_counters(&w);
    assert_true(then.pages_skipped > 0);
    assert_int_equal(then.pages_backed_off, 0);
    assert_int_equal(then.pages_ineligible, 0);
    to = w.fold.on;
    to.backoff = false;
    fold_switch(&w.fold, &to);
    scene_passes(&w, 20);
    assert_int_equal(scene_counters(&w).pages_skipped, then.pages_skipped);
    world_fini(&w);
}

static void classes_are_ineligible(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;
    struct fold_switches to;

    scene_init_with(&w, index, volatility);
    to = w.fold.on;
    to.skip = 1u << PAGE_UNKNOWN;
    fold_switch(&w.fold, &to);
    uint64_t then = scene_counters(&w).pages_ineligible;
    scene_fill(&w, 0, 1, 5);
    scene_passes(&w, 40);
    assert_true(scene_counters(&w).pages_ineligible > then);
    assert_int_equal(scene_counters(&w).pages_skipped, 0);
    world_fini(&w);
}

static void test_classes_are_ineligible(void **state)
{
    (void)state;
    scene_each(classes_are_ineligible);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skipped_in_each_pass),
        cmocka_unit_test(test_a_write_ends_it),
        cmocka_unit_test(test_settled),
        cmocka_unit_test(test_classes_are_ineligible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
