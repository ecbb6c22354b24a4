/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Share groups: what the VMs of one hold makes no difference to a VM of another, and no hint leads
 * out of a group.
 */
#include "world_scene.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"

#define ALONE 3 /* the VM that has a group of its own */
#define ROUNDS 40

static uint64_t gfn_of(unsigned n)
{
    return n < WORLD_PAGES / 2 ? n : n + 2;
}

/* All that the VM alone can notice: each page's kind of mapping, and what its writes have cost. */
static void assert_same_view(const struct world *a, const struct world *b)
{
    const struct p2m *p = &a->vms[ALONE].p2m, *q = &b->vms[ALONE].p2m;

    for (unsigned n = 0; n < WORLD_PAGES; n++) {
        const struct fake_slot *s = &a->vms[ALONE].map.entries[gfn_of(n)];
        const struct fake_slot *t = &b->vms[ALONE].map.entries[gfn_of(n)];
        assert_int_equal(s->present, t->present);
        if (!s->present) {
            continue;
        }
        const struct frame *x = frame_of(&a->f, s->mfn), *y = frame_of(&b->f, t->mfn);
        assert_int_equal(s->writable, t->writable);
        assert_int_equal(x->state, y->state);
        assert_true(x->refs == y->refs || x->state == FRAME_ZERO);
    }
    assert_int_equal(p->demand_zero, q->demand_zero);
    assert_int_equal(p->cow_breaks, q->cow_breaks);
    assert_int_equal(p->zero_breaks, q->zero_breaks);
    assert_int_equal(p->takeovers, q->takeovers);
    assert_int_equal(p->merges, q->merges);
    assert_int_equal(p->zero_merges, q->zero_merges);
}

static void join_zero(struct world *w)
{
    scene_fill(w, ALONE, 0, 9); /* its only zero entry: a page that is mapped cannot be exchanged */
    world_join_zero(w);
}

/*
 * Two machines in which the VM alone does the same. In one, the others hold copies of its pages; in
 * the other, they hold none of them. With the zero page in common or not, it must not make out in
 * which machine it is.
 */
static void others_do_not_show(enum fold_index index, enum fold_volatility volatility)
{
    for (unsigned common_zero = 0; common_zero < 2; common_zero++) {
        struct world copies, strangers;
        struct rnd r = {4711 + common_zero};

        scene_init_with(&copies, index, volatility);
        scene_init_with(&strangers, index, volatility);
        if (common_zero) {
            join_zero(&copies);
            join_zero(&strangers);
        }
        for (unsigned round = 0; round < ROUNDS; round++) {
            for (unsigned k = 0; k < 6; k++) {
                uint64_t gfn = gfn_of(rnd_below(&r, WORLD_PAGES));
                uint8_t value = (uint8_t)rnd_below(&r, 5), vm = (uint8_t)rnd_below(&r, ALONE);
                scene_fill(&copies, ALONE, gfn, value);
                scene_fill(&strangers, ALONE, gfn, value);
                scene_fill(&copies, vm, gfn, value);
                scene_fill(&strangers, vm, gfn, (uint8_t)(100 + rnd_below(&r, 100)));
            }
            unsigned n = 1 + rnd_below(&r, 3);
            scene_passes(&copies, n);
            scene_passes(&strangers, n);
            assert_same_view(&copies, &strangers);
        }
        assert_true(copies.groups[0].merges > strangers.groups[0].merges);
        assert_true(copies.vms[ALONE].p2m.merges > 0 && copies.vms[ALONE].p2m.cow_breaks > 0);
        world_audit(&copies);
        world_audit(&strangers);
        world_compare(&copies);
        world_compare(&strangers);
        world_fini(&copies);
        world_fini(&strangers);
    }
}

static void test_others_do_not_show(void **state)
{
    (void)state;
    scene_each(others_do_not_show);
}

/* A folded frame's note of where it came from leads into another group, as it may once its VM's
 * number belongs to another VM: what stands there is equal, and is not folded with. */
static void hints_stay_inside(enum fold_index index, enum fold_volatility volatility)
{
    for (unsigned folded = 0; folded < 2; folded++) {
        struct world w;

        scene_init_with(&w, index, volatility);
        scene_fill(&w, 0, 2, 0x21);
        scene_fill(&w, 1, 2, 0x21);
        scene_fill(&w, ALONE, 3, 0x77);
        if (folded) {
            scene_fill(&w, ALONE, 5, 0x77);
        }
        scene_passes(&w, 4);
        struct frame *fr = frame_of(&w.f, w.vms[0].map.entries[2].mfn);
        assert_int_equal(fr->state, FRAME_SHARED);
        mfn_t theirs = w.vms[ALONE].map.entries[3].mfn;
        assert_int_equal(frame_of(&w.f, theirs)->state, folded ? FRAME_SHARED : FRAME_PRIVATE);
        /* The page after VM 0's folded one is what VM ALONE has after the place of the hint. */
        scene_fill(&w, 0, 3, 0x77);
        for (unsigned n = 0; n < 4; n++) {
            fr->vm = ALONE;
            fr->gfn = 2;
            scene_passes(&w, 1);
            assert_int_not_equal(w.vms[0].map.entries[3].mfn.n, theirs.n);
        }
        assert_int_equal(frame_of(&w.f, w.vms[0].map.entries[3].mfn)->state, FRAME_PRIVATE);
        assert_int_equal(frame_of(&w.f, theirs)->refs, 1 + folded);
        world_audit(&w);
        world_compare(&w);
        world_fini(&w);
    }
}

static void test_hints_stay_inside(void **state)
{
    (void)state;
    scene_each(hints_stay_inside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_do_not_show),
        cmocka_unit_test(test_hints_stay_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
