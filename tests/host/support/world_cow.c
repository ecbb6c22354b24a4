/* SPDX-License-Identifier: BSD-2-Clause */
/* The world of the copy-on-write disks' tests. */
#include "world_cow.h"

#include "arena.h"
#include "base/bits.h"
#include "drivers/block/cache/cache.h"
#include "drivers/block/cow/overlay.h"
#include "drivers/block/cow/snapshot.h"
#include "steps.h"
#include "work_disk.h"

#include <string.h>

#define SLOTS 12u
#define SLOT_PAGES 64u
#define SLOT_SECTORS (SLOT_PAGES * 8u)
#define SLOT_SEGS 80u
#define VERSIONS 40u
#define HELD 16u
#define FETCH_SECTORS 128u
#define SLOT_HELD 8u
#define CACHE_JOBS 12u
#define CACHE_IOS 16u
#define CACHE_BLOCKS 400u
#define SLOT_GIVEN 8u /* pages of a write that are given, at most */
#define GIVEN 24u

/* What a sector may hold, in order of submission. The first is certain to have been there. */
struct version {
    uint64_t stamp;
    bool pending;
    bool maybe;    /* failed, or a discard: what was before may be there as well */
    uint64_t done; /* when it completed */
};

struct sector {
    uint64_t dropped; /* versions that were left behind at the front */
    unsigned n;
    struct version v[VERSIONS];
};

struct slot {
    struct blk_req req;
    struct blk_seg segs[SLOT_SEGS];
    struct world *w;
    bool busy;
    uint64_t begin;
    uint32_t held[SLOT_HELD];     /* FETCH: what it brought */
    uint64_t index[SLOT_SECTORS]; /* READ: versions there were; WRITE: which one is ours */
    mfn_t given[SLOT_GIVEN];      /* WRITE: the client's own pages, which must not change */
    unsigned n_given;
};

/* A frame that a client keeps, as a guest does that maps it. */
struct held {
    mfn_t mfn;
    uint8_t bytes[PAGE_SIZE]; /* as they were when it was given, and must stay */
};

/* A page that a client wrote to the disk and has still. */
struct given {
    mfn_t mfn;
    uint64_t stamp;
};

struct world {
    struct cww_options o;
    struct picks picks;
    struct frames frames;
    struct frame *table;
    uint8_t *window;
    uint64_t n_frames;
    struct lossy base, store;
    struct cache cache;
    struct blkcache bc;
    void *cache_mem, *pool_mem;
    struct blkcache_dev cached_base, cached_store;
    struct blk_dev *top_base, *top_store; /* what the copy-on-write disk sees */
    struct held held[HELD];
    unsigned n_held;
    struct given given[GIVEN];
    unsigned n_given;
    uint64_t now_ns; /* for the cache */
    uint8_t *base_copy;
    struct snapshot_pool pool;
    struct snapshot snap;
    struct overlay over;
    struct cow *cow; /* the one of the two that is used */
    struct slot slots[SLOTS];
    struct sector *sectors;
    uint64_t clock, stamps;
    uint32_t stolen[1024];
    unsigned n_stolen;
    uint64_t open_left; /* lower completions until the power goes off while opening; 0: never */
    struct cww_result result;
};

static void fill_stamp(uint8_t *sector, uint64_t stamp)
{
    for (unsigned i = 0; i < BLK_SECTOR / 8; i++) {
        memcpy(sector + i * 8, &stamp, 8);
    }
}

static uint64_t read_stamp(const uint8_t *p)
{
    uint64_t stamp;

    memcpy(&stamp, p, 8);
    REQUIRE(memcmp(p, p + 8, BLK_SECTOR - 8) == 0); /* no sector is torn */
    return stamp;
}

/* ---- the oracle ---- */

/* Whether a read that began when there were `index` versions may return the stamp: the last one
 * that certainly happened, or one behind it that may have. */
static bool may_read(const struct sector *s, uint64_t index, uint64_t stamp)
{
    for (uint64_t i = index; i > s->dropped; i--) {
        const struct version *v = &s->v[i - 1 - s->dropped];
        REQUIRE(!v->pending); /* an overlapping write that came first has ended */
        if (v->stamp == stamp) {
            return true;
        }
        if (!v->maybe) {
            return false;
        }
    }
    return false;
}

static void check_read(struct world *w, const struct slot *sl)
{
    uint64_t s = sl->req.sector;

    for (unsigned i = 0; i < sl->req.n_segs; i++) {
        for (uint32_t off = 0; off < sl->segs[i].bytes; off += BLK_SECTOR, s++) {
            uint64_t stamp = read_stamp(w->window + sl->segs[i].addr.a + off);
            if (!may_read(&w->sectors[s], sl->index[s - sl->req.sector], stamp)) {
                fprintf(stderr, "sector %llu: %llx was read\n", (unsigned long long)s,
                        (unsigned long long)stamp);
                abort();
            }
        }
    }
}

static void write_ended(struct world *w, const struct slot *sl, bool maybe)
{
    for (uint64_t i = 0; i < sl->req.sectors; i++) {
        struct sector *s = &w->sectors[sl->req.sector + i];
        struct version *v = &s->v[sl->index[i] - s->dropped];
        v->pending = false;
        v->maybe = maybe;
        v->done = w->clock;
    }
}

/* A flush that began at `begin` has completed: what had ended before is certain for ever. */
static void flush_ended(struct world *w, uint64_t begin)
{
    for (uint32_t n = 0; n < w->o.base_sectors; n++) {
        struct sector *s = &w->sectors[n];
        unsigned first = 0;
        for (unsigned i = 0; i < s->n; i++) {
            if (!s->v[i].pending && !s->v[i].maybe && s->v[i].done < begin) {
                first = i;
            }
        }
        memmove(s->v, s->v + first, (s->n - first) * sizeof(s->v[0]));
        s->n -= first;
        s->dropped += first;
    }
}

/* After a power cut: any version that is left, and that one only from now on. */
static void check_survivor(struct world *w, uint64_t n, uint64_t stamp)
{
    struct sector *s = &w->sectors[n];
    bool found = false;

    for (unsigned i = 0; i < s->n; i++) {
        found |= s->v[i].stamp == stamp;
    }
    if (!found) {
        fprintf(stderr, "sector %llu: %llx is there after a power cut, not one of %u\n",
                (unsigned long long)n, (unsigned long long)stamp, s->n);
        abort();
    }
    s->dropped += s->n;
    s->n = 1;
    s->v[0] = (struct version){.stamp = stamp};
}

/* ---- frames ---- */

static void let_go(struct world *w, unsigned i)
{
    struct held *h = &w->held[i];

    REQUIRE(memcmp(frame_bytes(&w->frames, h->mfn), h->bytes, PAGE_SIZE) == 0);
    frames_unpin(&w->frames, h->mfn);
    *h = w->held[--w->n_held];
}

/* The client changes its page: that is a copy, and this one is whose it was besides. */
static void leave_given(struct world *w, unsigned i)
{
    const struct given *g = &w->given[i];

    for (unsigned k = 0; k < BLK_FRAME_SECTORS; k++) {
        REQUIRE(read_stamp((const uint8_t *)frame_bytes(&w->frames, g->mfn) +
                           (size_t)k * BLK_SECTOR) == g->stamp);
    }
    frames_put(&w->frames, g->mfn);
    w->given[i] = w->given[--w->n_given];
}

/* Asks for the chunk at `sector` as a frame, which must show what a read would return that was
 * submitted now; keeps it for a while. */
static enum status hold(struct world *w, uint64_t sector)
{
    mfn_t mfn;

    if (w->n_held == HELD) {
        let_go(w, pick(&w->picks, HELD));
    }
    enum status would = blk_hold(&w->cow->dev, sector, 0, NULL);
    enum status st = blk_hold(&w->cow->dev, sector, 0, &mfn);
    REQUIRE(would == (st == E_UNSUPPORTED ? E_UNSUPPORTED : OK));
    if (st != OK) {
        REQUIRE(st == E_NOTFOUND || st == E_BUSY || st == E_UNSUPPORTED);
        return st;
    }
    blk_taken(&w->cow->dev, sector, NULL);
    REQUIRE(sector % BLK_FRAME_SECTORS == 0);
    static const uint8_t zeroes[PAGE_SIZE];
    bool zero = mfn.n == BLK_ZERO_FRAME.n;
    const uint8_t *bytes = zero ? zeroes : frame_bytes(&w->frames, mfn);
    w->result.zero_held += zero;
    for (unsigned i = 0; i < BLK_FRAME_SECTORS; i++) {
        const struct sector *s = &w->sectors[sector + i];
        uint64_t stamp = read_stamp(bytes + (size_t)i * BLK_SECTOR);
        if (!may_read(s, s->dropped + s->n, stamp)) {
            fprintf(stderr, "sector %llu: %llx in its frame\n", (unsigned long long)(sector + i),
                    (unsigned long long)stamp);
            abort();
        }
    }
    if (!zero) {
        w->held[w->n_held].mfn = mfn;
        memcpy(w->held[w->n_held++].bytes, bytes, PAGE_SIZE);
    }
    return OK;
}

/* ---- clients ---- */

static void slot_done(struct blk_req *r, enum status st)
{
    struct slot *sl = r->ctx;
    struct world *w = sl->w;

    REQUIRE(sl->busy);
    REQUIRE(st == OK || st == E_IO);
    w->clock++;
    w->result.failed += st != OK;
    if (r->op == BLK_READ) {
        if (st == OK) {
            check_read(w, sl);
        }
    } else if (r->op == BLK_FETCH) {
        REQUIRE(st == OK);
        for (uint64_t s = ALIGN_UP(r->sector, BLK_FRAME_SECTORS); s < r->sector + r->sectors;
             s += BLK_FRAME_SECTORS) {
            (void)hold(w, s);
        }
        REQUIRE(r->n_held <= r->max_held);
        for (unsigned i = 0; i < r->n_held; i++) {
            frames_unpin(&w->frames, MFN(sl->held[i]));
        }
    } else if (r->op == BLK_FLUSH) {
        if (st == OK) {
            w->result.flushes++;
            flush_ended(w, sl->begin);
        }
    } else {
        write_ended(w, sl, st != OK || r->op == BLK_DISCARD);
    }
    while (sl->n_given > 0) {
        mfn_t mfn = sl->given[--sl->n_given];
        if (w->n_given == GIVEN) {
            leave_given(w, pick(&w->picks, GIVEN));
        }
        w->given[w->n_given++] =
            (struct given){mfn, read_stamp((const uint8_t *)frame_bytes(&w->frames, mfn))};
        frames_unpin(&w->frames, mfn);
    }
    sl->busy = false;
}

/* A write of whole chunks begins with pages of the client's that cannot change (p2m_share_for_io),
 * where the disk may keep them. Returns the bytes of these. */
static uint32_t make_given(struct world *w, struct slot *sl, uint64_t stamp)
{
    unsigned most = pick(&w->picks, SLOT_GIVEN + 1);
    uint32_t bytes = 0;
    mfn_t mfn;

    while (sl->n_given < most && bytes + PAGE_SIZE <= sl->req.sectors * BLK_SECTOR &&
           w->frames.by_state[FRAME_FREE] > SLOT_GIVEN &&
           blk_keeps(&w->cow->dev, sl->req.sector + bytes / BLK_SECTOR) &&
           frames_alloc(&w->frames, FRAME_PRIVATE, &mfn) == OK) {
        struct frame *fr = frame_of(&w->frames, mfn);
        for (unsigned i = 0; i < BLK_FRAME_SECTORS; i++) {
            fill_stamp((uint8_t *)frame_bytes(&w->frames, mfn) + (size_t)i * BLK_SECTOR, stamp);
        }
        frames_set_state(&w->frames, mfn, FRAME_SHARED);
        fr->group = 0;
        fr->flags |= FRAME_F_UNSCANNED;
        frames_pin(&w->frames, mfn);
        sl->given[sl->n_given++] = mfn;
        sl->segs[sl->req.n_segs++] = (struct blk_seg){mfn_to_hpa(mfn), PAGE_SIZE};
        bytes += PAGE_SIZE;
    }
    return bytes;
}

/* The first frame of a client's buffers; a guard stands before it and behind the last. */
static uint64_t slot_frame(const struct world *w, unsigned index)
{
    return 2 + arena_places(w->o.frames - 2, 1) + (uint64_t)index * (SLOT_PAGES + 1);
}

static void make_segs(struct world *w, struct slot *sl, unsigned index, uint64_t stamp)
{
    uint64_t at = slot_frame(w, index) * PAGE_SIZE;

    sl->req.n_segs = 0;
    uint32_t given = w->o.fold && sl->req.op == BLK_WRITE ? make_given(w, sl, stamp) : 0;
    for (uint64_t left = sl->req.sectors - given / BLK_SECTOR; left != 0;) {
        uint64_t n = left;
        if (sl->req.n_segs + 1 < SLOT_SEGS) {
            uint64_t some = 1 + pick(&w->picks, pick(&w->picks, 3) == 0 ? 4 : 64);
            n = MIN(left, some);
        }
        sl->segs[sl->req.n_segs++] = (struct blk_seg){HPA(at), (uint32_t)(n * BLK_SECTOR)};
        for (uint64_t i = 0; i < n; i++) {
            fill_stamp(w->window + at + i * BLK_SECTOR, stamp);
        }
        at += n * BLK_SECTOR;
        left -= n;
    }
    sl->req.segs = sl->segs;
}

static bool has_room(const struct world *w, const struct slot *sl)
{
    for (uint64_t i = 0; i < sl->req.sectors; i++) {
        if (w->sectors[sl->req.sector + i].n == VERSIONS) {
            return false;
        }
    }
    return true;
}

static void choose_range(struct world *w, struct slot *sl)
{
    uint32_t cap = w->o.base_sectors, hot = MIN(cap, 80u);
    uint32_t at = pick(&w->picks, 3) == 0 ? pick(&w->picks, hot) : pick(&w->picks, cap);

    if (pick(&w->picks, 6) == 0) {
        at = cap - 1 - at % hot;
    }
    uint32_t most = pick(&w->picks, 3) == 0 ? SLOT_SECTORS : 24u;
    most = MIN(cap - at, most);
    sl->req.sector = at;
    sl->req.sectors = 1 + pick(&w->picks, most);
    if (pick(&w->picks, 2) == 0) { /* whole chunks */
        sl->req.sector &= ~UINT64_C(7);
        sl->req.sectors = MIN(ALIGN_UP(sl->req.sectors, 8), (uint64_t)cap - sl->req.sector);
        sl->req.sectors = MIN(sl->req.sectors, (uint64_t)SLOT_SECTORS);
    }
}

static void client_submit(struct world *w)
{
    static const enum blk_op some[] = {BLK_READ,  BLK_READ,  BLK_READ,   BLK_WRITE,  BLK_WRITE,
                                       BLK_WRITE, BLK_WRITE, BLK_ZEROES, BLK_DISCARD};
    unsigned index = pick(&w->picks, SLOTS);
    struct slot *sl = &w->slots[index];

    if (sl->busy) {
        return;
    }
    enum blk_op op = pick(&w->picks, 20) == 0 ? BLK_FLUSH : some[pick(&w->picks, ARRAY_LEN(some))];
    if (w->o.fold && op == BLK_READ && pick(&w->picks, 3) != 0) {
        op = BLK_FETCH;
    }
    if (op == BLK_DISCARD && !w->cow->dev.can_discard) {
        op = BLK_FLUSH;
    }
    memset(sl, 0, offsetof(struct slot, index));
    sl->n_given = 0;
    sl->w = w;
    sl->req = (struct blk_req){.op = op, .done = slot_done, .ctx = sl};
    if (op != BLK_FLUSH) {
        choose_range(w, sl);
        if (op == BLK_FETCH) {
            sl->req.sectors = MIN(sl->req.sectors, (uint64_t)FETCH_SECTORS);
            sl->req.max_held = pick(&w->picks, SLOT_HELD + 1);
            sl->req.held = sl->req.max_held != 0 ? sl->held : NULL;
            if (hold(w, sl->req.sector) == E_UNSUPPORTED) {
                op = sl->req.op = BLK_READ;
                sl->req.held = NULL;
                sl->req.max_held = 0;
            }
        }
        if (op != BLK_READ && op != BLK_FETCH && !has_room(w, sl)) {
            return;
        }
    }
    uint64_t stamp = op == BLK_READ ? UINT64_MAX : op == BLK_WRITE ? ++w->stamps : 0;
    if (op == BLK_READ || op == BLK_WRITE) {
        make_segs(w, sl, index, stamp);
    }
    sl->begin = ++w->clock;
    for (uint64_t i = 0; i < sl->req.sectors; i++) {
        struct sector *s = &w->sectors[sl->req.sector + i];
        sl->index[i] = s->dropped + s->n;
        if (op != BLK_READ && op != BLK_FETCH) {
            s->v[s->n++] = (struct version){.stamp = stamp, .pending = true, .maybe = true};
        }
    }
    sl->busy = true;
    blk_submit(&w->cow->dev, &sl->req);
}

/* ---- the machine around ---- */

static void poll(void *ctx)
{
    struct world *w = ctx;

    if (w->open_left != 0 && --w->open_left == 0) {
        w->store.dead = true;
    }
    lossy_step(&w->base);
    lossy_step(&w->store);
    if (w->o.fold) {
        w->now_ns += pick(&w->picks, 2) == 0 ? 1 : 30;
        (void)blkcache_work(&w->bc, w->now_ns, NULL);
    }
}

/* Frames of the hypervisor's that are nobody's in particular. */
static uint64_t fixed_frames(const struct world *w)
{
    return SLOTS * SLOT_PAGES + (w->o.fold && w->bc.has_zeroes);
}

static void turn_writing(struct world *w)
{
    blkcache_set_writing(&w->bc,
                         &(struct blkcache_writing){.back = w->o.back && pick(&w->picks, 4) != 0,
                                                    .give = pick(&w->picks, 4) != 0,
                                                    .dirty_max = pick(&w->picks, CACHE_BLOCKS),
                                                    .age_ns = pick(&w->picks, 2) * 80});
}

/* An empty cache over both disks: what it held is lost with the machine's memory. */
static void stack_cache(struct world *w)
{
    w->n_held = w->n_given = 0;
    w->top_base = &w->base.dev;
    w->top_store = &w->store.dev;
    if (!w->o.fold) {
        return;
    }
    REQUIRE(cache_init(&w->cache, &w->frames, w->cache_mem, CACHE_BLOCKS, 5) == OK);
    frames_add_reclaimer(&w->frames, cache_reclaim, &w->cache);
    cache_set_mode(&w->cache, CACHE_FOLD);
    REQUIRE(blkcache_init(&w->bc, &w->cache, w->pool_mem, CACHE_JOBS, CACHE_IOS) == OK);
    turn_writing(w);
    blkcache_dev_init(&w->cached_base, &w->bc, &w->base.dev);
    blkcache_dev_init(&w->cached_store, &w->bc, &w->store.dev);
    w->top_base = &w->cached_base.dev;
    w->top_store = &w->cached_store.dev;
}

static void fill_frames(struct world *w)
{
    if (w->frames.window) { /* it is opened again */
        arena_end(&w->frames);
    }
    memset(w->window, 0xcc, slot_frame(w, 0) * PAGE_SIZE);
    frames_init(&w->frames, w->table, w->n_frames, w->window);
    arena_add(&w->frames, 2, w->o.frames - 2, 1);
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t first = slot_frame(w, i);
        frames_mark_hyp(&w->frames, MFN(first), SLOT_PAGES);
        arena_guard(&w->frames, MFN(first + SLOT_PAGES));
    }
    w->n_stolen = 0;
    stack_cache(w);
}

static enum status open_once(struct world *w)
{
    char why[160] = "";
    const struct overlay_cfg cfg = {
        .frames = &w->frames, .base = w->top_base, .store = w->top_store, .poll = poll, .ctx = w};
    enum status s = overlay_open(&w->over, &cfg, why, sizeof(why));

    REQUIRE(s == OK || (w->store.dead && s == E_IO && why[0] != '\0'));
    REQUIRE(s == OK || w->frames.by_state[FRAME_HYP] == fixed_frames(w));
    return s;
}

/* Opens the overlay, with the power going off in the middle now and then. */
static void open_overlay(struct world *w)
{
    unsigned fails = w->base.fail_percent;

    w->base.fail_percent = w->store.fail_percent = 0;
    w->open_left = w->o.cut_in != 0 && pick(&w->picks, 3) == 1 ? 1 + pick(&w->picks, 200) : 0;
    while (open_once(w) != OK) {
        w->result.cuts++;
        lossy_cut(&w->store);
        fill_frames(w);
        w->open_left = pick(&w->picks, 3) == 1 ? 1 + pick(&w->picks, 200) : 0;
    }
    w->store.dead = false;
    w->open_left = 0;
    w->base.fail_percent = w->store.fail_percent = fails;
    w->cow = &w->over.cow;
}

/* Everything, through the disk, a sector at a time; fits with any state of its frames. */
static void drain(struct world *w);

struct look {
    bool done;
    enum status status;
};

static void looked(struct blk_req *r, enum status s)
{
    *(struct look *)r->ctx = (struct look){true, s};
}

static uint64_t look(struct world *w, uint64_t sector)
{
    struct blk_seg seg = {HPA(slot_frame(w, 0) * PAGE_SIZE), BLK_SECTOR};
    struct look l = {0};
    struct blk_req r = {.op = BLK_READ,
                        .sector = sector,
                        .sectors = 1,
                        .segs = &seg,
                        .n_segs = 1,
                        .done = looked,
                        .ctx = &l};

    blk_submit(&w->cow->dev, &r);
    while (!l.done) {
        poll(w);
    }
    REQUIRE(l.status == OK);
    return read_stamp(w->window + seg.addr.a);
}

static void note_result(struct world *w)
{
    w->result.merges += w->cow->stats.merges;
    w->result.starved += w->cow->stats.starved;
    w->result.full += w->cow->stats.full;
    w->result.base_held += w->cow->stats.base_taken;
    w->result.store_held += w->cow->stats.store_taken;
    w->result.given += w->o.fold ? w->cache.stats.given : 0;
    w->result.chunks = MAX(w->result.chunks, w->cow->stats.chunks);
    if (w->o.overlay) {
        w->result.areas = MAX(w->result.areas, w->over.area + 1);
    }
}

/* All memory is lost; what the store still has must be a legal past. */
static void power_cut(struct world *w)
{
    unsigned fails = w->base.fail_percent;

    note_result(w);
    w->result.cuts++;
    lossy_cut(&w->store);
    w->base.n_pending = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        w->slots[i].busy = false;
    }
    fill_frames(w);
    open_overlay(w);
    w->base.fail_percent = w->store.fail_percent = 0;
    for (uint64_t s = 0; s < w->o.base_sectors; s++) {
        check_survivor(w, s, look(w, s));
    }
    w->base.fail_percent = w->store.fail_percent = fails;
}

static void give_back(struct world *w)
{
    while (w->n_stolen != 0) {
        frames_free(&w->frames, MFN(w->stolen[--w->n_stolen]));
    }
}

static void steal(struct world *w)
{
    for (uint32_t n = pick(&w->picks, 2 * w->o.frames); n > 0 && w->n_stolen < 1024; n--) {
        mfn_t mfn;
        if (frames_alloc(&w->frames, FRAME_HYP, &mfn) != OK) {
            return;
        }
        memset(frame_bytes(&w->frames, mfn), 0xee, PAGE_SIZE);
        w->stolen[w->n_stolen++] = (uint32_t)mfn.n;
    }
}

static void audit_all(struct world *w)
{
    uint64_t hyp = w->frames.by_state[FRAME_HYP], others = fixed_frames(w) + w->n_stolen;
    char why[160];

    REQUIRE(memcmp(w->base.now, w->base_copy, w->o.base_sectors * (size_t)BLK_SECTOR) == 0);
    REQUIRE(w->base.n_writes == 0);
    if (w->o.fold && cache_check(&w->cache, why, sizeof(why)) != OK) {
        fprintf(stderr, "cache_check: %s\n", why);
        abort();
    }
    if (w->o.overlay) {
        REQUIRE(hyp == others + overlay_frames(&w->over));
        return;
    }
    if (snapshot_check(&w->snap, NULL, why, sizeof(why)) != OK) {
        fprintf(stderr, "snapshot_check: %s\n", why);
        abort();
    }
    /* A write in flight has places that the map does not hold yet. */
    REQUIRE(hyp >= others + cow_frames(w->cow) + w->cow->stats.chunks);
    REQUIRE(w->pool.used + others + 1 + w->cow->n_frames == hyp);
    REQUIRE(w->cow->in_flight != 0 || w->pool.used == w->cow->map.nodes + w->cow->stats.chunks);
    REQUIRE(w->pool.used <= w->pool.max);
}

static void audit(struct world *w)
{
    work_oracle_begin();
    audit_all(w);
    work_oracle_end();
}

static void drain(struct world *w)
{
    give_back(w);
    w->pool.max = UINT64_MAX;
    for (bool busy = true; busy;) {
        while (w->n_held != 0) {
            let_go(w, 0);
        }
        while (w->n_given != 0) {
            leave_given(w, 0);
        }
        busy = w->base.n_pending != 0 || w->store.n_pending != 0 || cow_is_starved(w->cow);
        cow_retry(w->cow);
        /* One that was tried first may have left, or another's read given back, what it wants. */
        for (unsigned i = 0; i < COW_JOBS && w->frames.by_state[FRAME_FREE] != 0; i++) {
            cow_retry(w->cow);
        }
        REQUIRE(!cow_is_starved(w->cow) || w->frames.by_state[FRAME_FREE] == 0);
        if (cow_is_starved(w->cow)) {
            cow_cancel(w->cow); /* more is wanted than there is memory: the VM would be stopped */
        }
        poll(w);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        REQUIRE(!w->slots[i].busy); /* nothing is forgotten */
    }
    REQUIRE(w->cow->in_flight == 0);
    if (w->o.fold) {
        blkcache_set_writing(&w->bc, &(struct blkcache_writing){.back = false, .age_ns = 4});
    }
    for (unsigned i = 0; w->o.fold && w->cache.dirty != 0; i++) {
        REQUIRE(i < 10000);
        w->now_ns += 10;
        poll(w);
    }
}

/* What the monitor may do to the cache, and memory pressure. */
static void turn_cache(struct world *w)
{
    static const enum cache_mode modes[] = {CACHE_FOLD, CACHE_FOLD, CACHE_FOLD, CACHE_INCLUSIVE,
                                            CACHE_OFF};

    switch (pick(&w->picks, 8)) {
    case 0:
        cache_set_mode(&w->cache, modes[pick(&w->picks, ARRAY_LEN(modes))]);
        break;
    case 1:
        cache_set_max(&w->cache, 1 + pick(&w->picks, CACHE_BLOCKS));
        break;
    case 2:
        (void)cache_reclaim(&w->cache, pick(&w->picks, 20));
        break;
    case 3:
        turn_writing(w);
        break;
    case 4:
    case 5:
        if (w->n_given != 0) {
            leave_given(w, pick(&w->picks, w->n_given));
        }
        break;
    default:
        if (w->n_held != 0) {
            let_go(w, pick(&w->picks, w->n_held));
        }
        break;
    }
}

static void step(struct world *w)
{
    uint32_t n = pick(&w->picks, w->o.fold ? 34 : 32);

    if (w->o.cut_in != 0 && pick(&w->picks, w->o.cut_in) == 1) {
        power_cut(w);
    } else if (n == 0 && w->o.starve) {
        steal(w);
    } else if (n <= 2) {
        if (n == 1) {
            give_back(w);
        }
        cow_retry(w->cow);
    } else if (n == 3) {
        audit(w);
    } else if (n == 4 && w->o.overlay) {
        overlay_commit(&w->over);
    } else if (n == 5 && w->o.starve && pick(&w->picks, 8) == 0) {
        cow_cancel(w->cow);
    } else if (n >= 32) {
        turn_cache(w);
    } else if (n < 18) {
        poll(w);
    } else {
        client_submit(w);
    }
}

static void init_disks(struct world *w)
{
    lossy_init(&w->base, "base", w->o.base_sectors, w->window, &w->picks);
    lossy_init(&w->store, "store", (uint64_t)w->o.store_chunks * 8, w->window, &w->picks);
    w->base.dev.id = 1;
    w->store.dev.id = 2;
    w->base.dev.start = w->store.dev.start = w->o.start;
    w->base.sync = w->store.sync = w->o.sync;
    w->base.fail_percent = w->store.fail_percent = w->o.fail_percent;
    w->base_copy = malloc(w->o.base_sectors * (size_t)BLK_SECTOR);
    w->sectors = calloc(w->o.base_sectors, sizeof(*w->sectors));
    for (uint64_t s = 0; s < w->o.base_sectors; s++) {
        uint64_t stamp = ++w->stamps;
        fill_stamp(w->base.now + s * BLK_SECTOR, stamp);
        w->sectors[s].n = 1;
        w->sectors[s].v[0] = (struct version){.stamp = stamp};
    }
    memcpy(w->base_copy, w->base.now, w->o.base_sectors * (size_t)BLK_SECTOR);
    memcpy(w->base.safe, w->base.now, w->o.base_sectors * (size_t)BLK_SECTOR);
    /* Only the blank beginning matters: the rest of a store may hold anything. */
    for (uint64_t s = 32 * 8; s < w->store.dev.sectors; s++) {
        memset(w->store.now + s * BLK_SECTOR, 0xa5, BLK_SECTOR);
        memset(w->store.safe + s * BLK_SECTOR, 0xa5, BLK_SECTOR);
    }
}

static struct world *world_new(const struct cww_options *o, struct picks picks)
{
    struct world *w = calloc(1, sizeof(*w));

    REQUIRE(o->base_sectors <= CWW_SECTORS);
    w->o = *o;
    w->picks = picks;
    w->n_frames = slot_frame(w, SLOTS);
    w->table = calloc(w->n_frames, sizeof(struct frame));
    w->window = aligned_alloc(PAGE_SIZE, w->n_frames * PAGE_SIZE);
    w->cache_mem = malloc(cache_bytes(CACHE_BLOCKS));
    w->pool_mem = aligned_alloc(16, ALIGN_UP(blkcache_bytes(CACHE_JOBS, CACHE_IOS), 16));
    init_disks(w);
    fill_frames(w);
    w->pool = (struct snapshot_pool){&w->frames, o->pool_max != 0 ? o->pool_max : UINT64_MAX, 0};
    if (o->overlay) {
        open_overlay(w);
    } else {
        REQUIRE(snapshot_init(&w->snap, &w->pool, w->top_base) == OK);
        w->cow = &w->snap.cow;
    }
    return w;
}

static void world_free(struct world *w)
{
    if (w->o.overlay) {
        overlay_close(&w->over);
    } else {
        struct looks looks;
        while (snapshot_drop_some(&w->snap, looks_begin(&looks, 1))) {
            audit(w);
        }
        snapshot_fini(&w->snap);
        REQUIRE(w->pool.used == 0);
    }
    if (w->o.fold) {
        REQUIRE(w->cache.dirty == 0);
        cache_drop_all(&w->cache);
        REQUIRE(w->cache.used == 0 && w->frames.by_state[FRAME_CACHE_ONLY] == 0);
    }
    REQUIRE(w->frames.by_state[FRAME_HYP] == fixed_frames(w));
    lossy_free(&w->base);
    lossy_free(&w->store);
    free(w->cache_mem);
    free(w->pool_mem);
    free(w->base_copy);
    free(w->sectors);
    arena_end(&w->frames);
    free(w->table);
    free(w->window);
    free(w);
}

struct cww_result cww_run(const struct cww_options *o, struct picks picks, unsigned steps)
{
    struct world *w = world_new(o, picks);

    while (steps-- != 0 && !w->picks.ended) {
        step(w);
    }
    w->base.fail_percent = w->store.fail_percent = 0;
    drain(w);
    audit(w);
    for (uint64_t s = 0; s < o->base_sectors; s++) {
        REQUIRE(may_read(&w->sectors[s], w->sectors[s].dropped + w->sectors[s].n, look(w, s)));
    }
    note_result(w);
    struct cww_result r = w->result;
    world_free(w);
    return r;
}
