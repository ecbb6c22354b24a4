/* SPDX-License-Identifier: BSD-2-Clause */
/* The sampled miss-ratio curve against exact LRU caches of each size. */
#include "mm/cache/mrc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/host/policy.h"
#include "tools/host/synth.h"

static struct mrc m;
static struct mrc_point curve[MRC_POINTS];
static void *mem;

static void set_up(uint64_t blocks, uint64_t seed)
{
    free(mem);
    mem = malloc(MRC_BYTES);
    assert_non_null(mem);
    mrc_init(&m, mem, blocks, seed);
}

static void test_empty(void **state)
{
    (void)state;
    set_up(1024, 1);
    mrc_curve(&m, curve);
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        assert_int_equal(curve[i].miss_ppm, 0);
        assert_true(i == 0 || curve[i].blocks > curve[i - 1].blocks);
    }
    assert_int_equal(curve[0].blocks, 32);
    assert_int_equal(curve[10].blocks, 1024);
    assert_int_equal(curve[15].blocks, 6 * 1024);
    set_up(1, 1); /* sizes are blocks, and at least one */
    assert_true(m.sizes[0] == 1 && m.sizes[10] == 1 && m.sizes[15] == 6);
    set_up((UINT64_C(1) << 31) - 1, 1);
    assert_true(m.sizes[15] > UINT64_C(12884000000));
}

/* By hand: 64 blocks in a loop miss in a cache of 48 and hit in one of 64, but for the first. */
static void test_by_hand(void **state)
{
    (void)state;
    set_up(64, 1);
    for (unsigned i = 0; i < 640; i++) {
        mrc_read_block(&m, 3, 1000 + i % 64);
    }
    mrc_curve(&m, curve);
    assert_int_equal(curve[9].blocks, 48);
    assert_int_equal(curve[9].miss_ppm, MRC_PPM);
    assert_int_equal(curve[10].miss_ppm, MRC_PPM / 10);
    assert_int_equal(curve[15].miss_ppm, MRC_PPM / 10);
    /* The same block numbers of another disk are other blocks. */
    mrc_read_block(&m, 4, 1000);
    assert_int_equal(m.tracked, 65);
}

/* The counts that the structure keeps, recounted. */
static void audit(void)
{
    uint32_t linked = 0;

    for (uint32_t b = 0; b < MRC_TRACKED; b++) {
        for (uint32_t s = m.buckets[b]; s != MRC_NIL; s = m.slots[s].next) {
            assert_true(s < m.used);
            assert_true(m.slots[s].hash >> 32 <= m.limit || (m.sweeps && s >= m.swept));
            assert_true(!m.sweeps || s < m.front || s >= m.swept);
            linked++;
        }
    }
    assert_int_equal(linked, m.tracked);
    assert_true(m.tracked <= MRC_TRACKED);
    uint64_t weights = 0;
    for (unsigned i = 0; i <= MRC_POINTS; i++) {
        weights += m.bins[i];
    }
    assert_true(m.limit < UINT32_MAX || weights == m.reads * MRC_ONE);
}

static unsigned sweeps; /* that have begun */

/* The mean absolute error over all points, in ppm. */
static uint32_t error_of(const char *name, uint32_t blocks, uint32_t reads, uint64_t seed)
{
    struct policy *lru[MRC_POINTS];
    uint64_t misses[MRC_POINTS] = {0}, sum = 0;
    struct synth s;

    assert_true(synth_make(&s, name, blocks, seed));
    /* The loop's length, where its curve falls from 1 to 0, lies between two points. */
    set_up(blocks * 2 / 5, seed * UINT64_C(0xd1342543de82ef95));
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        lru[i] = policy_lru.make((uint32_t)m.sizes[i], synth_blocks(&s));
    }
    for (uint32_t n = 0; n < reads; n++) {
        uint32_t id = synth_next(&s);
        uint32_t before = m.sweeps ? m.swept : 0;
        mrc_read_block(&m, 0, id);
        /* However large the sample is, a read does little. */
        assert_true(!m.sweeps || m.swept <= before + MRC_SWEEP);
        sweeps += m.sweeps && m.swept == 0;
        if (n % 997 == 0) {
            audit();
        }
        for (unsigned i = 0; i < MRC_POINTS; i++) {
            misses[i] += !policy_lru.read(lru[i], id);
        }
    }
    audit();
    mrc_curve(&m, curve);
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        uint32_t exact = (uint32_t)(misses[i] * MRC_PPM / reads), got = curve[i].miss_ppm;
        sum += exact > got ? exact - got : got - exact;
        policy_lru.free(lru[i]);
    }
    synth_free(&s);
    return (uint32_t)(sum / MRC_POINTS);
}

/* As long as every block is in the sample, the curve is exact. */
static void test_exact_when_small(void **state)
{
    (void)state;
    assert_int_equal(error_of("zipf:0.8", MRC_TRACKED, 60000, 1), 0);
    assert_int_equal(mrc_one_in(&m), 1);
    assert_int_equal(error_of("loop", 3000, 30000, 2), 0);
    assert_int_equal(error_of("scan", 800, 30000, 3), 0);
}

static void test_sampled(void **state)
{
    static const char *const names[] = {"zipf:0.8", "zipf:1.0", "scan", "loop"};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            uint32_t error = error_of(names[i], 60000, 250000, seed);
            print_message("%s, seed %u: one in %u, mean absolute error %u ppm\n", names[i],
                          (unsigned)seed, (unsigned)mrc_one_in(&m), error);
            assert_true(mrc_one_in(&m) >= 4);
            assert_in_range(error, 0, MRC_PPM / 50 - 1);
        }
    }
    assert_true(sweeps > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_exact_when_small),
        cmocka_unit_test(test_sampled),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    free(mem);
    return failed;
}
