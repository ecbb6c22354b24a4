/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading ahead: finds out who reads a disk from front to back, and fetches what comes next before
 * it is asked for.
 *
 * A stream is one reader's way over one disk: several VMs, and several files of one, do not disturb
 * each other. The second request that begins where one ended makes it; from then on a window is
 * fetched whenever half of the last one is used up, the longer the more was read in a row. A reader
 * that goes elsewhere begins anew, and a window whose blocks are gone when they are wanted was too
 * long.
 *
 * What is fetched is a BLK_FETCH like any other, so it keeps its order with writes; but it waits
 * for nobody's read and takes no frame that another could need more (cache_insert_ahead), and the
 * disk does it when nobody waits for anything else.
 */
#include "base/bits.h"
#include "drivers/block/cache/internal.h"

#define WINDOW_MIN 8u
/* What was read in a row says how long the row still is: ahead goes a part of it. So what is read
 * in vain, at the end of a row, is a part of what was not. Who asks for so many blocks at a time
 * reads ahead himself, and knows better where his rows end. */
#define RUN_SHARE 8u
#define RUN_SHARE_OWN 32u
#define OWN_BLOCKS 16u
/* Requests of a reader come a little out of order, and some blocks are asked for twice: as a whole,
 * then one by one. */
#define BEHIND 256u
/* A file system leaves out a block here and there. */
#define GAP 4u

static void ahead_done(struct blk_req *r, enum status s)
{
    struct blkcache_ahead *a = r->ctx;

    (void)s; /* who comes for the blocks finds out for himself */
    a->queue->n_aheads--;
    STAILQ_INSERT_HEAD(&a->queue->bc->free_aheads, a, link);
}

void blkcache_ahead_init(struct blkcache *bc)
{
    STAILQ_INIT(&bc->free_aheads);
    for (unsigned i = 0; i < BLKCACHE_AHEADS; i++) {
        STAILQ_INSERT_TAIL(&bc->free_aheads, &bc->aheads[i], link);
    }
}

static bool is_near(const struct blkcache_stream *s, uint64_t first)
{
    if (first < s->next) {
        return s->next - first <= BEHIND;
    }
    return first - s->next <= (s->goes_on ? GAP : 0) || first < s->end;
}

static bool is_of(const struct blkcache_stream *s, uint32_t disk, uint16_t vm, uint64_t first)
{
    return s->vm == vm && s->disk == disk && is_near(s, first);
}

/* Mostly the one that was found last. */
static struct blkcache_stream *find(struct blkcache *bc, uint32_t disk, uint16_t vm, uint64_t first)
{
    struct blkcache_stream *s = &bc->streams[bc->stream];

    if (is_of(s, disk, vm, first)) {
        return s;
    }
    for (unsigned i = 0; i < BLKCACHE_STREAMS; i++) {
        if (is_of(&bc->streams[i], disk, vm, first)) {
            bc->stream = i;
            return &bc->streams[i];
        }
    }
    return NULL;
}

static struct blkcache_stream *stalest(struct blkcache *bc)
{
    struct blkcache_stream *s = &bc->streams[0];

    for (unsigned i = 1; i < BLKCACHE_STREAMS; i++) {
        if (bc->streams[i].used < s->used) {
            s = &bc->streams[i];
        }
    }
    return s;
}

/* Fetches blocks from `from` on, up to the device's end; returns where that ends. */
static uint64_t fetch(struct blkcache_dev *d, const struct blk_account *account, uint64_t from,
                      uint64_t blocks)
{
    struct blkcache *bc = d->bc;
    struct blkcache_ahead *a = STAILQ_FIRST(&bc->free_aheads);
    struct blkcache_queue *q = account->queue != NULL ? account->queue : &bc->common;
    uint64_t end = (d->dev.start + d->dev.sectors) / CACHE_BLOCK_SECTORS;

    if (a == NULL || from >= end || q->n_jobs >= q->max_jobs || STAILQ_EMPTY(&bc->free_jobs) ||
        (q != &bc->common && q->n_aheads >= BLKCACHE_AHEADS_A_QUEUE)) {
        return from;
    }
    blocks = MIN(blocks, end - from);
    STAILQ_REMOVE_HEAD(&bc->free_aheads, link);
    q->n_aheads++;
    a->queue = q;
    a->account =
        (struct blk_account){.queue = account->queue, .vm = account->vm, .group = account->group};
    a->req = (struct blk_req){
        .op = BLK_FETCH,
        .sector = from * CACHE_BLOCK_SECTORS - d->dev.start,
        .sectors = blocks * CACHE_BLOCK_SECTORS,
        .done = ahead_done,
        .ctx = a,
        .account = &a->account,
        .ahead = true,
    };
    blk_submit(&d->dev, &a->req);
    return from + blocks;
}

/* How far is looked ahead after what the reader has read so far; 0: not at all. */
static uint64_t window_of(const struct blkcache *bc, const struct blkcache_stream *s)
{
    uint32_t share = s->asked < OWN_BLOCKS ? RUN_SHARE : RUN_SHARE_OWN;
    uint64_t window = s->goes_on ? MIN(s->run / share, bc->ahead_max) : 0;

    return window >= MIN(WINDOW_MIN, bc->ahead_max) ? window : 0;
}

/* The reader has come to s->next. */
static void look_ahead(struct blkcache_dev *d, const struct blk_account *account,
                       struct blkcache_stream *s)
{
    uint64_t from = MAX(s->end, s->next), window = window_of(d->bc, s);

    if (window != 0 && 2 * (from - s->next) <= window) {
        window = MIN(window, (uint64_t)cache_ahead_room(d->bc->cache));
        s->end = window != 0 ? fetch(d, account, from, window) : from;
    }
}

/* Whether a block that was fetched ahead has gone again, unused. */
static bool is_lost(const struct blkcache_dev *d, const struct blkcache_stream *s, uint64_t block)
{
    return block >= s->next && block < s->end &&
           cache_find(d->bc->cache, d->dev.id, block) == CACHE_NIL;
}

/* A reader who was not seen before. */
static void begin(struct blkcache_dev *d, uint16_t vm, uint64_t first, uint64_t last, bool whole)
{
    struct blkcache *bc = d->bc;

    if (!whole) {
        bc->stranger = (struct blkcache_stream){.disk = d->dev.id, .vm = vm, .next = last + 1};
        return;
    }
    bc->stranger.vm = 0; /* it may be this one */
    *stalest(bc) = (struct blkcache_stream){
        .disk = d->dev.id,
        .vm = vm,
        .next = last + 1,
        .run = last - first + 1,
        .asked = last - first + 1,
        .used = ++bc->ahead_clock,
    };
}

void blkcache_ahead_note(struct blkcache_dev *d, const struct blk_account *account, uint64_t first,
                         uint64_t last, bool whole)
{
    struct blkcache *bc = d->bc;

    if (bc->ahead_max == 0 || account == NULL || bc->cache->mode == CACHE_OFF) {
        return;
    }
    if (!whole && bc->stranger.vm == account->vm && bc->stranger.disk == d->dev.id &&
        bc->stranger.next == first) {
        bc->stranger.next = last + 1;
        return;
    }
    struct blkcache_stream *s = find(bc, d->dev.id, account->vm, first);
    if (s == NULL) {
        begin(d, account->vm, first, last, whole);
        return;
    }
    s->used = ++bc->ahead_clock;
    if (last < s->next || (!whole && !s->goes_on)) {
        return; /* known; or the parts of one request, which make no stream */
    }
    if (is_lost(d, s, first)) {
        s->run /= 2;
        s->end = 0;
    }
    s->asked = whole ? MAX(s->asked, last - first + 1) : s->asked;
    s->goes_on = true;
    s->run += last + 1 - s->next;
    s->next = last + 1;
    look_ahead(d, account, s);
}

void blkcache_ahead_hurry(struct blkcache_job *j)
{
    struct blkcache *bc = j->d->bc;

    if (!j->r->ahead) {
        return;
    }
    j->r->ahead = false;
    for (uint32_t i = 0; i < bc->n_ios; i++) {
        if (bc->ios[i].job == j) {
            bc->ios[i].req.ahead = false;
        }
    }
}

void blkcache_set_readahead(struct blkcache *bc, uint64_t bytes)
{
    bc->ahead_max = (uint32_t)MIN(bytes / PAGE_SIZE, (uint64_t)BLKCACHE_AHEAD_MAX);
}
