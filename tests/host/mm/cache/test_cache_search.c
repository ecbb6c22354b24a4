/* SPDX-License-Identifier: BSD-2-Clause */
/* One search for a block to evict takes a bounded number of steps, however large the cache is. */
#include "base/bits.h"
#include "mm/cache/queue.h"
#include "mm/cache/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROOM 20000u

/* A full cache in mode INCLUSIVE; frames have no bytes, which nothing looks at in that mode. */
struct rig {
    struct frames f;
    struct frame *table;
    struct cache c;
    void *mem;
};

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->table = calloc(ROOM + 1, sizeof(*r->table));
    frames_init(&r->f, r->table, ROOM + 1, NULL);
    frames_add_free(&r->f, MFN(1), ROOM);
    r->mem = malloc(cache_bytes(ROOM));
    assert_int_equal(cache_init(&r->c, &r->f, r->mem, ROOM, 3), OK);
    cache_set_mode(&r->c, CACHE_INCLUSIVE);
    for (uint64_t b = 0; b < ROOM; b++) {
        uint32_t e;
        assert_int_equal(cache_insert(&r->c, 1, b, &e), OK);
        cache_publish(&r->c, e, CACHE_MASK_ALL);
    }
    assert_int_equal(r->c.small.n + r->c.main.n, ROOM);
}

static void rig_fini(struct rig *r)
{
    char why[160];

    if (cache_check(&r->c, why, sizeof(why)) != OK) {
        fail_msg("%s", why);
    }
    free(r->mem);
    free(r->table);
}

/* Every block is used as often as is counted. */
static void heat(struct rig *r)
{
    for (uint32_t e = 0; e < ROOM; e++) {
        for (unsigned i = 0; i < CACHE_USES_MAX + 1; i++) {
            cache_touch(&r->c, e);
        }
        assert_int_equal(cache_queue_uses(&r->c.entries[e]), CACHE_USES_MAX);
    }
}

/* What a search has spared lost a use, or all of them: the number of entries with fewer than
 * before. */
static unsigned cooled(const struct rig *r, const uint8_t *before)
{
    unsigned n = 0;

    for (uint32_t e = 0; e < ROOM; e++) {
        n += (r->c.entries[e].flags & CACHE_E_USED) != 0 && r->c.entries[e].uses < before[e];
    }
    return n;
}

/* All of them are hot, in the small queue, then in the main one: a search finds one nevertheless.
 */
static void test_all_hot(void **state)
{
    static uint8_t before[ROOM];
    unsigned total = 0;
    struct rig r;

    (void)state;
    rig_init(&r);
    for (unsigned round = 0; round < 200; round++) {
        heat(&r);
        for (uint32_t e = 0; e < ROOM; e++) {
            before[e] = r.c.entries[e].uses;
        }
        uint32_t e = cache_queue_victim(&r.c);
        assert_int_not_equal(e, CACHE_NIL);
        unsigned n = cooled(&r, before);
        assert_true(n <= CACHE_SPARED_MAX);
        total += n;
        cache_queue_enter(&r.c, e, CACHE_BACK);
    }
    assert_true(total > 100 * CACHE_SPARED_MAX); /* and sparing is what it did */
    assert_true(r.c.main.n > 0);
    rig_fini(&r);
}

/* All but one are pinned: a search ends soon, and some later one finds it. */
static void test_all_pinned(void **state)
{
    uint32_t e = CACHE_NIL, searches = 0;
    struct rig r;

    (void)state;
    rig_init(&r);
    uint32_t newest = r.c.small.newest;
    for (uint32_t i = 0; i < ROOM; i++) {
        if (i != newest) {
            frame_of(&r.f, cache_frame(&r.c, i))->pins = 1;
            r.f.pinned++;
        }
    }
    while (e == CACHE_NIL) {
        uint32_t main = r.c.main.n;
        e = cache_queue_victim(&r.c);
        assert_true(r.c.main.n - main <= CACHE_PINNED_MAX);
        assert_true(++searches <= 4 * ROOM / CACHE_PINNED_MAX);
    }
    assert_int_equal(e, newest);
    assert_true(searches > 1);
    cache_queue_enter(&r.c, e, CACHE_BACK);
    for (uint32_t i = 0; i < ROOM; i++) {
        frame_of(&r.f, cache_frame(&r.c, i))->pins = 0;
    }
    r.f.pinned = 0;
    rig_fini(&r);
}

/* What one call evicts at most for a frame or two. */
#define EVICTIONS_MAX 160u

/* Forty blocks are in each frame, and their ages are far apart. */
static void test_crowds(void **state)
{
    enum { FRAMES = ROOM / 40 };
    struct rig r;

    (void)state;
    rig_init(&r);
    for (uint32_t b = FRAMES; b < ROOM; b++) {
        uint32_t from = cache_find(&r.c, 1, b), to = cache_find(&r.c, 1, b % FRAMES);
        cache_move(&r.c, cache_frame(&r.c, from), cache_frame(&r.c, to));
    }
    assert_int_equal(cache_held(&r.c), FRAMES);
    assert_int_equal(r.c.used, ROOM);
    for (uint32_t had = FRAMES; had > 0;) {
        uint64_t evicted = r.c.stats.evictions, got = cache_reclaim(&r.c, 2);
        assert_true(got >= 1 && got <= 2);
        assert_true(r.c.stats.evictions - evicted <= EVICTIONS_MAX);
        had -= (uint32_t)got;
        assert_int_equal(cache_held(&r.c), had);
    }
    assert_int_equal(r.c.used, 0);
    rig_fini(&r);
}

/* The bound was lowered while all was pinned: what is beyond it goes a frame or two with each later
 * insertion, and not all at once with the first. */
static void test_beyond_the_bound(void **state)
{
    const uint32_t max = ROOM - 1000;
    unsigned inserted = 0;
    struct rig r;

    (void)state;
    rig_init(&r);
    for (uint32_t e = 0; e < ROOM; e++) {
        frame_of(&r.f, cache_frame(&r.c, e))->pins = 1;
    }
    cache_set_max(&r.c, max);
    assert_int_equal(cache_held(&r.c), ROOM);
    for (uint32_t e = 0; e < ROOM; e++) {
        frame_of(&r.f, cache_frame(&r.c, e))->pins = 0;
    }
    while (cache_held(&r.c) > max) {
        uint32_t e, held = cache_held(&r.c);
        uint64_t evicted = r.c.stats.evictions;
        assert_int_equal(cache_insert(&r.c, 1, ROOM + inserted++, &e), OK);
        assert_true(r.c.stats.evictions - evicted <= 2);
        assert_true(cache_held(&r.c) < held);
        cache_publish(&r.c, e, CACHE_MASK_ALL);
    }
    assert_true(inserted <= 1000);
    assert_int_equal(cache_held(&r.c), max);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_hot),
        cmocka_unit_test(test_all_pinned),
        cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_beyond_the_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
