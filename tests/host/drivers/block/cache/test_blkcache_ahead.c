/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading ahead: for whom, how far, at whose cost, and what becomes of errors. */
#include "arena.h"
#include "base/bits.h"
#include "drivers/block/cache/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 2048u
#define SECTORS (BLOCKS * 8)
#define CACHE_FRAMES 640u
#define CLIENTS 8u
#define CLIENT_PAGES 32u
#define BUFFERS ARENA_SINGLES(CACHE_FRAMES) /* the clients' frames, behind those */
#define FRAMES (BUFFERS + CLIENTS * CLIENT_PAGES)
#define LOWER 64u
#define MAX_PAGES 32u

/* A disk whose sectors hold their number, completed by hand, and clients that read it. */
struct rig {
    struct frames frames;
    struct frame table[FRAMES];
    _Alignas(4096) uint8_t window[FRAMES * 4096];
    struct cache cache;
    void *mem, *pool;
    struct blkcache bc;
    struct blk_dev leaf;
    struct blkcache_dev d;
    struct blk_req *lower[LOWER];
    unsigned n_lower;
    uint64_t n_reads;     /* lower requests */
    uint64_t read_blocks; /* of them */
    uint64_t bad;         /* a sector that cannot be read; UINT64_MAX: none */
    struct client {
        struct blk_req req;
        struct blk_seg seg;
        unsigned done;
        enum status status;
    } clients[CLIENTS];
};

static struct rig rig;
static struct blk_account vms[3];

static void lower_submit(struct blk_dev *d, struct blk_req *r)
{
    struct rig *g = container_of(d, struct rig, leaf);

    assert_true(g->n_lower < LOWER && range_within(r->sector, r->sectors, SECTORS));
    g->lower[g->n_lower++] = r;
    g->n_reads += r->op == BLK_READ;
    g->read_blocks += r->op == BLK_READ ? r->sectors / 8 : 0;
}

static const struct blk_ops lower_ops = {.submit = lower_submit};

static void set_up_on(uint64_t sectors, uint64_t readahead_pages)
{
    struct rig *g = &rig;

    memset(g, 0, sizeof(*g));
    g->bad = UINT64_MAX;
    for (unsigned i = 0; i < ARRAY_LEN(vms); i++) {
        vms[i] = (struct blk_account){.vm = (uint16_t)(i + 1)};
    }
    frames_init(&g->frames, g->table, FRAMES, g->window);
    arena_add(&g->frames, 0, CACHE_FRAMES, 1);
    frames_mark_hyp(&g->frames, MFN(BUFFERS), CLIENTS * CLIENT_PAGES);
    g->mem = malloc(cache_bytes(CACHE_FRAMES));
    g->pool = aligned_alloc(16, ALIGN_UP(blkcache_bytes(64, 64), 16));
    assert_int_equal(cache_init(&g->cache, &g->frames, g->mem, CACHE_FRAMES, 1), OK);
    frames_add_reclaimer(&g->frames, cache_reclaim, &g->cache);
    cache_set_mode(&g->cache, CACHE_INCLUSIVE);
    assert_int_equal(blkcache_init(&g->bc, &g->cache, g->pool, 64, 64), OK);
    g->leaf = (struct blk_dev){.ops = &lower_ops, .sectors = sectors};
    blkcache_dev_init(&g->d, &g->bc, &g->leaf);
    blkcache_set_readahead(&g->bc, readahead_pages * PAGE_SIZE);
}

static void set_up(uint64_t readahead_pages)
{
    set_up_on(SECTORS, readahead_pages);
}

static void done(struct blk_req *r, enum status s)
{
    struct client *c = r->ctx;

    c->done++;
    c->status = s;
}

static uint8_t *buffer(unsigned client)
{
    return rig.window + (size_t)(BUFFERS + client * CLIENT_PAGES) * 4096;
}

static void submit(unsigned client, unsigned vm, enum blk_op op, uint64_t block, uint64_t blocks)
{
    struct client *c = &rig.clients[client];

    c->done = 0;
    c->seg = (struct blk_seg){HPA((uint64_t)(buffer(client) - rig.window)), (uint32_t)blocks << 12};
    c->req = (struct blk_req){.op = op,
                              .sector = block * 8,
                              .sectors = blocks * 8,
                              .segs = &c->seg,
                              .n_segs = op != BLK_FETCH,
                              .done = done,
                              .ctx = c,
                              .account = &vms[vm]};
    blk_submit(&rig.d.dev, &c->req);
}

/* Completes lower request i. */
static void complete(unsigned i)
{
    struct blk_req *r = rig.lower[i];
    uint64_t at = r->sector;
    bool is_bad = r->op == BLK_READ && rig.bad >= at && rig.bad - at < r->sectors;

    assert_true(i < rig.n_lower);
    memmove(&rig.lower[i], &rig.lower[i + 1], (--rig.n_lower - i) * sizeof(rig.lower[0]));
    for (unsigned k = 0; k < r->n_segs && r->op == BLK_READ && !is_bad; k++) {
        for (uint32_t off = 0; off < r->segs[k].bytes; off += BLK_SECTOR) {
            memcpy(rig.window + r->segs[k].addr.a + off, &at, 8);
            at++;
        }
    }
    r->done(r, is_bad ? E_IO : OK);
}

static void complete_all(void)
{
    while (rig.n_lower > 0) {
        complete(0);
    }
}

static void check_data(unsigned client)
{
    const struct client *c = &rig.clients[client];

    assert_true(c->done == 1 && c->status == OK);
    for (uint64_t s = 0; s < c->req.sectors; s++) {
        uint64_t got;
        memcpy(&got, buffer(client) + s * BLK_SECTOR, 8);
        assert_int_equal(got, c->req.sector + s);
    }
}

/* A read to its end; only what was read ahead stays on its way. */
static void read_blocks(unsigned client, unsigned vm, uint64_t block, uint64_t blocks)
{
    submit(client, vm, BLK_READ, block, blocks);
    for (unsigned i = 0; i < rig.n_lower;) {
        if (rig.lower[i]->ahead) {
            i++;
        } else {
            complete(i);
            i = 0;
        }
    }
    check_data(client);
}

/* So many blocks, a few at a time. */
static void read_row(unsigned client, unsigned vm, uint64_t from, uint64_t blocks)
{
    for (uint64_t b = from; b < from + blocks; b += MIN(UINT64_C(8), from + blocks - b)) {
        read_blocks(client, vm, b, MIN(UINT64_C(8), from + blocks - b));
    }
}

static void tear_down(void)
{
    char why[160];

    complete_all();
    assert_int_equal(cache_check(&rig.cache, why, sizeof(why)), OK);
    assert_int_equal(rig.frames.pinned, 0);
    arena_end(&rig.frames);
    free(rig.mem);
    free(rig.pool);
}

/* Once a row is long enough, all others find their blocks here, or on their way. */
static void test_sequential(void **state)
{
    (void)state;
    set_up(MAX_PAGES);
    for (uint64_t b = 0; b < 400; b += 4) {
        read_blocks(0, 0, b, 4);
        complete_all();
    }
    assert_int_equal(rig.cache.stats.misses, 64);
    assert_int_equal(rig.cache.stats.hits, 336);
    assert_int_equal(rig.cache.stats.copied_bytes, 400 * 4096);
    assert_in_range(rig.cache.stats.readahead, 336, 336 + MAX_PAGES);
    assert_int_equal(rig.cache.ahead, rig.cache.stats.readahead - 336);
    assert_int_equal(rig.cache.stats.readahead_wasted, 0);
    /* Fills of 16 blocks, for most of it. */
    assert_true(rig.n_reads < 60);
    cache_drop_all(&rig.cache);
    assert_int_equal(rig.cache.stats.readahead_wasted, rig.cache.stats.readahead - 336);
    tear_down();
}

/* The next window is on its way while the reader still has half of the last one. */
static void test_in_time(void **state)
{
    uint64_t waited = 0;

    (void)state;
    set_up(MAX_PAGES);
    for (uint64_t b = 0; b < 600; b += 4) {
        submit(0, 0, BLK_READ, b, 4);
        waited += rig.clients[0].done == 0;
        while (rig.clients[0].done == 0) {
            complete(0);
        }
        check_data(0);
        if (rig.n_lower > 0 && b % 16 == 0) { /* a disk as fast as the reader */
            complete(0);
        }
    }
    assert_in_range(waited, 16, 30);
    tear_down();
}

static void test_window(void **state)
{
    uint64_t longest = 0, before;

    (void)state;
    set_up(MAX_PAGES);
    for (uint64_t b = 0; b < 300; b++) {
        before = rig.cache.stats.readahead;
        read_blocks(0, 0, b, 1);
        uint64_t now = rig.cache.stats.readahead - before;
        assert_true(now <= MAX_PAGES && now <= (b + 1) / 8 && (now == 0 || now >= 8));
        longest = MAX(longest, now);
        complete_all();
    }
    assert_int_equal(longest, MAX_PAGES);
    /* Elsewhere it begins anew. */
    before = rig.cache.stats.readahead;
    read_row(0, 0, 1000, 63);
    assert_int_equal(rig.cache.stats.readahead, before);
    read_blocks(0, 0, 1063, 1);
    assert_int_equal(rig.cache.stats.readahead, before + 8);
    tear_down();
}

/* Who asks for much at a time reads ahead himself: only a long row of it makes a difference. */
static void test_own(void **state)
{
    (void)state;
    set_up(MAX_PAGES);
    for (uint64_t b = 0; b < 576; b += 32) {
        read_blocks(0, 0, b, 32);
        assert_true(rig.cache.stats.readahead == 0 || b >= 224);
        complete_all();
    }
    assert_in_range(rig.cache.stats.readahead, 100, 320);
    assert_true(rig.cache.stats.misses < 576 - 100 + 32);
    tear_down();
}

static void test_random(void **state)
{
    uint64_t x = 1;

    (void)state;
    set_up(MAX_PAGES);
    for (unsigned i = 0; i < 300; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        read_blocks(0, 0, (x >> 33) % (BLOCKS - 4), 1 + (x >> 60) % 4);
    }
    assert_true(rig.cache.stats.readahead < 30); /* neighbours by accident */
    tear_down();
    set_up(0);
    for (uint64_t b = 0; b < 100; b++) {
        read_blocks(0, 0, b, 1);
    }
    assert_int_equal(rig.cache.stats.readahead, 0);
    tear_down();
}

/* Three VMs, one of them at two places, and one without order. */
static void test_streams(void **state)
{
    uint64_t x = 1;

    (void)state;
    set_up(8);
    for (uint64_t b = 0; b < 100; b++) {
        read_blocks(0, 0, b, 1);
        read_blocks(1, 1, 400 + b, 1);
        read_blocks(2, 1, 800 + b, 1);
        x = x * 6364136223846793005u + 1442695040888963407u;
        read_blocks(3, 2, 1200 + (x >> 33) % 800, 1);
        complete_all();
    }
    assert_int_equal(vms[0].cache_misses, 64);
    assert_int_equal(vms[1].cache_misses, 128);
    tear_down();
}

/* Whoever comes to wait for what is read ahead makes it urgent, and a write waits for it. */
static void test_hurry(void **state)
{
    (void)state;
    set_up(MAX_PAGES);
    read_row(0, 0, 0, 64);
    assert_int_equal(rig.n_lower, 1);
    assert_true(rig.lower[0]->ahead && rig.lower[0]->sector == 64 * 8);
    submit(1, 1, BLK_READ, 65, 2);
    assert_int_equal(rig.n_lower, 1);
    assert_false(rig.lower[0]->ahead);
    complete(0);
    check_data(1);
    complete_all();
    /* 64 to 71 are here, and more is on its way. */
    submit(0, 0, BLK_READ, 64, 4);
    check_data(0);
    assert_true(rig.n_lower == 1 && rig.lower[0]->ahead);
    uint64_t next = rig.lower[0]->sector / 8;
    memset(buffer(2), 0x77, 4096);
    submit(2, 1, BLK_WRITE, next + 1, 1);
    assert_true(rig.n_lower == 1 && !rig.lower[0]->ahead && rig.clients[2].done == 0);
    complete_all();
    assert_true(rig.clients[2].done == 1 && rig.clients[2].status == OK);
    submit(3, 0, BLK_READ, next + 1, 1);
    assert_true(rig.clients[3].done == 1 && buffer(3)[0] == 0x77);
    tear_down();
}

/* A bad sector in what is read ahead is nobody's error but his who asks for it. */
static void test_errors(void **state)
{
    (void)state;
    set_up(MAX_PAGES);
    rig.bad = 66 * 8 + 3;
    read_row(0, 0, 0, 64);
    submit(1, 1, BLK_READ, 64, 2); /* waits for the same lower request */
    assert_int_equal(rig.n_lower, 1);
    complete_all();
    check_data(1);
    read_blocks(0, 0, 64, 2);
    submit(0, 0, BLK_READ, 66, 1);
    complete_all();
    assert_true(rig.clients[0].done == 1 && rig.clients[0].status == E_IO);
    for (uint64_t b = 67; b < 110; b++) {
        submit(0, 0, BLK_READ, b, 1);
        complete_all();
        check_data(0);
    }
    tear_down();
}

/* What is read ahead costs no block that anybody uses, and no frame of the last ones. */
static void test_room(void **state)
{
    mfn_t taken[CACHE_FRAMES];
    unsigned n = 0;

    (void)state;
    set_up(MAX_PAGES);
    cache_set_max(&rig.cache, 100);
    for (unsigned round = 0; round < 5; round++) {
        for (uint64_t b = 0; b < 90; b++) {
            submit(0, 2, BLK_READ, (b * 37 % 90) * 20, 1); /* used, and used again */
            complete_all();
        }
    }
    uint64_t misses = rig.cache.stats.misses;
    for (uint64_t b = 1; b < 160; b++) {
        submit(1, 0, BLK_READ, 1850 + b, 1);
        complete_all();
        check_data(1);
    }
    assert_true(rig.cache.stats.readahead > 20); /* it goes round the small queue's place */
    misses = rig.cache.stats.misses;
    for (uint64_t b = 0; b < 90; b++) {
        submit(0, 2, BLK_READ, (b * 37 % 90) * 20, 1);
        complete_all();
    }
    assert_true(rig.cache.stats.misses == misses && rig.cache.stats.readahead_wasted == 0);
    /* No frames: nothing is taken from those that are left, and nothing evicted from a cache that
     * has no more than it uses. */
    tear_down();
    set_up(MAX_PAGES);
    while (rig.frames.by_state[FRAME_FREE] > rig.frames.count / 64 + 68) {
        assert_int_equal(frames_alloc(&rig.frames, FRAME_HYP, &taken[n++]), OK);
    }
    read_row(0, 0, 0, 64);
    complete_all();
    assert_int_equal(rig.cache.stats.readahead, 4); /* of 8 */
    assert_int_equal(rig.frames.by_state[FRAME_FREE], rig.frames.count / 64);
    assert_int_equal(rig.cache.stats.evictions, 0);
    while (n > 0) {
        frames_free(&rig.frames, taken[--n]);
    }
    tear_down();
}

/* Blocks that are gone before they are read: the window was too long. */
static void test_lost(void **state)
{
    (void)state;
    set_up(MAX_PAGES);
    for (uint64_t b = 0; b < 200; b++) {
        read_blocks(0, 0, b, 1);
        complete_all();
    }
    cache_drop_all(&rig.cache);
    uint64_t before = rig.cache.stats.readahead;
    read_blocks(0, 0, 200, 1);
    assert_in_range(rig.cache.stats.readahead - before, 1, MAX_PAGES / 2);
    for (uint64_t b = 201; b < 300; b++) {
        read_blocks(0, 0, b, 1);
        complete_all();
    }
    assert_true(rig.cache.stats.misses <= 66);
    tear_down();
}

static void test_end(void **state)
{
    (void)state;
    set_up_on(SECTORS - 3, MAX_PAGES); /* the last block is not whole */
    for (uint64_t b = BLOCKS - 90; b < BLOCKS - 1; b++) {
        read_blocks(0, 0, b, 1);
        complete_all();
    }
    submit(0, 0, BLK_READ, BLOCKS - 1, 1); /* beyond the end */
    assert_int_equal(rig.clients[0].status, E_RANGE);
    assert_int_equal(rig.cache.stats.readahead, 89 - 64);
    tear_down();
}

/* A fetch's blocks stay until they are let go, whatever else wants room. */
static void test_held(void **state)
{
    uint32_t held[20];

    (void)state;
    set_up(0);
    cache_set_max(&rig.cache, 24);
    submit(1, 0, BLK_READ, 4, 1); /* one of them is here already */
    complete_all();
    struct client *c = &rig.clients[0];
    c->req = (struct blk_req){.op = BLK_FETCH,
                              .sectors = 20 * 8,
                              .done = done,
                              .ctx = c,
                              .account = &vms[0],
                              .held = held,
                              .max_held = 20};
    c->done = 0;
    blk_submit(&rig.d.dev, &c->req);
    assert_int_equal(rig.n_lower, 2); /* both runs are on their way */
    complete_all();
    assert_true(c->done == 1 && c->req.n_held == 20);
    for (uint64_t b = 100; b < 200; b++) {
        submit(1, 1, BLK_READ, b * 3, 1);
        complete_all();
        check_data(1);
    }
    for (uint64_t b = 0; b < 20; b++) {
        assert_true(cache_find(&rig.cache, 0, b) != CACHE_NIL);
    }
    while (c->req.n_held > 0) {
        frames_unpin(&rig.frames, MFN(held[--c->req.n_held]));
    }
    cache_set_max(&rig.cache, 0);
    assert_int_equal(rig.cache.used, 0);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequential), cmocka_unit_test(test_in_time),
        cmocka_unit_test(test_window),     cmocka_unit_test(test_random),
        cmocka_unit_test(test_own),        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_hurry),      cmocka_unit_test(test_errors),
        cmocka_unit_test(test_room),       cmocka_unit_test(test_lost),
        cmocka_unit_test(test_end),        cmocka_unit_test(test_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
