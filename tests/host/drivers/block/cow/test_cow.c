/* SPDX-License-Identifier: BSD-2-Clause */
/* Copy-on-write disks against an oracle: in memory, on an overlay, short of everything. */
#include "rnd.h"
#include "world_cow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Every other one through a cache whose frames are given away. */
static struct cww_result run(struct cww_options *o, uint64_t seed, unsigned steps)
{
    o->fold = seed % 2 == 1;
    o->back = seed % 4 == 3;
    o->start = seed % 9 == 1 ? 63 : seed % 9 == 3 ? 2048 : 0; /* an old MBR's; a newer one's */

    struct rnd x = {seed * UINT64_C(0x9e3779b97f4a7c15) + 1};

    return cww_run(o, (struct picks){.next = rnd_pick, .ctx = &x}, steps);
}

static bool gives_frames(const struct cww_options *o)
{
    return o->fold && o->start % BLK_FRAME_SECTORS == 0;
}

#define BIG 5605u /* sectors: 701 chunks, the last one cut */

static void test_snapshot(void **state)
{
    struct cww_options o = {.base_sectors = BIG, .store_chunks = 1, .frames = 1200};
    uint64_t base_held = 0, zero_held = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        o.sync = seed % 4 == 0;
        struct cww_result r = run(&o, seed, 4000);
        assert_true(r.chunks > 300 && r.merges > 0 && r.failed == 0 && r.starved == 0);
        assert_true(gives_frames(&o) || r.base_held == 0);
        base_held += r.base_held;
        zero_held += r.zero_held;
    }
    print_message("%llu frames of the base, %llu of zeroes\n", (unsigned long long)base_held,
                  (unsigned long long)zero_held);
    assert_true(base_held > 200 && zero_held > 200);
}

static void test_snapshot_failing(void **state)
{
    struct cww_options o = {
        .base_sectors = BIG, .store_chunks = 1, .frames = 1200, .fail_percent = 10};

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        assert_true(run(&o, seed, 4000).failed > 0);
    }
}

static void test_snapshot_starved(void **state)
{
    struct cww_options o = {.base_sectors = BIG, .store_chunks = 1, .frames = 300, .starve = true};

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        o.pool_max = seed % 2 == 0 ? 100 : 0;
        o.sync = seed % 5 == 0;
        assert_true(run(&o, seed, 4000).starved > 0);
    }
}

static void test_overlay(void **state)
{
    struct cww_options o = {
        .overlay = true, .base_sectors = BIG, .store_chunks = 1000, .frames = 200};
    uint64_t base_held = 0, store_held = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        o.sync = seed % 4 == 0;
        struct cww_result r = run(&o, seed, 4000);
        assert_true(r.chunks > 300 && r.areas > 1 && r.flushes > 0 && r.failed == 0);
        assert_true(gives_frames(&o) || r.base_held + r.store_held == 0);
        base_held += r.base_held;
        store_held += r.store_held;
    }
    print_message("%llu frames of the base, %llu of the store\n", (unsigned long long)base_held,
                  (unsigned long long)store_held);
    assert_true(base_held > 200 && store_held > 1000);
}

static void test_overlay_failing(void **state)
{
    struct cww_options o = {.overlay = true,
                            .base_sectors = BIG,
                            .store_chunks = 1000,
                            .frames = 60,
                            .starve = true,
                            .fail_percent = 5};

    uint64_t given = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        o.sync = seed % 4 == 0;
        struct cww_result r = run(&o, seed, 4000);
        assert_true(r.failed > 0);
        given += r.given;
    }
    print_message("%llu chunks in frames that were given\n", (unsigned long long)given);
    assert_true(given > 150);
}

/* Stores of every awkward size: full in the first area, exactly at its end, one behind it. */
static void test_overlay_full(void **state)
{
    static const uint32_t sizes[] = {3, 4, 20, 256, 257, 258, 259, 260, 400, 514, 515, 516};
    struct cww_options o = {.overlay = true, .base_sectors = BIG, .frames = 200};

    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        o.store_chunks = sizes[seed % 12];
        o.fail_percent = seed > 12 ? 3 : 0;
        struct cww_result r = run(&o, seed, 5000);
        assert_true(r.full > 0);
        /* All that fits was used: a table and, in the last area, one entry stay free at most. */
        uint64_t areas = 1 + (o.store_chunks - 2) / 257;
        assert_true(r.chunks + 1 + areas + 1 >= o.store_chunks);
    }
}

/* At least a thousand power cuts, at any moment, opening included. */
static void test_power_cuts(void **state)
{
    struct cww_options o = {
        .overlay = true, .base_sectors = BIG, .store_chunks = 1000, .frames = 200, .cut_in = 120};
    uint64_t cuts = 0, areas = 0, held = 0, given = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        o.base_sectors = seed % 3 == 0 ? 333 : BIG;
        o.store_chunks = seed % 5 == 0 ? 258 : seed % 5 == 1 ? 516 : 1000;
        o.sync = seed % 7 == 0;
        o.fail_percent = seed % 4 == 0 ? 3 : 0;
        o.cut_in = seed % 2 == 0 ? 50 : 400;
        struct cww_result r = run(&o, seed, 5000);
        assert_true(r.cuts > 0);
        cuts += r.cuts;
        held += r.store_held;
        given += r.given;
        areas = areas > r.areas ? areas : r.areas;
    }
    print_message("%llu power cuts, %llu areas at most, %llu frames of the store, %llu given\n",
                  (unsigned long long)cuts, (unsigned long long)areas, (unsigned long long)held,
                  (unsigned long long)given);
    assert_true(cuts >= 1000 && areas >= 3 && held >= 500 && given >= 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot),         cmocka_unit_test(test_snapshot_failing),
        cmocka_unit_test(test_snapshot_starved), cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_overlay_failing),  cmocka_unit_test(test_overlay_full),
        cmocka_unit_test(test_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
