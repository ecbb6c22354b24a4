/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk over a disk cache in mode `fold`: what is mapped, what is copied, what the guest sees.
 */
#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "drivers/guest/virtio/blk_slot.h"
#include "world_vblk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T_IN VIRTIO_BLK_T_IN
#define T_OUT VIRTIO_BLK_T_OUT
#define T_FLUSH VIRTIO_BLK_T_FLUSH
#define S_OK VIRTIO_BLK_S_OK
#define SECTORS 16384u
#define RING 0x10000u
#define HEADER 0x20000u /* and its status at 32 */
#define DATA 0x80000u
#define RAM_PAGES 2400u

static uint8_t ask(struct tvblk *r, uint32_t type, uint64_t sector, const struct tdesc *data,
                   unsigned n)
{
    return tvblk_ask(r, HEADER, type, sector, data, n);
}

#define FOLD_BLOCKS 128u

struct fold_rig {
    struct tvblk *r;
    struct cache cache;
    struct blkcache bc;
    struct blkcache_dev dev;
    void *cache_mem, *pool;
};

/* The device over a cache in mode FOLD over the disk. */
static void fold_rig_init(struct fold_rig *f)
{
    f->r = calloc(1, sizeof(*f->r));
    tvblk_init(f->r, RAM_PAGES + 200, RAM_PAGES, SECTORS, 4);
    f->cache_mem = malloc(cache_bytes(FOLD_BLOCKS));
    assert_int_equal(cache_init(&f->cache, &f->r->g.frames, f->cache_mem, FOLD_BLOCKS, 5), OK);
    frames_add_reclaimer(&f->r->g.frames, cache_reclaim, &f->cache);
    cache_set_mode(&f->cache, CACHE_FOLD);
    f->pool = aligned_alloc(16, ALIGN_UP(blkcache_bytes(8, 8), 16));
    assert_int_equal(blkcache_init(&f->bc, &f->cache, f->pool, 8, 8), OK);
    blkcache_dev_init(&f->dev, &f->bc, &f->r->disk.dev);
    f->r->d.cfg.disk = &f->dev.dev;
    for (uint32_t i = 0; i < SECTORS * BLK_SECTOR; i++) {
        f->r->disk.data[i] = (uint8_t)((i * 2654435761u) >> 24);
    }
    tvblk_start(f->r, BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_BLK_F_FLUSH), 128, RING);
}

static void fold_rig_fini(struct fold_rig *f)
{
    cache_set_mode(&f->cache, CACHE_OFF);
    tvblk_fini(f->r);
    free(f->r);
    free(f->pool);
    free(f->cache_mem);
}

static void check_data(struct fold_rig *f, uint64_t gpa, uint64_t sector, uint32_t bytes)
{
    uint8_t *got = malloc(bytes);

    tguest_get(&f->r->g, gpa, got, bytes);
    assert_memory_equal(got, f->r->disk.data + sector * BLK_SECTOR, bytes);
    free(got);
}

static void reads_map_the_caches_frames(void **state)
{
    struct fold_rig f;
    /* One run of 20 pages, and one that begins in the middle of a page. */
    struct tdesc data[] = {{DATA, 20 * PAGE_SIZE, true},
                           {DATA + 0x40000 + 512, 2 * PAGE_SIZE, true}};
    struct tdesc again = {DATA + 0x80000, PAGE_SIZE, true};

    (void)state;
    fold_rig_init(&f);
    for (unsigned pass = 0; pass < 3; pass++) {
        uint64_t free_frames = f.r->g.frames.by_state[FRAME_FREE];

        assert_int_equal(ask(f.r, T_IN, 64, data, 1), S_OK);
        check_data(&f, DATA, 64, 20 * PAGE_SIZE);
        assert_int_equal(f.cache.stats.copied_bytes, 0);
        assert_int_equal(f.cache.stats.adopted, 20 * (pass + 1));
        assert_int_equal(f.cache.stats.misses, 20);
        assert_int_equal(f.cache.stats.hits, 20 * pass);
        assert_int_equal(f.cache.mapped, 20);
        if (pass > 0) {
            assert_int_equal(f.r->g.frames.by_state[FRAME_FREE], free_frames);
        }
    }
    assert_int_equal(f.r->disk.seen, 2); /* 16 pages and 4 */
    /* The guest's writes stay its own. */
    tguest_put32(&f.r->g, DATA + 4, 77);
    assert_int_equal(ask(f.r, T_IN, 64, &again, 1), S_OK);
    check_data(&f, again.addr, 64, PAGE_SIZE);
    assert_int_equal(tguest_get32(&f.r->g, DATA + 4), 77);
    assert_int_equal(f.cache.stats.copied_bytes, 0);
    /* What lies across pages, or across blocks, is copied. */
    assert_int_equal(ask(f.r, T_IN, 65, data, 2), S_OK);
    check_data(&f, DATA, 65, 20 * PAGE_SIZE);
    check_data(&f, DATA + 0x40000 + 512, 65 + 160, 2 * PAGE_SIZE);
    assert_true(f.cache.stats.copied_bytes > 0);
    fold_rig_fini(&f);
}

/* Where the cache can hold little or nothing, the data arrives by copying all the same, and leaves
 * nothing in the cache that a guest has too. */
static void reads_without_room(void **state)
{
    struct fold_rig f;
    struct tdesc data = {DATA, 40 * PAGE_SIZE, true};

    (void)state;
    fold_rig_init(&f);
    for (unsigned max = 0; max < 20; max++) {
        cache_set_max(&f.cache, max);
        assert_int_equal(ask(f.r, T_IN, 64 + 320 * max, &data, 1), S_OK);
        check_data(&f, DATA, 64 + 320 * max, 40 * PAGE_SIZE);
        assert_int_equal(f.cache.stats.copied_bytes, 0);
    }
    assert_true(f.cache.stats.bypassed >= 40 && f.cache.stats.adopted > 0);
    fold_rig_fini(&f);
}

/* A device is at the guest's page, which stays where it is then: the block is copied there, and
 * counted as that, once. */
static void refused_pages_are_no_hits_twice(void **state)
{
    struct fold_rig f;
    struct tdesc data = {DATA, PAGE_SIZE, true};

    (void)state;
    fold_rig_init(&f);
    tguest_put32(&f.r->g, DATA, 1);
    mfn_t own = f.r->g.map[DATA >> PAGE_SHIFT].mfn;
    frames_pin(&f.r->g.frames, own);
    for (unsigned hits = 0; hits < 3; hits++) {
        assert_int_equal(ask(f.r, T_IN, 64, &data, 1), S_OK);
        check_data(&f, DATA, 64, PAGE_SIZE);
        assert_int_equal(f.cache.stats.adopted, 0);
        assert_int_equal(f.cache.stats.misses, 1);
        assert_int_equal(f.cache.stats.hits, hits);
        assert_int_equal(f.dev.stats.hits, hits);
        assert_int_equal(f.dev.stats.reads, hits + 1);
        assert_int_equal(f.cache.entries[cache_find(&f.cache, f.dev.dev.id, 8)].uses, hits);
        assert_int_equal(f.cache.stats.copied_bytes, (hits + 1) * PAGE_SIZE);
    }
    frames_unpin(&f.r->g.frames, own);
    assert_int_equal(ask(f.r, T_IN, 64, &data, 1), S_OK);
    assert_int_equal(f.cache.stats.adopted, 1);
    assert_int_equal(f.cache.stats.hits, 3);
    fold_rig_fini(&f);
}

static void check_store(struct fold_rig *f)
{
    char why[160] = "";

    if (cache_check(&f->cache, why, sizeof(why)) != OK) {
        fail_msg("cache_check: %s", why);
    }
}

/* The pages that a guest writes are the blocks from then on, whatever it does to them later. */
static void writes_leave_frames(bool back)
{
    struct fold_rig f;
    struct tdesc out[] = {{DATA, 4 * PAGE_SIZE, false}, {DATA + 0x40000, 1024, false}};
    struct tdesc in = {DATA + 0x80000, 4 * PAGE_SIZE, true};
    static uint8_t was[4 * PAGE_SIZE], got[4 * PAGE_SIZE];
    static const uint8_t zeroes[PAGE_SIZE];

    fold_rig_init(&f);
    blkcache_set_writing(&f.bc,
                         &(struct blkcache_writing){.back = back, .give = true, .dirty_max = 64});
    for (unsigned i = 0; i < sizeof(was); i++) {
        was[i] = (uint8_t)(i * 7 >> 3);
    }
    memset(was + PAGE_SIZE, 0, PAGE_SIZE); /* the second page was never touched */
    tguest_put(&f.r->g, DATA, was, PAGE_SIZE);
    tguest_put(&f.r->g, DATA + 2 * PAGE_SIZE, was + 2 * PAGE_SIZE, 2 * PAGE_SIZE);
    assert_int_equal(ask(f.r, T_OUT, 64, out, 1), S_OK);
    check_store(&f);
    assert_int_equal(f.cache.stats.copied_bytes, 0);
    assert_int_equal(f.cache.stats.given, 4);
    assert_int_equal(f.cache.mapped, 3);
    assert_int_equal(f.cache.zeroes, 1);
    assert_int_equal(f.cache.dirty, back ? 4 : 0);
    /* Copy on write; the blocks stay. */
    tguest_put32(&f.r->g, DATA + 8, 77);
    tguest_put32(&f.r->g, DATA + PAGE_SIZE, 78);
    tguest_put32(&f.r->g, DATA + 3 * PAGE_SIZE, 79);
    assert_int_equal(f.cache.mapped, 1);
    check_store(&f);
    assert_int_equal(f.r->disk.seen, back ? 0 : 1);
    assert_int_equal(ask(f.r, T_IN, 64, &in, 1), S_OK);
    assert_int_equal(f.r->disk.seen, back ? 0 : 1); /* all hits */
    tguest_get(&f.r->g, in.addr, got, sizeof(got));
    assert_memory_equal(got, was, sizeof(was));
    assert_int_equal(tguest_get32(&f.r->g, DATA + 8), 77);
    assert_int_equal(tguest_get32(&f.r->g, DATA + PAGE_SIZE), 78);
    assert_int_equal(f.cache.stats.copied_bytes, 0);
    assert_int_equal(ask(f.r, T_FLUSH, 0, NULL, 0), S_OK);
    assert_int_equal(f.cache.dirty, 0);
    assert_memory_equal(f.r->disk.data + 64 * BLK_SECTOR, was, sizeof(was));
    /* Without frames that can be kept, the block goes. */
    blkcache_set_writing(&f.bc, &(struct blkcache_writing){.dirty_max = 64});
    tguest_put(&f.r->g, DATA, zeroes, PAGE_SIZE);
    assert_int_equal(ask(f.r, T_OUT, 64, out, 1), S_OK);
    assert_int_equal(cache_find(&f.cache, f.dev.dev.id, 8), CACHE_NIL);
    assert_int_equal(f.cache.stats.given, 4);
    assert_int_equal(ask(f.r, T_OUT, 72, out + 1, 1), S_OK); /* and one written in part */
    check_store(&f);
    fold_rig_fini(&f);
}

static void writes_leave_frames_through(void **state)
{
    (void)state;
    writes_leave_frames(false);
}

static void writes_leave_frames_back(void **state)
{
    (void)state;
    writes_leave_frames(true);
}

/* A request of one descriptor of data that is not waited for; its header and status are at `at`. */
static void send(struct fold_rig *f, uint64_t at, uint64_t sector, const struct tdesc *data)
{
    assert_true(tvblk_send(f->r, at, T_OUT, sector, data, 1, 0) >= 0);
    tvblk_kick(f->r);
    tvblk_work(f->r);
}

/* A guest changes a page that it writes while the write still waits: what was to be written is in a
 * frame that no guest maps any more, and that is not kept as the block. */
static void a_page_that_changes_while_its_write_waits(bool back)
{
    struct fold_rig f;
    struct tdesc part = {DATA + 0x40000, 512, false}, page = {DATA, PAGE_SIZE, false};
    struct tdesc in = {DATA + 0x80000, PAGE_SIZE, true};
    uint64_t gone;
    uint32_t len;

    fold_rig_init(&f);
    gone = f.r->g.frames.shared_gone;
    blkcache_set_writing(&f.bc,
                         &(struct blkcache_writing){.back = back, .give = true, .dirty_max = 64});
    tguest_put32(&f.r->g, DATA, 1);
    send(&f, HEADER + 64, 64, &part);
    assert_int_equal(f.r->disk.n, 1);
    send(&f, HEADER + 128, 64, &page);
    assert_int_equal(f.r->disk.n, 1); /* it waits for the other one */
    tguest_put32(&f.r->g, DATA, 2);
    while (f.r->disk.n > 0) {
        tdisk_complete(&f.r->disk, 0, OK);
        tvblk_work(f.r);
    }
    assert_true(tdriver_take(&f.r->t, &len) >= 0);
    assert_true(tdriver_take(&f.r->t, &len) >= 0);
    check_store(&f);
    assert_int_equal(f.r->g.frames.shared_gone, gone);
    assert_int_equal(ask(f.r, T_IN, 64, &in, 1), S_OK);
    assert_int_equal(tguest_get32(&f.r->g, in.addr), 1);
    assert_int_equal(tguest_get32(&f.r->g, DATA), 2);
    check_store(&f);
    fold_rig_fini(&f);
}

static void a_page_that_changes_while_its_write_waits_through(void **state)
{
    (void)state;
    a_page_that_changes_while_its_write_waits(false);
}

static void a_page_that_changes_while_its_write_waits_back(void **state)
{
    (void)state;
    a_page_that_changes_while_its_write_waits(true);
}

/* A guest whose folding is off gets copies and gives none of its frames away; turned on again, it
 * maps what the cache holds. */
static void unfolded_guests_share_nothing(void **state)
{
    struct fold_rig f;
    struct tdesc in = {DATA, 4 * PAGE_SIZE, true}, out = {DATA + 0x40000, 4 * PAGE_SIZE, false};
    static uint8_t was[4 * PAGE_SIZE];

    (void)state;
    fold_rig_init(&f);
    blkcache_set_writing(&f.bc, &(struct blkcache_writing){.give = true});
    memset(was, 0x5a, sizeof(was));
    memset(f.r->disk.data + 72 * BLK_SECTOR, 0, PAGE_SIZE); /* block 9 needs no frame */
    struct p2m *p = &f.r->g.p2m;
    p->fold_off = true;
    assert_int_equal(ask(f.r, T_IN, 64, &in, 1), S_OK);
    check_data(&f, DATA, 64, 4 * PAGE_SIZE);
    assert_int_equal(f.cache.stats.adopted, 0);
    assert_int_equal(f.cache.mapped, 0);
    assert_int_equal(p->shared_maps, 0);
    assert_int_equal(p->zero_maps, 0);
    tguest_put(&f.r->g, out.addr, was, sizeof(was));
    assert_int_equal(ask(f.r, T_OUT, 128, &out, 1), S_OK);
    assert_memory_equal(f.r->disk.data + 128 * BLK_SECTOR, was, sizeof(was));
    assert_int_equal(f.cache.stats.given, 0);
    assert_int_equal(p->shared_maps, 0);
    check_store(&f);
    p->fold_off = false;
    assert_int_equal(ask(f.r, T_IN, 64, &in, 1), S_OK);
    check_data(&f, DATA, 64, 4 * PAGE_SIZE);
    assert_int_equal(f.cache.stats.adopted, 4);
    assert_int_equal(f.r->disk.seen, 2); /* a read and a write: the cache had the blocks */
    fold_rig_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_map_the_caches_frames),
        cmocka_unit_test(reads_without_room),
        cmocka_unit_test(refused_pages_are_no_hits_twice),
        cmocka_unit_test(unfolded_guests_share_nothing),
        cmocka_unit_test(writes_leave_frames_through),
        cmocka_unit_test(writes_leave_frames_back),
        cmocka_unit_test(a_page_that_changes_while_its_write_waits_through),
        cmocka_unit_test(a_page_that_changes_while_its_write_waits_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
