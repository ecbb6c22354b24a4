/* SPDX-License-Identifier: BSD-2-Clause */
/* What a step of the engine does at most on the way to the next page, whatever a guest has touched,
 * read or left alone; and that a step ends with its deadline. */
#include "fake_p2m.h"
#include "steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define REGIONS 32u /* whose pages can be mapped */
#define PAGES ((uint64_t)REGIONS * P2M_REGION_PAGES)
#define HOLES 4096u /* regions behind them, in which nothing is ever touched */
#define PASSES 3u   /* in which all has been looked at that is due */

/* In one page's worth: tables of dirty bits read, looks for pages, regions passed. */
#define HARVESTS_MAX 1u
#define LOOKUPS_MAX 32u
#define PASSED_MAX 512u

static unsigned harvests, lookups;

static enum status counted_lookup(void *ctx, gfn_t gfn, struct p2m_entry *out)
{
    lookups++;
    return gfn.n < PAGES ? fake_map_ops.lookup(ctx, gfn, out) : E_NOTFOUND;
}

static enum status bounded_next(void *ctx, gfn_t from, gfn_t end, gfn_t *at, struct p2m_entry *out)
{
    uint64_t n = end.n < PAGES ? end.n : PAGES;

    return from.n < n ? fake_map_ops.next(ctx, from, GFN(n), at, out) : E_NOTFOUND;
}

static bool counted_harvest(void *ctx, gfn_t first, uint64_t *bits)
{
    bool any = first.n < PAGES && fake_map_ops.harvest(ctx, first, bits);

    harvests += any;
    return any;
}

struct rig {
    struct frames f;
    uint32_t *roots;
    struct fold fold;
    struct share_group group;
    struct fake_map map;
    struct p2m_ops ops;
    struct p2m_region *regions;
    struct p2m p2m;
};

static void end_passes(struct rig *r, unsigned n)
{
    for (uint64_t end = r->fold.full_scans + n; r->fold.full_scans < end;) {
        (void)fold_step(&r->fold, 1, NULL);
    }
}

/* A page in each of the regions, no two alike, and all looked at. */
static void rig_init(struct rig *r, unsigned holes)
{
    const struct p2m_slot run = {GFN(0), PAGES + (uint64_t)holes * P2M_REGION_PAGES};

    *r = (struct rig){.ops = fake_map_ops};
    r->ops.lookup = counted_lookup;
    r->ops.next = bounded_next;
    r->ops.harvest = counted_harvest;
    fake_frames_init(&r->f, 3 * REGIONS);
    r->roots = calloc(fold_roots(r->f.count), sizeof(*r->roots));
    r->regions = calloc(REGIONS + holes, sizeof(*r->regions));
    fold_init(&r->fold, &r->f, NULL, &(struct random){.key = {3}}, r->roots);
    assert_int_equal(share_group_init(&r->group, &r->f, "g", 0), OK);
    fake_map_init(&r->map, &r->f, PAGES);
    assert_int_equal(p2m_init(&r->p2m, &r->ops, &r->map, &r->f, &r->group, 1, &run, 1, r->regions),
                     OK);
    fold_attach(&r->fold, &r->p2m);
    for (unsigned i = 0; i < REGIONS; i++) {
        gfn_t gfn = GFN((uint64_t)i * P2M_REGION_PAGES + i);
        assert_int_equal(fake_guest_write(&r->p2m, 0, 0, gfn, 0, (uint8_t)(i + 1)), OK);
    }
    end_passes(r, PASSES);
}

static void rig_fini(struct rig *r)
{
    struct p2m *maps[] = {&r->p2m};
    struct share_group *groups[] = {&r->group};

    fake_check(&r->f, maps, 1, groups, 1, &r->fold);
    fold_detach(&r->fold, &r->p2m);
    while (p2m_drop_some(&r->p2m, UINT64_MAX, NULL)) {
    }
    fake_map_fini(&r->map);
    assert_int_equal(fold_forget(&r->fold, &r->group), OK);
    assert_int_equal(share_group_fini(&r->group, &r->f), OK);
    fake_frames_fini(&r->f);
    free(r->regions);
    free(r->roots);
}

/* What a page's worth does at most until the pass is over. */
struct most {
    unsigned harvests, lookups, all_harvests, all_lookups;
    uint64_t passed; /* regions */
};

static void keep_max(unsigned *most, unsigned n)
{
    *most = n > *most ? n : *most;
}

static struct most follow_pass(struct rig *r)
{
    struct most m = {0};

    for (uint64_t pass = r->fold.full_scans; r->fold.full_scans == pass;) {
        uint64_t at = r->fold.cursor ? r->fold.next.n : 0;

        harvests = lookups = 0;
        (void)fold_step(&r->fold, 1, NULL);
        keep_max(&m.harvests, harvests);
        keep_max(&m.lookups, lookups);
        m.all_harvests += harvests;
        m.all_lookups += lookups;
        uint64_t end =
            r->fold.cursor ? r->fold.next.n : (uint64_t)r->p2m.n_regions * P2M_REGION_PAGES;
        uint64_t passed = (end - at) / P2M_REGION_PAGES;
        m.passed = passed > m.passed ? passed : m.passed;
    }
    return m;
}

/* Memory that is read and never written: its dirty bits are read, and none is set. */
static void test_regions_that_were_read(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 0);
    for (unsigned i = 0; i < REGIONS; i++) {
        r.map.accessed[i] = true;
    }
    struct most m = follow_pass(&r);
    assert_int_equal(m.all_harvests, REGIONS);
    assert_in_range(m.harvests, 1, HARVESTS_MAX);
    rig_fini(&r);
}

/* All pages of a VM that joins are due, and most of them are not there. */
static void test_pages_that_are_not_there(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 0);
    fold_detach(&r.fold, &r.p2m);
    fold_attach(&r.fold, &r.p2m);
    struct most m = follow_pass(&r);
    assert_in_range(m.all_lookups, PAGES, PAGES + 8 * REGIONS);
    assert_in_range(m.lookups, 1, LOOKUPS_MAX);
    rig_fini(&r);
}

/* A VM of much memory, of which its guest uses little. */
static void test_regions_never_touched(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, HOLES);
    struct most m = follow_pass(&r);
    assert_in_range(m.passed, 1, PASSED_MAX);
    rig_fini(&r);
}

/* A step ends at the first look that finds the deadline passed, and does something before. */
static void test_a_deadline(void **state)
{
    struct rig r;
    struct looks looks;

    (void)state;
    for (unsigned n = 1; n <= 8; n++) {
        rig_init(&r, 0);
        for (unsigned i = 0; i < REGIONS; i++) {
            r.map.accessed[i] = true;
        }
        assert_int_equal(fold_step(&r.fold, 1000, looks_begin(&looks, n)), n);
        assert_int_equal(looks.n, n);
        rig_fini(&r);
    }
}

/* A pass is over after as much work, however it is divided. */
static void test_a_pass_by_deadlines(void **state)
{
    struct rig r;
    struct looks looks;
    unsigned work[2] = {0};

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        rig_init(&r, 0);
        fold_detach(&r.fold, &r.p2m);
        fold_attach(&r.fold, &r.p2m);
        for (uint64_t pass = r.fold.full_scans; r.fold.full_scans == pass;) {
            work[k] += fold_step(&r.fold, 1000, k ? looks_begin(&looks, 3) : NULL);
        }
        rig_fini(&r);
    }
    assert_int_equal(work[0], work[1]);
    assert_true(work[0] > REGIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions_that_were_read),
        cmocka_unit_test(test_pages_that_are_not_there),
        cmocka_unit_test(test_regions_never_touched),
        cmocka_unit_test(test_a_deadline),
        cmocka_unit_test(test_a_pass_by_deadlines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
