/* SPDX-License-Identifier: BSD-2-Clause */
/* Nothing is held twice for long: pages that rest when a block comes to be the cache's alone, and
 * blocks that were read for nobody. */
#include "base/bits.h"
#include "mm/cache/store.h"
#include "mm/fold/page.h"
#include "world_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Pages 3 and 4 are free. */
static enum page_class classify_by_gfn(void *ctx, struct p2m *p, gfn_t gfn, bool from_disk)
{
    (void)ctx;
    (void)p;
    (void)from_disk;
    return gfn.n == 3 || gfn.n == 4 ? PAGE_FREE : PAGE_ANON;
}

/* Free pages are left alone, and the resting ones have just been woken. */
static void begin(struct world *w, enum fold_index index, enum fold_volatility volatility)
{
    scene_init_with(w, index, volatility);
    w->fold.classify = classify_by_gfn;
    struct fold_switches to = w->fold.on;
    to.skip = BIT(PAGE_FREE);
    fold_switch(&w->fold, &to);
    scene_passes(w, 1);
    while (w->fold.full_scans % FOLD_ROUND != 1) {
        scene_passes(w, 1);
    }
}

/* A page that rests, free or for its folds, is found by a block that comes. */
static void new_block(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    scene_fill(&w, 0, 3, 9);
    scene_fill(&w, 0, 6, 8);
    scene_fill(&w, 3, 3, 9);                    /* another group's */
    p2m_page(&w.vms[0].p2m, GFN(6))->rests = 9; /* its folds kept breaking */
    scene_passes(&w, 3);
    assert_int_equal(p2m_page(&w.vms[0].p2m, GFN(6))->rests, 8);
    (void)scene_put(&w, 1, 9, 0);
    (void)scene_put(&w, 2, 8, 0);
    scene_passes(&w, 2);
    assert_true(w.fold.full_scans % FOLD_ROUND != 0); /* they were not woken */
    assert_int_equal(scene_frame_at(&w, 0, 3).n, scene_frame_of(&w, 1).n);
    assert_int_equal(scene_frame_at(&w, 0, 6).n, scene_frame_of(&w, 2).n);
    assert_int_equal(p2m_page(&w.vms[0].p2m, GFN(6))->rests, 8); /* and rests no shorter */
    assert_int_not_equal(scene_frame_at(&w, 3, 3).n, scene_frame_of(&w, 1).n);
    assert_int_equal(cache_held(&w.cache), 0);
    scene_end(&w);
}

/* By a block that is left to the cache when its last guest has let go, too: also a second time. */
static void left_alone(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    (void)scene_put(&w, 1, 9, 0);
    scene_adopt(&w, 1, 5, 1);
    scene_fill(&w, 0, 3, 9);
    scene_passes(&w, 3);
    mfn_t block = scene_frame_of(&w, 1);
    assert_int_equal(scene_frame_at(&w, 1, 5).n, block.n);
    assert_int_not_equal(scene_frame_at(&w, 0, 3).n,
                         block.n); /* free, and somebody has the block */
    scene_poke(&w, 1, 5, 0, 1);
    assert_int_equal(scene_frame(&w, block)->state, FRAME_CACHE_ONLY);
    scene_passes(&w, 2);
    assert_true(w.fold.full_scans % FOLD_ROUND != 0);
    assert_int_equal(scene_frame_at(&w, 0, 3).n, block.n);
    assert_int_equal(cache_held(&w.cache), 0);

    while (w.fold.full_scans % FOLD_ROUND != 1) {
        scene_passes(&w, 1);
    }
    scene_fill(&w, 1, 4, 9);
    scene_passes(&w, 3);
    assert_int_not_equal(scene_frame_at(&w, 1, 4).n, block.n);
    scene_poke(&w, 0, 3, 0, 1);
    scene_passes(&w, 2);
    assert_int_equal(scene_frame_at(&w, 1, 4).n, block.n);
    scene_end(&w);
}

/* A page that rests maps a frame that the engine has not taken in, as the block had gone to another
 * one: the block comes back when nobody else has that one. */
static void left_in_two(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    scene_fill(&w, 0, 5, 9);
    scene_fill(&w, 1, 5, 9);
    scene_passes(&w, 3);
    mfn_t shared = scene_frame_at(&w, 0, 5);
    assert_int_equal(scene_frame(&w, shared)->state, FRAME_SHARED);
    (void)scene_put(&w, 1, 9, 0);
    scene_adopt(&w, 0, 3, 1);
    scene_passes(&w, 2);
    assert_int_equal(scene_frame_of(&w, 1).n, shared.n);
    assert_int_not_equal(scene_frame_at(&w, 0, 3).n, shared.n);
    scene_poke(&w, 0, 5, 0, 1);
    scene_poke(&w, 1, 5, 0, 2);
    assert_int_equal(scene_frame(&w, shared)->state, FRAME_CACHE_ONLY);
    scene_passes(&w, 2);
    assert_int_equal(scene_frame_at(&w, 0, 3).n, scene_frame_of(&w, 1).n);
    assert_int_equal(cache_held(&w.cache), 0);
    scene_end(&w);
}

/* Only those that may be equal are looked at. */
static void test_cost(void **state)
{
    struct world w;

    (void)state;
    begin(&w, FOLD_HASH, FOLD_DIRTY);
    (void)scene_put(&w, 1, 99, 0);
    for (unsigned i = 0; i < 4; i++) {
        scene_fill(&w, i / 2, 5 + i % 2, (uint8_t)(30 + i));
        p2m_page(&w.vms[i / 2].p2m, GFN(5 + i % 2))->rests = 100;
    }
    scene_passes(&w, 3);
    uint64_t hashes = w.fold.hashes;
    (void)scene_put(&w, 2, 98, 0);
    (void)scene_put(&w, 3, 32, 0);
    scene_passes(&w, 2);
    assert_int_equal(scene_frame_at(&w, 1, 5).n, scene_frame_of(&w, 3).n);
    assert_int_equal(w.fold.hashes - hashes, 2 + 1); /* the blocks, and the page */
    scene_end(&w);
}

/* ---- for nobody ---------------------------------------------------------------------------- */

/* Of several groups' guests none may tell what the hypervisor reads: it is not kept. */
static void nobodys(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;
    uint32_t e;

    begin(&w, index, volatility);
    (void)scene_put(&w, 1, 9, FRAME_NO_GROUP);
    (void)scene_put(&w, 2, 0, FRAME_NO_GROUP);
    memset(w.disk[3], 7, PAGE_SIZE);
    assert_int_equal(cache_write(&w.cache, SCENE_DISK, 3, false, FRAME_NO_GROUP, &e), OK);
    memset(frame_bytes(&w.f, cache_frame(&w.cache, e)), 7, PAGE_SIZE);
    scene_passes(&w, 1);
    assert_int_equal(cache_find(&w.cache, SCENE_DISK, 1), CACHE_NIL);
    assert_true(cache_is_zero(&w.cache, cache_find(&w.cache, SCENE_DISK, 2)));
    assert_int_equal(cache_find(&w.cache, SCENE_DISK, 3), e); /* it has to be written out first */
    assert_int_equal(w.cache.n_new, 0);
    cache_write_out(&w.cache, e);
    assert_true(cache_written(&w.cache, e, true));
    scene_passes(&w, 1);
    assert_int_equal(cache_find(&w.cache, SCENE_DISK, 3), CACHE_NIL);
    assert_int_equal(cache_held(&w.cache), 0);
    scene_end(&w);
}

/* Nor those that are there already, while others are still to come: it may be about them. */
static void nobodys_before_others(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    fold_detach(&w.fold, &w.vms[3].p2m);
    assert_int_equal(fold_forget(&w.fold, &w.groups[1]), OK);
    w.fold.several_groups = true;
    scene_fill(&w, 0, 5, 9);
    scene_passes(&w, 2);
    mfn_t before = scene_frame_at(&w, 0, 5);
    (void)scene_put(&w, 1, 9, FRAME_NO_GROUP);
    scene_passes(&w, 2);
    assert_int_equal(cache_find(&w.cache, SCENE_DISK, 1), CACHE_NIL);
    assert_int_equal(scene_frame_at(&w, 0, 5).n, before.n);
    assert_int_equal(scene_frame(&w, before)->state, FRAME_PRIVATE);
    fold_attach(&w.fold, &w.vms[3].p2m);
    scene_end(&w);
}

/* Of a single group's guests any may: who has the same content shares it. */
static void nobodys_of_one_group(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    fold_detach(&w.fold, &w.vms[3].p2m);
    assert_int_equal(fold_forget(&w.fold, &w.groups[1]), OK);
    scene_fill(&w, 0, 5, 9);
    scene_passes(&w, 2);
    (void)scene_put(&w, 1, 9, FRAME_NO_GROUP);
    (void)scene_put(&w, 2, 8, FRAME_NO_GROUP);
    scene_passes(&w, 2);
    assert_int_equal(scene_frame_at(&w, 0, 5).n, scene_frame_of(&w, 1).n);
    assert_int_equal(cache_held(&w.cache), 1);
    scene_fill(&w, 1, 5, 8);
    scene_passes(&w, 3);
    assert_int_equal(scene_frame_at(&w, 1, 5).n, scene_frame_of(&w, 2).n);
    fold_attach(&w.fold, &w.vms[3].p2m);
    scene_end(&w);
}

/* The page is given to the disk, which keeps nothing of it. */
static void give_in_vain(struct world *w, unsigned vm, uint64_t gfn)
{
    struct p2m *p = &w->vms[vm].p2m;
    mfn_t mfn;

    assert_int_equal(p2m_get_read(p, GFN(gfn), &mfn), OK);
    p2m_share_for_io(p, &(gfn_t){gfn}, 1);
    assert_int_equal(scene_frame(w, scene_frame_at(w, vm, gfn))->state, FRAME_SHARED);
    p2m_put(p, mfn);
}

/* A page that had its turn long ago, and was frozen for a block that did not stay, has another. */
static void frozen_in_vain(enum fold_index index, enum fold_volatility volatility)
{
    struct world w;

    begin(&w, index, volatility);
    scene_fill(&w, 0, 5, 9);
    scene_fill(&w, 0, 6, 8);
    scene_passes(&w, 4);
    give_in_vain(&w, 0, 5);
    give_in_vain(&w, 0, 6);
    scene_passes(&w, 2);
    scene_fill(&w, 1, 5, 9);
    (void)scene_put(&w, 1, 8, 0);
    scene_passes(&w, 4);
    assert_int_equal(scene_frame_at(&w, 1, 5).n, scene_frame_at(&w, 0, 5).n);
    assert_int_equal(scene_frame_at(&w, 0, 6).n, scene_frame_of(&w, 1).n);
    scene_end(&w);
}

#define EACH(name)                                                                                 \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        scene_each(name);                                                                          \
    }
EACH(new_block)
EACH(left_alone)
EACH(left_in_two)
EACH(nobodys)
EACH(nobodys_before_others)
EACH(nobodys_of_one_group)
EACH(frozen_in_vain)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_block),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_left_in_two),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_nobodys),
        cmocka_unit_test(test_nobodys_of_one_group),
        cmocka_unit_test(test_nobodys_before_others),
        cmocka_unit_test(test_frozen_in_vain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
