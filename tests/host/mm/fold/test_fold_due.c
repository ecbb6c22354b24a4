/* SPDX-License-Identifier: BSD-2-Clause */
/* All pages of a map become due again a region at a time, however large the map is: when a VM's
 * folding is turned on, and when a switch makes pages worth a look that were left alone. */
#include "fake_p2m.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define REGIONS 32u
#define PAGES ((uint64_t)REGIONS * P2M_REGION_PAGES)
#define PASSES 3u /* in which all has been looked at that is due */

struct rig {
    struct frames f;
    uint32_t *roots;
    struct fold fold;
    struct share_group group;
    struct fake_map map;
    struct p2m p2m;
};

static void end_passes(struct rig *r, unsigned n)
{
    for (uint64_t end = r->fold.full_scans + n; r->fold.full_scans < end;) {
        (void)fold_step(&r->fold, 1, NULL);
    }
}

/* A page in each region, no two alike, and all looked at. */
static void rig_init(struct rig *r, const struct p2m_ops *ops)
{
    const struct p2m_slot run = {GFN(0), PAGES};

    *r = (struct rig){0};
    fake_frames_init(&r->f, 3 * REGIONS);
    r->roots = calloc(fold_roots(r->f.count), sizeof(*r->roots));
    fold_init(&r->fold, &r->f, NULL, &(struct random){.key = {3}}, r->roots);
    assert_int_equal(share_group_init(&r->group, &r->f, "g", 0), OK);
    fake_map_init(&r->map, &r->f, PAGES);
    assert_int_equal(p2m_init(&r->p2m, ops, &r->map, &r->f, &r->group, 1, &run, 1, r->map.regions),
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
    free(r->roots);
}

/* Pages of a region are marked that were never mapped, and so stay marked until a pass comes. */
static void leave_marks(struct rig *r)
{
    for (unsigned i = 0; i < REGIONS; i++) {
        struct p2m_notes *notes = p2m_notes(&r->p2m, GFN((uint64_t)i * P2M_REGION_PAGES));
        notes->resting[7] = ~UINT64_C(0);
        notes->pages[P2M_REGION_PAGES - 1].rests = 5;
    }
}

static unsigned marked(struct rig *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < REGIONS; i++) {
        n += p2m_page(&r->p2m, GFN((uint64_t)(i + 1) * P2M_REGION_PAGES - 1))->rests == 5;
    }
    return n;
}

/* From here to the end of the pass that all are due in: no step takes two regions. */
static void follow(struct rig *r)
{
    unsigned before = REGIONS, most = 0;
    uint64_t scanned = r->fold.pages_scanned;

    assert_int_equal(marked(r), REGIONS);
    for (unsigned steps = 0; steps < 100 * REGIONS && before > 0; steps++) {
        (void)fold_step(&r->fold, 1, NULL);
        unsigned now = marked(r);
        most = before - now > most ? before - now : most;
        before = now;
    }
    assert_int_equal(before, 0);
    assert_int_equal(most, 1);
    end_passes(r, PASSES);
    assert_true(r->fold.pages_scanned >= scanned + REGIONS);
}

static void test_attached_again(void **state)
{
    static const struct p2m_ops *const ops[] = {&fake_map_ops, &fake_map_ops_checksum};
    struct rig r;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        rig_init(&r, ops[i]);
        fold_detach(&r.fold, &r.p2m);
        leave_marks(&r);
        fold_attach(&r.fold, &r.p2m);
        follow(&r);
        rig_fini(&r);
    }
}

static void test_a_switch(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, &fake_map_ops);
    leave_marks(&r);
    struct fold_switches to = r.fold.on;
    to.skip ^= 1u << PAGE_FREE;
    fold_switch(&r.fold, &to);
    follow(&r);
    rig_fini(&r);
}

/* Without a switch, or an attachment, a pass looks at nothing that is not written. */
static void test_quiet(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, &fake_map_ops);
    uint64_t scanned = r.fold.pages_scanned;
    end_passes(&r, PASSES);
    assert_int_equal(r.fold.pages_scanned, scanned);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attached_again),
        cmocka_unit_test(test_a_switch),
        cmocka_unit_test(test_quiet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
