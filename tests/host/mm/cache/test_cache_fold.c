/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mode `fold` of the disk cache: guests that map the cache's frames, against an oracle that copies.
 *
 * Several guests of two share groups, one disk, an adversary that takes frames away, turns the mode
 * and the bound, and scans. After each step the memory's audit and the cache's must pass; what a
 * guest sees must be what a machine without any sharing would show it.
 */
#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "fake_lossy.h"
#include "fake_p2m.h"
#include "mm/promise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VMS 3u
#define PAGES 12u
#define BLOCKS 20u
#define FRAMES 72u
#define PLACES (2 * FRAMES + 1) /* with guards */
#define ROOTS 4u
#define LATE 32u

struct rig {
    struct frames f;
    struct share_group groups[2];
    struct fold fold;
    uint32_t roots[ROOTS];
    struct fake_map maps[VMS];
    struct p2m p2m[VMS];
    struct cache cache;
    void *cache_mem, *pool;
    struct blkcache bc;
    struct blkcache_dev dev;
    struct blk_dev leaf;
    uint8_t disk[BLOCKS][PAGE_SIZE];
    uint8_t want_disk[BLOCKS][PAGE_SIZE];
    uint8_t want[VMS][PAGES][PAGE_SIZE];
    struct blk_req *late[LATE]; /* requests that the disk has not answered yet */
    unsigned n_late;
    bool slow;
    uint64_t clock;
    mfn_t stolen[FRAMES];
    unsigned n_stolen;
    struct rnd rnd;
    uint64_t fallbacks;
};

/* ---- the disk ---- */

static void leaf_carry_out(struct rig *r, struct blk_req *q)
{
    lossy_move(&r->disk[0][0], r->f.window, q, q->sectors);
    q->done(q, OK);
}

static void leaf_submit(struct blk_dev *d, struct blk_req *q)
{
    struct rig *r = container_of(d, struct rig, leaf);

    if (r->slow) {
        assert_true(r->n_late < LATE);
        r->late[r->n_late++] = q;
        return;
    }
    leaf_carry_out(r, q);
}

static const struct blk_ops leaf_ops = {.submit = leaf_submit};

static void note_done(struct blk_req *q, enum status s)
{
    *(int *)q->ctx = (int)s + 1;
}

/* Submits, lets other things happen before the disk answers, and waits. */
static void carry_out(struct rig *r, struct blk_req *q)
{
    int done = 0;

    q->done = note_done;
    q->ctx = &done;
    r->slow = rnd_below(&r->rnd, 2) == 0;
    blk_submit(&r->dev.dev, q);
    while (!done) {
        assert_true(r->n_late > 0);
        unsigned i = rnd_below(&r->rnd, r->n_late);
        struct blk_req *late = r->late[i];

        if (rnd_below(&r->rnd, 3) == 0) {
            (void)cache_reclaim(&r->cache, rnd_below(&r->rnd, 5));
        }
        r->late[i] = r->late[--r->n_late];
        leaf_carry_out(r, late);
    }
    r->slow = false;
    while (r->n_late > 0) {
        leaf_carry_out(r, r->late[--r->n_late]);
    }
    assert_int_equal(done, OK + 1);
}

/* ---- rig ---- */

static void rig_init(struct rig *r, uint64_t seed)
{
    struct p2m_slot run = {GFN(0), PAGES};

    memset(r, 0, sizeof(*r));
    r->rnd.state = seed * 2654435761u + 1;
    fake_frames_init(&r->f, FRAMES);
    assert_true(fold_roots(r->f.count) <= ROOTS);
    fold_init(&r->fold, &r->f, NULL, &(struct random){.key = {(uint32_t)seed}}, r->roots);
    r->cache_mem = malloc(cache_bytes(BLOCKS));
    assert_int_equal(cache_init(&r->cache, &r->f, r->cache_mem, BLOCKS, seed), OK);
    r->fold.cache = &r->cache;
    frames_add_reclaimer(&r->f, cache_reclaim, &r->cache);
    cache_set_mode(&r->cache, CACHE_FOLD);
    r->pool = aligned_alloc(16, ALIGN_UP(blkcache_bytes(4, 4), 16));
    assert_int_equal(blkcache_init(&r->bc, &r->cache, r->pool, 4, 4), OK);
    r->leaf = (struct blk_dev){.ops = &leaf_ops,
                               .name = "leaf0",
                               .sectors = BLOCKS * CACHE_BLOCK_SECTORS,
                               .can_discard = true,
                               .can_zero = true,
                               .id = 3};
    blkcache_dev_init(&r->dev, &r->bc, &r->leaf);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(share_group_init(&r->groups[i], &r->f, i ? "b" : "a", i), OK);
    }
    for (unsigned i = 0; i < VMS; i++) {
        fake_map_init(&r->maps[i], &r->f, PAGES);
        assert_int_equal(p2m_init(&r->p2m[i], &fake_map_ops, &r->maps[i], &r->f, &r->groups[i / 2],
                                  (uint16_t)i, &run, 1, r->maps[i].regions),
                         OK);
        fold_attach(&r->fold, &r->p2m[i]);
    }
    for (unsigned b = 0; b < BLOCKS; b++) {
        memset(r->disk[b], (int)(b % 7), PAGE_SIZE); /* blocks 7 and 0 are equal, and of zeroes */
        memset(r->want_disk[b], (int)(b % 7), PAGE_SIZE);
    }
}

static void give_back(struct rig *r)
{
    while (r->n_stolen > 0) {
        frames_free(&r->f, r->stolen[--r->n_stolen]);
    }
}

/* Everything dirty goes to the disk, which then holds what it should. */
static void settle(struct rig *r)
{
    struct blk_req flush = {.op = BLK_FLUSH};

    carry_out(r, &flush);
    assert_int_equal(r->cache.dirty, 0);
    assert_memory_equal(r->disk, r->want_disk, sizeof(r->disk));
}

static void rig_fini(struct rig *r)
{
    give_back(r);
    settle(r);
    for (unsigned i = 0; i < VMS; i++) {
        fold_detach(&r->fold, &r->p2m[i]);
        p2m_drop_all(&r->p2m[i]);
        fake_map_fini(&r->maps[i]);
    }
    assert_int_equal(r->cache.mapped, 0);
    cache_set_mode(&r->cache, CACHE_OFF);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fold_forget(&r->fold, &r->groups[i]), OK);
        assert_int_equal(share_group_fini(&r->groups[i], &r->f), OK);
    }
    assert_int_equal(r->f.by_state[FRAME_FREE] + r->bc.has_zeroes, FRAMES);
    assert_int_equal(r->f.pinned, 0);
    free(r->pool);
    free(r->cache_mem);
    fake_frames_fini(&r->f);
}

static void print_violation(void *ctx, const char *line)
{
    (void)ctx;
    print_error("audit: %s\n", line);
}

static void check(struct rig *r)
{
    uint32_t scratch[PLACES];
    char why[160] = "";
    struct p2m *maps[VMS] = {&r->p2m[0], &r->p2m[1], &r->p2m[2]};
    struct share_group *groups[2] = {&r->groups[0], &r->groups[1]};
    struct audit a = {.frames = &r->f,
                      .maps = maps,
                      .n_maps = VMS,
                      .groups = groups,
                      .n_groups = 2,
                      .fold = &r->fold,
                      .scratch = scratch,
                      .others = cache_references,
                      .others_ctx = &r->cache,
                      .report = print_violation};

    assert_int_equal(audit_run(&a), 0);
    if (cache_check(&r->cache, why, sizeof(why)) != OK) {
        fail_msg("cache_check: %s", why);
    }
    for (uint32_t b = 0; b < BLOCKS; b++) {
        uint32_t e = cache_find(&r->cache, r->leaf.id, b);
        if (e == CACHE_NIL || !cache_is_dirty(&r->cache, e)) {
            assert_memory_equal(r->disk[b], r->want_disk[b], PAGE_SIZE);
        }
        if (e != CACHE_NIL) {
            assert_memory_equal(cache_bytes_of(&r->cache, e), r->want_disk[b], PAGE_SIZE);
        }
    }
}

static void compare(struct rig *r)
{
    for (unsigned v = 0; v < VMS; v++) {
        for (unsigned g = 0; g < PAGES; g++) {
            static uint8_t page[PAGE_SIZE];
            uint8_t byte;
            unsigned off = rnd_below(&r->rnd, PAGE_SIZE);

            assert_int_equal(p2m_read(&r->p2m[v], GPA(g * (uint64_t)PAGE_SIZE), page, PAGE_SIZE),
                             OK);
            assert_memory_equal(page, r->want[v][g], PAGE_SIZE);
            if (fake_guest_read(&r->p2m[v], rnd_below(&r->rnd, FAKE_CPUS),
                                rnd_below(&r->rnd, FAKE_ALIASES), GFN(g), off, &byte) == OK) {
                assert_int_equal(byte, r->want[v][g][off]);
            }
        }
    }
}

/* ---- what happens ---- */

/* As a disk model reads a page: a frame if it can be had, else a copy. */
static void read_block(struct rig *r, unsigned v, unsigned g, unsigned b)
{
    struct p2m *p = &r->p2m[v];
    uint64_t sector = b * (uint64_t)CACHE_BLOCK_SECTORS;
    mfn_t mfn;
    enum status s = blk_hold(&r->dev.dev, sector, p->group->id, &mfn);

    if (s == E_NOTFOUND) {
        struct blk_req fetch = {.op = BLK_FETCH, .sector = sector, .sectors = CACHE_BLOCK_SECTORS};
        carry_out(r, &fetch);
        s = blk_hold(&r->dev.dev, sector, p->group->id, &mfn);
    }
    if (s == OK) {
        mfn = mfn.n == BLK_ZERO_FRAME.n ? p->group->zero : mfn;
        s = p2m_map_shared(p, GFN(g), mfn);
        frames_unpin(&r->f, mfn);
        if (s == OK) {
            blk_taken(&r->dev.dev, sector, NULL);
        }
    }
    if (s != OK) {
        if (p2m_get_write(p, GFN(g), &mfn) != OK) {
            return; /* out of frames: the guest waits, nothing was read */
        }
        struct blk_seg seg = {mfn_to_hpa(mfn), PAGE_SIZE};
        struct blk_req q = {.op = BLK_READ,
                            .sector = sector,
                            .sectors = CACHE_BLOCK_SECTORS,
                            .segs = &seg,
                            .n_segs = 1,
                            .past_cache = rnd_below(&r->rnd, 2) != 0};
        carry_out(r, &q);
        p2m_put(p, mfn);
        r->fallbacks++;
    }
    memcpy(r->want[v][g], r->want_disk[b], PAGE_SIZE);
}

static void write_block(struct rig *r, unsigned v, unsigned g)
{
    uint64_t first = rnd_below(&r->rnd, BLOCKS * CACHE_BLOCK_SECTORS - CACHE_BLOCK_SECTORS + 1);
    uint64_t sectors = 1 + rnd_below(&r->rnd, CACHE_BLOCK_SECTORS);
    mfn_t mfn, again = {0};

    if (p2m_get_read(&r->p2m[v], GFN(g), &mfn) != OK) {
        return;
    }
    if (rnd_below(&r->rnd, 2) == 0) { /* whole blocks, which may be kept where they are */
        first -= first % CACHE_BLOCK_SECTORS;
        sectors = CACHE_BLOCK_SECTORS;
        if (rnd_below(&r->rnd, 3) != 0) {
            p2m_share_for_io(&r->p2m[v], &(gfn_t){g}, 1);
            assert_int_equal(p2m_get_read(&r->p2m[v], GFN(g), &again), OK);
            assert_int_equal(again.n, mfn.n);
            p2m_put(&r->p2m[v], again);
        }
    }
    struct blk_seg seg = {mfn_to_hpa(mfn), (uint32_t)(sectors * BLK_SECTOR)};
    struct blk_req q = {
        .op = BLK_WRITE, .sector = first, .sectors = sectors, .segs = &seg, .n_segs = 1};
    memcpy(&r->want_disk[0][0] + first * BLK_SECTOR, r->want[v][g], sectors * BLK_SECTOR);
    carry_out(r, &q);
    p2m_put(&r->p2m[v], mfn);
}

static void turn_writing(struct rig *r)
{
    struct blkcache_writing w = {.back = rnd_below(&r->rnd, 4) != 0,
                                 .give = rnd_below(&r->rnd, 4) != 0,
                                 .dirty_max = rnd_below(&r->rnd, BLOCKS),
                                 .age_ns = 4 * rnd_below(&r->rnd, 4)};

    blkcache_set_writing(&r->bc, &w);
}

static void clear_blocks(struct rig *r)
{
    uint64_t first = rnd_below(&r->rnd, BLOCKS * CACHE_BLOCK_SECTORS);
    uint64_t most = BLOCKS * CACHE_BLOCK_SECTORS - first;
    uint64_t sectors = 1 + rnd_below(&r->rnd, (uint32_t)MIN(most, UINT64_C(20)));
    struct blk_req q = {.op = rnd_below(&r->rnd, 2) ? BLK_DISCARD : BLK_ZEROES,
                        .sector = first,
                        .sectors = sectors};

    memset(&r->want_disk[0][0] + first * BLK_SECTOR, 0, sectors * BLK_SECTOR);
    carry_out(r, &q);
}

static void guest_writes(struct rig *r, unsigned v, unsigned g)
{
    unsigned off = rnd_below(&r->rnd, PAGE_SIZE);
    uint8_t value = (uint8_t)rnd_below(&r->rnd, 256);

    if (fake_guest_write(&r->p2m[v], rnd_below(&r->rnd, FAKE_CPUS),
                         rnd_below(&r->rnd, FAKE_ALIASES), GFN(g), off, value) == OK) {
        r->want[v][g][off] = value;
    }
}

static void steal(struct rig *r)
{
    for (unsigned n = rnd_below(&r->rnd, FRAMES); n > 0; n--) {
        if (frames_alloc(&r->f, FRAME_HYP, &r->stolen[r->n_stolen]) != OK) {
            return;
        }
        memset(frame_bytes(&r->f, r->stolen[r->n_stolen++]), 0xee, PAGE_SIZE);
    }
}

static void step(struct rig *r)
{
    unsigned v = rnd_below(&r->rnd, VMS), g = rnd_below(&r->rnd, PAGES);

    if (rnd_below(&r->rnd, 6) == 0) {
        (void)blkcache_work(&r->bc, r->clock += rnd_below(&r->rnd, 2), NULL);
        if (rnd_below(&r->rnd, 8) == 0) {
            turn_writing(r);
        }
        return;
    }
    switch (rnd_below(&r->rnd, 21)) {
    case 20:
        if (rnd_below(&r->rnd, 3) == 0) {
            settle(r);
        }
        break;
    case 0:
        cache_set_mode(&r->cache, (enum cache_mode)rnd_below(&r->rnd, CACHE_MODES));
        break;
    case 1:
        cache_set_max(&r->cache, rnd_below(&r->rnd, BLOCKS + 2));
        break;
    case 2:
        (void)cache_reclaim(&r->cache, rnd_below(&r->rnd, 6));
        break;
    case 3:
        steal(r);
        break;
    case 4:
        give_back(r);
        break;
    case 5:
        (void)fold_step(&r->fold, 1 + rnd_below(&r->rnd, 2 * VMS * PAGES), NULL);
        break;
    case 6:
        write_block(r, v, g);
        break;
    case 7:
        clear_blocks(r);
        break;
    case 8:
        fold_detach(&r->fold, &r->p2m[v]);
        p2m_drop_all(&r->p2m[v]);
        fold_attach(&r->fold, &r->p2m[v]);
        memset(r->want[v], 0, sizeof(r->want[v]));
        break;
    case 9:
    case 10:
        cache_set_mode(&r->cache, CACHE_FOLD);
        break;
    case 11:
    case 12:
    case 13:
    case 14:
        guest_writes(r, v, g);
        break;
    default:
        read_block(r, v, g, rnd_below(&r->rnd, BLOCKS));
        break;
    }
}

static void test_oracle(void **state)
{
    uint64_t adopted = 0, fallbacks = 0, takeovers = 0, given = 0, absorbed = 0;

    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct rig *r = malloc(sizeof(*r));

        rig_init(r, seed);
        for (unsigned i = 0; i < 600; i++) {
            step(r);
            check(r);
            if (i % 8 == 0) {
                compare(r);
            }
        }
        compare(r);
        adopted += r->cache.stats.adopted;
        fallbacks += r->fallbacks;
        takeovers += r->p2m[0].takeovers;
        given += r->cache.stats.given;
        absorbed += r->cache.stats.absorbed;
        rig_fini(r);
        free(r);
    }
    assert_true(adopted > 1000 && fallbacks > 100 && takeovers > 10 && given > 100 &&
                absorbed > 100);
}

/* ---- single rules ---- */

static mfn_t frame_at(struct rig *r, unsigned v, unsigned g)
{
    struct p2m_entry e = {0};

    assert_int_equal(r->p2m[v].ops->lookup(r->p2m[v].ctx, GFN(g), &e), OK);
    return e.mfn;
}

static void test_one_frame(void **state)
{
    struct rig *r = malloc(sizeof(*r));

    (void)state;
    rig_init(r, 99);
    read_block(r, 0, 2, 5);
    read_block(r, 1, 3, 5); /* the same group */
    mfn_t mfn = frame_at(r, 0, 2);
    assert_int_equal(frame_at(r, 1, 3).n, mfn.n);
    assert_int_equal(r->cache.stats.copied_bytes, 0);
    assert_int_equal(r->cache.stats.misses, 1);
    assert_int_equal(r->cache.stats.hits, 1);
    assert_int_equal(r->cache.mapped, 1);
    assert_int_equal(cache_reclaim(&r->cache, 100), 0); /* the guests' memory */
    read_block(r, 2, 2, 5);                             /* another group's guest gets a copy */
    assert_int_not_equal(frame_at(r, 2, 2).n, mfn.n);
    check(r);
    /* A write leaves the block behind, when the last guest has gone from it. */
    assert_int_equal(fake_guest_write(&r->p2m[0], 0, 0, GFN(2), 1, 77), OK);
    assert_int_equal(r->cache.mapped, 1);
    assert_int_equal(fake_guest_write(&r->p2m[1], 0, 0, GFN(3), 1, 78), OK);
    assert_int_equal(r->cache.mapped, 0);
    assert_int_equal(r->cache.used, 1);
    check(r);
    read_block(r, 2, 3, 5); /* and now the other group may have it */
    assert_int_equal(frame_at(r, 2, 3).n, mfn.n);
    check(r);
    rig_fini(r);
    free(r);
}

/* With no frame left in the machine, a write to a mapped block takes the cache's frame. */
static void test_write_without_frames(void **state)
{
    struct rig *r = malloc(sizeof(*r));
    mfn_t mfn;

    (void)state;
    rig_init(r, 7);
    read_block(r, 0, 1, 4);
    mfn = frame_at(r, 0, 1);
    while (frames_alloc(&r->f, FRAME_HYP, &r->stolen[r->n_stolen]) == OK) {
        r->n_stolen++;
    }
    assert_int_equal(fake_guest_write(&r->p2m[0], 0, 0, GFN(1), 9, 9), OK);
    r->want[0][1][9] = 9;
    assert_int_equal(frame_at(r, 0, 1).n, mfn.n);
    assert_int_equal(r->cache.used, 0);
    check(r);
    compare(r);
    rig_fini(r);
    free(r);
}

/* A write to a block that guests map changes the disk, not the guests. */
static void test_write_to_mapped(void **state)
{
    struct rig *r = malloc(sizeof(*r));

    (void)state;
    rig_init(r, 8);
    read_block(r, 0, 1, 4);
    mfn_t mfn = frame_at(r, 0, 1);
    for (unsigned i = 0; i < 200; i++) {
        write_block(r, 1, 0);
        check(r);
        compare(r);
    }
    assert_int_equal(frame_at(r, 0, 1).n, mfn.n);
    assert_int_equal(frame_of(&r->f, mfn)->flags & FRAME_F_IN_CACHE, 0);
    assert_int_equal(fake_guest_write(&r->p2m[0], 0, 0, GFN(1), 9, 9), OK);
    r->want[0][1][9] = 9;
    assert_int_equal(frame_at(r, 0, 1).n, mfn.n); /* its own now, without a copy */
    compare(r);
    rig_fini(r);
    free(r);
}

/* ---- memory.max ---- */

#define ROOM 3u

/* Blocks that differ, and VM 0 at its bound but for ROOM frames. */
static struct rig *bounded_rig(void)
{
    struct rig *r = malloc(sizeof(*r));

    rig_init(r, 5);
    for (unsigned b = 0; b < BLOCKS; b++) {
        memset(r->disk[b], (int)b + 1, PAGE_SIZE);
        memset(r->want_disk[b], (int)b + 1, PAGE_SIZE);
    }
    for (unsigned v = 0; v < 2; v++) {
        assert_int_equal(fake_guest_write(&r->p2m[v], 0, 0, GFN(0), 0, 1), OK);
        r->want[v][0][0] = 1;
    }
    promise_bound(&r->p2m[0], promise_held(&r->p2m[0]) + ROOM);
    return r;
}

static bool is_mapped(struct rig *r, unsigned v, unsigned g)
{
    struct p2m_entry e;

    return r->p2m[v].ops->lookup(r->p2m[v].ctx, GFN(g), &e) == OK;
}

static void walk(struct p2m *p)
{
    gfn_t next = GFN(0);

    while (p2m_sole_walk(p, &next, NULL)) {
    }
}

/* What a VM alone maps of the cache counts for it, so it maps no more than its bound; what another
 * one maps too counts for neither. */
static void test_bound_reads(void **state)
{
    struct rig *r = bounded_rig();
    struct p2m *p = &r->p2m[0];

    (void)state;
    for (unsigned g = 1; g < PAGES; g++) {
        read_block(r, 0, g, g);
        assert_int_equal(is_mapped(r, 0, g), g <= ROOM);
        check(r);
    }
    assert_int_equal(p->refused, PROMISE_BOUND);
    assert_int_equal(p->sole_maps, ROOM);
    assert_int_equal(promise_held(p), p->max_frames);
    read_block(r, 0, 1, 15); /* in place of another */
    assert_int_equal(p->sole_maps, ROOM);
    assert_int_equal(fake_guest_write(p, 0, 0, GFN(1), 1, 7), OK); /* it becomes its own */
    r->want[0][1][1] = 7;
    assert_int_equal(promise_held(p), p->max_frames);
    assert_int_equal(fake_guest_write(p, 0, 0, GFN(PAGES - 1), 1, 7), E_NOMEM);
    read_block(r, 1, 2, 2); /* the same block */
    assert_int_equal(frame_at(r, 1, 2).n, frame_at(r, 0, 2).n);
    assert_int_equal(r->p2m[1].sole_maps, 0);
    walk(p);
    assert_int_equal(p->sole_maps, ROOM - 2);
    read_block(r, 0, PAGES - 1, 9);
    assert_true(is_mapped(r, 0, PAGES - 1));
    assert_int_equal(promise_held(p), p->max_frames);
    compare(r);
    read_block(r, 0, 2, 10); /* one more than the bound allows, */
    assert_int_equal(frame_at(r, 0, 2).n, frame_at(r, 1, 2).n);
    read_block(r, 1, 2, 11); /* until the other one lets go */
    walk(p);
    assert_int_equal(p->sole_maps, ROOM);
    assert_int_equal(r->p2m[1].sole_maps, 1);
    check(r);
    rig_fini(r);
    free(r);
}

/* Pages that a VM writes to the disk, and that become blocks of the cache, go on to count. */
static void test_bound_freezes(void **state)
{
    struct rig *r = bounded_rig();
    struct p2m *p = &r->p2m[0];
    unsigned frozen = 0;
    mfn_t mfn;

    (void)state;
    for (unsigned g = 1; g < PAGES; g++) {
        enum status s = fake_guest_write(p, 0, 0, GFN(g), 2, (uint8_t)(100 + g));

        assert_int_equal(s, g <= ROOM ? OK : E_NOMEM);
        if (s == OK) {
            r->want[0][g][2] = (uint8_t)(100 + g);
            assert_int_equal(p2m_get_read(p, GFN(g), &mfn), OK);
            p2m_share_for_io(p, &(gfn_t){g}, 1);
            p2m_put(p, mfn);
            frozen++;
            assert_int_equal(p->sole_maps, frozen);
        }
        check(r);
    }
    assert_int_equal(promise_held(p), p->max_frames);
    assert_int_equal(fake_guest_write(p, 0, 0, GFN(1), 2, 1), OK); /* taken over, at the bound */
    r->want[0][1][2] = 1;
    assert_int_equal(p->sole_maps, ROOM - 1);
    check(r);
    compare(r);
    rig_fini(r);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_frame),       cmocka_unit_test(test_write_without_frames),
        cmocka_unit_test(test_write_to_mapped), cmocka_unit_test(test_bound_reads),
        cmocka_unit_test(test_bound_freezes),   cmocka_unit_test(test_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
