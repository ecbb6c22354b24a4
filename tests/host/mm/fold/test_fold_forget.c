/* SPDX-License-Identifier: BSD-2-Clause */
/* What the engine and the logs must not lose sight of: pages that were misled, left, or refused. */
#include "world_scene.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

/* Steps until the scan has come to that VM. */
static void scan_up_to(struct world *w, unsigned vm)
{
    while (w->fold.phase != FOLD_SCAN || w->fold.cursor != &w->vms[vm].p2m) {
        fold_step(&w->fold, 1, NULL);
    }
}

/*
 * A page by which another found its place in the unstable tree changes, misleads the search of a
 * third, and leaves the tree: by a hint, pinned by a device, with its VM, or made stable.
 */
static void mislead(unsigned how)
{
    struct world w;
    mfn_t m;

    scene_init_with(&w, FOLD_TREE, FOLD_DIRTY);
    fold_detach(&w.fold, &w.vms[2].p2m); /* with it, the tree is torn down after each pass */
    scene_fill(&w, 0, 1, 50);
    scene_passes(&w, 3);
    scene_fill(&w, 1, 1, 30);
    scene_passes(&w, 3);
    assert_int_equal(w.fold.unstable, 2);
    scene_fill(&w, 1, 2, 30);
    scene_passes(&w, 1); /* now it is due */
    scan_up_to(&w, 1);
    assert_int_equal(p2m_get_write(&w.vms[0].p2m, GFN(1), &m), OK);
    memset(frame_bytes(&w.f, m), 10, PAGE_SIZE);
    memset(w.vms[0].oracle[1], 10, PAGE_SIZE);
    if (how != 1) {
        p2m_put(&w.vms[0].p2m, m);
    }
    fold_step(&w.fold, 3, NULL);
    assert_int_equal(w.fold.unstable, 3); /* not found, for what stands at the root now */
    switch (how) {
    case 0:
        fold_hint(&w.fold, &w.vms[0].p2m, GFN(1));
        break;
    case 1: /* who meets it in the tree takes it out */
        scene_fill(&w, 3, 1, 10);
        fold_hint(&w.fold, &w.vms[3].p2m, GFN(1));
        scene_fill(&w, 1, 3, 10);
        fold_hint(&w.fold, &w.vms[1].p2m, GFN(3));
        break;
    default:
        fold_detach(&w.fold, &w.vms[0].p2m);
        p2m_drop_all(&w.vms[0].p2m);
        memset(w.vms[0].oracle, 0, (WORLD_PAGES + 2) * PAGE_SIZE);
        break;
    }
    scene_passes(&w, 5);
    assert_int_equal(w.vms[1].p2m.shared_maps, 2);
    if (how == 1) {
        p2m_put(&w.vms[0].p2m, m);
        scene_passes(&w, 5);
        assert_int_equal(w.vms[1].p2m.shared_maps, 3);
    }
    world_audit(&w);
    world_compare(&w);
    world_fini(&w);
}

static void test_who_was_misled_is_found(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        mislead(how);
    }
}

static enum page_class cache_by_gfn(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk)
{
    (void)ctx;
    (void)p;
    return gfn.n == 1 && from_disk ? PAGE_CACHE : PAGE_ANON;
}

/* A page in the index is read anew from a disk, and is of a class that is left alone by then. */
static void leaves_index(enum fold_index index, enum fold_volatility volatility)
{
    struct fold_switches to;
    struct world w;

    scene_init_with(&w, index, volatility);
    w.fold.classify = cache_by_gfn;
    to = w.fold.on;
    to.pagecache = FOLD_PAGECACHE_SKIP;
    fold_switch(&w.fold, &to);
    scene_fill(&w, 0, 1, 5);
    scene_passes(&w, 3);
    scene_fill(&w, 0, 1, 6);
    fold_hint(&w.fold, &w.vms[0].p2m, GFN(1));
    scene_passes(&w, 1);
    assert_true(scene_counters(&w).pages_ineligible > 0);
    for (unsigned vm = 0; vm < 2; vm++) {
        scene_fill(&w, vm, 2, 5); /* what it was before */
        scene_fill(&w, vm, 3, 6); /* what it is */
    }
    scene_passes(&w, 5);
    assert_int_equal(scene_counters(&w).collisions, 0);
    assert_int_equal(scene_counters(&w).pages_shared, 2);
    assert_int_equal(scene_counters(&w).pages_sharing, 2);
    assert_int_equal(scene_counters(&w).by_class[PAGE_CACHE].folded, 0);
    world_audit(&w);
    world_compare(&w);
    world_fini(&w);
}

/* It was in the index when its class began to be left alone. */
static void taken_out(enum fold_index index, enum fold_volatility volatility)
{
    struct fold_switches to;
    struct world w;

    scene_init_with(&w, index, volatility);
    w.fold.classify = cache_by_gfn;
    scene_fill(&w, 0, 1, 5);
    fold_hint(&w.fold, &w.vms[0].p2m, GFN(1));
    scene_passes(&w, 3);
    to = w.fold.on;
    to.pagecache = FOLD_PAGECACHE_SKIP;
    fold_switch(&w.fold, &to);
    scene_passes(&w, 1);
    scene_fill(&w, 1, 2, 5);
    scene_passes(&w, 5);
    assert_int_equal(scene_counters(&w).pages_shared, 0);
    scene_fill(&w, 0, 2, 5);
    scene_passes(&w, 5);
    assert_int_equal(scene_counters(&w).pages_sharing, 1);
    assert_int_equal(w.vms[0].p2m.shared_maps, 1);
    world_audit(&w);
    world_fini(&w);
}

static void test_left_alone_is_in_no_index(void **state)
{
    (void)state;
    scene_each(leaves_index);
    scene_each(taken_out);
}

/* A hint is good for one look, and for none when the page was written since. */
static void test_hints_are_overtaken_by_writes(void **state)
{
    (void)state;
    struct world w;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    scene_fill(&w, 0, 1, 5);
    fold_hint(&w.fold, &w.vms[0].p2m, GFN(1));
    fold_hint(&w.fold, &w.vms[0].p2m, GFN(1));
    fold_step(&w.fold, 2, NULL);
    assert_int_equal(scene_counters(&w).pages_hinted, 1); /* once is enough */
    scene_fill(&w, 0, 1, 6);
    fold_hint(&w.fold, &w.vms[0].p2m, GFN(1));
    scene_poke(&w, 0, 1, 3, 7);
    fold_step(&w.fold, 2, NULL);
    assert_int_equal(scene_counters(&w).pages_hinted, 1);
    world_fini(&w);
}

/* A guest that reads its disk without end has its pages looked at, but others' too. */
static void test_hints_leave_room_for_the_pass(void **state)
{
    (void)state;
    struct world w;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    scene_fill(&w, 0, 3, 7);
    scene_fill(&w, 1, 3, 7);
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned k = 0; k < 8; k++) {
            scene_fill(&w, 3, 1, (uint8_t)(1 + (8 * i + k) % 250));
            fold_hint(&w.fold, &w.vms[3].p2m, GFN(1));
        }
        fold_step(&w.fold, 8, NULL);
    }
    assert_true(scene_counters(&w).pages_hinted > 100);
    assert_int_equal(scene_counters(&w).pages_sharing, 1);
    assert_true(w.fold.full_scans > 10);
    world_fini(&w);
}

/* A log that is collected while a device holds a page hears of what the device wrote after that. */
static void test_logs_hear_of_writes_in_flight(void **state)
{
    (void)state;
    struct world w;
    uint64_t bits[P2M_REGION_WORDS];
    struct p2m_log log = {.bits = bits};
    mfn_t m;

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    struct p2m *p = &w.vms[0].p2m;
    assert_int_equal(p2m_log_join(p, &log), OK);
    assert_int_equal(p2m_get_write(p, GFN(3), &m), OK);
    p2m_log_collect(p);
    memset(bits, 0, sizeof(bits));
    memset(frame_bytes(&w.f, m), 9, PAGE_SIZE);
    memset(w.vms[0].oracle[3], 9, PAGE_SIZE);
    p2m_put(p, m);
    p2m_log_collect(p);
    assert_int_equal(bits[0], 1u << 3);
    p2m_log_leave(p, &log);
    world_compare(&w);
    world_fini(&w);
}

/* Until the flush a CPU writes to gfn 1 through what it has cached. */
static void write_once(void *ctx, struct fake_map *m)
{
    struct world *w = ctx;
    struct fake_slot *c = &m->cached[0][0][1];
    unsigned vm = m == &w->vms[0].map ? 0 : 1;

    if (c->present && c->writable) {
        m->entries[1].dirty |= !c->dirty;
        c->dirty = true;
        ((uint8_t *)frame_bytes(&w->f, c->mfn))[0] = 10;
        w->vms[vm].oracle[1][0] = 10;
        m->race = NULL;
    }
}

/* One of two equal pages changes at the last moment: the other is found by a third later. */
static void turn_away(enum fold_index index, enum fold_volatility volatility, unsigned vm)
{
    struct world w;

    scene_init_with(&w, index, volatility);
    fold_detach(&w.fold, &w.vms[2].p2m);
    scene_fill(&w, 0, 1, 50);
    scene_passes(&w, 3);
    scene_fill(&w, 1, 1, 50);
    scene_passes(&w, 1);
    scan_up_to(&w, 1);
    assert_int_equal(fake_guest_read(&w.vms[vm].p2m, 0, 0, GFN(1), 0, &(uint8_t){0}), OK);
    w.vms[vm].map.race = write_once;
    scene_passes(&w, 1);
    assert_int_equal(scene_counters(&w).merges, 0);
    assert_null(w.vms[vm].map.race);
    scene_fill(&w, 1, 2, 50);
    scene_passes(&w, 5);
    assert_int_equal(w.vms[0].p2m.shared_maps, vm == 0 ? 0 : 1);
    assert_int_equal(w.vms[1].p2m.shared_maps, vm == 0 ? 2 : 1);
    assert_int_equal(scene_counters(&w).collisions, 0);
    world_audit(&w);
    world_compare(&w);
    world_fini(&w);
}

static void turns_away(enum fold_index index, enum fold_volatility volatility)
{
    turn_away(index, volatility, 0);
    turn_away(index, volatility, 1);
}

static void test_twin_that_turns_away(void **state)
{
    (void)state;
    scene_each(turns_away);
}

/* The same as a page that misleads another and is folded itself, as what it is now. */
static void test_twin_that_misled_is_folded(void **state)
{
    (void)state;
    struct world w;

    scene_init_with(&w, FOLD_TREE, FOLD_DIRTY);
    fold_detach(&w.fold, &w.vms[2].p2m);
    scene_fill(&w, 0, 1, 50);
    scene_fill(&w, 0, 2, 30);
    scene_passes(&w, 3);
    scene_fill(&w, 1, 1, 30);
    scene_fill(&w, 1, 2, 10);
    scene_passes(&w, 1);
    scan_up_to(&w, 1);
    scene_fill(&w, 0, 1, 10);
    scene_passes(&w, 1);
    assert_int_equal(w.vms[0].p2m.shared_maps, 1);
    scene_passes(&w, 5);
    assert_int_equal(w.vms[0].p2m.shared_maps, 2);
    world_audit(&w);
    world_compare(&w);
    world_fini(&w);
}

/* Lookahead merges with no page that a device holds. */
static void not_at_a_device(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;
    mfn_t m;

    if (volatility == FOLD_CHECKSUM && index == FOLD_TREE) {
        return; /* where it stands in no index when the time comes */
    }
    scene_init_with(&w, index, volatility);
    fold_detach(&w.fold, &w.vms[2].p2m);
    for (unsigned vm = 0; vm < 2; vm++) {
        scene_fill(&w, vm, 1, 5);
    }
    scene_fill(&w, 0, 2, 6);
    scene_passes(&w, 4);
    scene_fill(&w, 1, 2, 6);
    scene_passes(&w, 1);
    scan_up_to(&w, 1);
    assert_int_equal(p2m_get_write(&w.vms[0].p2m, GFN(2), &m), OK);
    scene_passes(&w, 3);
    assert_int_equal(w.vms[1].p2m.shared_maps, 1);
    memset(frame_bytes(&w.f, m), 7, PAGE_SIZE);
    memset(w.vms[0].oracle[2], 7, PAGE_SIZE);
    world_compare(&w);
    world_audit(&w);
    p2m_put(&w.vms[0].p2m, m);
    world_fini(&w);
}

static void test_lookahead_and_devices(void **state)
{
    (void)state;
    scene_each(not_at_a_device);
}

/* An entry that could not be set is tried again, though nobody writes the page. */
static void tries_again(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    scene_init_with(&w, index, volatility);
    for (unsigned vm = 0; vm < 2; vm++) {
        scene_fill(&w, vm, 1, 5);
    }
    scene_fill(&w, 0, 2, 0);
    w.vms[0].map.fail_maps = true;
    w.vms[1].map.fail_maps = true;
    scene_passes(&w, 4);
    assert_int_equal(
        scene_counters(&w).merges + w.vms[0].p2m.zero_merges + w.vms[1].p2m.zero_merges, 0);
    w.vms[0].map.fail_maps = false;
    w.vms[1].map.fail_maps = false;
    scene_passes(&w, 10); /* by checksums it may rest for 8 */
    assert_int_equal(scene_counters(&w).pages_sharing, 1);
    assert_int_equal(w.vms[0].p2m.zero_maps, 1 + 1);
    world_audit(&w);
    world_compare(&w);
    world_fini(&w);
}

static void test_refused_merges_are_tried_again(void **state)
{
    (void)state;
    scene_each(tries_again);
}

/* A write to a page that is being folded, and an access that never comes after its fault. */
static void test_logs_hear_of_what_is_replaced(void **state)
{
    (void)state;
    struct world w;
    uint64_t bits[P2M_REGION_WORDS];
    struct p2m_log log = {.bits = bits};

    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    struct p2m *p = &w.vms[1].p2m;
    scene_fill(&w, 0, 1, 5);
    scene_fill(&w, 1, 1, 5);
    scene_passes(&w, 1);
    scan_up_to(&w, 1);
    assert_int_equal(p2m_log_join(p, &log), OK);
    memset(bits, 0, sizeof(bits));
    scene_poke(&w, 1, 1, 9, 5); /* what is there already */
    scene_passes(&w, 1);
    assert_int_equal(p->shared_maps, 1);
    p2m_log_collect(p);
    assert_true(bits[0] & 1u << 1);

    scene_poke(&w, 1, 2, 9, 5);
    p2m_log_collect(p);
    memset(bits, 0, sizeof(bits));
    scene_poke(&w, 1, 2, 9, 6);
    p->ops->protect(p->ctx, GFN(2));
    p->ops->flush(p->ctx);
    assert_int_equal(p2m_fault(p, GFN(2), true), OK); /* the entry that comes now is a clean one */
    p2m_log_collect(p);
    assert_true(bits[0] & 1u << 2);

    scene_poke(&w, 1, 3, 9, 5);
    assert_true(p2m_harvest_page(p, GFN(3)));
    memset(bits, 0, sizeof(bits));
    scene_poke(&w, 1, 3, 9, 6); /* by the same translation, unless that was flushed */
    p2m_log_collect(p);
    assert_true(bits[0] & 1u << 3);
    p2m_log_leave(p, &log);
    world_fini(&w);
}

/* Pages that a fault made private, and nobody wrote to then, are folded as any other. */
static void never_written(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    scene_init_with(&w, index, volatility);
    scene_fill(&w, 0, 1, 5);
    scene_fill(&w, 1, 1, 5);
    scene_passes(&w, 3);
    assert_int_equal(scene_counters(&w).pages_sharing, 1);
    assert_int_equal(p2m_fault(&w.vms[0].p2m, GFN(1), true), OK); /* a copy */
    assert_int_equal(p2m_fault(&w.vms[0].p2m, GFN(2), true), OK); /* a hole */
    assert_int_equal(p2m_fault(&w.vms[0].p2m, GFN(0), true), OK); /* the zero page */
    scene_passes(&w, 3);
    assert_int_equal(scene_counters(&w).pages_sharing, 1);
    assert_int_equal(w.vms[0].p2m.zero_maps, 2);
    for (unsigned vm = 0; vm < 2; vm++) {
        assert_int_equal(p2m_fault(&w.vms[vm].p2m, GFN(1), true), OK); /* a copy, and taken over */
    }
    assert_int_equal(scene_counters(&w).pages_shared, 0);
    scene_passes(&w, 20);
    assert_int_equal(scene_counters(&w).pages_sharing, 1);
    world_audit(&w);
    world_compare(&w);
    world_fini(&w);
}

static void test_faults_without_a_write(void **state)
{
    (void)state;
    scene_each(never_written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_was_misled_is_found),
        cmocka_unit_test(test_left_alone_is_in_no_index),
        cmocka_unit_test(test_twin_that_turns_away),
        cmocka_unit_test(test_twin_that_misled_is_folded),
        cmocka_unit_test(test_lookahead_and_devices),
        cmocka_unit_test(test_refused_merges_are_tried_again),
        cmocka_unit_test(test_hints_are_overtaken_by_writes),
        cmocka_unit_test(test_hints_leave_room_for_the_pass),
        cmocka_unit_test(test_logs_hear_of_writes_in_flight),
        cmocka_unit_test(test_logs_hear_of_what_is_replaced),
        cmocka_unit_test(test_faults_without_a_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
