/* SPDX-License-Identifier: BSD-2-Clause */
/* The bound on what all snapshots keep holds for their maps too. */
#include "arena.h"
#include "drivers/block/cow/snapshot.h"
#include "fake_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 126u
#define BUFFER ARENA_SINGLES(FRAMES)     /* the tests' own frame, behind those */
#define BASE_SECTORS (UINT64_C(1) << 30) /* 512 GiB: a map of three levels */
#define STEP (UINT64_C(1) << 23)         /* 4 GiB: a leaf and what is above it, each time */
#define POOL 10u

struct rig {
    struct frames frames;
    struct frame table[BUFFER + 1];
    uint8_t *window;
    struct blk_dev base;
    struct snapshot_pool pool;
    struct snapshot snap;
    unsigned n_done;
};

static void base_submit(struct blk_dev *d, struct blk_req *r)
{
    (void)d;
    fail_msg("operation %d at sector %llu of the base", (int)r->op, (unsigned long long)r->sector);
}

static const struct blk_ops base_ops = {.submit = base_submit};

static void set_up(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->window = aligned_alloc(PAGE_SIZE, (BUFFER + 1) * PAGE_SIZE);
    frames_init(&r->frames, r->table, BUFFER + 1, r->window);
    arena_add(&r->frames, 0, FRAMES, 1);
    r->base = (struct blk_dev){.ops = &base_ops, .name = "base", .sectors = BASE_SECTORS};
    r->pool = (struct snapshot_pool){.frames = &r->frames, .max = POOL};
    assert_int_equal(snapshot_init(&r->snap, &r->pool, &r->base), OK);
}

static void tear_down(struct rig *r)
{
    char why[160] = "";

    assert_int_equal(snapshot_check(&r->snap, NULL, why, sizeof(why)), OK);
    snapshot_fini(&r->snap);
    assert_int_equal(r->pool.used, 0);
    arena_end(&r->frames);
    free(r->window);
}

static void done(struct blk_req *q, enum status s)
{
    struct rig *r = q->ctx;

    assert_int_equal(s, OK);
    r->n_done++;
}

/* Submits n requests of a chunk each, far from each other. */
static void submit(struct rig *r, struct blk_req *reqs, unsigned n, enum blk_op op,
                   const struct blk_seg *seg)
{
    for (unsigned i = 0; i < n; i++) {
        reqs[i] = (struct blk_req){.op = op,
                                   .sector = i * STEP,
                                   .sectors = 8,
                                   .segs = seg,
                                   .n_segs = seg != NULL,
                                   .done = done,
                                   .ctx = r};
        blk_submit(&r->snap.cow.dev, &reqs[i]);
        assert_true(r->pool.used <= r->pool.max);
    }
}

static void fill_up(enum blk_op op, bool with_data)
{
    struct blk_req reqs[20];
    struct rig r;

    set_up(&r);
    struct blk_seg seg = {mfn_to_hpa(MFN(BUFFER)), PAGE_SIZE};
    submit(&r, reqs, 20, op, with_data ? &seg : NULL);
    assert_true(r.n_done > 0 && r.n_done < 20);
    assert_true(cow_is_starved(&r.snap.cow) && snapshot_pool_is_full(&r.pool));
    r.pool.max = FRAMES;
    cow_retry(&r.snap.cow);
    assert_int_equal(r.n_done, 20);
    tear_down(&r);
}

/* What is written with zeroes costs no frame, but that of the map. */
static void test_zeroes(void **state)
{
    (void)state;
    fill_up(BLK_ZEROES, false);
}

/* Requests that wait for the pool have not taken from it what is beyond its bound. */
static void test_writes(void **state)
{
    (void)state;
    fill_up(BLK_WRITE, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroes),
        cmocka_unit_test(test_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
