/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the blocks that guests have let go of stay in the store: it learns from what they read.
 */
#include "arena.h"
#include "base/bits.h"
#include "mm/cache/queue.h"
#include "mm/cache/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 2047u
#define PLACES ARENA_SINGLES(FRAMES)
#define HELD 512u   /* the bound of the store */
#define WINDOW 256u /* blocks that a guest holds at once */
#define GUESTS 2u

/* Guests that hold what they have read last, each block's frame mapped while one does. */
struct rig {
    struct frames f;
    struct frame table[PLACES];
    uint8_t *window;
    struct cache c;
    void *mem;
    struct {
        mfn_t held[WINDOW];
        unsigned n, at;
    } guests[GUESTS];
    uint64_t reads, hits;
};

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    assert_int_equal(posix_memalign((void **)&r->window, PAGE_SIZE, PLACES * PAGE_SIZE), 0);
    memset(r->window, 1, PLACES * PAGE_SIZE); /* zeroes need no frame */
    frames_init(&r->f, r->table, PLACES, r->window);
    arena_add(&r->f, 0, FRAMES, 1);
    r->mem = malloc(cache_bytes(FRAMES));
    assert_int_equal(cache_init(&r->c, &r->f, r->mem, FRAMES, 3), OK);
    frames_add_reclaimer(&r->f, cache_reclaim, &r->c);
    cache_set_max(&r->c, HELD);
    cache_set_mode(&r->c, CACHE_FOLD);
}

static void rig_fini(struct rig *r)
{
    char why[160];

    if (cache_check(&r->c, why, sizeof(why)) != OK) {
        fail_msg("%s", why);
    }
    free(r->mem);
    arena_end(&r->f);
    free(r->window);
}

/* Guest g reads a block that it does not hold, and lets go of what it has read longest ago. */
static void read_block(struct rig *r, unsigned g, uint64_t block)
{
    uint32_t e = cache_find(&r->c, 0, block);

    r->reads++;
    if (e != CACHE_NIL) {
        r->hits++;
    } else {
        assert_int_equal(cache_insert(&r->c, 0, block, &e), OK);
        cache_set_group(&r->c, e, 0);
        cache_publish(&r->c, e, CACHE_MASK_ALL);
    }
    mfn_t *slot = &r->guests[g].held[r->guests[g].at];
    mfn_t old = *slot;
    *slot = cache_frame(&r->c, e);
    frames_get(&r->f, *slot);
    if (r->guests[g].n < WINDOW) {
        r->guests[g].n++;
    } else {
        frames_put(&r->f, old);
    }
    r->guests[g].at = (r->guests[g].at + 1) % WINDOW;
}

/* Of the reads since the last call, in per mille. */
static unsigned hit_ratio(struct rig *r)
{
    unsigned permille = (unsigned)(r->hits * 1000 / r->reads);

    r->reads = r->hits = 0;
    return permille;
}

static void go_round(struct rig *r, uint64_t first, unsigned blocks, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned b = 0; b < blocks; b++) {
            read_block(r, 0, first + b);
        }
    }
}

/* A loop over more than the guest and the store hold together: letting the newest stay would never
 * find anything. */
static void test_loop(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_false(r.c.oldest_stay);
    go_round(&r, 0, WINDOW + 2 * HELD, 4);
    assert_true(r.c.oldest_stay);
    (void)hit_ratio(&r);
    go_round(&r, 0, WINDOW + 2 * HELD, 8);
    /* At most HELD of the 2 * HELD blocks that are away from the guest can be found. */
    assert_in_range(hit_ratio(&r), 200, 500);
    assert_true(r.c.oldest_stay);
    /* Another loop, after the first has gone: it is not kept for ever. */
    go_round(&r, 100000, WINDOW + 2 * HELD, 16);
    (void)hit_ratio(&r);
    go_round(&r, 100000, WINDOW + 2 * HELD, 4);
    assert_in_range(hit_ratio(&r), 150, 500);
    rig_fini(&r);
}

/* What fits is all found, whatever stays first. */
static void test_loop_that_fits(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    go_round(&r, 0, WINDOW + HELD, 2);
    (void)hit_ratio(&r);
    go_round(&r, 0, WINDOW + HELD, 4);
    assert_int_equal(hit_ratio(&r), 1000);
    rig_fini(&r);
}

/* A guest that reads what another one has let go of a while ago: the newest must stay. */
static void follow(struct rig *r, unsigned lag, uint64_t first, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        read_block(r, 0, first + i);
        if (i >= lag) {
            read_block(r, 1, first + i - lag);
        }
        if (i == n / 2) {
            (void)hit_ratio(r);
        }
    }
}

static void test_follower(void **state)
{
    struct rig r;
    const unsigned lag = WINDOW + HELD / 8;

    (void)state;
    rig_init(&r);
    follow(&r, lag, 0, 16 * HELD);
    assert_false(r.c.oldest_stay);
    assert_in_range(hit_ratio(&r), 490, 500); /* all that the second one reads */
    rig_fini(&r);

    /* And when what came before has taught the store otherwise, it learns. */
    rig_init(&r);
    go_round(&r, 100000, WINDOW + 2 * HELD, 6);
    assert_true(r.c.oldest_stay);
    follow(&r, lag, 0, 16 * HELD);
    assert_false(r.c.oldest_stay);
    rig_fini(&r);
}

/* A block that only passes the queue on its way from the disk to a guest has not come to it, and
 * its first use is the guest's own. */
static void test_passing_through(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r);
    for (unsigned b = 0; b < WINDOW; b++) {
        read_block(&r, 0, b);
    }
    assert_int_equal(r.c.arrivals, 0);
    read_block(&r, 0, WINDOW);
    assert_int_equal(r.c.arrivals, 1);
    uint32_t e = cache_find(&r.c, 0, 0);
    assert_true(cache_is_queued(&r.c.entries[e]));
    assert_int_equal(cache_queue_uses(&r.c.entries[e]), 0);
    read_block(&r, 0, 0); /* back from there: one use */
    assert_int_equal(cache_queue_uses(&r.c.entries[e]), 1);
    read_block(&r, 1, 0); /* from the other guest: none */
    assert_int_equal(cache_queue_uses(&r.c.entries[e]), 1);
    rig_fini(&r);
}

/* One that has only passed does not make those look old that came while it was there. */
static void test_passing_others(void **state)
{
    struct rig r;
    uint32_t e[2];

    (void)state;
    rig_init(&r);
    cache_set_max(&r.c, 32); /* so that each arrival is told apart */
    r.c.oldest_stay = true;
    for (unsigned b = 0; b < 2; b++) {
        assert_int_equal(cache_insert(&r.c, 0, b, &e[b]), OK);
        memset(frame_bytes(&r.f, cache_frame(&r.c, e[b])), 1, PAGE_SIZE);
        cache_publish(&r.c, e[b], CACHE_MASK_ALL);
    }
    mfn_t mfn = cache_frame(&r.c, e[0]);
    frames_get(&r.f, mfn);
    assert_int_equal(r.c.arrivals, 1);
    cache_touch(&r.c, e[1]);
    assert_int_equal(r.c.lean, 0); /* either way it would be here */
    frames_put(&r.f, mfn);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop),           cmocka_unit_test(test_loop_that_fits),
        cmocka_unit_test(test_follower),       cmocka_unit_test(test_passing_through),
        cmocka_unit_test(test_passing_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
