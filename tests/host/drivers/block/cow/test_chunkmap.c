/* SPDX-License-Identifier: BSD-2-Clause */
/* Giving a copy-on-write disk's map back in steps: how much a step does, and that it is all done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/block/cow/chunkmap.h"
#include "fake_p2m.h"
#include "steps.h"

#define FRAMES 600u
#define KEYS (UINT64_C(1) << 30)
#define LEAF 1024u /* keys of a leaf */
/* Of a step without time: values given back, or leaves. */
#define STEP_VALUES 16u
#define STEP_LEAVES 1u

static struct frames f;
static struct chunkmap map;
static unsigned released[LEAF + 600], n_released;

static void release(void *ctx, uint32_t value)
{
    (void)ctx;
    released[value - 1]++;
    n_released++;
}

static void put(uint64_t key, uint32_t value)
{
    assert_int_equal(chunkmap_reserve(&map, key), OK);
    chunkmap_set(&map, key, value);
}

static int begin(void **state)
{
    (void)state;
    fake_frames_init(&f, FRAMES);
    memset(released, 0, sizeof(released));
    n_released = 0;
    return chunkmap_init(&map, &f, KEYS) == OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    int all = f.by_state[FRAME_FREE] == FRAMES ? 0 : -1;

    fake_frames_fini(&f);
    return all;
}

/* Drops all by steps that have no time; returns how many there were. */
static unsigned drop(void)
{
    struct looks looks;
    unsigned steps = 0;
    bool more;

    do {
        unsigned values = n_released;
        uint64_t nodes = map.nodes;

        more = chunkmap_drop_some(&map, looks_begin(&looks, 1), release, NULL);
        assert_true(n_released - values <= STEP_VALUES);
        assert_true(nodes - map.nodes <= STEP_LEAVES + CHUNKMAP_LEVELS);
        steps++;
    } while (more);
    assert_int_equal(map.nodes, 0);
    return steps;
}

/* A full leaf, and a leaf for each of many single values far apart. */
static void test_steps(void **state)
{
    uint32_t n = 0;

    (void)state;
    for (uint64_t key = 0; key < LEAF; key++) {
        put(3 * LEAF + key, ++n);
    }
    for (uint64_t i = 0; i < 500; i++) {
        put((i + 7) * 100 * LEAF + i % LEAF, ++n);
    }
    assert_true(drop() >= LEAF / STEP_VALUES + 500);
    assert_int_equal(n_released, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(released[i], 1);
    }
}

/* An emptied map is as good as a new one, and without a deadline one call empties it. */
static void test_again(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        put(KEYS - 1, 1);
        put(5, 2);
        put(LEAF * LEAF, 3);
        n_released = 0;
        if (round == 1) {
            assert_false(chunkmap_drop_some(&map, NULL, release, NULL));
        } else {
            (void)drop();
        }
        assert_int_equal(n_released, 3);
        assert_int_equal(chunkmap_get(&map, 5), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_steps, begin, end),
        cmocka_unit_test_setup_teardown(test_again, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
