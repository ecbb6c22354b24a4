/* SPDX-License-Identifier: BSD-2-Clause */
/* Four disks with their writes kept aside over one base and one cache in mode fold: what is read
 * from the base, how often, and what is copied. */
#include "arena.h"
#include "fake_lossy.h"

#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "drivers/block/cow/overlay.h"
#include "drivers/block/cow/snapshot.h"
#include "rnd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define VMS 4u /* two snapshots, two overlays */
#define FRAMES 2042u
#define BUFFERS ARENA_SINGLES(FRAMES) /* behind those: one a VM, to read into and write from */
#define PLACES (BUFFERS + VMS)
#define CHUNKS 400u
#define STORE_CHUNKS 600u
#define RUN 16u /* chunks that are fetched together */

struct vm {
    struct rig *r;
    struct cow *cow;
    struct blk_account account;
    struct blk_req req;
    struct blk_seg seg;
    bool busy;
    uint64_t at, end; /* chunks: of the run that is being read */
    bool fetched, may_fail;
    enum status status;       /* of the last request */
    uint64_t copied;          /* chunks that no frame was given for */
    unsigned version[CHUNKS]; /* how often the VM wrote the chunk */
};

struct rig {
    struct frames frames;
    struct frame table[PLACES];
    uint8_t *window;
    struct rnd random;
    struct picks picks;
    struct lossy base, stores[2];
    struct cache cache;
    void *cache_mem, *pool_mem;
    struct blkcache bc;
    struct blkcache_dev cached_base, cached_stores[2];
    struct snapshot_pool pool;
    struct snapshot snapshots[2];
    struct overlay overlays[2];
    struct vm vms[VMS];
    bool touched[CHUNKS]; /* of the base, by anybody */
};

static void poll(void *ctx)
{
    struct rig *r = ctx;

    lossy_step(&r->base);
    lossy_step(&r->stores[0]);
    lossy_step(&r->stores[1]);
}

static void init_disk(struct rig *r, struct lossy *d, struct blkcache_dev *top, uint32_t id,
                      uint64_t chunks)
{
    lossy_init(d, "disk", chunks * COW_CHUNK_SECTORS, r->window, &r->picks);
    d->dev.id = id;
    blkcache_dev_init(top, &r->bc, &d->dev);
}

static struct rig *rig_new(uint64_t seed)
{
    struct rig *r = calloc(1, sizeof(*r));
    char why[160];

    r->random.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    r->picks = (struct picks){.next = rnd_pick, .ctx = &r->random};
    r->window = aligned_alloc(PAGE_SIZE, PLACES * PAGE_SIZE);
    frames_init(&r->frames, r->table, PLACES, r->window);
    arena_add(&r->frames, 0, FRAMES, 1);
    frames_mark_hyp(&r->frames, MFN(BUFFERS), VMS);
    r->cache_mem = malloc(cache_bytes(FRAMES));
    assert_int_equal(cache_init(&r->cache, &r->frames, r->cache_mem, FRAMES, seed), OK);
    frames_add_reclaimer(&r->frames, cache_reclaim, &r->cache);
    cache_set_mode(&r->cache, CACHE_FOLD);
    r->pool_mem = aligned_alloc(16, ALIGN_UP(blkcache_bytes(16, 16), 16));
    assert_int_equal(blkcache_init(&r->bc, &r->cache, r->pool_mem, 16, 16), OK);
    init_disk(r, &r->base, &r->cached_base, 1, CHUNKS);
    for (size_t i = 0; i < CHUNKS * PAGE_SIZE; i += 8) {
        store_le64(r->base.now + i, i / PAGE_SIZE + 1000);
    }
    r->pool = (struct snapshot_pool){&r->frames, UINT64_MAX, 0};
    for (unsigned i = 0; i < 2; i++) {
        init_disk(r, &r->stores[i], &r->cached_stores[i], 2 + i, STORE_CHUNKS);
        const struct overlay_cfg cfg = {.frames = &r->frames,
                                        .base = &r->cached_base.dev,
                                        .store = &r->cached_stores[i].dev,
                                        .poll = poll,
                                        .ctx = r};
        assert_int_equal(overlay_open(&r->overlays[i], &cfg, why, sizeof(why)), OK);
        assert_int_equal(snapshot_init(&r->snapshots[i], &r->pool, &r->cached_base.dev), OK);
        r->vms[i].cow = &r->snapshots[i].cow;
        r->vms[2 + i].cow = &r->overlays[i].cow;
    }
    for (unsigned i = 0; i < VMS; i++) {
        r->vms[i].r = r;
        r->vms[i].account.vm = (uint16_t)(i + 1);
    }
    cache_drop_all(&r->cache); /* what opening the overlays has read of the base */
    r->base.n_reads = r->base.n_read_sectors = r->cache.stats.copied_bytes = 0;
    return r;
}

static void rig_free(struct rig *r)
{
    for (unsigned i = 0; i < 2; i++) {
        overlay_close(&r->overlays[i]);
        snapshot_fini(&r->snapshots[i]);
        lossy_free(&r->stores[i]);
    }
    lossy_free(&r->base);
    free(r->cache_mem);
    free(r->pool_mem);
    arena_end(&r->frames);
    free(r->window);
    free(r);
}

/* ---- a VM ---- */

static void check_chunk(const struct vm *vm, uint64_t chunk, const uint8_t *bytes)
{
    uint64_t want = chunk + 1000 + (uint64_t)vm->version[chunk] * 1000000;

    for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
        assert_true(load_le64(bytes + i) == want);
    }
}

static uint8_t *buffer(struct vm *vm)
{
    return frame_bytes(&vm->r->frames, hpa_to_mfn(vm->seg.addr));
}

static void done(struct blk_req *q, enum status s)
{
    struct vm *vm = q->ctx;

    assert_true(s == OK || vm->may_fail);
    vm->busy = false;
    vm->status = s;
    if (q->op == BLK_READ && s == OK) {
        check_chunk(vm, vm->at++, buffer(vm));
        vm->copied++;
    }
}

static void submit(struct vm *vm, enum blk_op op, uint64_t sector, uint64_t sectors)
{
    bool data = op == BLK_READ || op == BLK_WRITE;

    vm->seg = (struct blk_seg){HPA((BUFFERS + (uint64_t)(vm - vm->r->vms)) * PAGE_SIZE),
                               data ? (uint32_t)(sectors * BLK_SECTOR) : 0};
    vm->req = (struct blk_req){.op = op,
                               .sector = sector,
                               .sectors = sectors,
                               .segs = &vm->seg,
                               .n_segs = data,
                               .account = &vm->account,
                               .past_cache = op == BLK_READ,
                               .done = done,
                               .ctx = vm};
    vm->busy = true;
    blk_submit(&vm->cow->dev, &vm->req);
}

static void wait(struct vm *vm)
{
    while (vm->busy) {
        poll(vm->r);
    }
}

static void write_sectors(struct vm *vm, uint64_t sector, uint32_t sectors, uint64_t value)
{
    vm->seg.addr = HPA((BUFFERS + (uint64_t)(vm - vm->r->vms)) * PAGE_SIZE);
    for (unsigned i = 0; i < sectors * BLK_SECTOR; i += 8) {
        store_le64(buffer(vm) + i, value);
    }
    submit(vm, BLK_WRITE, sector, sectors);
    wait(vm);
}

static void write_chunk(struct vm *vm, uint64_t chunk)
{
    vm->version[chunk]++;
    write_sectors(vm, chunk * COW_CHUNK_SECTORS, COW_CHUNK_SECTORS,
                  chunk + 1000 + (uint64_t)vm->version[chunk] * 1000000);
}

/* One step of reading a run of chunks, as virtio-blk does it: frames; what there is none of is
 * fetched once, and then read. */
static void read_step(struct vm *vm)
{
    struct rig *r = vm->r;
    mfn_t mfn;

    while (!vm->busy && vm->at < vm->end && vm->status == OK) {
        enum status s = blk_hold(&vm->cow->dev, vm->at * COW_CHUNK_SECTORS, 0, &mfn);
        r->touched[vm->at] |= vm->version[vm->at] == 0;
        if (s == OK) {
            blk_taken(&vm->cow->dev, vm->at * COW_CHUNK_SECTORS, &vm->account);
            check_chunk(vm, vm->at++, frame_bytes(&r->frames, mfn));
            frames_unpin(&r->frames, mfn);
        } else if (s == E_NOTFOUND && !vm->fetched) {
            vm->fetched = true;
            for (uint64_t c = vm->at; c < vm->end; c++) {
                r->touched[c] |= vm->version[c] == 0;
            }
            submit(vm, BLK_FETCH, vm->at * COW_CHUNK_SECTORS,
                   (vm->end - vm->at) * COW_CHUNK_SECTORS);
        } else {
            submit(vm, BLK_READ, vm->at * COW_CHUNK_SECTORS, COW_CHUNK_SECTORS);
        }
    }
}

static void begin_run(struct vm *vm, uint64_t from, uint64_t end)
{
    vm->at = from;
    vm->end = MIN(end, CHUNKS);
    vm->fetched = false;
    vm->status = OK;
}

/* Reads [from, end) and waits. */
static void read_run(struct vm *vm, uint64_t from, uint64_t end)
{
    begin_run(vm, from, end);
    while (vm->at < vm->end) {
        read_step(vm);
        poll(vm->r);
    }
}

static uint64_t count_touched(const struct rig *r)
{
    uint64_t n = 0;

    for (unsigned c = 0; c < CHUNKS; c++) {
        n += r->touched[c];
    }
    return n;
}

/* ---- the tests ---- */

/* Everybody reads everything at the same time, in an order of their own or in the same. */
static void test_storm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig *r = rig_new(seed);
        uint64_t rounds[VMS] = {0};

        for (unsigned idle = 0; idle < VMS;) {
            idle = 0;
            for (unsigned i = 0; i < VMS; i++) {
                struct vm *vm = &r->vms[i];
                if (!vm->busy && vm->at >= vm->end && rounds[i]++ < 60) {
                    uint64_t at = seed % 2 == 0 ? rounds[i] * 9 : pick(&r->picks, CHUNKS);
                    begin_run(vm, at, at + 1 + pick(&r->picks, RUN));
                }
                read_step(vm);
                idle += !vm->busy && vm->at >= vm->end && rounds[i] > 60;
            }
            poll(r);
        }
        assert_true(count_touched(r) > CHUNKS / 2);
        assert_true(r->base.n_read_sectors == count_touched(r) * COW_CHUNK_SECTORS);
        assert_true(r->cache.stats.copied_bytes == 0 && r->cache.stats.bypassed == 0);
        uint64_t held = 0;
        for (unsigned i = 0; i < VMS; i++) {
            assert_true(r->vms[i].copied == 0);
            assert_true(r->vms[i].cow->stats.store_taken == 0);
            assert_true(r->vms[i].account.cache_hits + r->vms[i].account.cache_misses > 0);
            held += r->vms[i].cow->stats.base_taken;
        }
        assert_true(held == r->cache.stats.adopted);
        rig_free(r);
    }
}

/* The same while each writes versions of its own; a base that is read is still read once. */
static void test_storm_with_writes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig *r = rig_new(seed);

        for (unsigned n = 0; n < 600; n++) {
            struct vm *vm = &r->vms[pick(&r->picks, VMS)];
            uint64_t at = pick(&r->picks, CHUNKS);
            if (pick(&r->picks, 3) == 0) {
                write_chunk(vm, at);
            } else {
                read_run(vm, at, at + 1 + pick(&r->picks, RUN));
            }
        }
        assert_true(r->base.n_read_sectors == count_touched(r) * COW_CHUNK_SECTORS);
        assert_true(r->vms[2].cow->stats.store_taken > 0 && r->vms[3].cow->stats.store_taken > 0);
        assert_true(r->vms[2].copied == 0 && r->vms[3].copied == 0);
        for (unsigned i = 0; i < VMS; i++) {
            read_run(&r->vms[i], 0, CHUNKS);
            assert_true(r->vms[i].cow->stats.merges == 0);
        }
        rig_free(r);
    }
}

/* What is written whole needs nothing of the base; what is written in part reads it once for all,
 * through the cache. */
static void test_copy_up(void **state)
{
    struct rig *r = rig_new(1);

    (void)state;
    for (unsigned i = 0; i < VMS; i++) {
        write_chunk(&r->vms[i], 5);
        assert_true(r->base.n_reads == 0 && r->vms[i].cow->stats.merges == 0);
    }
    for (unsigned i = 0; i < VMS; i++) {
        write_sectors(&r->vms[i], 7 * COW_CHUNK_SECTORS + 3, 2, 1007);
        assert_true(r->base.n_read_sectors == COW_CHUNK_SECTORS);
        assert_true(r->vms[i].cow->stats.merges == 1);
    }
    /* And the other way round: a block that somebody has mapped is there for a copy-up. */
    read_run(&r->vms[0], 9, 10);
    for (unsigned i = 0; i < VMS; i++) {
        write_sectors(&r->vms[i], 9 * COW_CHUNK_SECTORS, 1, 1009);
        assert_true(r->base.n_read_sectors == 2 * COW_CHUNK_SECTORS);
        for (uint64_t c = 5; c <= 9; c += 2) {
            read_run(&r->vms[i], c, c + 1);
        }
        assert_true(r->base.n_read_sectors == 2 * COW_CHUNK_SECTORS);
    }
    assert_true(r->cached_base.stats.writes == 0);
    rig_free(r);
}

/* Versions of their own for all: the base's blocks are no longer asked for, and eviction takes them
 * first. */
static void test_base_left_behind(void **state)
{
    struct rig *r = rig_new(1);

    (void)state;
    read_run(&r->vms[2], 0, 64);
    assert_true(r->cache.used == 64);
    for (unsigned c = 0; c < 64; c++) {
        write_chunk(&r->vms[2], c);
        write_chunk(&r->vms[3], c);
    }
    cache_set_max(&r->cache, 128);
    for (unsigned n = 0; n < 4; n++) {
        read_run(&r->vms[2], 0, 64);
        read_run(&r->vms[3], 0, 64);
    }
    for (unsigned c = 0; c < 64; c++) {
        assert_true(cache_find(&r->cache, 1, c) == CACHE_NIL);
    }
    assert_true(r->vms[2].cow->stats.store_taken >= 64 * 4 && r->vms[2].copied == 0);
    rig_free(r);
}

/* What cannot be read of the base is an I/O error of whoever reads it, in whatever way; a chunk
 * that is written whole is sound from then on. */
static void test_bad_sector(void **state)
{
    struct rig *r = rig_new(1);

    (void)state;
    r->base.bad = 20 * COW_CHUNK_SECTORS + 3;
    r->base.n_bad = 1;
    for (unsigned i = 0; i < VMS; i++) {
        struct vm *vm = &r->vms[i];
        mfn_t mfn;

        read_run(vm, 12, 20); /* its neighbours, fetched in one go, are whole */
        begin_run(vm, 16, 24);
        vm->may_fail = true;
        while (vm->status == OK) {
            read_step(vm);
            poll(r);
        }
        assert_true(vm->at == 20 && !vm->busy);
        assert_int_equal(vm->status, E_IO);
        assert_int_equal(blk_hold(&vm->cow->dev, 20 * COW_CHUNK_SECTORS, 0, &mfn), E_NOTFOUND);
        /* A copy-up cannot be; what the chunk holds is what it was. */
        uint64_t chunks = vm->cow->stats.chunks;
        write_sectors(vm, 20 * COW_CHUNK_SECTORS, 1, 5);
        assert_int_equal(vm->status, E_IO);
        assert_true(vm->cow->stats.chunks == chunks);
        vm->may_fail = false;
        write_chunk(vm, 20);
        read_run(vm, 19, 24);
    }
    assert_true(r->cached_base.stats.errors > 0);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storm),      cmocka_unit_test(test_storm_with_writes),
        cmocka_unit_test(test_copy_up),    cmocka_unit_test(test_base_left_behind),
        cmocka_unit_test(test_bad_sector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
