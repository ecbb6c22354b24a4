/* SPDX-License-Identifier: BSD-2-Clause */
/* The block store: a property test against a plain list, eviction, reclaim, and the self-audit. */
#include "arena.h"
#include "mm/cache/queue.h"
#include "mm/cache/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FREE_FRAMES 40u
#define FRAMES ARENA_SINGLES(FREE_FRAMES)
#define ROOM 48u

static struct frames frames;
static struct frame table[FRAMES];
static _Alignas(PAGE_SIZE) uint8_t window[FRAMES * PAGE_SIZE];
static struct cache c;
static void *mem;

static void set_up(void)
{
    free(mem);
    memset(table, 0, sizeof(table));
    frames_init(&frames, table, FRAMES, window);
    arena_add(&frames, 0, FREE_FRAMES, 1);
    mem = malloc(cache_bytes(ROOM));
    assert_int_equal(cache_init(&c, &frames, mem, ROOM, 99), OK);
    frames_add_reclaimer(&frames, cache_reclaim, &c);
    cache_set_mode(&c, CACHE_INCLUSIVE);
}

static void audit(void)
{
    char why[160] = "";

    if (cache_check(&c, why, sizeof(why)) != OK) {
        fail_msg("cache_check: %s", why);
    }
}

static uint32_t put(uint32_t disk, uint64_t block)
{
    uint32_t e;

    assert_int_equal(cache_insert(&c, disk, block, &e), OK);
    cache_publish(&c, e, CACHE_MASK_ALL);
    return e;
}

static void test_bounds(void **state)
{
    uint32_t e;

    (void)state;
    assert_true(cache_bytes(0) == 0 && cache_bytes(UINT64_MAX) == 0);
    assert_true(cache_bytes(UINT64_C(1) << 30) >= (UINT64_C(36) << 30));
    set_up();
    assert_int_equal(cache_init(&c, &frames, mem, 0, 0), E_INVAL);
    set_up();
    put(1, 5);
    assert_int_equal(cache_insert(&c, 1, 5, &e), E_EXISTS);
    assert_int_equal(cache_find(&c, 2, 5), CACHE_NIL);
    assert_int_equal(cache_find(&c, 1, UINT64_MAX), CACHE_NIL);
    cache_set_mode(&c, (enum cache_mode)77);
    assert_int_equal(c.mode, CACHE_INCLUSIVE);
    cache_invalidate(&c, 1, 5, UINT64_MAX); /* no overflow, no endless loop */
    assert_int_equal(c.used, 0);
    cache_set_max(&c, 0);
    assert_int_equal(cache_insert(&c, 1, 5, &e), E_NOMEM);
    audit();
}

/* Blocks used twice survive a scan over blocks used once. */
static void test_scan_resistance(void **state)
{
    (void)state;
    set_up();
    cache_set_max(&c, 20);
    for (uint64_t b = 0; b < 10; b++) {
        put(0, b);
    }
    for (uint64_t b = 100; b < 1000; b++) {
        put(0, b);
        for (uint64_t hot = 0; hot < 10 && b % 5 == 0; hot++) {
            uint32_t e = cache_find(&c, 0, hot);
            assert_int_not_equal(e, CACHE_NIL);
            cache_touch(&c, e);
        }
    }
    assert_int_equal(c.used, 20);
    assert_int_equal(c.stats.evictions, 890);
    audit();
}

static bool is_main(uint64_t block)
{
    uint32_t e = cache_find(&c, 0, block);

    assert_int_not_equal(e, CACHE_NIL);
    return (c.entries[e].flags & CACHE_E_MAIN) != 0;
}

/* Which queue a block is in: used twice there, or back soon after it left, or neither. */
static void test_queues(void **state)
{
    uint32_t e;

    (void)state;
    set_up();
    cache_set_max(&c, 20);
    for (uint64_t b = 0; b < 20; b++) {
        e = put(0, b);
        for (uint64_t use = 0; use < b % 3; use++) {
            cache_touch(&c, e);
        }
    }
    for (uint64_t b = 100; b < 118; b++) {
        put(0, b);
    }
    /* Of 0 to 19 those used twice have gone on, the others were evicted: but for the queue's end.
     */
    for (uint64_t b = 0; b < 20; b++) {
        assert_int_equal(cache_find(&c, 0, b) != CACHE_NIL, b % 3 == 2);
        assert_true(b % 3 != 2 || is_main(b));
    }
    audit();
    /* One that has just left comes back to the main queue; one never seen does not. */
    put(0, 19);
    put(0, 200);
    assert_true(is_main(19) && !is_main(200));
    /* Long afterwards its ghost is gone. */
    put(0, 201);
    for (uint64_t b = 1000; b < 1035; b++) { /* the table still has it: it is too old */
        put(0, b);
    }
    assert_int_equal(cache_find(&c, 0, 201), CACHE_NIL);
    put(0, 201);
    assert_false(is_main(201));
    audit();
    /* A write keeps a block in its queue. */
    e = cache_find(&c, 0, 19);
    if (e != CACHE_NIL) {
        cache_lock(&c, e);
        audit();
        cache_publish(&c, e, CACHE_MASK_ALL);
        assert_true(is_main(19));
    }
    e = cache_find(&c, 0, 201);
    cache_lock(&c, e);
    cache_publish(&c, e, CACHE_MASK_ALL);
    assert_false(is_main(201));
    audit();
}

/* What is used again and again stays, through any number of blocks used once; uses are counted to
 * three, so that nothing stays for ever. */
static void test_uses(void **state)
{
    (void)state;
    set_up();
    cache_set_max(&c, 10);
    uint32_t e = put(0, 1);
    for (unsigned i = 0; i < 1000; i++) {
        cache_touch(&c, e);
    }
    assert_int_equal(c.entries[e].uses, CACHE_USES_MAX);
    for (uint64_t b = 100; b < 120; b++) {
        put(0, b);
    }
    assert_true(is_main(1));
    /* Each of these is used, goes on to the main queue, and pushes there. */
    for (uint64_t b = 200; b < 300; b++) {
        e = put(0, b);
        cache_touch(&c, e);
        cache_touch(&c, e);
    }
    assert_int_equal(cache_find(&c, 0, 1), CACHE_NIL);
    /* All in use as often as can be: an eviction still ends, and finds one. */
    for (uint32_t i = 0; i < c.n_max; i++) {
        if ((c.entries[i].flags & CACHE_E_USED) != 0) {
            c.entries[i].uses = CACHE_USES_MAX;
        }
    }
    assert_int_equal(cache_reclaim(&c, 10), 10);
    audit();
}

static void test_reclaim(void **state)
{
    uint32_t busy, held, pinned;
    mfn_t mfn;

    (void)state;
    set_up();
    for (uint64_t b = 0; b < FREE_FRAMES - 2; b++) {
        put(0, b);
    }
    assert_int_equal(cache_insert(&c, 1, 0, &busy), OK);
    pinned = put(1, 1);
    frames_pin(&frames, cache_frame(&c, pinned));
    held = cache_find(&c, 0, 7);
    cache_lock(&c, held);
    audit();
    /* Whoever wants frames gets all but three. */
    for (unsigned i = 0; i < FREE_FRAMES - 3; i++) {
        assert_int_equal(frames_alloc(&frames, FRAME_HYP, &mfn), OK);
    }
    assert_int_equal(frames_alloc(&frames, FRAME_HYP, &mfn), E_NOMEM);
    assert_int_equal(c.used, 3);
    assert_int_equal(cache_reclaim(&c, 100), 0);
    audit();
    frames_unpin(&frames, cache_frame(&c, pinned));
    cache_drop_all(&c);
    assert_int_equal(c.used, 2);
    cache_publish(&c, busy, CACHE_MASK_ALL);
    cache_publish(&c, held, CACHE_MASK_ALL);
    assert_int_equal(c.used, 0); /* doomed meanwhile */
    audit();
}

/* Where all of the main queue is pinned, the small one gives what it has, however short it is. */
static void test_reclaim_from_small(void **state)
{
    (void)state;
    set_up();
    for (uint64_t b = 0; b < 29; b++) {
        frames_pin(&frames, cache_frame(&c, put(0, b)));
    }
    assert_int_equal(cache_reclaim(&c, 1), 0);
    put(1, 1);
    assert_true(c.small.n < cache_queue_share(&c));
    assert_int_equal(cache_reclaim(&c, 100), 1);
    assert_int_equal(cache_find(&c, 1, 1), CACHE_NIL);
    audit();
    /* What the main queue has goes all the same. */
    frames_unpin(&frames, cache_frame(&c, cache_find(&c, 0, 7)));
    put(1, 2);
    assert_int_equal(cache_reclaim(&c, 100), 2);
    assert_int_equal(c.used, 28);
    audit();
}

/* Random operations against a plain list of what may be there. */
static void test_property(void **state)
{
    static uint8_t there[2][100]; /* 0 not, 1 maybe (may be evicted), 2 busy, 3 busy and doomed */
    uint32_t e;

    (void)state;
    set_up();
    memset(there, 0, sizeof(there));
    srand(7);
    for (unsigned i = 0; i < 30000; i++) {
        unsigned disk = (unsigned)rand() % 2, b = (unsigned)rand() % 100;
        uint8_t *t = &there[disk][b];
        e = cache_find(&c, disk, b);
        assert_true(e == CACHE_NIL ? *t <= 1 : *t >= 1 && cache_is_busy(&c, e) == (*t >= 2));
        switch (rand() % 8) {
        case 0:
        case 1:
        case 2:
            if (e == CACHE_NIL && cache_insert(&c, disk, b, &e) == OK) {
                *t = 2;
            }
            break;
        case 3:
        case 4:
            if (e != CACHE_NIL && *t >= 2) {
                cache_publish(&c, e, CACHE_MASK_ALL);
                *t = *t == 2;
            } else if (e != CACHE_NIL) {
                cache_touch(&c, e);
            }
            break;
        case 5:
            if (e != CACHE_NIL && *t == 1 && rand() % 2 != 0) {
                cache_lock(&c, e);
                *t = 2;
            } else if (e != CACHE_NIL) {
                cache_remove(&c, e);
                *t = 0;
            }
            break;
        case 6: {
            unsigned n = (unsigned)rand() % (100 - b) % 9;
            cache_invalidate(&c, disk, b, n);
            for (unsigned k = b; k < b + n; k++) {
                there[disk][k] = there[disk][k] == 1 ? 0 : there[disk][k] == 2 ? 3 : there[disk][k];
            }
            break;
        }
        default:
            if (rand() % 4 == 0) {
                cache_set_max(&c, (uint64_t)rand() % 60);
            } else {
                cache_reclaim(&c, (uint64_t)rand() % 4);
            }
            break;
        }
        if (i % 64 == 0) {
            audit();
        }
    }
    audit();
}

/* The audit finds what is broken, and ends even on loops. */
static void test_check_detects(void **state)
{
    char why[160];

    (void)state;
    for (unsigned kind = 0; kind < 14; kind++) {
        set_up();
        uint32_t a = put(0, 1), b = put(0, 2), last = put(3, 3);
        audit();
        switch (kind) {
        case 0:
            c.used++;
            break;
        case 1:
            c.entries[a].hash_next = a;
            break;
        case 2:
            c.entries[a].block = 77;
            break;
        case 3:
            c.entries[a].frame = c.entries[b].frame;
            break;
        case 4:
            c.entries[b].prev = b;
            break;
        case 5:
            c.entries[a].next = last;
            break;
        case 6:
            c.free_head = a;
            break;
        case 7:
            frame_of(&frames, cache_frame(&c, a))->refs++; /* past frames_get, which tells */
            break;
        case 8:
            frame_of(&frames, cache_frame(&c, a))->state = FRAME_SHARED;
            break;
        case 9: {
            mfn_t mfn;
            assert_int_equal(frames_alloc(&frames, FRAME_CACHE_ONLY, &mfn), OK);
            frame_of(&frames, mfn)->flags |= FRAME_F_IN_CACHE; /* by whom? */
            break;
        }
        case 10:
            c.entries[a].flags ^= CACHE_E_MAIN; /* in the other queue's name */
            break;
        case 11:
            c.main.n++;
            break;
        case 12:
            c.small.oldest = last;
            break;
        default:
            c.entries[last].frame = 12345678;
            break;
        }
        if (cache_check(&c, why, sizeof(why)) == OK) {
            fail_msg("damage %u was not found", kind);
        }
        assert_true(strlen(why) > 10);
    }
    free(mem);
    mem = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),   cmocka_unit_test(test_scan_resistance),
        cmocka_unit_test(test_queues),   cmocka_unit_test(test_uses),
        cmocka_unit_test(test_reclaim),  cmocka_unit_test(test_reclaim_from_small),
        cmocka_unit_test(test_property), cmocka_unit_test(test_check_detects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
