/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing back: what a FLUSH promises survives power cuts at any moment, on a disk that loses what
 * it was not told to keep; and the rules that have a name, one by one.
 */
#include "arena.h"
#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "drivers/block/partition/partition.h"
#include "fake_log.h"
#include "fake_lossy.h"
#include "rnd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECTORS 260u                /* the last block is cut */
#define ROOM 24u                    /* blocks in the cache */
#define FREE 28u                    /* frames for it */
#define BUFFERS ARENA_SINGLES(FREE) /* the slots' frames, behind those */
#define SLOTS 6u
#define SLOT_SECTORS 32u
#define VERSIONS 48u
#define FOREVER UINT64_MAX

/* A version of a sector: what it holds, whose it is in the order of writes, and since when there
 * has been a completed one after it. */
struct version {
    uint64_t stamp, order, dead;
};

struct slot {
    struct blk_req req;
    struct blk_seg seg;
    struct blk_account *account;
    struct rig *r;
    unsigned index;
    bool busy;
    uint64_t begin;
};

struct rig {
    struct frames frames;
    struct frame table[BUFFERS + SLOTS * 4];
    uint8_t *window;
    struct cache cache;
    void *mem, *pool;
    struct blkcache bc;
    struct blkcache_dev dev;
    struct lossy disk;
    struct picks picks;
    struct rnd random;
    struct slot slots[SLOTS];
    struct blk_account accounts[2];
    struct blkcache_queue queues[2]; /* theirs, after give_queues */
    struct version versions[SECTORS][VERSIONS];
    unsigned n_versions[SECTORS];
    uint64_t now, stamps, clock;
    uint64_t floor; /* what was dead by then must not be on the disk any more */
    uint64_t flushes, failed_flushes;
};

/* ---- the machine ---- */

/* A machine that has just been switched on: nothing is cached. */
static void switch_on(struct rig *r)
{
    memset(r->table, 0, sizeof(r->table));
    frames_init(&r->frames, r->table, ARRAY_LEN(r->table), r->window);
    arena_add(&r->frames, 0, FREE, 1);
    frames_mark_hyp(&r->frames, MFN(BUFFERS), SLOTS * 4);
    assert_int_equal(cache_init(&r->cache, &r->frames, r->mem, ROOM, 9), OK);
    frames_add_reclaimer(&r->frames, cache_reclaim, &r->cache);
    cache_set_mode(&r->cache, CACHE_INCLUSIVE);
    assert_int_equal(blkcache_init(&r->bc, &r->cache, r->pool, 8, 8), OK);
    blkcache_dev_init(&r->dev, &r->bc, &r->disk.dev);
    blkcache_set_writing(&r->bc, &(struct blkcache_writing){
                                     .back = true, .give = true, .dirty_max = 16, .age_ns = 40});
    memset(r->slots, 0, sizeof(r->slots));
    memset(r->accounts, 0, sizeof(r->accounts));
}

static struct rig *rig_new(uint64_t seed)
{
    struct rig *r = calloc(1, sizeof(*r));

    r->random.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    r->picks = (struct picks){.next = rnd_pick, .ctx = &r->random};
    r->window = aligned_alloc(PAGE_SIZE, ARRAY_LEN(r->table) * PAGE_SIZE);
    memset(r->window, 0xcc, ARRAY_LEN(r->table) * PAGE_SIZE);
    r->mem = malloc(cache_bytes(ROOM));
    r->pool = aligned_alloc(16, ALIGN_UP(blkcache_bytes(8, 8), 16));
    lossy_init(&r->disk, "lossy0", SECTORS, r->window, &r->picks);
    r->disk.dev.id = 3;
    r->disk.dev.can_zero = true;
    for (unsigned s = 0; s < SECTORS; s++) {
        r->versions[s][r->n_versions[s]++] = (struct version){0, 0, FOREVER};
    }
    switch_on(r);
    return r;
}

static void rig_free(struct rig *r)
{
    lossy_free(&r->disk);
    arena_end(&r->frames);
    free(r->window);
    free(r->mem);
    free(r->pool);
    free(r);
}

static void check_store(const struct rig *r)
{
    char why[160] = "";

    if (cache_check(&r->cache, why, sizeof(why)) != OK) {
        fail_msg("cache_check: %s", why);
    }
}

/* ---- what may be where ---- */

static void fill(uint8_t *sector, uint64_t stamp)
{
    for (unsigned i = 0; i < BLK_SECTOR; i += 8) {
        memcpy(sector + i, &stamp, 8);
    }
}

/* The sector's bytes are one version, and one that was not dead at `since`. */
static void check_sector(const struct rig *r, uint64_t s, const uint8_t *bytes, uint64_t since)
{
    uint64_t stamp;

    memcpy(&stamp, bytes, 8);
    assert_memory_equal(bytes, bytes + 8, BLK_SECTOR - 8);
    for (unsigned i = 0; i < r->n_versions[s]; i++) {
        if (r->versions[s][i].stamp == stamp && r->versions[s][i].dead >= since) {
            return;
        }
    }
    fail_msg("sector %llu holds %llu, which it must not", (unsigned long long)s,
             (unsigned long long)stamp);
}

/* Forgets what nobody can see any more; false when there is no room for more versions even so. */
static bool prune(struct rig *r, uint64_t s)
{
    uint64_t oldest = r->floor;
    unsigned n = 0;

    for (unsigned i = 0; i < SLOTS; i++) {
        if (r->slots[i].busy) {
            oldest = MIN(oldest, r->slots[i].begin);
        }
    }
    for (unsigned i = 0; i < r->n_versions[s]; i++) {
        if (r->versions[s][i].dead >= oldest) {
            r->versions[s][n++] = r->versions[s][i];
        }
    }
    r->n_versions[s] = n;
    return n < VERSIONS;
}

static uint8_t *buffer(const struct slot *sl)
{
    return sl->r->window + sl->seg.addr.a;
}

static void slot_done(struct blk_req *q, enum status s)
{
    struct slot *sl = q->ctx;
    struct rig *r = sl->r;

    assert_true(sl->busy && (s == OK || (s == E_IO && r->disk.fail_percent != 0)));
    sl->busy = false;
    r->now++;
    for (uint64_t i = 0; s == OK && i < q->sectors; i++) {
        uint64_t x = q->sector + i;
        for (unsigned v = 0; q->op != BLK_READ && v < r->n_versions[x]; v++) {
            struct version *old = &r->versions[x][v];
            if (old->order < sl->begin && old->dead == FOREVER) {
                old->dead = r->now;
            }
        }
        if (q->op == BLK_READ) {
            check_sector(r, x, buffer(sl) + i * BLK_SECTOR, sl->begin);
        }
    }
    if (q->op == BLK_FLUSH) {
        r->flushes += s == OK;
        r->failed_flushes += s != OK;
        r->floor = s == OK ? MAX(r->floor, sl->begin) : r->floor;
    }
    r->now++;
}

static void submit(struct rig *r)
{
    static const enum blk_op ops[] = {BLK_READ,  BLK_READ,  BLK_WRITE, BLK_WRITE,
                                      BLK_WRITE, BLK_WRITE, BLK_FLUSH, BLK_ZEROES};
    unsigned index = pick(&r->picks, SLOTS);
    struct slot *sl = &r->slots[index];
    uint64_t stamp = 0;

    if (sl->busy) {
        return;
    }
    *sl = (struct slot){.r = r, .index = index};
    sl->req = (struct blk_req){.op = ops[pick(&r->picks, ARRAY_LEN(ops))],
                               .account = pick(&r->picks, 3) == 0 ? NULL : &r->accounts[index % 2],
                               .done = slot_done,
                               .ctx = sl};
    sl->seg.addr = HPA((BUFFERS + index * 4) * (uint64_t)PAGE_SIZE);
    if (sl->req.op != BLK_FLUSH) {
        sl->req.sector = pick(&r->picks, SECTORS);
        sl->req.sectors =
            1 + pick(&r->picks, (uint32_t)MIN(SLOT_SECTORS, SECTORS - sl->req.sector));
        if (pick(&r->picks, 3) != 0) { /* mostly whole blocks */
            sl->req.sector = MIN(sl->req.sector, SECTORS - 16u) & ~7u;
            sl->req.sectors = 8 + 8 * pick(&r->picks, 2);
        }
    }
    for (uint64_t i = 0; i < sl->req.sectors; i++) {
        if (!prune(r, sl->req.sector + i)) {
            return;
        }
    }
    sl->begin = ++r->now;
    if (sl->req.op == BLK_WRITE) {
        stamp = ++r->stamps;
    }
    for (uint64_t i = 0; i < sl->req.sectors; i++) {
        uint64_t x = sl->req.sector + i;
        fill(buffer(sl) + i * BLK_SECTOR, sl->req.op == BLK_READ ? FOREVER : stamp);
        if (sl->req.op != BLK_READ) {
            r->versions[x][r->n_versions[x]++] = (struct version){stamp, sl->begin, FOREVER};
        }
    }
    if (sl->req.op == BLK_READ || sl->req.op == BLK_WRITE) {
        sl->seg.bytes = (uint32_t)(sl->req.sectors * BLK_SECTOR);
        sl->req.segs = &sl->seg;
        sl->req.n_segs = 1;
    }
    sl->busy = true;
    blk_submit(&r->dev.dev, &sl->req);
}

/* The power goes off and on: each sector holds a version that no completed flush had ended. */
static void cut(struct rig *r)
{
    lossy_cut(&r->disk);
    for (uint64_t s = 0; s < SECTORS; s++) {
        check_sector(r, s, r->disk.safe + s * BLK_SECTOR, r->floor);
        memcpy(&r->versions[s][0].stamp, r->disk.safe + s * BLK_SECTOR, 8);
        r->versions[s][0].order = 0;
        r->versions[s][0].dead = FOREVER;
        r->n_versions[s] = 1;
    }
    switch_on(r);
}

static void step(struct rig *r)
{
    switch (pick(&r->picks, 16)) {
    case 0:
    case 1:
        r->clock += pick(&r->picks, 12);
        (void)blkcache_work(&r->bc, r->clock, NULL);
        break;
    case 2:
        if (pick(&r->picks, 8) == 0) {
            blkcache_set_writing(
                &r->bc, &(struct blkcache_writing){.back = pick(&r->picks, 3) != 0,
                                                   .dirty_max = pick(&r->picks, ROOM),
                                                   .age_ns = 40 * (uint64_t)pick(&r->picks, 2)});
        }
        break;
    case 3:
        if (pick(&r->picks, 8) == 0) {
            cache_set_mode(&r->cache, (enum cache_mode)pick(&r->picks, CACHE_MODES));
        }
        break;
    case 4:
        (void)cache_reclaim(&r->cache, pick(&r->picks, 6));
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        submit(r);
        break;
    default:
        lossy_step(&r->disk);
        break;
    }
}

static void power_cuts(unsigned fail_percent)
{
    uint64_t flushes = 0, failed = 0, cleaned = 0, absorbed = 0;

    for (unsigned seed = 1; seed <= 60; seed++) {
        struct rig *r = rig_new(seed);

        r->disk.fail_percent = fail_percent;
        for (unsigned n = 0; n < 6; n++) {
            for (unsigned i = pick(&r->picks, 1500); i > 0; i--) {
                step(r);
                if (i % 16 == 0) {
                    check_store(r);
                }
            }
            cleaned += r->cache.stats.cleaned;
            absorbed += r->cache.stats.absorbed;
            cut(r);
        }
        flushes += r->flushes;
        failed += r->failed_flushes;
        rig_free(r);
    }
    assert_true(flushes > 500 && cleaned > 1000 && absorbed > cleaned);
    assert_true(fail_percent == 0 ? failed == 0 : failed > 50);
}

static void test_power_cuts(void **state)
{
    (void)state;
    power_cuts(0);
}

static void test_power_cuts_failing(void **state)
{
    (void)state;
    power_cuts(10);
}

/* ---- single rules ---- */

/* A request that is not waited for. */
static struct slot *start(struct rig *r, unsigned index, enum blk_op op, uint64_t sector,
                          uint64_t sectors, struct blk_account *account)
{
    struct slot *sl = &r->slots[index];

    assert_false(sl->busy);
    *sl = (struct slot){.r = r, .index = index, .busy = true};
    sl->seg = (struct blk_seg){HPA((BUFFERS + index * 4) * (uint64_t)PAGE_SIZE),
                               (uint32_t)(sectors * BLK_SECTOR)};
    sl->req = (struct blk_req){.op = op,
                               .sector = sector,
                               .sectors = sectors,
                               .segs = &sl->seg,
                               .n_segs = op == BLK_READ || op == BLK_WRITE ? 1 : 0,
                               .account = account,
                               .ctx = sl};
    return sl;
}

static enum status outcome;

static void note(struct blk_req *q, enum status s)
{
    struct slot *sl = q->ctx;

    sl->busy = false;
    outcome = s;
}

static void wake(void *ctx)
{
    (void)ctx; /* work() looks at all of them */
}

/* From now on each account has a queue of its own. */
static void give_queues(struct rig *r)
{
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(blkcache_queue_init(&r->queues[i], &r->bc, 2, 2, wake, NULL), OK);
        r->accounts[i].queue = &r->queues[i];
    }
}

static void work(struct rig *r)
{
    for (unsigned i = 0; i < 2; i++) {
        if (r->accounts[i].queue != NULL) {
            (void)blkcache_queue_work(r->accounts[i].queue, NULL);
        }
    }
}

static void go(struct rig *r, unsigned index, enum blk_op op, uint64_t sector, uint64_t sectors,
               uint8_t byte, struct blk_account *account)
{
    struct slot *sl = start(r, index, op, sector, sectors, account);

    memset(buffer(sl), byte, sectors * BLK_SECTOR);
    sl->req.done = note;
    blk_submit(&r->dev.dev, &sl->req);
    work(r);
}

static enum status wait(struct rig *r, unsigned index)
{
    for (work(r); r->slots[index].busy; work(r)) {
        assert_true(r->disk.n_pending > 0);
        lossy_step(&r->disk);
    }
    return outcome;
}

static bool never(void *ctx, uint32_t n, uint32_t *out)
{
    (void)ctx;
    (void)n;
    *out = 0;
    return true;
}

/* A rig whose disk answers only when told to, first come first served. */
static struct rig *quiet_rig(void)
{
    struct rig *r = rig_new(1);

    r->picks.next = never;
    return r;
}

static uint8_t on_disk(const struct rig *r, uint64_t sector)
{
    return r->disk.now[sector * BLK_SECTOR];
}

static void test_done_at_once(void **state)
{
    struct rig *r = quiet_rig();

    (void)state;
    for (unsigned b = 0; b < 5; b++) {
        go(r, 0, BLK_WRITE, b * 8, 8, (uint8_t)(b + 1), NULL);
        assert_false(r->slots[0].busy);
    }
    assert_int_equal(r->disk.n_pending, 0);
    assert_int_equal(r->cache.dirty, 5);
    assert_int_equal(cache_reclaim(&r->cache, 100), 0); /* there is no other copy */
    go(r, 1, BLK_READ, 8, 8, 0, NULL);
    assert_false(r->slots[1].busy);
    assert_int_equal(buffer(&r->slots[1])[0], 2);
    /* A flush: one request for the five of them, then the disk's own flush. */
    go(r, 0, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(r->disk.n_pending, 1);
    assert_int_equal(r->disk.pending[0]->sectors, 40);
    assert_int_equal(wait(r, 0), OK);
    assert_int_equal(r->disk.n_writes, 1);
    assert_int_equal(r->disk.n_flushes, 1);
    assert_int_equal(r->cache.dirty, 0);
    assert_int_equal(on_disk(r, 8), 2);
    assert_int_equal(cache_reclaim(&r->cache, 100), 5);
    check_store(r);
    rig_free(r);
}

/* A block written again while the disk reads it is written out again; a write during a flush does
 * not keep the flush waiting. */
static void test_written_again(void **state)
{
    struct rig *r = quiet_rig();

    (void)state;
    go(r, 0, BLK_WRITE, 16, 8, 1, NULL);
    go(r, 1, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(r->disk.n_pending, 1);
    go(r, 0, BLK_WRITE, 16, 8, 2, NULL);
    go(r, 2, BLK_WRITE, 17, 2, 3, NULL); /* a part of it */
    assert_false(r->slots[0].busy || r->slots[2].busy);
    assert_int_equal(wait(r, 1), OK);
    assert_int_equal(on_disk(r, 16), 1);
    assert_int_equal(r->cache.dirty, 1);
    go(r, 3, BLK_READ, 16, 8, 0, NULL);
    assert_int_equal(buffer(&r->slots[3])[0], 2);
    assert_int_equal(buffer(&r->slots[3])[BLK_SECTOR], 3);
    go(r, 1, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(wait(r, 1), OK);
    assert_int_equal(on_disk(r, 16), 2);
    assert_int_equal(on_disk(r, 18), 3);
    assert_int_equal(on_disk(r, 19), 2);
    assert_int_equal(r->cache.dirty, 0);
    check_store(r);
    rig_free(r);
}

/* Every queue hears of an error once, at a FLUSH; the blocks stay until the disk takes them. */
static void test_errors(void **state)
{
    struct rig *r = quiet_rig();
    struct blk_account *a = &r->accounts[0], *b = &r->accounts[1];

    (void)state;
    give_queues(r);
    go(r, 1, BLK_READ, 0, 8, 0, b); /* b has been there before the error */
    assert_int_equal(wait(r, 1), OK);
    go(r, 0, BLK_WRITE, 8, 8, 1, a);
    r->disk.fail_percent = 100;
    go(r, 0, BLK_FLUSH, 0, 0, 0, a);
    lossy_step(&r->disk);
    r->disk.fail_percent = 0;
    assert_int_equal(wait(r, 0), E_IO);
    assert_int_equal(r->cache.dirty, 1);
    assert_int_equal(r->cache.stats.clean_errors, 1);
    go(r, 1, BLK_FLUSH, 0, 0, 0, b); /* this one writes it out, and tells all the same */
    assert_int_equal(wait(r, 1), E_IO);
    assert_int_equal(r->cache.dirty, 0);
    assert_int_equal(on_disk(r, 8), 1);
    go(r, 0, BLK_FLUSH, 0, 0, 0, a);
    assert_int_equal(wait(r, 0), OK);
    go(r, 1, BLK_FLUSH, 0, 0, 0, b);
    assert_int_equal(wait(r, 1), OK);
    go(r, 1, BLK_FLUSH, 0, 0, 0, NULL); /* nobody's requests are the device's */
    assert_int_equal(wait(r, 1), E_IO);
    check_store(r);
    rig_free(r);
}

/* With the bound full of blocks that the disk does not take, writes go through, and fail honestly.
 */
static void test_bound(void **state)
{
    struct rig *r = quiet_rig();

    (void)state;
    blkcache_set_writing(&r->bc, &(struct blkcache_writing){.back = true, .dirty_max = 4});
    r->disk.fail_percent = 100;
    for (unsigned b = 0; b < 4; b++) {
        go(r, 0, BLK_WRITE, b * 16, 8, 9, NULL);
        assert_false(r->slots[0].busy);
    }
    while (r->disk.n_pending > 0) { /* half of it was full: they were tried */
        lossy_step(&r->disk);
    }
    go(r, 0, BLK_WRITE, 200, 8, 5, NULL);
    assert_true(r->slots[0].busy);
    assert_int_equal(wait(r, 0), E_IO);
    assert_int_equal(r->cache.dirty, 4);
    go(r, 0, BLK_WRITE, 16, 8, 7, NULL); /* what is dirty already needs no room */
    assert_false(r->slots[0].busy);
    r->disk.fail_percent = 0;
    go(r, 0, BLK_WRITE, 200, 8, 5, NULL);
    assert_int_equal(wait(r, 0), OK);
    assert_int_equal(on_disk(r, 200), 5);
    go(r, 0, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(wait(r, 0), E_IO); /* of before */
    assert_int_equal(r->cache.dirty, 0);
    assert_int_equal(on_disk(r, 16), 7);
    rig_free(r);
}

/* With the bound full of blocks that are written again while the disk writes them, no new one can
 * come to say so: they are written out all the same. */
static void test_bound_again(void **state)
{
    struct rig *r = quiet_rig();

    (void)state;
    blkcache_set_writing(&r->bc, &(struct blkcache_writing){.back = true, .dirty_max = 4});
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned b = 0; b < 4; b++) {
            go(r, 0, BLK_WRITE, b * 16, 8, (uint8_t)(n + 1), NULL);
            assert_false(r->slots[0].busy);
        }
        assert_int_equal(r->disk.n_pending, 4);
    }
    while (r->disk.n_pending > 0) {
        lossy_step(&r->disk);
    }
    assert_true(r->cache.dirty <= 2);
    check_store(r);
    rig_free(r);
}

/* A disk that takes nothing does not keep a flush for as long as all its blocks would take. */
static void test_dead_disk(void **state)
{
    struct rig *r = quiet_rig();

    (void)state;
    blkcache_set_writing(&r->bc, &(struct blkcache_writing){.back = true, .dirty_max = 40});
    for (unsigned b = 0; b < 15; b++) {
        go(r, 0, BLK_WRITE, b * 16, 8, 9, NULL);
    }
    assert_int_equal(r->cache.dirty, 15);
    r->disk.fail_percent = 100;
    go(r, 0, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(wait(r, 0), E_IO);
    assert_true(r->cache.stats.clean_errors < 15);
    assert_int_equal(r->cache.dirty, 15);
    r->disk.fail_percent = 0;
    go(r, 0, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(wait(r, 0), OK); /* it has heard of those; and these could be written */
    assert_int_equal(r->cache.dirty, 0);
    check_store(r);
    rig_free(r);
}

/* Nor does it when it takes its time to say so. */
static void test_slow_dead_disk(void **state)
{
    struct rig *r = quiet_rig();
    uint64_t t = 0;

    (void)state;
    blkcache_set_writing(&r->bc,
                         &(struct blkcache_writing){.back = true, .dirty_max = 80, .age_ns = 40});
    for (unsigned b = 0; b < 30; b++) {
        go(r, 0, BLK_WRITE, b * 16, 8, 9, NULL);
    }
    (void)blkcache_work(&r->bc, t, NULL);
    r->disk.fail_percent = 100;
    go(r, 0, BLK_FLUSH, 0, 0, 0, NULL);
    while (r->slots[0].busy) {
        assert_true(r->disk.n_pending > 0);
        lossy_step(&r->disk);
        (void)blkcache_work(&r->bc, t += 10, NULL); /* a quarter of the age */
    }
    assert_int_equal(outcome, E_IO);
    assert_true(r->cache.stats.clean_errors < 15);
    r->disk.fail_percent = 0;
    go(r, 0, BLK_FLUSH, 0, 0, 0, NULL);
    (void)wait(r, 0);
    assert_int_equal(r->cache.dirty, 0);
    rig_free(r);
}

static uint16_t charged[16];
static unsigned n_charged;

static void note_charge(uint16_t vm)
{
    assert_true(n_charged < ARRAY_LEN(charged));
    charged[n_charged++] = vm;
}

static void written_by(struct rig *r, unsigned slot, uint64_t sector, uint64_t sectors)
{
    go(r, slot, BLK_WRITE, sector, sectors, 1, &r->accounts[slot]);
    assert_false(r->slots[slot].busy);
}

/* What is written back goes to the disk as the last writer's, and is that VM's work. */
static void test_writer(void **state)
{
    static const uint64_t sectors[] = {16, 8, 8};
    static const uint16_t writers[] = {1, 2, 1};
    struct rig *r = quiet_rig();

    (void)state;
    r->accounts[0].vm = 1;
    r->accounts[1].vm = 2;
    written_by(r, 0, 8, 32);
    written_by(r, 1, 24, 8);
    go(r, 2, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(r->disk.n_pending, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(r->disk.pending[i]->sectors, sectors[i]);
        assert_int_equal(r->disk.pending[i]->account->vm, writers[i]);
    }
    assert_int_equal(wait(r, 2), OK);
    assert_int_equal(on_disk(r, 24), 1);
    assert_int_equal(r->cache.dirty, 0);

    r->bc.charge = note_charge;
    written_by(r, 1, 8, 8);
    written_by(r, 0, 8, 8);
    assert_int_equal(n_charged, 0); /* in the writer's own turn */
    go(r, 2, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(r->disk.n_pending, 1);
    assert_int_equal(r->disk.pending[0]->account->vm, 1);
    assert_int_equal(wait(r, 2), OK);
    bool any = false;
    for (unsigned i = 0; i < n_charged; i++) {
        assert_int_not_equal(charged[i], 2);
        any |= charged[i] == 1;
    }
    assert_true(any);
    assert_int_equal(charged[n_charged - 1], 0);
    check_store(r);
    rig_free(r);
}

/* Time alone writes out, and no sooner than it must. */
static void test_age(void **state)
{
    struct rig *r = quiet_rig();
    uint64_t t;

    (void)state;
    (void)blkcache_work(&r->bc, 1000, NULL);
    assert_int_equal(blkcache_due(&r->bc), UINT64_MAX);
    go(r, 0, BLK_WRITE, 24, 8, 4, NULL);
    for (t = 1000; r->disk.n_pending == 0; t++) {
        (void)blkcache_work(&r->bc, t, NULL);
        assert_true(t < 1000 + 60 && blkcache_due(&r->bc) > t);
    }
    assert_true(t >= 1000 + 30);
    lossy_step(&r->disk);
    assert_int_equal(r->cache.dirty, 0);
    assert_int_equal(on_disk(r, 24), 4);
    rig_free(r);
}

/* Somebody waits for the frame of a block that the disk has refused: it is tried again before long,
 * also where age writes out nothing; and left alone where nobody waits. */
static void test_starving(void **state)
{
    const uint64_t second = 1000000000;
    struct rig *r = quiet_rig();

    (void)state;
    blkcache_set_writing(&r->bc, &(struct blkcache_writing){.back = true, .dirty_max = 40});
    go(r, 0, BLK_WRITE, 24, 8, 4, NULL);
    for (uint64_t t = 0; t < 5 * second; t += second / 10) {
        (void)blkcache_work(&r->bc, t, NULL);
        assert_int_equal(r->disk.n_pending, 0);
    }
    r->disk.fail_percent = 100;
    r->cache.starved = true;
    (void)blkcache_work(&r->bc, 5 * second, NULL);
    assert_int_equal(r->disk.n_pending, 1);
    lossy_step(&r->disk);
    unsigned tries = 0;
    for (uint64_t t = 5 * second; t < 9 * second; t += second / 10) {
        (void)blkcache_work(&r->bc, t, NULL);
        tries += r->disk.n_pending;
        while (r->disk.n_pending > 0) {
            lossy_step(&r->disk);
        }
    }
    assert_int_equal(tries, 1); /* a second later; nobody has asked again since */
    assert_int_equal(r->cache.dirty, 1);
    r->disk.fail_percent = 0;
    uint64_t t = 9 * second;
    for (; r->disk.n_pending == 0; t += second / 10) {
        assert_true(t < 12 * second);
        r->cache.starved = true; /* whoever waits looks again each turn */
        (void)blkcache_work(&r->bc, t, NULL);
        assert_true(blkcache_due(&r->bc) <= t + second);
    }
    lossy_step(&r->disk);
    assert_int_equal(r->cache.dirty, 0);
    assert_int_equal(on_disk(r, 24), 4);
    check_store(r);
    rig_free(r);
}

/* What is lost is named as those who wrote it know it, whoever else has a part of the disk. */
static void test_lost(void **state)
{
    struct rig *r = quiet_rig();
    const struct partition p[2] = {{1, 16, 64}, {2, 80, 100}};
    struct partition_dev parts[2];
    struct blkcache_dev other;

    (void)state;
    assert_int_equal(partition_dev_init(&parts[0], &r->disk.dev, &p[0]), OK);
    assert_int_equal(partition_dev_init(&parts[1], &r->disk.dev, &p[1]), OK);
    assert_int_equal(blkcache_init(&r->bc, &r->cache, r->pool, 8, 8), OK);
    blkcache_dev_init(&other, &r->bc, &parts[1].dev);
    blkcache_dev_init(&r->dev, &r->bc, &parts[0].dev);
    blkcache_set_writing(&r->bc, &(struct blkcache_writing){.back = true, .dirty_max = 16});
    go(r, 0, BLK_WRITE, 8, 8, 1, NULL);
    go(r, 0, BLK_WRITE, 24, 8, 2, NULL);
    assert_int_equal(r->cache.dirty, 2);
    blkcache_say_lost(&r->bc);
    assert_string_equal(log_last_line(), "lossy0p1: 2 blocks were never written back, the first at "
                                         "sector 8: they are lost");
    go(r, 0, BLK_FLUSH, 0, 0, 0, NULL);
    assert_int_equal(wait(r, 0), OK);
    assert_int_equal(on_disk(r, 24), 1);
    check_store(r);
    rig_free(r);
}

/* Turned off, or through: what is dirty is still what reads find, and goes to the disk. */
static void test_mode_off(void **state)
{
    struct rig *r = quiet_rig();

    (void)state;
    go(r, 0, BLK_WRITE, 24, 8, 4, NULL);
    go(r, 0, BLK_WRITE, 80, 8, 5, NULL);
    cache_set_mode(&r->cache, CACHE_OFF);
    assert_int_equal(r->cache.used, 2);
    go(r, 0, BLK_READ, 24, 8, 0, NULL);
    assert_false(r->slots[0].busy);
    assert_int_equal(buffer(&r->slots[0])[5], 4);
    (void)blkcache_work(&r->bc, 1, NULL);
    assert_int_equal(r->disk.n_pending, 2);
    go(r, 1, BLK_WRITE, 24, 8, 6, NULL); /* not before the older one */
    assert_int_equal(r->disk.n_pending, 2);
    assert_int_equal(wait(r, 1), OK);
    while (r->disk.n_pending > 0) {
        lossy_step(&r->disk);
    }
    assert_int_equal(r->cache.used, 0);
    assert_int_equal(on_disk(r, 24), 6);
    assert_int_equal(on_disk(r, 80), 5);
    rig_free(r);
}

/* Zeroes that the disk wrote supersede what was dirty; those that it did not, do not. */
static void test_zeroes(void **state)
{
    struct rig *r = quiet_rig();

    (void)state;
    go(r, 0, BLK_WRITE, 8, 24, 4, NULL);
    assert_int_equal(r->cache.dirty, 3);
    r->disk.fail_percent = 100;
    go(r, 0, BLK_ZEROES, 8, 16, 0, NULL);
    assert_int_equal(wait(r, 0), E_IO);
    assert_int_equal(r->cache.dirty, 3);
    r->disk.fail_percent = 0;
    go(r, 0, BLK_ZEROES, 8, 20, 0, NULL); /* the last block in part: it is written out first */
    assert_int_equal(wait(r, 0), OK);
    assert_int_equal(r->cache.dirty, 0);
    assert_int_equal(on_disk(r, 8), 0);
    assert_int_equal(on_disk(r, 24), 0);
    assert_int_equal(on_disk(r, 28), 4);
    go(r, 0, BLK_READ, 8, 24, 0xff, NULL);
    assert_int_equal(wait(r, 0), OK);
    assert_int_equal(buffer(&r->slots[0])[0], 0);
    assert_int_equal(buffer(&r->slots[0])[20 * BLK_SECTOR], 4);
    check_store(r);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_done_at_once),
        cmocka_unit_test(test_written_again),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_bound_again),
        cmocka_unit_test(test_dead_disk),
        cmocka_unit_test(test_slow_dead_disk),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_starving),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_mode_off),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_zeroes),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_power_cuts_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
