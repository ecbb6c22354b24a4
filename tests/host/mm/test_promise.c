/* SPDX-License-Identifier: BSD-2-Clause */
/* Promises of memory, also after folding, and bounds; that no sequence of operations breaks one is
 * support_world's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "fake_p2m.h"
#include "mm/promise.h"

#define PAGES 40u
#define VMS 3u
#define ROOTS 8u

static struct frames f;
static struct fold fold;
static struct share_group group;
static uint32_t roots[ROOTS];
static struct {
    struct fake_map map;
    struct p2m p2m;
} vms[VMS];

static void begin(uint64_t frames)
{
    const struct p2m_slot run = {GFN(0), PAGES};

    fake_frames_init(&f, frames);
    assert_true(fold_roots(f.count) <= ROOTS);
    fold_init(&fold, &f, NULL, &(struct random){.key = {3}}, roots);
    assert_int_equal(share_group_init(&group, &f, "g", 0), OK);
    for (unsigned i = 0; i < VMS; i++) {
        fake_map_init(&vms[i].map, &f, PAGES);
        assert_int_equal(p2m_init(&vms[i].p2m, &fake_map_ops, &vms[i].map, &f, &group,
                                  (uint16_t)(i + 1), &run, 1, vms[i].map.regions),
                         OK);
        fold_attach(&fold, &vms[i].p2m);
    }
}

static void check(void)
{
    struct p2m *maps[VMS];
    struct share_group *groups[] = {&group};

    for (unsigned i = 0; i < VMS; i++) {
        maps[i] = &vms[i].p2m;
    }
    fake_check(&f, maps, VMS, groups, 1, &fold);
}

static void end(void)
{
    check();
    for (unsigned i = 0; i < VMS; i++) {
        uint64_t wanted;

        assert_int_equal(promise_make(&vms[i].p2m, 0, NULL, &wanted), OK);
        fold_detach(&fold, &vms[i].p2m);
        p2m_drop_all(&vms[i].p2m);
        fake_map_fini(&vms[i].map);
    }
    assert_int_equal(f.kept, 0);
    fake_frames_fini(&f);
}

static enum status write_page(unsigned vm, uint64_t gfn, uint8_t value)
{
    uint8_t page[64];

    memset(page, value, sizeof(page));
    return p2m_write(&vms[vm].p2m, gfn_to_gpa(GFN(gfn)), page, sizeof(page));
}

static void scan(void)
{
    for (unsigned i = 0; i < 40; i++) {
        (void)fold_step(&fold, 50, NULL);
    }
}

/* Others take all there is; what was promised is there, page by page, and no more than that. */
static void test_kept(void **state)
{
    uint64_t wanted, gfn = 0;

    (void)state;
    begin(60);
    assert_int_equal(promise_make(&vms[0].p2m, 20, NULL, &wanted), OK);
    assert_int_equal(wanted, 20 + promise_tables_max(&vms[0].p2m));
    assert_int_equal(f.kept, wanted);
    while (write_page(1, gfn, (uint8_t)(gfn + 1)) == OK) {
        gfn++;
    }
    assert_int_equal(vms[1].p2m.refused, PROMISE_EMPTY);
    assert_true(gfn > 10);
    assert_int_equal(f.by_state[FRAME_FREE], f.kept);
    assert_int_equal(write_page(2, 0, 1), E_NOMEM);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(write_page(0, i, (uint8_t)(100 + i)), OK);
        check();
    }
    assert_int_equal(write_page(0, 20, 1), E_NOMEM);
    end();
}

/* What is folded is there again when it is written, though others took all that folding gave. */
static void test_after_folding(void **state)
{
    uint64_t wanted, gfn = 0;

    (void)state;
    begin(70);
    assert_int_equal(promise_make(&vms[0].p2m, 20, NULL, &wanted), OK);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(write_page(0, i, (uint8_t)(1 + i % 4)), OK);
        assert_int_equal(write_page(1, i, (uint8_t)(1 + i % 4)), OK);
    }
    scan();
    assert_true(vms[0].p2m.shared_maps > 15);
    check();
    while (write_page(2, gfn, (uint8_t)(200 + gfn % 50)) == OK && gfn < PAGES - 1) {
        gfn++;
    }
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(write_page(0, i, (uint8_t)(50 + i)), OK);
        check();
    }
    end();
}

/* Two promised pages become one only where a frame comes free for it, or there is one to spare. */
static void test_no_merge_on_credit(void **state)
{
    uint64_t wanted;
    mfn_t taken;

    (void)state;
    begin(80);
    assert_int_equal(promise_make(&vms[0].p2m, 4, NULL, &wanted), OK);
    assert_int_equal(promise_make(&vms[1].p2m, 4, NULL, &wanted), OK);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(write_page(0, i, (uint8_t)(1 + i)), OK);
        assert_int_equal(write_page(1, i, (uint8_t)(1 + i)), OK);
    }
    while (frames_alloc(&f, FRAME_HYP, &taken) == OK) {
    }
    scan();
    check();
    assert_int_equal(vms[0].p2m.shared_maps + vms[1].p2m.shared_maps, 0);
    frames_free(&f, taken);
    scan();
    check();
    assert_true(vms[0].p2m.shared_maps + vms[1].p2m.shared_maps > 0);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(write_page(0, i, (uint8_t)(70 + i)), OK);
        assert_int_equal(write_page(1, i, (uint8_t)(80 + i)), OK);
        check();
    }
    end();
}

/* More than there is cannot be promised, and nothing is changed by asking. */
static void test_refused(void **state)
{
    uint64_t wanted, kept;

    (void)state;
    begin(60);
    assert_int_equal(promise_make(&vms[0].p2m, 30, NULL, &wanted), OK);
    kept = f.kept;
    assert_int_equal(promise_make(&vms[1].p2m, 30, NULL, &wanted), E_NOMEM);
    assert_int_equal(wanted, 30 + promise_tables_max(&vms[1].p2m));
    assert_int_equal(f.kept, kept);
    assert_int_equal(vms[1].p2m.promise.pages, 0);
    assert_int_equal(promise_make(&vms[0].p2m, 0, NULL, &wanted), OK);
    assert_int_equal(promise_make(&vms[1].p2m, 30, NULL, &wanted), OK);
    end();
}

/* At its bound a VM gets nothing, whatever is free; what is folded does not count. */
static void test_bound(void **state)
{
    struct p2m *p = &vms[0].p2m;

    (void)state;
    begin(90);
    promise_bound(p, 12);
    uint64_t gfn = 0;
    while (write_page(0, gfn, 9) == OK) {
        gfn++;
        assert_true(promise_held(p) <= 12);
    }
    assert_int_equal(p->refused, PROMISE_BOUND);
    assert_int_equal(promise_held(p), 12);
    scan();
    assert_true(promise_held(p) < 12); /* all pages of it are equal */
    assert_int_equal(write_page(0, gfn, 10), OK);
    p->aside = 11; /* what `,snapshot` disks hold counts too */
    assert_int_equal(write_page(0, gfn + 1, 11), E_NOMEM);
    assert_int_equal(write_page(0, 0, 11), E_NOMEM); /* a folded page would be its own */
    assert_int_equal(p->refused, PROMISE_BOUND);
    promise_bound(p, PROMISE_NO_BOUND);
    assert_int_equal(write_page(0, 0, 11), OK);
    end();
}

/* A VM whose folded pages lose their partners holds them alone: its bound goes on to count. */
static void test_bound_left_behind(void **state)
{
    struct p2m *p = &vms[0].p2m;
    gfn_t next = GFN(0);
    uint64_t held;

    (void)state;
    begin(90);
    for (uint64_t i = 0; i < 16; i++) {
        assert_int_equal(write_page(0, i, (uint8_t)(1 + i / 2)), OK); /* pairs */
    }
    promise_bound(p, promise_held(p));
    scan();
    held = promise_held(p);
    assert_true(held < p->max_frames - 14);
    for (uint64_t i = 0; i < 16; i += 2) {
        assert_int_equal(write_page(0, i, (uint8_t)(100 + i)), OK);
    }
    assert_int_equal(promise_held(p), held + 8);
    while (p2m_sole_walk(p, &next, NULL)) {
    }
    assert_int_equal(promise_held(p), p->max_frames);
    assert_false(promise_may_take(p, 1));
    assert_int_equal(write_page(0, 16, 200), E_NOMEM);
    assert_int_equal(p->refused, PROMISE_BOUND);
    assert_int_equal(write_page(0, 1, 200), OK); /* it counts already */
    promise_bound(p, p->max_frames + 1);
    assert_true(promise_may_take(p, 1));
    assert_int_equal(write_page(0, 16, 200), OK);
    end();
}

/* Frames that are left to others. */
static void test_turn(void **state)
{
    struct p2m *p = &vms[0].p2m;
    uint64_t wanted;

    (void)state;
    begin(90);
    assert_int_equal(write_page(0, 0, 1), OK);
    p->keep_free = promise_spare(&f) - 1;
    assert_int_equal(write_page(0, 1, 1), OK);
    assert_false(promise_may_take(p, 1));
    assert_int_equal(write_page(0, 2, 1), E_NOMEM);
    assert_int_equal(p->refused, PROMISE_TURN);
    assert_int_equal(p2m_fault(p, GFN(3), false), OK); /* wants no frame */
    assert_int_equal(write_page(1, 2, 1), OK);
    assert_int_equal(promise_make(p, 4, NULL, &wanted), OK);
    assert_true(promise_may_take(p, 1));
    assert_int_equal(write_page(0, 2, 1), OK); /* what it was promised comes before any order */
    assert_int_equal(write_page(0, 3, 1), OK);
    assert_int_equal(write_page(0, 4, 1), E_NOMEM);
    end();
}

/* ---- restarts ------------------------------------------------------------------------------ */

#define OVERHEAD 5u

/* The map's root, as of an address space; the map itself is vms[0].map. */
static bool has_root;

static uint64_t count_root(void *ctx)
{
    (void)ctx;
    return has_root;
}

/* Another VM takes each frame that it can get, and all is as it should be. */
static void grab(bool mapped, uint64_t *gfn)
{
    struct p2m *maps[VMS], *unmapped[] = {&vms[0].p2m};
    struct share_group *groups[] = {&group};
    struct audit a = {.frames = &f,
                      .maps = maps,
                      .unmapped = unmapped,
                      .n_unmapped = mapped ? 0 : 1,
                      .groups = groups,
                      .n_groups = 1,
                      .fold = &fold,
                      .scratch = calloc(f.count, sizeof(uint32_t))};

    while (*gfn < PAGES && write_page(1, *gfn, (uint8_t)(*gfn + 1)) == OK) {
        ++*gfn;
    }
    assert_int_equal(f.by_state[FRAME_FREE], f.kept);
    for (unsigned i = 0; i < VMS; i++) {
        if (i > 0 || mapped) {
            maps[a.n_maps++] = &vms[i].p2m;
        }
    }
    assert_int_equal(audit_run(&a), 0);
    free(a.scratch);
}

static void begin_machine(const struct p2m_ops *ops, mfn_t frames[1 + OVERHEAD])
{
    const struct p2m_slot run = {GFN(0), PAGES};
    struct promise promise = vms[0].p2m.promise;

    assert_int_equal(
        p2m_init(&vms[0].p2m, ops, &vms[0].map, &f, &group, 1, &run, 1, vms[0].map.regions), OK);
    vms[0].p2m.promise = promise;
    promise_draw(&vms[0].p2m);
    assert_int_equal(frames_alloc(&f, FRAME_HYP, &frames[OVERHEAD]), OK);
    has_root = true;
    promise_end(&vms[0].p2m);
    promise_settle(&vms[0].p2m);
}

static void make_overhead(uint64_t *gfn, mfn_t *frames)
{
    for (unsigned i = 0; i < OVERHEAD; i++) {
        uint64_t begun = promise_overhead_begin(&vms[0].p2m);
        assert_int_equal(frames_alloc(&f, FRAME_HYP, &frames[i]), OK);
        promise_overhead_end(&vms[0].p2m, begun);
        grab(true, gfn);
    }
    assert_int_equal(vms[0].p2m.promise.overhead, OVERHEAD);
}

/* A VM goes down and comes up again, each time with all that it was promised, vCPUs and root table
 * included, while another takes each frame that it can get in between. */
static void test_restart(void **state)
{
    struct p2m_ops ops = fake_map_ops;
    struct p2m *p = &vms[0].p2m;
    mfn_t frames[1 + OVERHEAD];
    uint64_t wanted, gfn = 0;

    (void)state;
    begin(66);
    ops.tables = count_root;
    fold_detach(&fold, p);
    begin_machine(&ops, frames);
    p->promise.overhead_max = OVERHEAD;
    assert_int_equal(promise_make(p, 20, NULL, &wanted), OK);
    assert_int_equal(wanted, 20 + promise_tables_max(p) - 1 + OVERHEAD);
    for (unsigned life = 0; life < 3; life++) {
        make_overhead(&gfn, frames);
        for (uint64_t i = 0; i < 20; i++) {
            assert_int_equal(write_page(0, i, (uint8_t)(100 + i + life)), OK);
            grab(true, &gfn);
        }
        assert_in_range(gfn, 5, PAGES - 1);
        assert_int_equal(write_page(0, 20, 1), E_NOMEM);
        while (p2m_drop_some(p, 3, NULL)) {
            grab(true, &gfn);
        }
        for (unsigned i = 0; i < OVERHEAD; i++) {
            uint64_t begun = promise_overhead_begin(p);
            frames_free(&f, frames[i]);
            promise_overhead_end(p, begun);
            grab(true, &gfn);
        }
        frames_free(&f, frames[OVERHEAD]);
        has_root = false;
        promise_settle(p);
        grab(false, &gfn);
        assert_true(promise_is_kept(p));
        begin_machine(&ops, frames);
        assert_int_equal(promise_make(p, 20, NULL, &wanted), OK);
        grab(true, &gfn);
    }
    frames_free(&f, frames[OVERHEAD]);
    has_root = false;
    fold_attach(&fold, p);
    promise_settle(p);
    end();
}

/* ---- in steps ------------------------------------------------------------------------------ */

static mfn_t cached[60];
static unsigned n_cached;

static uint64_t reclaim(void *ctx, uint64_t want)
{
    uint64_t n = 0;

    (void)ctx;
    while (n < want && n_cached > 0) {
        frames_free(&f, cached[--n_cached]);
        n++;
    }
    return n;
}

static uint64_t always_late(void *ctx)
{
    (void)ctx;
    return 1;
}

/* All frames are taken, 60 of them by what `reclaim` gives back. */
static void fill_machine(void)
{
    mfn_t mfn;

    frames_add_reclaimer(&f, reclaim, NULL);
    for (n_cached = 0; n_cached < ARRAY_LEN(cached); n_cached++) {
        assert_int_equal(frames_alloc(&f, FRAME_HYP, &cached[n_cached]), OK);
    }
    while (f.by_state[FRAME_FREE] > 0) {
        assert_int_equal(frames_alloc(&f, FRAME_HYP, &mfn), OK);
    }
}

/* A step without time: it takes some frames from the cache, and keeps all that it finds. */
static enum status make_some(uint64_t pages)
{
    const struct deadline late = {.now_ns = always_late, .end_ns = 1};
    unsigned before = n_cached;
    uint64_t wanted;
    enum status s = promise_make(&vms[0].p2m, pages, &late, &wanted);

    assert_int_equal(wanted, pages + promise_tables_max(&vms[0].p2m));
    assert_true(before - n_cached <= 16);
    check();
    if (s == E_BUSY) {
        assert_true(before > n_cached || n_cached == 0);
        assert_int_equal(f.by_state[FRAME_FREE], f.kept);
        assert_false(promise_is_kept(&vms[0].p2m));
    }
    return s;
}

/* What has to come from the cache is taken from it in steps. */
static void test_in_steps(void **state)
{
    unsigned steps = 1;

    (void)state;
    begin(90);
    fill_machine();
    while (make_some(40) == E_BUSY) {
        steps++;
    }
    assert_true(promise_is_kept(&vms[0].p2m));
    assert_int_equal(f.kept, 40 + promise_tables_max(&vms[0].p2m));
    assert_int_equal(steps, 3);
    for (uint64_t i = 0; i < PAGES; i++) {
        assert_int_equal(write_page(0, i, (uint8_t)i), OK);
    }
    end();
}

/* A cache whose blocks share frames: some calls evict what brings no frame. */
static unsigned calls;

static uint64_t reclaim_at_times(void *ctx, uint64_t want)
{
    return ++calls % 4 == 0 ? reclaim(ctx, want) : 0;
}

static void test_cache_gives_at_times(void **state)
{
    uint64_t wanted;

    (void)state;
    begin(90);
    fill_machine();
    f.reclaimers[0].give = reclaim_at_times;
    calls = 0;
    assert_int_equal(promise_make(&vms[0].p2m, 40, NULL, &wanted), OK);
    assert_true(promise_is_kept(&vms[0].p2m));
    /* Only when it gives nothing for long is there no more. */
    f.reclaimers[0].give = reclaim;
    calls = 0;
    assert_int_equal(promise_make(&vms[1].p2m, 40, NULL, &wanted), E_NOMEM);
    end();
}

/* More than there is, and another number while it was being made. */
static void test_refused_in_steps(void **state)
{
    enum status s;

    (void)state;
    begin(90);
    fill_machine();
    assert_int_equal(make_some(10), OK);
    assert_int_equal(make_some(40), E_BUSY);
    while ((s = make_some(80)) == E_BUSY) {
    }
    assert_int_equal(s, E_NOMEM);
    assert_int_equal(vms[0].p2m.promise.pages, 10); /* as it was */
    assert_int_equal(f.kept, 10 + promise_tables_max(&vms[0].p2m));
    assert_true(promise_is_kept(&vms[0].p2m));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_after_folding),
        cmocka_unit_test(test_no_merge_on_credit),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_bound_left_behind),
        cmocka_unit_test(test_turn),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_in_steps),
        cmocka_unit_test(test_cache_gives_at_times),
        cmocka_unit_test(test_refused_in_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
