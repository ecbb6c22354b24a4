/* SPDX-License-Identifier: BSD-2-Clause */
/* Undoing folds: what gets frames and what does not, in bounded steps, and when frames run short.
 */
#include "mm/fold/unmerge.h"
#include "world_scene.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

/* Pages 1 to 3 are equal in VMs 0 and 1, page 4 has zeroes, page 5 is each VM's own; page 6 was
 * read only, as scene_init leaves page 0 as well. */
static void fold_some(struct world *w, enum fold_index index, enum fold_volatility volatility)
{
    uint8_t byte;

    scene_init_with(w, index, volatility);
    for (unsigned vm = 0; vm < 2; vm++) {
        for (unsigned g = 1; g < 4; g++) {
            scene_fill(w, vm, g, (uint8_t)(0x10 + g));
        }
        scene_fill(w, vm, 4, 0);
        scene_fill(w, vm, 5, (uint8_t)(0x50 + vm));
        assert_int_equal(fake_guest_read(&w->vms[vm].p2m, 0, 0, GFN(6), 0, &byte), OK);
    }
    scene_passes(w, 4);
    assert_int_equal(scene_counters(w).pages_sharing, 3);
    assert_int_equal(w->vms[0].p2m.shared_maps, 3);
    assert_int_equal(w->vms[0].p2m.zero_maps, 3);
}

static void turn_off(struct world *w, unsigned vm)
{
    struct p2m *p = &w->vms[vm].p2m;

    fold_detach(&w->fold, p);
    p->fold_off = true;
    unmerge_begin(&w->vms[vm].unmerge, p);
}

static enum unmerge_end step(struct world *w, unsigned vm, unsigned budget, uint64_t reserve)
{
    struct world_vm *v = &w->vms[vm];

    return unmerge_step(&v->unmerge, &w->fold, &v->p2m, budget, reserve);
}

static void one_vm(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    fold_some(&w, index, volatility);
    turn_off(&w, 0);
    assert_int_equal(step(&w, 0, 1000, 0), UNMERGE_DONE);
    struct p2m *p = &w.vms[0].p2m;
    assert_int_equal(p->shared_maps, 0);
    assert_int_equal(p->zero_maps, 2); /* what was only read */
    assert_int_equal(w.vms[0].unmerge.given, 4);
    assert_int_equal(scene_counters(&w).pages_sharing, 0);
    assert_int_equal(frame_of(&w.f, scene_frame_at(&w, 0, 1))->state, FRAME_PRIVATE);
    assert_int_equal(frame_of(&w.f, scene_frame_at(&w, 1, 1))->state, FRAME_SHARED);
    assert_false(frame_of(&w.f, scene_frame_at(&w, 0, 5))->flags & FRAME_F_INDEXED);
    world_audit(&w);
    world_compare(&w);
    /* It stays so, whatever passes and whatever is equal. */
    scene_fill(&w, 0, 5, 0x51);
    scene_passes(&w, 10);
    assert_int_equal(p->shared_maps, 0);
    assert_int_equal(scene_counters(&w).pages_sharing, 0);
    /* On again, all is found again, and nothing rests because its fold had ended. */
    uint64_t zero_maps = p->zero_maps;
    p->fold_off = false;
    fold_attach(&w.fold, p);
    scene_passes(&w, 4);
    assert_int_equal(scene_counters(&w).pages_sharing, 3 + 1);
    assert_int_equal(p->zero_maps, zero_maps + 1);
    world_audit(&w);
    world_compare(&w);
    world_settle(&w);
    world_fini(&w);
}

static void test_one_vm(void **state)
{
    (void)state;
    scene_each(one_vm);
}

/* All VMs, while they may be folded again: fold.run is what keeps them from it. */
static void all_vms(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;
    uint64_t given = 0;

    fold_some(&w, index, volatility);
    uint64_t wanted = scene_counters(&w).pages_sharing, frames = w.f.by_state[FRAME_FREE];
    struct fold_switches to = w.fold.on;
    to.run = false;
    fold_switch(&w.fold, &to);
    for (unsigned vm = 0; vm < WORLD_VMS; vm++) {
        unmerge_begin(&w.vms[vm].unmerge, &w.vms[vm].p2m);
        assert_int_equal(step(&w, vm, 1000, 0), UNMERGE_DONE);
        given += w.vms[vm].unmerge.given;
    }
    struct fold_counters c = scene_counters(&w);
    assert_int_equal(c.pages_sharing, 0);
    assert_int_equal(c.pages_shared, 0);
    assert_int_equal(given, 6 + 2);
    /* The last user of a frame took it over. */
    assert_int_equal(frames - w.f.by_state[FRAME_FREE], wanted + 2);
    assert_int_equal(w.fold.unstable, 0);
    world_audit(&w);
    world_compare(&w);
    to.run = true;
    fold_switch(&w.fold, &to);
    scene_passes(&w, 4);
    assert_int_equal(scene_counters(&w).pages_sharing, 3);
    world_settle(&w);
    world_fini(&w);
}

static void test_all_vms(void **state)
{
    (void)state;
    scene_each(all_vms);
}

/* A step does what it was given a budget for, and the walk goes on where it was. */
static void test_steps_are_bounded(void **state)
{
    struct world w;
    unsigned steps = 0;

    (void)state;
    fold_some(&w, FOLD_HASH, FOLD_DIRTY);
    turn_off(&w, 0);
    for (;; steps++) {
        uint64_t given = w.vms[0].unmerge.given, free_frames = w.f.by_state[FRAME_FREE];
        enum unmerge_end end = step(&w, 0, 1, 0);
        assert_true(w.vms[0].unmerge.given <= given + 1);
        assert_true(w.f.by_state[FRAME_FREE] + 1 >= free_frames);
        world_audit(&w);
        if (end == UNMERGE_DONE) {
            break;
        }
        assert_int_equal(end, UNMERGE_MORE);
    }
    assert_int_equal(steps, 7); /* the pages that are present */
    assert_false(w.vms[0].unmerge.on);
    world_compare(&w);
    world_fini(&w);
}

/* With too few frames it stops, and nothing is lost; with more it goes on. What needs none is done.
 */
static void test_short_of_frames(void **state)
{
    struct world w;
    mfn_t taken[200];
    unsigned n = 0;

    (void)state;
    fold_some(&w, FOLD_HASH, FOLD_DIRTY);
    turn_off(&w, 0);
    while (w.f.by_state[FRAME_FREE] > 2) {
        assert_int_equal(frames_alloc(&w.f, FRAME_HYP, &taken[n++]), OK);
    }
    assert_int_equal(step(&w, 0, 1000, 1), UNMERGE_SHORT);
    assert_int_equal(w.f.by_state[FRAME_FREE], 1);
    assert_int_equal(w.vms[0].unmerge.given, 1);
    assert_int_equal(w.vms[0].p2m.shared_maps, 2);
    assert_int_equal(step(&w, 0, 1000, 1), UNMERGE_SHORT);
    assert_int_equal(w.f.by_state[FRAME_FREE], 1);
    world_audit(&w);
    /* Nobody else has these two any more. */
    scene_poke(&w, 1, 2, 0, 0x77);
    frames_free(&w.f, taken[--n]);
    scene_poke(&w, 1, 3, 0, 0x77);
    assert_int_equal(w.f.by_state[FRAME_FREE], 0);
    assert_int_equal(step(&w, 0, 1000, 1), UNMERGE_SHORT); /* the page of zeroes */
    assert_int_equal(w.vms[0].p2m.shared_maps, 0);
    assert_int_equal(w.vms[0].unmerge.given, 3);
    while (n > 0) {
        frames_free(&w.f, taken[--n]);
    }
    world_audit(&w);
    assert_int_equal(step(&w, 0, 1000, 1), UNMERGE_DONE);
    assert_int_equal(w.vms[0].unmerge.given, 4);
    world_compare(&w);
    world_audit(&w);
    world_fini(&w);
}

/* Blocks that the guest maps stay the cache's; one that a device reads keeps its bytes. */
static void test_blocks_and_devices(void **state)
{
    struct world w;
    mfn_t held;

    (void)state;
    scene_init_with(&w, FOLD_HASH, FOLD_DIRTY);
    cache_set_mode(&w.cache, CACHE_FOLD);
    mfn_t block = scene_put(&w, 1, 9, 0), other = scene_put(&w, 2, 8, 0);
    scene_adopt(&w, 0, 1, 1);
    scene_adopt(&w, 0, 2, 2);
    scene_adopt(&w, 1, 2, 2);
    assert_int_equal(p2m_get_read(&w.vms[0].p2m, GFN(2), &held), OK);
    assert_int_equal(held.n, other.n);
    turn_off(&w, 0);
    assert_int_equal(step(&w, 0, 1000, 0), UNMERGE_DONE);
    assert_int_equal(w.vms[0].p2m.shared_maps, 0);
    assert_int_equal(scene_frame_of(&w, 1).n, block.n);
    assert_int_equal(frame_of(&w.f, block)->state, FRAME_CACHE_ONLY);
    assert_int_equal(frame_of(&w.f, other)->refs, 2);
    assert_int_not_equal(scene_frame_at(&w, 0, 2).n, other.n);
    scene_poke(&w, 0, 2, 5, 0x33);
    assert_int_equal(((uint8_t *)frame_bytes(&w.f, held))[5], 8);
    world_audit(&w);
    p2m_put(&w.vms[0].p2m, held);
    world_compare(&w);
    scene_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_vm),
        cmocka_unit_test(test_all_vms),
        cmocka_unit_test(test_steps_are_bounded),
        cmocka_unit_test(test_short_of_frames),
        cmocka_unit_test(test_blocks_and_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
