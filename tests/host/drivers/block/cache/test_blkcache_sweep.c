/* SPDX-License-Identifier: BSD-2-Clause */
/* FLUSH among more dirty blocks than a walk looks at in one go. */
#include "arena.h"
#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "fake_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 1500u
#define BUFFER ARENA_SINGLES(FRAMES) /* the frame behind */
#define CROWD 1200u /* blocks of the new generation: more than twice what is looked at at once */
#define FIRST 0u    /* before them on the disk */
#define LAST 1400u  /* behind them */
#define BLOCKS 1500u
#define AGE 40u

/* A disk that does at once what it is asked, but for writes to the block kept[i], which are done
 * when let_go(i) says so. */
struct rig {
    struct frames frames;
    struct frame table[BUFFER + 1];
    uint8_t *window;
    struct cache cache;
    void *mem, *pool;
    struct blkcache bc;
    struct blkcache_dev dev;
    struct blk_dev disk;
    uint64_t kept[2];
    struct blk_req *pending[2];
    unsigned flushes;
    uint64_t clock;
    struct blk_seg seg;
    bool flushed;
};

static struct rig *rig;

static void disk_submit(struct blk_dev *d, struct blk_req *r)
{
    (void)d;
    rig->flushes += r->op == BLK_FLUSH;
    for (unsigned i = 0; i < ARRAY_LEN(rig->kept); i++) {
        if (r->op == BLK_WRITE && r->sector == rig->kept[i] * 8 && rig->pending[i] == NULL) {
            rig->pending[i] = r;
            return;
        }
    }
    r->done(r, OK);
}

static void let_go(unsigned i)
{
    struct blk_req *r = rig->pending[i];

    assert_non_null(r);
    rig->pending[i] = NULL;
    rig->kept[i] = UINT64_MAX;
    r->done(r, OK);
}

static void set_up(void)
{
    static const struct blk_ops ops = {.submit = disk_submit};

    rig = calloc(1, sizeof(*rig));
    rig->window = aligned_alloc(PAGE_SIZE, ARRAY_LEN(rig->table) * PAGE_SIZE);
    memset(rig->window, 1, ARRAY_LEN(rig->table) * PAGE_SIZE);
    frames_init(&rig->frames, rig->table, ARRAY_LEN(rig->table), rig->window);
    arena_add(&rig->frames, 0, FRAMES, 1);
    frames_mark_hyp(&rig->frames, MFN(BUFFER), 1);
    rig->mem = malloc(cache_bytes(FRAMES));
    assert_int_equal(cache_init(&rig->cache, &rig->frames, rig->mem, FRAMES, 9), OK);
    cache_set_mode(&rig->cache, CACHE_INCLUSIVE);
    rig->pool = aligned_alloc(16, ALIGN_UP(blkcache_bytes(8, 8), 16));
    assert_int_equal(blkcache_init(&rig->bc, &rig->cache, rig->pool, 8, 8), OK);
    rig->disk = (struct blk_dev){.ops = &ops, .name = "disk0", .sectors = BLOCKS * 8, .id = 3};
    rig->kept[0] = rig->kept[1] = UINT64_MAX;
    blkcache_dev_init(&rig->dev, &rig->bc, &rig->disk);
    blkcache_set_writing(
        &rig->bc, &(struct blkcache_writing){.back = true, .dirty_max = 10000, .age_ns = AGE});
    rig->seg = (struct blk_seg){HPA((uint64_t)BUFFER * PAGE_SIZE), PAGE_SIZE};
}

static void tear_down(void)
{
    arena_end(&rig->frames);
    free(rig->window);
    free(rig->mem);
    free(rig->pool);
    free(rig);
}

static void written(struct blk_req *r, enum status s)
{
    assert_int_equal(s, OK);
    *(bool *)r->ctx = true;
}

static void write_block(uint64_t block)
{
    bool done = false;
    struct blk_req r = {.op = BLK_WRITE,
                        .sector = block * 8,
                        .sectors = 8,
                        .segs = &rig->seg,
                        .n_segs = 1,
                        .done = written,
                        .ctx = &done};

    blk_submit(&rig->dev.dev, &r);
    assert_true(done); /* in the cache */
}

/* The loop comes by, and no time passes. */
static void turns(void)
{
    for (unsigned i = 0; i < 100 && blkcache_work(&rig->bc, rig->clock, NULL); i++) {
    }
}

/*
 * A block is written again while the disk writes it, and a FLUSH waits for it and for another. The
 * walk for the FLUSH leaves it out, as the disk has it; when the disk gives it back, the walk is
 * still under way, far behind it, among what has been written since.
 */
static void test_left_out(void **state)
{
    struct blk_req flush = {.op = BLK_FLUSH, .done = written};

    (void)state;
    set_up();
    flush.ctx = &rig->flushed;
    rig->kept[0] = FIRST;
    rig->kept[1] = LAST;
    write_block(FIRST);
    while (rig->pending[0] == NULL) { /* it has become too old */
        assert_true(rig->clock < 10 * AGE);
        (void)blkcache_work(&rig->bc, ++rig->clock, NULL);
    }
    write_block(FIRST);
    write_block(LAST);
    blk_submit(&rig->dev.dev, &flush);
    assert_non_null(rig->pending[1]);
    for (unsigned i = 0; i < CROWD; i++) {
        write_block(FIRST + 1 + i);
    }
    let_go(1);
    let_go(0);
    turns();
    assert_true(rig->flushed);
    assert_int_equal(rig->flushes, 1);
    assert_true(rig->cache.dirty > CROWD / 2); /* what came later kept nobody waiting */
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
