/* SPDX-License-Identifier: BSD-2-Clause */
/* The cached block device: the property test, and the cases that have a name. */
#include "arena.h"
#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "rnd.h"
#include "world_blkcache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void property(const struct bcw_options *o)
{
    struct cache_stats sum = {0};

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rnd x = {seed * UINT64_C(0x9e3779b97f4a7c15)};
        struct cache_stats s = bcw_run(o, (struct bcw_source){rnd_pick, &x}, 3000);
        sum.hits += s.hits;
        sum.misses += s.misses;
        sum.joined += s.joined;
        sum.evictions += s.evictions;
        sum.bypassed += s.bypassed;
        sum.readahead += s.readahead;
        sum.readahead_wasted += s.readahead_wasted;
        sum.absorbed += s.absorbed;
        sum.cleaned += s.cleaned;
        sum.clean_requests += s.clean_requests;
        sum.clean_errors += s.clean_errors;
    }
    /* The run went where it should have. */
    assert_true(sum.hits > 0 && sum.misses > 0 && sum.bypassed > 0 && sum.evictions > 0);
    assert_true(o->sync || o->n_jobs == 1 || sum.joined > 0);
    assert_true(o->readahead == 0 || (sum.readahead > 0 && sum.readahead_wasted > 0));
    assert_true(!o->back || (sum.absorbed > sum.cleaned && sum.cleaned > sum.clean_requests));
    assert_true(!o->back || o->fail_percent == 0 || sum.clean_errors > 0);
}

static void test_property(void **state)
{
    (void)state;
    property(&(struct bcw_options){
        .n_jobs = 16, .n_ios = 16, .cache_frames = 64, .cache_max = 48, .readahead = 32});
}

/* Accounts with queues of their own, which come by for a step now and then. */
static void test_property_steps(void **state)
{
    (void)state;
    property(&(struct bcw_options){.n_jobs = 18,
                                   .n_ios = 18,
                                   .cache_frames = 64,
                                   .cache_max = 48,
                                   .readahead = 32,
                                   .steps = true});
    property(&(struct bcw_options){.n_jobs = 9,
                                   .n_ios = 6,
                                   .cache_frames = 20,
                                   .cache_max = 24,
                                   .fail_percent = 10,
                                   .readahead = 4,
                                   .steps = true,
                                   .back = true});
    property(&(struct bcw_options){.n_jobs = 12,
                                   .n_ios = 12,
                                   .cache_frames = 40,
                                   .cache_max = 40,
                                   .sync = true,
                                   .steps = true,
                                   .back = true});
}

static void test_property_failing(void **state)
{
    (void)state;
    property(&(struct bcw_options){.n_jobs = 16,
                                   .n_ios = 16,
                                   .cache_frames = 64,
                                   .cache_max = 48,
                                   .fail_percent = 20,
                                   .readahead = 8});
}

static void test_property_tight(void **state)
{
    (void)state;
    property(&(struct bcw_options){.n_jobs = 3,
                                   .n_ios = 1,
                                   .cache_frames = 5,
                                   .cache_max = 9,
                                   .fail_percent = 5,
                                   .readahead = 4});
    property(&(struct bcw_options){.n_jobs = 1, .n_ios = 2, .cache_frames = 20, .cache_max = 9});
}

static void test_property_sync(void **state)
{
    (void)state;
    property(&(struct bcw_options){.n_jobs = 4,
                                   .n_ios = 4,
                                   .cache_frames = 64,
                                   .cache_max = 48,
                                   .fail_percent = 3,
                                   .sync = true,
                                   .readahead = 16});
}

static void test_property_back(void **state)
{
    (void)state;
    property(&(struct bcw_options){
        .n_jobs = 16, .n_ios = 16, .cache_frames = 64, .cache_max = 48, .back = true});
    property(&(struct bcw_options){.n_jobs = 16,
                                   .n_ios = 16,
                                   .cache_frames = 64,
                                   .cache_max = 48,
                                   .fail_percent = 20,
                                   .back = true});
    property(&(struct bcw_options){.n_jobs = 3,
                                   .n_ios = 1,
                                   .cache_frames = 6,
                                   .cache_max = 9,
                                   .fail_percent = 5,
                                   .back = true});
    property(&(struct bcw_options){.n_jobs = 4,
                                   .n_ios = 4,
                                   .cache_frames = 64,
                                   .cache_max = 48,
                                   .fail_percent = 3,
                                   .sync = true,
                                   .back = true});
}

/* ---- named cases, on a disk that is completed by hand ---- */

#define CACHE_FRAMES 32u
#define BUFFERS ARENA_SINGLES(CACHE_FRAMES) /* the clients' frames, behind those */
#define FRAMES (BUFFERS + 32)
#define SECTORS 128u

struct hand {
    struct frames frames;
    struct frame table[FRAMES];
    _Alignas(4096) uint8_t window[FRAMES * 4096];
    struct cache cache;
    void *mem, *pool;
    struct blkcache bc;
    struct blk_dev leaf;
    struct blkcache_dev d;
    struct blk_req *lower[32];
    unsigned n_lower, n_submitted;
};

struct client {
    struct blk_req req;
    struct blk_seg seg;
    unsigned done;
    enum status status;
};

static void hand_submit(struct blk_dev *d, struct blk_req *r)
{
    struct hand *h = container_of(d, struct hand, leaf);

    h->n_submitted++;
    h->lower[h->n_lower++] = r;
}

static const struct blk_ops hand_ops = {.submit = hand_submit};

static void hand_init(struct hand *h)
{
    memset(h, 0, sizeof(*h));
    frames_init(&h->frames, h->table, FRAMES, h->window);
    arena_add(&h->frames, 0, CACHE_FRAMES, 1);
    frames_mark_hyp(&h->frames, MFN(BUFFERS), 32);
    h->mem = malloc(cache_bytes(CACHE_FRAMES));
    h->pool = aligned_alloc(16, ALIGN_UP(blkcache_bytes(4, 4), 16));
    assert_int_equal(cache_init(&h->cache, &h->frames, h->mem, CACHE_FRAMES, 1), OK);
    cache_set_mode(&h->cache, CACHE_INCLUSIVE);
    assert_int_equal(blkcache_init(&h->bc, &h->cache, h->pool, 4, 4), OK);
    h->leaf = (struct blk_dev){.ops = &hand_ops, .sectors = SECTORS, .can_discard = true};
    blkcache_dev_init(&h->d, &h->bc, &h->leaf);
}

static void hand_free(struct hand *h)
{
    char why[160];

    assert_int_equal(cache_check(&h->cache, why, sizeof(why)), OK);
    arena_end(&h->frames);
    free(h->mem);
    free(h->pool);
}

static void client_done(struct blk_req *r, enum status s)
{
    struct client *c = r->ctx;

    c->done++;
    c->status = s;
}

/* On whose behalf `go` asks. */
static struct blk_account *account;

static void go(struct hand *h, struct client *c, enum blk_op op, uint64_t sector, uint32_t n,
               unsigned page)
{
    *c = (struct client){.seg = {HPA((BUFFERS + page) * 4096), n * BLK_SECTOR}};
    c->req = (struct blk_req){.op = op,
                              .sector = sector,
                              .sectors = n,
                              .segs = op == BLK_READ || op == BLK_WRITE ? &c->seg : NULL,
                              .n_segs = op == BLK_READ || op == BLK_WRITE ? 1 : 0,
                              .done = client_done,
                              .ctx = c,
                              .account = account};
    blk_submit(&h->d.dev, &c->req);
}

/* Completes the oldest lower request; reads bring `byte`. */
static struct blk_req *complete(struct hand *h, enum status s, uint8_t byte)
{
    struct blk_req *r = h->lower[0];

    assert_true(h->n_lower != 0);
    memmove(h->lower, h->lower + 1, --h->n_lower * sizeof(h->lower[0]));
    for (unsigned i = 0; i < r->n_segs && r->op == BLK_READ; i++) {
        memset(h->window + r->segs[i].addr.a, byte, r->segs[i].bytes);
    }
    r->done(r, s);
    return r;
}

static uint8_t byte_at(struct hand *h, unsigned page)
{
    return h->window[(size_t)(BUFFERS + page) * 4096];
}

static struct hand h;

static void test_merge_and_hit(void **state)
{
    struct client a, b;

    (void)state;
    hand_init(&h);
    go(&h, &a, BLK_READ, 3, 20, 0); /* blocks 0..2, unaligned on both sides */
    assert_int_equal(h.n_lower, 1);
    assert_int_equal(h.lower[0]->sector, 0);
    assert_int_equal(h.lower[0]->sectors, 24);
    go(&h, &b, BLK_READ, 8, 8, 4); /* joins */
    assert_int_equal(h.n_lower, 1);
    complete(&h, OK, 0x11);
    assert_true(a.done == 1 && b.done == 1 && a.status == OK && b.status == OK);
    assert_true(byte_at(&h, 0) == 0x11 && byte_at(&h, 4) == 0x11);
    go(&h, &a, BLK_READ, 0, 24, 8);
    assert_true(a.done == 1 && h.n_submitted == 1);
    assert_int_equal(h.cache.stats.hits, 3);
    assert_int_equal(h.cache.stats.misses, 3);
    assert_int_equal(h.cache.stats.joined, 1);
    hand_free(&h);
}

static void test_write_waits_for_fill(void **state)
{
    struct client r, w, r2;

    (void)state;
    hand_init(&h);
    go(&h, &r, BLK_READ, 0, 8, 0);
    memset(h.window + (BUFFERS + 1) * 4096, 0x22, 4096);
    go(&h, &w, BLK_WRITE, 2, 1, 1);
    assert_int_equal(h.n_lower, 1); /* the fill may not bring old data after the write */
    complete(&h, OK, 0x11);
    assert_true(r.done == 1 && w.done == 0 && h.n_lower == 1);
    assert_int_equal(h.lower[0]->op, BLK_WRITE);
    /* Written from the cache's frame, not from memory that the guest may still change. */
    assert_true(h.lower[0]->segs[0].addr.a < 32 * 4096);
    go(&h, &r2, BLK_READ, 2, 1, 2);
    complete(&h, OK, 0);
    assert_true(w.done == 1 && r2.done == 1);
    assert_int_equal(byte_at(&h, 2), 0x22);
    go(&h, &r2, BLK_READ, 3, 1, 2);
    assert_int_equal(byte_at(&h, 2), 0x11);
    assert_int_equal(h.n_submitted, 2);
    hand_free(&h);
}

static void test_errors_install_nothing(void **state)
{
    struct client r;

    (void)state;
    hand_init(&h);
    go(&h, &r, BLK_READ, 0, 8, 0);
    complete(&h, E_IO, 0x11);
    assert_true(r.done == 1 && r.status == E_IO && h.cache.used == 0);
    /* The bad sector is not one of those wanted: those are read alone. */
    go(&h, &r, BLK_READ, 2, 2, 0);
    complete(&h, E_IO, 0x11);
    assert_int_equal(r.done, 0);
    assert_true(h.lower[0]->sector == 2 && h.lower[0]->sectors == 2);
    complete(&h, OK, 0x33);
    assert_true(r.done == 1 && r.status == OK && byte_at(&h, 0) == 0x33 && h.cache.used == 0);
    /* A failed write leaves nobody knows what: the block goes. */
    go(&h, &r, BLK_READ, 0, 8, 0);
    complete(&h, OK, 0x44);
    assert_int_equal(h.cache.used, 1);
    go(&h, &r, BLK_WRITE, 0, 1, 0);
    complete(&h, E_IO, 0);
    assert_true(r.status == E_IO && h.cache.used == 0);
    hand_free(&h);
}

static void test_off_copies_nothing(void **state)
{
    struct client r;

    (void)state;
    hand_init(&h);
    cache_set_mode(&h.cache, CACHE_OFF);
    go(&h, &r, BLK_READ, 1, 30, 0);
    assert_ptr_equal(h.lower[0]->segs, &r.seg);
    complete(&h, OK, 0x55);
    assert_true(r.done == 1 && h.cache.stats.copied_bytes == 0 && h.cache.used == 0);
    hand_free(&h);
}

static void test_mode_switch_during_fill(void **state)
{
    struct client r, w;

    (void)state;
    hand_init(&h);
    go(&h, &r, BLK_READ, 0, 8, 0);
    go(&h, &w, BLK_READ, 0, 8, 1);
    cache_set_mode(&h.cache, CACHE_OFF);
    assert_int_equal(h.cache.used, 1); /* a device writes to it */
    complete(&h, OK, 0x11);
    assert_true(r.done == 1 && byte_at(&h, 0) == 0x11 && h.cache.used == 0);
    complete(&h, OK, 0x12);
    assert_true(w.done == 1 && byte_at(&h, 1) == 0x12);
    hand_free(&h);
}

static void test_gate(void **state)
{
    struct client c;

    (void)state;
    hand_init(&h);
    go(&h, &c, BLK_READ, SECTORS, 1, 0);
    assert_int_equal(c.status, E_RANGE);
    go(&h, &c, BLK_READ, UINT64_MAX, 2, 0);
    assert_int_equal(c.status, E_RANGE);
    go(&h, &c, BLK_READ, 0, 0, 0);
    assert_int_equal(c.status, E_INVAL);
    go(&h, &c, BLK_ZEROES, 0, 1, 0);
    assert_int_equal(c.status, E_UNSUPPORTED);
    h.d.dev.read_only = true;
    go(&h, &c, BLK_WRITE, 0, 1, 0);
    assert_int_equal(c.status, E_READONLY);
    go(&h, &c, (enum blk_op)99, 0, 1, 0);
    assert_int_equal(c.status, E_INVAL);
    assert_int_equal(h.n_submitted, 0);
    hand_free(&h);
}

/* ---- who looks on: accounts, the trace, the curve ---- */

static void test_accounts(void **state)
{
    struct blk_account one = {.vm = 1}, two = {.vm = 2};
    struct client a, b;

    (void)state;
    hand_init(&h);
    account = &one;
    go(&h, &a, BLK_READ, 0, 24, 0);
    account = &two;
    go(&h, &b, BLK_READ, 8, 8, 4); /* waits for one's read: a miss */
    complete(&h, OK, 0x11);
    assert_true(one.cache_hits == 0 && one.cache_misses == 3);
    assert_true(two.cache_hits == 0 && two.cache_misses == 1);
    go(&h, &b, BLK_READ, 0, 32, 4); /* three hits, one miss */
    complete(&h, OK, 0x11);
    assert_true(one.cache_hits == 0 && two.cache_hits == 3 && two.cache_misses == 2);
    account = NULL; /* nobody's: counted by the cache and the device alone */
    go(&h, &a, BLK_READ, 0, 8, 0);
    assert_true(a.done == 1 && h.d.stats.hits == 4 && h.cache.stats.hits == 4);
    account = &one;
    cache_set_mode(&h.cache, CACHE_OFF);
    go(&h, &a, BLK_READ, 0, 8, 0); /* no cache: neither */
    complete(&h, OK, 0x22);
    assert_true(one.cache_hits == 0 && one.cache_misses == 3);
    account = NULL;
    hand_free(&h);
}

static uint64_t test_now_ns(void)
{
    static uint64_t ns;

    return ns += 1000000;
}

static const char *next_line(struct blktrace *t)
{
    static char text[BLKTRACE_TEXT];
    struct blktrace_record r;

    if (!blktrace_take(t, &r)) {
        return "none";
    }
    size_t n = blktrace_text(&r, text, sizeof(text));
    assert_int_equal(n, strlen(text));
    return text;
}

/* ---- queues of their own ---- */

struct vm_queue {
    struct blkcache_queue q;
    struct blk_account account;
    unsigned woken;
};

static void vm_wake(void *ctx)
{
    ((struct vm_queue *)ctx)->woken++;
}

static void vm_queue_init(struct hand *x, struct vm_queue *v, uint16_t vm, uint32_t jobs,
                          uint32_t ios)
{
    *v = (struct vm_queue){.account = {.queue = &v->q, .vm = vm}};
    assert_int_equal(blkcache_queue_init(&v->q, &x->bc, jobs, ios, vm_wake, v), OK);
}

static void go_as(struct hand *x, struct vm_queue *v, struct client *c, uint64_t sector, uint32_t n,
                  unsigned page)
{
    account = &v->account;
    go(x, c, BLK_READ, sector, n, page);
    account = NULL;
}

static uint64_t late(void *ctx)
{
    (void)ctx;
    return 1;
}

/* A read of what another VM is about to read: it does not wait for that one's turn. */
static void test_join_prepared(void **state)
{
    struct vm_queue greedy, v;
    struct client a, b, c;

    (void)state;
    hand_init(&h);
    vm_queue_init(&h, &greedy, 1, 1, 1);
    vm_queue_init(&h, &v, 2, 1, 1);
    go_as(&h, &greedy, &a, 0, 64, 0);
    struct deadline past = {.now_ns = late, .end_ns = 0};
    while (h.cache.busy == 0) {
        assert_true(blkcache_queue_work(&greedy.q, &past));
    }
    assert_int_equal(h.n_lower, 0); /* its time was up before the fill was submitted */
    go_as(&h, &v, &b, 0, 8, 8);
    (void)blkcache_queue_work(&v.q, NULL);
    assert_int_equal(h.n_lower, 1);
    assert_ptr_equal(h.lower[0]->account, &greedy.account);
    complete(&h, OK, 0x33);
    assert_true(v.woken > 0);
    (void)blkcache_queue_work(&v.q, NULL);
    assert_true(b.done == 1 && b.status == OK && byte_at(&h, 8) == 0x33);
    assert_int_equal(a.done, 0);
    (void)blkcache_queue_work(&greedy.q, NULL);
    while (h.n_lower > 0) {
        complete(&h, OK, 0x44);
        (void)blkcache_queue_work(&greedy.q, NULL);
    }
    assert_true(a.done == 1 && a.status == OK && byte_at(&h, 0) == 0x33);
    assert_int_equal(byte_at(&h, 7), 0x44);
    assert_int_equal(h.cache.stats.misses, 8);
    go(&h, &c, BLK_READ, 0, 64, 16);
    assert_true(c.done == 1 && byte_at(&h, 16) == 0x33 && byte_at(&h, 23) == 0x44);
    blkcache_queue_fini(&greedy.q);
    blkcache_queue_fini(&v.q);
    hand_free(&h);
}

/* The queue's next request has what it waited for: it goes below as the fourth again, and to its
 * end with all others. */
static void take_what_came_back(struct vm_queue *v)
{
    (void)blkcache_queue_work(&v->q, NULL);
    assert_int_equal(h.n_lower, 4);
    while (h.n_lower > 0) {
        complete(&h, OK, 0x22);
    }
    (void)blkcache_queue_work(&v->q, NULL);
}

/* A queue whose share of a pool others still use is woken when they give it back. */
static void test_pool_comes_back(void **state)
{
    struct vm_queue v;
    struct client common[4], a;

    (void)state;
    hand_init(&h);
    for (unsigned i = 0; i < 4; i++) {
        go(&h, &common[i], BLK_READ, i * 16, 8, i);
    }
    assert_int_equal(h.n_lower, 4); /* all jobs and ios there are */
    vm_queue_init(&h, &v, 1, 1, 1);
    go_as(&h, &v, &a, 100, 8, 8);
    v.woken = 0;
    assert_false(blkcache_queue_work(&v.q, NULL));
    complete(&h, OK, 0x11);
    assert_int_equal(common[0].done, 1);
    assert_int_equal(v.woken, 1);
    take_what_came_back(&v);
    assert_true(a.done == 1 && byte_at(&h, 8) == 0x22);
    assert_int_equal(v.woken, 2); /* its own, and no more */
    blkcache_queue_fini(&v.q);
    hand_free(&h);
}

/* Likewise, when it has jobs but no io. */
static void test_io_comes_back(void **state)
{
    struct vm_queue v;
    struct client big, a;

    (void)state;
    hand_init(&h);
    for (uint64_t b = 0; b < 4; b++) {
        uint32_t e;
        assert_int_equal(cache_insert(&h.cache, 0, 2 * b + 1, &e), OK);
        cache_publish(&h.cache, e, CACHE_MASK_ALL);
    }
    go(&h, &big, BLK_READ, 0, 56, 0); /* blocks 0, 2, 4, 6 are missing */
    assert_int_equal(h.n_lower, 4);
    vm_queue_init(&h, &v, 1, 1, 1);
    go_as(&h, &v, &a, 100, 8, 8);
    (void)blkcache_queue_work(&v.q, NULL);
    assert_int_equal(v.q.n_jobs, 1);
    assert_int_equal(h.n_lower, 4);
    v.woken = 0;
    complete(&h, OK, 0x11);
    assert_int_equal(v.woken, 1);
    take_what_came_back(&v);
    assert_true(a.done == 1 && big.done == 1);
    blkcache_queue_fini(&v.q);
    hand_free(&h);
}

static void test_trace(void **state)
{
    struct blk_account one = {.vm = 7};
    struct blktrace_record ring[3];
    struct blktrace t;
    struct client a;

    (void)state;
    hand_init(&h);
    h.d.dev.id = 5;
    h.d.dev.start = 7; /* a partition: requests are moved, and blocks cut */
    h.leaf.id = 5;
    h.leaf.start = 7;
    blktrace_init(&t, ring, 3, test_now_ns);
    h.bc.trace = &t;
    go(&h, &a, BLK_READ, 0, 2, 0); /* sectors 7 and 8: blocks 0 and 1 */
    complete(&h, OK, 1);
    account = &one;
    go(&h, &a, BLK_WRITE, 9, 8, 0); /* 16 to 23: block 2 */
    complete(&h, OK, 1);
    go(&h, &a, BLK_FLUSH, 0, 0, 0); /* of no blocks */
    complete(&h, OK, 1);
    go(&h, &a, BLK_DISCARD, 0, 121, 0);
    complete(&h, OK, 1);
    go(&h, &a, BLK_READ, 0, 1, 0);
    complete(&h, OK, 1);
    account = NULL;
    assert_true(t.n == 3 && t.lost == 1);
    assert_string_equal(next_line(&t), "1000 0 5 0 2 r");
    assert_string_equal(next_line(&t), "2000 7 5 2 1 w");
    go(&h, &a, BLK_READ, 9, 8, 0); /* around the ring's end */
    complete(&h, OK, 1);
    assert_string_equal(next_line(&t), "3000 7 5 0 16 d");
    assert_string_equal(next_line(&t), "4000 0 5 2 1 r");
    assert_string_equal(next_line(&t), "none");
    hand_free(&h);
}

static void test_curve(void **state)
{
    struct mrc_point points[MRC_POINTS];
    struct mrc curve;
    struct client a;
    void *mem = malloc(MRC_BYTES);

    (void)state;
    hand_init(&h);
    mrc_init(&curve, mem, 2, 1);
    h.bc.curve = &curve;
    for (unsigned i = 0; i < 4; i++) {
        go(&h, &a, BLK_READ, 0, 24, 0); /* three blocks in a loop, whatever the cache has */
        while (h.n_lower > 0) {
            complete(&h, OK, 1);
        }
        go(&h, &a, BLK_WRITE, 64, 8, 0); /* no read */
        complete(&h, OK, 1);
    }
    mrc_curve(&curve, points);
    assert_int_equal(curve.reads, 12);
    assert_true(points[10].blocks == 2 && points[10].miss_ppm == MRC_PPM);
    assert_true(points[11].blocks == 3 && points[11].miss_ppm == MRC_PPM / 4);
    free(mem);
    hand_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_and_hit),
        cmocka_unit_test(test_write_waits_for_fill),
        cmocka_unit_test(test_errors_install_nothing),
        cmocka_unit_test(test_off_copies_nothing),
        cmocka_unit_test(test_mode_switch_during_fill),
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_property),
        cmocka_unit_test(test_property_steps),
        cmocka_unit_test(test_property_failing),
        cmocka_unit_test(test_property_tight),
        cmocka_unit_test(test_property_sync),
        cmocka_unit_test(test_property_back),
        cmocka_unit_test(test_join_prepared),
        cmocka_unit_test(test_pool_comes_back),
        cmocka_unit_test(test_io_comes_back),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
