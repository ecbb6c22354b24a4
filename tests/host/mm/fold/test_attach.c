/* SPDX-License-Identifier: BSD-2-Clause */
/* Attached maps are found by their VM's number, whatever numbers there are. */
#include "fake_p2m.h"
#include "mm/fold/attach.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGES P2M_REGION_PAGES

/* Some of a slot, and some of others. */
static const uint16_t numbers[] = {
    1, 1 + FOLD_VM_SLOTS, 1 + 2 * FOLD_VM_SLOTS, 2, FOLD_VM_SLOTS, 2 * FOLD_VM_SLOTS, 65535, 3};
#define MAPS (sizeof(numbers) / sizeof(numbers[0]))

struct rig {
    struct frames f;
    uint32_t *roots;
    struct fold fold;
    struct share_group group;
    struct fake_map map[MAPS];
    struct p2m p2m[MAPS];
    bool attached[MAPS];
};

static void rig_init(struct rig *r)
{
    const struct p2m_slot run = {GFN(0), PAGES};

    *r = (struct rig){0};
    fake_frames_init(&r->f, 8);
    r->roots = calloc(fold_roots(r->f.count), sizeof(*r->roots));
    fold_init(&r->fold, &r->f, NULL, &(struct random){.key = {3}}, r->roots);
    assert_int_equal(share_group_init(&r->group, &r->f, "g", 0), OK);
    for (unsigned i = 0; i < MAPS; i++) {
        fake_map_init(&r->map[i], &r->f, PAGES);
        assert_int_equal(p2m_init(&r->p2m[i], &fake_map_ops, &r->map[i], &r->f, &r->group,
                                  numbers[i], &run, 1, r->map[i].regions),
                         OK);
    }
}

static void rig_fini(struct rig *r)
{
    for (unsigned i = 0; i < MAPS; i++) {
        fake_map_fini(&r->map[i]);
    }
    assert_int_equal(fold_forget(&r->fold, &r->group), OK);
    assert_int_equal(share_group_fini(&r->group, &r->f), OK);
    fake_frames_fini(&r->f);
    free(r->roots);
}

static void check(const struct rig *r)
{
    for (unsigned i = 0; i < MAPS; i++) {
        assert_ptr_equal(fold_map_of(&r->fold, numbers[i]), r->attached[i] ? &r->p2m[i] : NULL);
    }
    assert_null(fold_map_of(&r->fold, 0));
    assert_null(fold_map_of(&r->fold, 1 + 3 * FOLD_VM_SLOTS));
}

static void turn(struct rig *r, unsigned i)
{
    if (r->attached[i]) {
        fold_detach(&r->fold, &r->p2m[i]);
    } else {
        fold_attach(&r->fold, &r->p2m[i]);
    }
    r->attached[i] = !r->attached[i];
    check(r);
}

static void test_maps_are_found_by_number(void **state)
{
    struct rig r;
    struct rnd rnd = {5};

    (void)state;
    rig_init(&r);
    check(&r);
    for (unsigned n = 0; n < 1000; n++) {
        turn(&r, rnd_below(&rnd, MAPS));
    }
    for (unsigned i = 0; i < MAPS; i++) {
        if (r.attached[i]) {
            turn(&r, i);
        }
    }
    assert_null(r.fold.maps);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps_are_found_by_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
