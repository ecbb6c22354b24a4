/* SPDX-License-Identifier: BSD-2-Clause */
/* The world of the cached block device's tests. */
#include "world_blkcache.h"

#include "arena.h"
#include "base/bits.h"
#include "drivers/block/partition/partition.h"
#include "fake_lossy.h"
#include "require.h"
#include "steps.h"
#include "work_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISK_SECTORS 1003u
#define SLOTS 10u
#define SLOT_PAGES 26u
#define SLOT_SECTORS 200u
#define SLOT_SEGS 40u
#define CANDIDATES 128u
#define LOWER_MAX 256u
#define VMS 2u
#define HELD 16u
#define LOOKS_OUT 4u /* on the way out of a step */

/* A value that a sector may have: by whom, and until when. */
struct candidate {
    uint64_t stamp;
    uint64_t seq;  /* of the write that brought it: order of submission */
    uint64_t dead; /* the moment a later write completed; UINT64_MAX: alive */
};

struct slot {
    struct blk_req req;
    struct blk_seg segs[SLOT_SEGS];
    struct world *w;
    bool busy, done;
    uint64_t first; /* leaf sector */
    uint64_t begin; /* moment of submission */
    uint64_t stamp, seq;
    uint32_t held[HELD];
};

struct world {
    struct bcw_options o;
    struct bcw_source src;
    bool ended;
    struct frames frames;
    struct frame *table;
    uint8_t *window;
    struct cache cache;
    void *cache_mem, *pool;
    struct blkcache bc;
    struct blk_dev leaf;
    struct partition_dev parts[2];
    struct blkcache_dev devs[4]; /* whole, p1, p2, whole read-only */
    uint8_t disk[DISK_SECTORS * BLK_SECTOR];
    struct blk_req *lower[LOWER_MAX];
    bool lower_moved[LOWER_MAX]; /* the data went at submission */
    unsigned n_lower;
    struct slot slots[SLOTS];
    struct candidate cand[DISK_SECTORS][CANDIDATES];
    unsigned n_cand[DISK_SECTORS];
    uint64_t now, stamps;
    uint64_t clock_ns;                 /* what blkcache_work is told */
    struct blkcache_queue queues[VMS]; /* of the accounts, when work is done in steps */
    struct looks looks;
    uint32_t stolen[512];
    unsigned n_stolen;
    struct blk_account accounts[VMS];
    uint64_t next[4][VMS]; /* where a VM that reads on and on has come to, by device */
};

static uint32_t draw(struct world *w, uint32_t n)
{
    uint32_t v = 0;

    if (!w->ended && !w->src.next(w->src.ctx, n, &v)) {
        w->ended = true;
    }
    return w->ended ? 0 : v;
}

static void fill_stamp(uint8_t *sector, uint64_t stamp)
{
    for (unsigned i = 0; i < BLK_SECTOR / 8; i++) {
        memcpy(sector + i * 8, &stamp, 8);
    }
}

/* ---- the disk ---- */

static bool into_cache(const struct world *w, const struct blk_req *r)
{
    return frame_of(&w->frames, hpa_to_mfn(r->segs[0].addr))->state == FRAME_CACHE_ONLY;
}

static void move(struct world *w, const struct blk_req *r, uint64_t n)
{
    lossy_move(w->disk, w->window, r, n);
}

/* No block is read into the cache twice at a time, nor while it is being written. */
static void check_overlap(struct world *w, const struct blk_req *r)
{
    for (unsigned i = 0; i < w->n_lower; i++) {
        const struct blk_req *q = w->lower[i];
        if (q->op == BLK_FLUSH || r->op == BLK_FLUSH ||
            r->sector / 8 > (q->sector + q->sectors - 1) / 8 ||
            q->sector / 8 > (r->sector + r->sectors - 1) / 8) {
            continue;
        }
        REQUIRE(r->op == BLK_READ && q->op == BLK_READ);
        REQUIRE(!(into_cache(w, r) && into_cache(w, q)));
    }
}

static void lower_complete(struct world *w, unsigned i)
{
    struct blk_req *r = w->lower[i];
    bool fails = draw(w, 100) < w->o.fail_percent;

    if (fails && !w->lower_moved[i] && r->op != BLK_FLUSH) {
        move(w, r, draw(w, (uint32_t)r->sectors + 1)); /* torn */
    } else if (!w->lower_moved[i]) {
        move(w, r, r->sectors);
    }
    w->lower[i] = w->lower[--w->n_lower];
    w->lower_moved[i] = w->lower_moved[w->n_lower];
    r->done(r, fails ? E_IO : OK);
}

static void leaf_submit(struct blk_dev *d, struct blk_req *r)
{
    struct world *w = container_of(d, struct world, leaf);

    work_disk_sectors += 1 + r->sectors;
    REQUIRE(range_within(r->sector, r->sectors, DISK_SECTORS) && w->n_lower < LOWER_MAX);
    check_overlap(w, r);
    unsigned i = w->n_lower++;
    w->lower[i] = r;
    w->lower_moved[i] = r->op != BLK_FLUSH && draw(w, 2) != 0;
    if (w->lower_moved[i]) {
        move(w, r, r->sectors);
    }
    if (w->o.sync || draw(w, 8) == 0) {
        lower_complete(w, i);
    }
}

static const struct blk_ops leaf_ops = {.submit = leaf_submit};

/* ---- the oracle ---- */

static uint64_t oldest_read(const struct world *w)
{
    uint64_t t = w->now;

    for (unsigned i = 0; i < SLOTS; i++) {
        if (w->slots[i].busy && w->slots[i].begin < t) {
            t = w->slots[i].begin;
        }
    }
    return t;
}

static void add_candidate(struct world *w, uint64_t s, uint64_t stamp, uint64_t seq)
{
    uint64_t oldest = oldest_read(w);
    unsigned n = 0;

    for (unsigned i = 0; i < w->n_cand[s]; i++) {
        if (w->cand[s][i].dead >= oldest) {
            w->cand[s][n++] = w->cand[s][i];
        }
    }
    REQUIRE(n < CANDIDATES);
    w->cand[s][n++] = (struct candidate){stamp, seq, UINT64_MAX};
    w->n_cand[s] = n;
}

static bool may_write(const struct world *w, uint64_t first, uint64_t n)
{
    for (uint64_t s = first; s < first + n; s++) {
        if (w->n_cand[s] + 3 > CANDIDATES) {
            return false;
        }
    }
    return true;
}

/* Whether whoever begins to look at `begin` may find the stamp in the sector. */
static bool may_be(const struct world *w, uint64_t s, uint64_t stamp, uint64_t begin)
{
    for (unsigned c = 0; c < w->n_cand[s]; c++) {
        if (w->cand[s][c].stamp == stamp && w->cand[s][c].dead >= begin) {
            return true;
        }
    }
    fprintf(stderr, "sector %llu: stale or foreign stamp %llx\n", (unsigned long long)s,
            (unsigned long long)stamp);
    return false;
}

/* What was completed before the flush began is on the disk itself. */
static void check_flushed(struct world *w, const struct slot *sl)
{
    for (uint64_t s = 0; s < DISK_SECTORS; s++) {
        uint64_t stamp;
        memcpy(&stamp, w->disk + s * BLK_SECTOR, 8);
        REQUIRE(may_be(w, s, stamp, sl->begin));
    }
}

static void check_read(struct world *w, const struct slot *sl)
{
    uint64_t s = sl->first;

    for (unsigned i = 0; i < sl->req.n_segs; i++) {
        for (uint32_t off = 0; off < sl->segs[i].bytes; off += BLK_SECTOR, s++) {
            const uint8_t *p = w->window + sl->segs[i].addr.a + off;
            uint64_t stamp;
            memcpy(&stamp, p, 8);
            REQUIRE(memcmp(p, p + 8, BLK_SECTOR - 8) == 0);
            REQUIRE(may_be(w, s, stamp, sl->begin));
        }
    }
}

/* Whether the write is in flight, and another account's: which of the two comes last is open. */
static bool is_others(const struct world *w, const struct slot *sl, uint64_t seq)
{
    for (unsigned i = 0; w->o.steps && i < SLOTS; i++) {
        const struct slot *o = &w->slots[i];
        if (o->busy && !o->done && o->seq == seq && o->req.account != sl->req.account) {
            return true;
        }
    }
    return false;
}

static void slot_done(struct blk_req *r, enum status s)
{
    struct slot *sl = r->ctx;
    struct world *w = sl->w;

    REQUIRE(sl->busy && !sl->done);
    REQUIRE(s == OK || s == E_IO);
    REQUIRE(s == OK || w->o.fail_percent != 0);
    sl->done = true;
    w->now++;
    while (r->n_held != 0) {
        mfn_t mfn = MFN(r->held[--r->n_held]);
        REQUIRE(frame_of(&w->frames, mfn)->pins != 0);
        frames_unpin(&w->frames, mfn);
    }
    if (s == OK && r->op == BLK_READ) {
        check_read(w, sl);
    } else if (s == OK && r->op == BLK_FLUSH) {
        check_flushed(w, sl);
    } else if (s == OK && r->op != BLK_FETCH) {
        /* What was submitted earlier is gone for whoever begins to read from now on. */
        for (uint64_t x = sl->first; x < sl->first + r->sectors; x++) {
            for (unsigned c = 0; c < w->n_cand[x]; c++) {
                if (w->cand[x][c].seq < sl->seq && w->cand[x][c].dead == UINT64_MAX &&
                    !is_others(w, sl, w->cand[x][c].seq)) {
                    w->cand[x][c].dead = w->now;
                }
            }
        }
    }
    w->now++;
    sl->busy = false;
}

/* ---- the clients ---- */

/* The first frame of a client's buffers; a guard stands before it and behind the last. */
static uint64_t slot_frame(const struct bcw_options *o, unsigned index)
{
    return arena_places(o->cache_frames, 1) + (uint64_t)index * (SLOT_PAGES + 1);
}

static void make_segs(struct world *w, struct slot *sl, unsigned index, uint64_t sectors)
{
    uint64_t at = slot_frame(&w->o, index) * PAGE_SIZE;

    sl->req.n_segs = 0;
    for (uint64_t left = sectors; left != 0;) {
        uint64_t n = left;
        if (sl->req.n_segs + 1 < SLOT_SEGS) {
            uint32_t some = 1 + draw(w, draw(w, 3) == 0 ? 4 : 64);
            n = MIN(left, (uint64_t)some);
        }
        sl->segs[sl->req.n_segs++] = (struct blk_seg){HPA(at), (uint32_t)(n * BLK_SECTOR)};
        at += n * BLK_SECTOR;
        left -= n;
    }
    sl->req.segs = sl->segs;
}

static void stamp_buffer(struct world *w, struct slot *sl, uint64_t stamp)
{
    for (unsigned i = 0; i < sl->req.n_segs; i++) {
        for (uint32_t off = 0; off < sl->segs[i].bytes; off += BLK_SECTOR) {
            fill_stamp(w->window + sl->segs[i].addr.a + off, stamp);
        }
    }
}

static void client_submit(struct world *w)
{
    unsigned index = draw(w, SLOTS);
    struct slot *sl = &w->slots[index];
    static const enum blk_op ops[] = {BLK_READ,  BLK_READ,  BLK_READ,    BLK_READ,   BLK_FETCH,
                                      BLK_WRITE, BLK_WRITE, BLK_DISCARD, BLK_ZEROES, BLK_FLUSH};

    if (sl->busy) {
        return;
    }
    unsigned dev = draw(w, 4), vm = draw(w, VMS);
    struct blkcache_dev *d = &w->devs[dev];
    enum blk_op op = ops[draw(w, ARRAY_LEN(ops))];
    if (d->dev.read_only && op != BLK_FLUSH) {
        op = BLK_READ;
    }
    bool writes = op != BLK_READ && op != BLK_FETCH && op != BLK_FLUSH;
    *sl = (struct slot){.w = w};
    sl->req = (struct blk_req){.op = op, .done = slot_done, .ctx = sl, .account = &w->accounts[vm]};
    if (op == BLK_FETCH) {
        sl->req.held = sl->held;
        sl->req.max_held = draw(w, HELD + 1);
    }
    if (op != BLK_FLUSH) {
        /* Mostly a small hot region, so that requests meet. */
        uint64_t cap = draw(w, 4) == 0 ? d->dev.sectors : MIN(d->dev.sectors, UINT64_C(90));
        uint64_t max = draw(w, 4) == 0 ? SLOT_SECTORS : 20;
        bool high = draw(w, 5) == 0;
        uint64_t at = draw(w, (uint32_t)cap);
        sl->req.sector = high ? d->dev.sectors - cap + at : at;
        if (!writes && draw(w, 2) != 0) {
            sl->req.sector = w->next[dev][vm] % d->dev.sectors;
        }
        sl->req.sectors = 1 + draw(w, (uint32_t)MIN(max, d->dev.sectors - sl->req.sector));
        if (!writes) {
            w->next[dev][vm] = sl->req.sector + sl->req.sectors;
        }
        sl->first = d->dev.start + sl->req.sector;
        if (op == BLK_READ || op == BLK_WRITE) {
            make_segs(w, sl, index, sl->req.sectors);
        }
        if (writes && !may_write(w, sl->first, sl->req.sectors)) {
            return;
        }
    }
    sl->begin = ++w->now;
    if (writes) {
        sl->stamp = op == BLK_WRITE ? ++w->stamps : 0;
        sl->seq = w->now;
        stamp_buffer(w, sl, sl->stamp);
        for (uint64_t s = sl->first; s < sl->first + sl->req.sectors; s++) {
            add_candidate(w, s, sl->stamp, sl->seq);
        }
    } else if (op == BLK_READ) {
        stamp_buffer(w, sl, UINT64_MAX); /* what nobody wrote is found */
    }
    sl->busy = true;
    blk_submit(&d->dev, &sl->req);
}

/* A VM reads on where it has come to, some requests in a row, as from a file. */
static void client_read_on(struct world *w)
{
    unsigned dev = draw(w, 3), vm = draw(w, VMS), left = 1 + draw(w, 8);
    uint64_t blocks = 1 + draw(w, SLOT_SECTORS / CACHE_BLOCK_SECTORS);
    struct blkcache_dev *d = &w->devs[dev];

    for (unsigned index = 0; index < SLOTS && left > 0; index++) {
        struct slot *sl = &w->slots[index];
        uint64_t at = ALIGN_UP(w->next[dev][vm], CACHE_BLOCK_SECTORS);

        if (sl->busy) {
            continue;
        }
        at = at < d->dev.sectors ? at : 0;
        uint64_t sectors = MIN(blocks * CACHE_BLOCK_SECTORS, d->dev.sectors - at);
        *sl = (struct slot){.w = w, .first = d->dev.start + at, .begin = ++w->now, .busy = true};
        sl->req = (struct blk_req){.op = BLK_READ,
                                   .done = slot_done,
                                   .ctx = sl,
                                   .account = &w->accounts[vm],
                                   .sector = at,
                                   .sectors = sectors};
        w->next[dev][vm] = at + sectors;
        make_segs(w, sl, index, sectors);
        stamp_buffer(w, sl, UINT64_MAX);
        blk_submit(&d->dev, &sl->req);
        left--;
        if (w->n_lower != 0) {
            lower_complete(w, draw(w, w->n_lower));
        }
    }
}

/* A guest that changes its buffer while it is being written: either value may end up on the disk,
 * but the cache may not disagree with the disk. */
static void client_scribble(struct world *w)
{
    struct slot *sl = &w->slots[draw(w, SLOTS)];

    if (!sl->busy || sl->req.op != BLK_WRITE || !may_write(w, sl->first, sl->req.sectors) ||
        sl->stamp == 0) {
        return;
    }
    uint64_t stamp = ++w->stamps;
    for (uint64_t s = sl->first; s < sl->first + sl->req.sectors; s++) {
        add_candidate(w, s, stamp, sl->seq);
    }
    stamp_buffer(w, sl, stamp);
    sl->stamp = 0; /* once */
}

/* ---- the machine around ---- */

static void audit_all(struct world *w)
{
    char why[160];
    bool writing = false;

    if (cache_check(&w->cache, why, sizeof(why)) != OK) {
        fprintf(stderr, "cache_check: %s\n", why);
        abort();
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        writing |=
            w->slots[i].busy && w->slots[i].req.op != BLK_READ && w->slots[i].req.op != BLK_FETCH;
    }
    if (writing) {
        return;
    }
    for (uint32_t e = 0; e < w->cache.n_max; e++) {
        const struct cache_entry *x = &w->cache.entries[e];
        if ((x->flags & (CACHE_E_USED | CACHE_E_BUSY | CACHE_E_DIRTY)) != CACHE_E_USED) {
            continue;
        }
        const uint8_t *p = cache_bytes_of(&w->cache, e);
        for (unsigned s = 0; s < 8; s++) {
            if ((x->mask & BIT32(s)) != 0) {
                REQUIRE(x->block * 8 + s < DISK_SECTORS);
                REQUIRE(memcmp(p + s * BLK_SECTOR, w->disk + (x->block * 8 + s) * BLK_SECTOR,
                               BLK_SECTOR) == 0);
            }
        }
    }
}

static void audit(struct world *w)
{
    work_oracle_begin();
    audit_all(w);
    work_oracle_end();
}

static void give_back(struct world *w)
{
    while (w->n_stolen != 0) {
        frames_free(&w->frames, MFN(w->stolen[--w->n_stolen]));
    }
}

static void steal(struct world *w)
{
    for (uint32_t n = draw(w, 2 * w->o.cache_frames); n > 0 && w->n_stolen < 512; n--) {
        mfn_t mfn;
        if (frames_alloc(&w->frames, FRAME_HYP, &mfn) != OK) {
            return;
        }
        memset(frame_bytes(&w->frames, mfn), 0xee, PAGE_SIZE); /* whoever still uses it shows */
        w->stolen[w->n_stolen++] = (uint32_t)mfn.n;
    }
}

/* A deadline that comes soon, or none. */
static const struct deadline *until(struct world *w)
{
    uint32_t n = w->o.steps ? draw(w, 16) : 0;

    return n != 0 ? looks_begin(&w->looks, n) : NULL;
}

static void check_looks(const struct world *w)
{
    REQUIRE(w->looks.deadline.end_ns == 0 || w->looks.n <= w->looks.deadline.end_ns + LOOKS_OUT);
}

/* Each queue's owner has a turn, in which it may get no further than a look or two. */
static void turn(struct world *w)
{
    for (unsigned i = 0; w->o.steps && i < VMS; i++) {
        w->looks = (struct looks){0};
        (void)blkcache_queue_work(&w->queues[i], until(w));
        check_looks(w);
    }
}

/* Until there is nothing to do: each may leave something for the others. */
static void work_all(struct world *w)
{
    for (unsigned round = 0; w->o.steps && round < 2 * SLOTS; round++) {
        for (unsigned i = 0; i < VMS; i++) {
            while (blkcache_queue_work(&w->queues[i], NULL)) {
            }
        }
        (void)blkcache_work(&w->bc, w->clock_ns, NULL);
    }
}

static void wake(void *ctx)
{
    (void)ctx; /* the turns come by anyway */
}

/* Time passes, and the loop of the kernel comes by. */
static void work(struct world *w)
{
    w->clock_ns += draw(w, 2) == 0 ? 1 : 30;
    (void)blkcache_work(&w->bc, w->clock_ns, until(w));
    turn(w);
}

static void turn_writing(struct world *w)
{
    blkcache_set_writing(&w->bc, &(struct blkcache_writing){.back = w->o.back && draw(w, 4) != 0,
                                                            .dirty_max = draw(w, w->o.cache_max),
                                                            .age_ns = draw(w, 2) * 80});
}

static void step(struct world *w)
{
    if (w->o.steps && draw(w, 3) == 0) {
        turn(w);
        return;
    }
    if (w->o.back && draw(w, 8) == 0) {
        if (draw(w, 8) == 0) {
            turn_writing(w);
        }
        work(w);
        return;
    }
    switch (draw(w, 32)) {
    case 0:
        cache_set_mode(&w->cache, (enum cache_mode)draw(w, CACHE_MODES));
        break;
    case 1:
        cache_set_max(&w->cache, draw(w, w->o.cache_max + 2));
        break;
    case 2:
        cache_reclaim(&w->cache, draw(w, 8));
        break;
    case 3:
        if (draw(w, 4) == 0) {
            cache_drop_all(&w->cache);
        } else {
            cache_set_max(&w->cache, w->o.cache_max);
        }
        break;
    case 4:
        steal(w);
        break;
    case 5:
        give_back(w);
        break;
    case 6:
        blkcache_set_readahead(&w->bc, (uint64_t)draw(w, w->o.readahead + 1) * PAGE_SIZE);
        give_back(w);
        break;
    case 7:
        client_scribble(w);
        break;
    case 8:
        audit(w);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
    case 17:
        if (w->n_lower != 0) {
            lower_complete(w, draw(w, w->n_lower));
        }
        break;
    case 18:
    case 19:
        client_read_on(w);
        break;
    default:
        client_submit(w);
        break;
    }
}

static struct world *world_new(const struct bcw_options *o, struct bcw_source src)
{
    struct world *w = calloc(1, sizeof(*w));
    uint64_t frames = slot_frame(o, SLOTS);

    w->o = *o;
    w->src = src;
    w->table = calloc(frames, sizeof(struct frame));
    w->window = aligned_alloc(PAGE_SIZE, frames * PAGE_SIZE);
    memset(w->window, 0xcc, frames * PAGE_SIZE);
    frames_init(&w->frames, w->table, frames, w->window);
    arena_add(&w->frames, 0, o->cache_frames, 1);
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t first = slot_frame(o, i);
        frames_mark_hyp(&w->frames, MFN(first), SLOT_PAGES);
        arena_guard(&w->frames, MFN(first + SLOT_PAGES));
    }
    w->cache_mem = malloc(cache_bytes(o->cache_max));
    REQUIRE(cache_init(&w->cache, &w->frames, w->cache_mem, o->cache_max, 42) == OK);
    frames_add_reclaimer(&w->frames, cache_reclaim, &w->cache);
    cache_set_mode(&w->cache, CACHE_INCLUSIVE);
    w->pool = aligned_alloc(16, ALIGN_UP(blkcache_bytes(o->n_jobs, o->n_ios), 16));
    REQUIRE(blkcache_init(&w->bc, &w->cache, w->pool, o->n_jobs, o->n_ios) == OK);
    blkcache_set_readahead(&w->bc, (uint64_t)o->readahead * PAGE_SIZE);
    for (uint16_t i = 0; i < VMS; i++) {
        w->accounts[i] = (struct blk_account){.vm = (uint16_t)(i + 1)};
        if (o->steps) {
            uint32_t share = MAX(o->n_jobs / (VMS + 1), 1), ios = MAX(o->n_ios / (VMS + 1), 1);
            REQUIRE(blkcache_queue_init(&w->queues[i], &w->bc, share, ios, wake, w) == OK);
            w->accounts[i].queue = &w->queues[i];
        }
    }
    w->leaf = (struct blk_dev){.ops = &leaf_ops,
                               .name = "leaf0",
                               .sectors = DISK_SECTORS,
                               .can_discard = true,
                               .can_zero = true,
                               .id = 7};
    struct partition p[2] = {{1, 3, 498}, {2, 501, 500}};
    blkcache_dev_init(&w->devs[0], &w->bc, &w->leaf);
    for (unsigned i = 0; i < 2; i++) {
        REQUIRE(partition_dev_init(&w->parts[i], &w->leaf, &p[i]) == OK);
        blkcache_dev_init(&w->devs[1 + i], &w->bc, &w->parts[i].dev);
    }
    blkcache_dev_init(&w->devs[3], &w->bc, &w->leaf);
    w->devs[3].dev.read_only = true;
    for (uint64_t s = 0; s < DISK_SECTORS; s++) {
        uint64_t stamp = ++w->stamps;
        fill_stamp(w->disk + s * BLK_SECTOR, stamp);
        w->cand[s][w->n_cand[s]++] = (struct candidate){stamp, 0, UINT64_MAX};
    }
    return w;
}

/* Everything dirty is written out, on a disk that has come to its senses; and it is what the disk
 * should hold. */
static void settle(struct world *w)
{
    const struct slot now = {.begin = w->now + 1};

    w->o.fail_percent = 0;
    blkcache_set_writing(&w->bc, &(struct blkcache_writing){.back = false, .age_ns = 4});
    for (unsigned i = 0; w->cache.dirty != 0; i++) {
        REQUIRE(i < 100);
        w->clock_ns += 10;
        (void)blkcache_work(&w->bc, w->clock_ns, NULL);
        for (work_all(w); w->n_lower != 0; work_all(w)) {
            lower_complete(w, 0);
        }
    }
    check_flushed(w, &now);
}

struct cache_stats bcw_run(const struct bcw_options *o, struct bcw_source src, unsigned steps)
{
    struct world *w = world_new(o, src);

    while (steps-- != 0 && !w->ended) {
        step(w);
    }
    for (work_all(w); w->n_lower != 0; work_all(w)) {
        lower_complete(w, draw(w, w->n_lower));
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        REQUIRE(!w->slots[i].busy); /* nothing is forgotten */
    }
    settle(w);
    for (unsigned i = 0; i < ARRAY_LEN(w->devs); i++) {
        REQUIRE(w->devs[i].in_flight == 0);
    }
    audit(w);
    REQUIRE(w->cache.busy == 0 && w->frames.pinned == 0);
    cache_set_mode(&w->cache, CACHE_OFF);
    give_back(w);
    REQUIRE(w->cache.used == 0 &&
            w->frames.by_state[FRAME_FREE] + w->bc.has_zeroes == o->cache_frames);
    audit(w);
    struct cache_stats stats = w->cache.stats;
    free(w->pool);
    free(w->cache_mem);
    arena_end(&w->frames);
    free(w->window);
    free(w->table);
    free(w);
    return stats;
}
