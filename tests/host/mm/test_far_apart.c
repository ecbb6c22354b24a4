/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks over a VM's memory end their steps in time, however far apart the guest's pages lie. */
#include "fake_p2m.h"
#include "mm/fold/unmerge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define REGIONS 512u
#define APART 16u /* regions from one page to the next */
#define PAGES ((uint64_t)REGIONS * P2M_REGION_PAGES)
#define BUDGET 32u
#define STEP_PAGES ((BUDGET + 2 * APART) * P2M_REGION_PAGES)

struct rig {
    struct frames f;
    struct share_group group;
    struct fake_map map;
    struct p2m p2m;
};

static void rig_init(struct rig *r)
{
    const struct p2m_slot run = {GFN(0), PAGES};

    fake_frames_init(&r->f, 3 * REGIONS / APART);
    assert_int_equal(share_group_init(&r->group, &r->f, "g", 0), OK);
    fake_map_init(&r->map, &r->f, PAGES);
    assert_int_equal(
        p2m_init(&r->p2m, &fake_map_ops, &r->map, &r->f, &r->group, 1, &run, 1, r->map.regions),
        OK);
    for (uint64_t n = 0; n < REGIONS; n += APART) {
        assert_int_equal(fake_guest_write(&r->p2m, 0, 0, GFN(n * P2M_REGION_PAGES), 0, 1), OK);
    }
}

static void rig_fini(struct rig *r)
{
    while (p2m_drop_some(&r->p2m, UINT64_MAX, NULL)) {
    }
    fake_map_fini(&r->map);
    assert_int_equal(share_group_fini(&r->group, &r->f), OK);
    fake_frames_fini(&r->f);
}

static uint64_t now(void *ctx)
{
    (void)ctx;
    return 1;
}

/* By the clock, which always says that it is late. */
static void test_sole(void **state)
{
    const struct deadline late = {.now_ns = now, .end_ns = 0};
    gfn_t next = GFN(0);
    struct rig r;

    (void)state;
    rig_init(&r);
    for (uint64_t from = 0; p2m_sole_walk(&r.p2m, &next, &late); from = next.n) {
        assert_true(next.n > from && next.n - from <= STEP_PAGES);
    }
    assert_int_equal(next.n, 0);
    rig_fini(&r);
}

/* By its budget. */
static void test_unmerge(void **state)
{
    struct unmerge u;
    struct fold fold;
    struct rig r;
    uint64_t from = 0;

    (void)state;
    rig_init(&r);
    uint32_t *roots = calloc(fold_roots(r.f.count), sizeof(*roots));
    fold_init(&fold, &r.f, NULL, &(struct random){.key = {3}}, roots);
    unmerge_begin(&u, &r.p2m);
    while (unmerge_step(&u, &fold, &r.p2m, BUDGET, 0) == UNMERGE_MORE) {
        assert_true(u.next.n > from && u.next.n - from <= STEP_PAGES);
        from = u.next.n;
    }
    assert_false(u.on);
    assert_true(from > 0);
    rig_fini(&r);
    free(roots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sole),
        cmocka_unit_test(test_unmerge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
