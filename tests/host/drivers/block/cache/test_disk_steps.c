/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much work one step of a disk's layers does, whatever the guest asks for. The clock counts
 * work: bytes copied and cleared, tables looked up, operations of the p2m, each at about the ticks
 * that the emulator counts for it. (The linker puts the __wrap_ functions in the place of the real
 * ones.) Every call must end within STEP_MAX, and every request with the right result.
 */
#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "drivers/block/cow/chunkmap.h"
#include "drivers/block/cow/snapshot.h"
#include "drivers/block/ramdisk.h"
#include "drivers/block/view.h"
#include "drivers/guest/virtio/blk_slot.h"
#include "world_vblk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEP 10000u     /* ticks: what a step's deadline allows */
#define STEP_MAX 12500u /* 250 us where an emulated second has 50 M ticks */
#define LOOK 10u

/* ---- the clock ----------------------------------------------------------------------------------
 */

static uint64_t ticks;

static uint64_t look(void *ctx)
{
    (void)ctx;
    return ticks += LOOK;
}

void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int c, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memset(void *to, int c, size_t n);

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
    ticks += 10 + n / 3;
    return __real_memcpy(to, from, n);
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
    ticks += 10 + n / 3;
    return __real_memmove(to, from, n);
}

void *__wrap_memset(void *to, int c, size_t n)
{
    ticks += 10 + n / 8;
    return __real_memset(to, c, n);
}

/* A function of RET type with these PARAMETERS and ARGUMENTS that costs so much. */
#define COSTS(cost, ret, name, parameters, arguments)                                              \
    ret __real_##name parameters;                                                                  \
    ret __wrap_##name parameters;                                                                  \
    ret __wrap_##name parameters                                                                   \
    {                                                                                              \
        ticks += (cost);                                                                           \
        return __real_##name arguments;                                                            \
    }

COSTS(40, uint32_t, chunkmap_get, (const struct chunkmap *m, uint64_t key), (m, key))
COSTS(60, enum status, chunkmap_reserve, (struct chunkmap * m, uint64_t key), (m, key))
COSTS(40, void, chunkmap_set, (struct chunkmap * m, uint64_t key, uint32_t v), (m, key, v))
COSTS(40, uint32_t, cache_find, (const struct cache *c, uint32_t disk, uint64_t block),
      (c, disk, block))
/* Beside the cache_find that these call. */
COSTS(360, enum status, cache_insert,
      (struct cache * c, uint32_t disk, uint64_t block, uint32_t *out), (c, disk, block, out))
COSTS(360, enum status, cache_write_frame,
      (struct cache * c, uint32_t disk, uint64_t block, mfn_t mfn, uint32_t *out),
      (c, disk, block, mfn, out))
COSTS(20 * n, void, cache_invalidate, (struct cache * c, uint32_t disk, uint64_t first, uint64_t n),
      (c, disk, first, n))
COSTS(150, uint32_t, cache_next_dirty, (const struct cache *c, uint32_t disk, uint64_t from),
      (c, disk, from))
COSTS(100, bool, cache_written, (struct cache * c, uint32_t e, bool ok), (c, e, ok))
COSTS(100, void, cache_publish, (struct cache * c, uint32_t e, uint8_t mask), (c, e, mask))
COSTS(150, enum status, p2m_get_read, (struct p2m * p, gfn_t gfn, mfn_t *out), (p, gfn, out))
COSTS(150, enum status, p2m_get_write, (struct p2m * p, gfn_t gfn, mfn_t *out), (p, gfn, out))
COSTS(40, void, p2m_put, (struct p2m * p, mfn_t mfn), (p, mfn))
COSTS(600, enum status, p2m_map_shared, (struct p2m * p, gfn_t gfn, mfn_t mfn), (p, gfn, mfn))
COSTS(350ul * n, void, p2m_share_for_io, (struct p2m * p, const gfn_t *gfns, unsigned n),
      (p, gfns, n))
COSTS(150, enum status, p2m_read, (struct p2m * p, gpa_t gpa, void *to, size_t n), (p, gpa, to, n))
COSTS(150, enum status, p2m_write, (struct p2m * p, gpa_t gpa, const void *from, size_t n),
      (p, gpa, from, n))

/* ---- the rig ------------------------------------------------------------------------------------
 */

#define SECTORS 65600u /* a little more than a zone */
#define RING 0x0000u
#define HEADERS 0x4000u
#define STATUSES 0x5000u
#define ZONES 0x6000u
#define DATA 0x10000u
#define DATA_PAGES 1024u
#define RAM_PAGES (DATA / 4096 + DATA_PAGES)
#define SLOTS 16u
#define BLOCKS 2048u

/* virtio-blk over a snapshot, the cache, or the one over the other, over a disk that answers when
 * it is told to. */
struct rig {
    struct tvblk *r;
    struct cache cache;
    struct blkcache bc;
    struct blkcache_dev cached;
    struct blkcache_queue queue;
    struct snapshot_pool pool;
    struct snapshot snapshot;
    struct blk_view view;
    struct blk_dev *below;
    bool has_cache, has_snapshot;
    void *cache_mem, *pool_mem;
    uint64_t longest, steps;
    unsigned n; /* requests offered */
};

static bool woken;

static void wake(void *ctx)
{
    (void)ctx;
    woken = true;
}

static void set_up(struct rig *g, bool cache, enum cache_mode mode, bool back, bool snapshot)
{
    memset(g, 0, sizeof(*g));
    g->r = calloc(1, sizeof(*g->r));
    tvblk_init(g->r, RAM_PAGES + 12000, RAM_PAGES, SECTORS, SLOTS);
    g->r->disk.dev.can_discard = g->r->disk.dev.can_zero = true;
    struct frames *f = &g->r->g.frames;
    struct blk_account account = {0};
    g->below = &g->r->disk.dev;
    g->has_cache = cache;
    if (cache) {
        g->cache_mem = malloc(cache_bytes(BLOCKS));
        assert_int_equal(cache_init(&g->cache, f, g->cache_mem, BLOCKS, 5), OK);
        frames_add_reclaimer(f, cache_reclaim, &g->cache);
        cache_set_mode(&g->cache, mode);
        g->pool_mem = aligned_alloc(16, ALIGN_UP(blkcache_bytes(64, 64), 16));
        assert_int_equal(blkcache_init(&g->bc, &g->cache, g->pool_mem, 64, 64), OK);
        g->bc.common.wake = wake;
        blkcache_set_writing(&g->bc, &(struct blkcache_writing){
                                         .back = back, .give = true, .dirty_max = BLOCKS / 2});
        blkcache_dev_init(&g->cached, &g->bc, g->below);
        assert_int_equal(blkcache_queue_init(&g->queue, &g->bc, 32, 32, wake, NULL), OK);
        account = (struct blk_account){.queue = &g->queue, .vm = 1};
        g->below = &g->cached.dev;
    }
    g->has_snapshot = snapshot;
    if (snapshot) {
        g->pool = (struct snapshot_pool){.frames = f, .max = 1u << 20};
        assert_int_equal(snapshot_init(&g->snapshot, &g->pool, g->below), OK);
        g->snapshot.cow.wake = wake;
        g->below = &g->snapshot.cow.dev;
    }
    blk_view_init(&g->view, g->below, &account, false);
    /* The device was made before its disk was known. */
    g->r->d.cfg.disk = &g->view.dev;
    g->r->marks = true;
    g->r->d.pci.offered |= BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
    tvblk_start(g->r,
                BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_DISCARD) |
                    BIT(VIRTIO_BLK_F_WRITE_ZEROES) | BIT(VIRTIO_RING_F_INDIRECT_DESC),
                256, RING);
}

/* One measured call. */
#define MEASURED(g, call)                                                                          \
    do {                                                                                           \
        struct deadline until = {.now_ns = look, .end_ns = ticks + STEP};                          \
        uint64_t began = ticks;                                                                    \
        more |= (call);                                                                            \
        (g)->longest = MAX((g)->longest, ticks - began);                                           \
        (g)->steps++;                                                                              \
        if (ticks - began > STEP_MAX) {                                                            \
            fail_msg("%llu ticks: %s", (unsigned long long)(ticks - began), #call);                \
        }                                                                                          \
    } while (0)

/* Until all is done; the disk answers between two rounds. */
static void work(struct rig *g)
{
    for (bool more = true; more || woken || g->r->disk.n > 0;) {
        more = woken = false;
        if (g->has_cache) {
            MEASURED(g, blkcache_queue_work(&g->queue, &until));
            MEASURED(g, blkcache_work(&g->bc, ticks, &until));
        }
        if (g->has_snapshot) {
            MEASURED(g, cow_work(&g->snapshot.cow, &until));
        }
        MEASURED(g, virtio_blk_work(&g->r->d, &until));
        while (g->r->disk.n > 0) {
            more = true;
            tdisk_complete(&g->r->disk, 0, OK);
        }
    }
}

static void tear_down(struct rig *g)
{
    assert_true(g->steps > 0);
    while (!virtio_blk_quiesce(&g->r->d)) {
        work(g);
    }
    if (g->has_snapshot) {
        snapshot_fini(&g->snapshot);
    }
    if (g->has_cache) {
        blkcache_set_writing(&g->bc, &(struct blkcache_writing){.back = false});
        work(g);
        assert_int_equal(g->cache.dirty, 0);
        cache_set_mode(&g->cache, CACHE_OFF);
        blkcache_queue_fini(&g->queue);
        if (g->bc.has_zeroes) {
            frames_free(&g->r->g.frames, g->bc.zeroes);
        }
    }
    tvblk_fini(g->r);
    free(g->r);
    free(g->pool_mem);
    free(g->cache_mem);
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static void offer(struct rig *g, uint32_t type, uint64_t sector, const struct tdesc *data,
                  unsigned n)
{
    static const uint8_t none = 0xee;
    struct tdesc d[80];
    unsigned i = g->n++;

    assert_true(i < SLOTS && n < 78);
    tguest_put32(&g->r->g, HEADERS + 16 * i, type);
    tguest_put32(&g->r->g, HEADERS + 16 * i + 4, 0);
    tguest_put64(&g->r->g, HEADERS + 16 * i + 8, sector);
    tguest_put(&g->r->g, STATUSES + i, &none, 1);
    d[0] = (struct tdesc){HEADERS + 16 * i, 16, false};
    for (unsigned k = 0; k < n; k++) {
        d[k + 1] = data[k];
    }
    d[n + 1] = (struct tdesc){STATUSES + i, 1, true};
    assert_true(tdriver_add(&g->r->t, d, n + 2, 0) >= 0);
}

/* All that were offered end well. */
static void carry_out(struct rig *g)
{
    uint32_t len;

    tvblk_kick(g->r);
    work(g);
    for (unsigned i = 0; i < g->n; i++) {
        uint8_t status;
        assert_true(tdriver_take(&g->r->t, &len) >= 0);
        tguest_get(&g->r->g, STATUSES + i, &status, 1);
        assert_int_equal(status, VIRTIO_BLK_S_OK);
    }
    g->n = 0;
}

static uint8_t pattern(uint64_t at, unsigned seed)
{
    return (uint8_t)((at * 2654435761u + seed) >> 13);
}

/* The guest's data, `pages` of it; or a check that they are `seed`'s (0: zeroes) from byte `at`. */
static void fill(struct rig *g, unsigned pages, unsigned seed)
{
    uint8_t page[PAGE_SIZE];

    for (unsigned p = 0; p < pages; p++) {
        for (unsigned i = 0; i < PAGE_SIZE; i++) {
            page[i] = pattern((uint64_t)p * PAGE_SIZE + i, seed);
        }
        tguest_put(&g->r->g, DATA + (uint64_t)p * PAGE_SIZE, page, PAGE_SIZE);
    }
}

static void check(struct rig *g, unsigned pages, unsigned seed)
{
    uint8_t page[PAGE_SIZE];

    for (unsigned p = 0; p < pages; p++) {
        tguest_get(&g->r->g, DATA + (uint64_t)p * PAGE_SIZE, page, PAGE_SIZE);
        for (unsigned i = 0; i < PAGE_SIZE; i++) {
            if (page[i] != (seed == 0 ? 0 : pattern((uint64_t)p * PAGE_SIZE + i, seed))) {
                fail_msg("byte %u of page %u is not that of %u", i, p, seed);
            }
        }
    }
}

/* The pages of the data in chunks of 64, as one request each, at sector 0. */
static void transfer(struct rig *g, uint32_t type, unsigned pages)
{
    for (unsigned at = 0; at < pages; at += 64) {
        struct tdesc d = {DATA + (uint64_t)at * PAGE_SIZE, 64 * PAGE_SIZE, type == VIRTIO_BLK_T_IN};
        offer(g, type, (uint64_t)at * 8, &d, 1);
    }
    carry_out(g);
}

static void zones(struct rig *g, uint32_t type)
{
    struct tdesc d = {ZONES, 16 * 16, false};

    for (unsigned i = 0; i < 16; i++) {
        tguest_put64(&g->r->g, ZONES + 16 * i, i % 8);
        tguest_put32(&g->r->g, ZONES + 16 * i + 8, VIRTIO_BLK_ZONE_SECTORS - 8);
        tguest_put32(&g->r->g, ZONES + 16 * i + 12, 0);
    }
    for (unsigned k = 0; k < 4; k++) {
        offer(g, type, 0, &d, 1);
    }
    carry_out(g);
}

/* Everything that a guest can ask for that is large, one after the other. */
static void play(struct rig *g, bool discards)
{
    fill(g, DATA_PAGES, 1);
    transfer(g, VIRTIO_BLK_T_OUT, DATA_PAGES);
    fill(g, DATA_PAGES, 2);
    transfer(g, VIRTIO_BLK_T_IN, DATA_PAGES);
    check(g, DATA_PAGES, 1);
    transfer(g, VIRTIO_BLK_T_IN, DATA_PAGES);
    check(g, DATA_PAGES, 1);
    transfer(g, VIRTIO_BLK_T_OUT, DATA_PAGES / 2);
    offer(g, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    carry_out(g);
    zones(g, VIRTIO_BLK_T_WRITE_ZEROES);
    fill(g, DATA_PAGES, 3);
    transfer(g, VIRTIO_BLK_T_IN, DATA_PAGES);
    check(g, DATA_PAGES, 0);
    fill(g, DATA_PAGES, 4);
    transfer(g, VIRTIO_BLK_T_OUT, DATA_PAGES);
    if (discards) {
        zones(g, VIRTIO_BLK_T_DISCARD);
    }
    offer(g, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    carry_out(g);
}

static void stack(bool cache, enum cache_mode mode, bool back, bool snapshot)
{
    static struct rig g;

    set_up(&g, cache, mode, back, snapshot);
    play(&g, true);
    print_message("%llu steps, the longest of %llu ticks\n", (unsigned long long)g.steps,
                  (unsigned long long)g.longest);
    tear_down(&g);
}

static void a_snapshot(void **state)
{
    (void)state;
    stack(false, CACHE_OFF, false, true);
}

static void a_cache_that_gives_frames(void **state)
{
    (void)state;
    stack(true, CACHE_FOLD, false, false);
}

static void a_cache_that_copies(void **state)
{
    (void)state;
    stack(true, CACHE_INCLUSIVE, false, false);
}

static void a_cache_that_writes_back(void **state)
{
    (void)state;
    stack(true, CACHE_FOLD, true, false);
    stack(true, CACHE_INCLUSIVE, true, false);
}

static void a_snapshot_over_a_cache(void **state)
{
    (void)state;
    stack(true, CACHE_FOLD, false, true);
    stack(true, CACHE_INCLUSIVE, true, true);
}

/* Data in many small buffers of different pages, of which each is a zero page until it is written:
 * a page is cleared or copied for each. */
static void many_small_buffers(void **state)
{
    static struct rig g;
    struct tdesc d[64];

    (void)state;
    set_up(&g, true, CACHE_INCLUSIVE, false, false);
    for (unsigned k = 0; k < SLOTS; k++) {
        for (unsigned i = 0; i < 64; i++) {
            d[i] = (struct tdesc){DATA + (64ull * k + i) * PAGE_SIZE + 1, 56, true};
        }
        offer(&g, VIRTIO_BLK_T_IN, 8 * k, d, 64);
        if (g.n * 66 > 180) {
            carry_out(&g);
        }
    }
    carry_out(&g);
    for (unsigned i = 0; i < 3584; i++) {
        uint8_t byte;
        tguest_get(&g.r->g, DATA + (uint64_t)(i / 56) * PAGE_SIZE + 1 + i % 56, &byte, 1);
        assert_int_equal(byte, g.r->disk.data[i]);
    }
    tear_down(&g);
}

/* ---- a disk in memory ---------------------------------------------------------------------------
 */

static unsigned n_done;

static void counted(struct blk_req *r, enum status s)
{
    (void)r;
    assert_int_equal(s, OK);
    n_done++;
}

static void memory_wake(void *ctx, const struct blk_req *r)
{
    (void)ctx;
    (void)r;
}

static uint16_t charged[4];
static unsigned n_charged;

static void note_charge(uint16_t vm)
{
    assert_true(n_charged < ARRAY_LEN(charged));
    charged[n_charged++] = vm;
}

/* A zone is cleared a page at a time, and each VM's requests in that VM's own steps; what is
 * written back is done in nobody's, at the writer's cost. */
static void a_disk_in_memory(void **state)
{
    struct ramdisk rd;
    struct blkcache_queue queues[2];
    struct blk_account accounts[3] = {
        {.vm = 1, .queue = &queues[0]}, {.vm = 2, .queue = &queues[1]}, {.vm = 2}};
    uint64_t bytes = (uint64_t)VIRTIO_BLK_ZONE_SECTORS * BLK_SECTOR, segment = 64 * PAGE_SIZE;
    uint8_t *memory = malloc(bytes + segment);
    struct blk_seg seg = {HPA(bytes), (uint32_t)segment};
    struct blk_req zero = {.op = BLK_ZEROES,
                           .sectors = VIRTIO_BLK_ZONE_SECTORS,
                           .done = counted,
                           .account = &accounts[0]};
    struct blk_req read = {.op = BLK_READ,
                           .sectors = segment / BLK_SECTOR,
                           .segs = &seg,
                           .n_segs = 1,
                           .done = counted,
                           .account = &accounts[1]};
    uint64_t steps = 0;

    (void)state;
    __real_memset(memory, 0x5a, bytes + segment);
    assert_int_equal(ramdisk_init(&rd, "m", 1, memory, bytes + segment, HPA(0), bytes, false), OK);
    rd.wake = memory_wake;
    blk_submit(&rd.dev, &zero);
    blk_submit(&rd.dev, &read);
    for (bool more = true; more; steps++) {
        struct deadline until = {.now_ns = look, .end_ns = ticks + STEP};
        uint64_t began = ticks;
        more = ramdisk_work(&rd, 1, &until);
        assert_true(ticks - began <= STEP_MAX);
        assert_int_equal(n_done, more ? 0 : 1); /* not the other one's */
    }
    assert_true(steps > bytes / 8 / STEP_MAX);
    assert_true(memory[0] == 0 && memcmp(memory, memory + 1, bytes - 1) == 0);
    while (ramdisk_work(&rd, 2, &(struct deadline){.now_ns = look, .end_ns = ticks + STEP})) {
    }
    assert_int_equal(n_done, 2);
    assert_memory_equal(memory, memory + bytes, segment);
    rd.charge = note_charge;
    struct blk_req write = read;
    write.op = BLK_WRITE;
    write.account = &accounts[2];
    blk_submit(&rd.dev, &write);
    assert_false(ramdisk_work(&rd, 2, NULL));
    assert_int_equal(n_done, 2);
    assert_false(ramdisk_work(&rd, 0, NULL));
    assert_int_equal(n_done, 3);
    assert_int_equal(n_charged, 2);
    assert_int_equal(charged[0], 2);
    assert_int_equal(charged[1], 0);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot),
        cmocka_unit_test(a_cache_that_gives_frames),
        cmocka_unit_test(a_cache_that_copies),
        cmocka_unit_test(a_cache_that_writes_back),
        cmocka_unit_test(a_snapshot_over_a_cache),
        cmocka_unit_test(many_small_buffers),
        cmocka_unit_test(a_disk_in_memory),
    };

    return cmocka_run_group_tests_name("disk_steps", tests, NULL, NULL);
}
