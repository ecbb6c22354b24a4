/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads through the cache: hits are copied or given away, misses fill blocks or go past the cache.
 */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/block/cache/internal.h"
#include "mm/p2m.h"

static uint8_t *entry_bytes(struct blkcache *bc, uint32_t e)
{
    return frame_bytes(bc->cache->frames, cache_frame(bc->cache, e));
}

/* For a fetch: the frame of a block that is here is kept here, if there is room in the request. */
static void keep(struct blkcache_job *j, uint32_t e)
{
    struct cache *c = j->d->bc->cache;
    struct blk_req *r = j->r;

    if (r->n_held == r->max_held || cache_is_zero(c, e)) {
        return;
    }
    mfn_t mfn = cache_frame(c, e);
    if (frame_of(c->frames, mfn)->pins < FRAME_PINS_MAX / 2) {
        frames_pin(c->frames, mfn);
        r->held[r->n_held++] = (uint32_t)mfn.n;
    }
}

/* Notes a use of the block. False: it belongs to the miss that brought it. */
static bool note_use(struct cache *c, uint32_t e)
{
    if (cache_take_fresh(c, e)) {
        cache_take_ahead(c, e);
        return false;
    }
    cache_touch(c, e);
    return true;
}

/* A block of j, a read, was here. */
static void count_use(struct blkcache_job *j, uint32_t e)
{
    struct cache *c = j->d->bc->cache;

    if (j->joining) {
        cache_touch(c, e);
    } else if (note_use(c, e)) {
        c->stats.hits++;
        blkcache_count_hit(j);
    }
}

/* What serve_hits came to. */
enum hits { HITS_ALL, HITS_MISS, HITS_TIME };

/* Serves hits from j->at on, until a block that is not there (*entry: its entry if it has one), or
 * until the time is up. */
static enum hits serve_hits(struct blkcache_job *j, uint32_t *entry)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;

    while (j->at < j->end) {
        uint64_t block = block_of(j->at);
        uint8_t want = blkcache_mask(block, j->at, j->end);
        uint32_t e = cache_find(c, j->d->dev.id, block);
        if (e == CACHE_NIL || cache_is_busy(c, e) || !cache_has(c, e, want)) {
            *entry = e;
            return HITS_MISS;
        }
        uint64_t skip = j->at % CACHE_BLOCK_SECTORS;
        uint64_t n = MIN(CACHE_BLOCK_SECTORS - skip, j->end - j->at);
        if (j->r->op == BLK_READ) {
            blkcache_copy_to_request(bc, j->r, job_offset(j, j->at),
                                     (const uint8_t *)cache_bytes_of(c, e) + skip * BLK_SECTOR,
                                     (size_t)(n * BLK_SECTOR));
            count_use(j, e);
        } else { /* whoever takes it counts the hit */
            if (j->joining) {
                cache_set_fresh(c, e);
            }
            keep(j, e);
        }
        if (j->joining) {
            j->joining = false;
            c->stats.joined++;
            blkcache_count_misses(j, 1);
        }
        j->at += n;
        if (j->at < j->end && time_is_up(bc)) {
            return HITS_TIME;
        }
    }
    return HITS_ALL;
}

/* Submits a fill of the blocks that it has entries for: whole blocks, but no further than the
 * device reaches. */
static void submit_fill(struct blkcache_job *j, struct blkcache_io *io)
{
    struct blkcache *bc = io->bc;
    struct cache *c = bc->cache;
    const struct blk_dev *lower = j->d->lower;
    uint64_t first = block_of(j->at);

    io->kind = IO_FILL;
    io->from = MAX(first * CACHE_BLOCK_SECTORS, lower->start);
    uint64_t end =
        MIN((first + io->n_entries) * CACHE_BLOCK_SECTORS, lower->start + lower->sectors);
    io->sectors = end - io->from;
    for (unsigned i = 0; i < io->n_entries; i++) {
        uint64_t base = (first + i) * CACHE_BLOCK_SECTORS;
        uint64_t lo = MAX(base, io->from), hi = MIN(base + CACHE_BLOCK_SECTORS, end);
        if (hi - lo != CACHE_BLOCK_SECTORS) {
            memset(entry_bytes(bc, io->entries[i]), 0, PAGE_SIZE);
        }
        io->segs[i] = (struct blk_seg){
            HPA(mfn_to_hpa(cache_frame(c, io->entries[i])).a + (lo - base) * BLK_SECTOR),
            (uint32_t)((hi - lo) * BLK_SECTOR)};
    }
    if (!j->is_ahead) {
        c->stats.misses += io->n_entries;
        blkcache_count_misses(j, io->n_entries);
    }
    j->joining = false;
    j->at = MIN(end, j->end);
    blkcache_io_submit(io, BLK_READ, io->segs, io->n_entries);
}

/* What start_fill came to. */
enum fill { FILL_NONE, FILL_STARTED, FILL_TIME };

/* Reads the missing blocks from j->at on into new frames, as many as are missing in a row and can
 * be had: NONE when not even one can. TIME: the io is in preparation, and j to come back. */
static enum fill start_fill(struct blkcache_job *j, struct blkcache_io *io)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;
    uint64_t first = block_of(j->at), last = block_of(j->end - 1);

    j->preparing = NULL;
    for (uint64_t b = first + io->n_entries; b <= last && io->n_entries < FILL_BLOCKS; b++) {
        uint32_t e;
        if (io->n_entries > 0 && time_is_up(bc)) {
            j->preparing = io;
            return FILL_TIME;
        }
        enum status s = j->is_ahead ? cache_insert_ahead(c, j->d->dev.id, b, &e)
                                    : cache_insert(c, j->d->dev.id, b, &e);
        if (s != OK) {
            break; /* there already, or no frame for it */
        }
        cache_set_holder(c, e, (uint32_t)(io - bc->ios));
        cache_set_vm(c, e, blkcache_vm(j));
        if (blkcache_group(j) != FRAME_NO_GROUP) {
            cache_set_group(c, e, blkcache_group(j));
        }
        frames_pin(c->frames, cache_frame(c, e));
        io->entries[io->n_entries++] = e;
    }
    if (io->n_entries == 0) {
        return FILL_NONE;
    }
    submit_fill(j, io);
    return FILL_STARTED;
}

/* Reads [from, end) of j's request into the submitter's own memory, as far as one io reaches;
 * returns where it ends. */
static uint64_t start_bypass(struct blkcache_job *j, struct blkcache_io *io, uint64_t from,
                             uint64_t end)
{
    unsigned n_segs = 0;

    io->kind = IO_BYPASS;
    io->from = from;
    if (from == job_start(j) && end == j->end) {
        io->sectors = end - from;
        blkcache_io_submit(io, BLK_READ, j->r->segs, j->r->n_segs);
        return end;
    }
    uint64_t bytes =
        blkcache_slice(j->r, job_offset(j, from), (end - from) * BLK_SECTOR, io->segs, &n_segs);
    io->sectors = bytes / BLK_SECTOR;
    blkcache_io_submit(io, BLK_READ, io->segs, n_segs);
    return from + bytes / BLK_SECTOR;
}

/* The end of the run of blocks without an entry that begins at j->at. */
static uint64_t missing_end(const struct blkcache_job *j)
{
    const struct cache *c = j->d->bc->cache;
    uint64_t b = block_of(j->at) + 1;

    if (c->used == 0) {
        return j->end;
    }
    while (b * CACHE_BLOCK_SECTORS < j->end && cache_find(c, j->d->dev.id, b) == CACHE_NIL) {
        b++;
    }
    return MIN(b * CACHE_BLOCK_SECTORS, j->end);
}

/* The fill that brings the block has landed, and nobody has seen to it yet. False: it has not, or
 * the time is up. */
static bool finish_landed(struct blkcache_io *io)
{
    struct blkcache_queue *q = io->job->q;

    if (!io->landed) {
        return false;
    }
    STAILQ_REMOVE(&q->finished, io, blkcache_io, link);
    if (!blkcache_read_finished(io)) {
        STAILQ_INSERT_HEAD(&q->finished, io, link);
        return false;
    }
    return true;
}

/* Another job's fill brings the block that comes next: j waits, or sees to it. One that is still in
 * preparation is submitted as it is: j is not to wait for a turn of that job's VM. */
static void join(struct blkcache_job *j, struct blkcache_io *io)
{
    struct blkcache_job *owner = io->job;

    j->joining = true;
    if (owner->preparing == io) {
        owner->preparing = NULL;
        blkcache_ahead_hurry(owner);
        submit_fill(owner, io);
    }
    if (finish_landed(io) || io->landed) {
        blkcache_job_again(j);
        return;
    }
    j->parked = true;
    STAILQ_INSERT_TAIL(&io->waiters, j, queue);
    blkcache_ahead_hurry(io->job);
}

void blkcache_read_step(struct blkcache_job *j)
{
    struct cache *c = j->d->bc->cache;

    if (j->preparing != NULL && start_fill(j, j->preparing) == FILL_TIME) {
        blkcache_job_again(j);
        return;
    }
    while (j->status == OK) {
        uint32_t e = CACHE_NIL;
        enum hits hits = serve_hits(j, &e);
        if (hits == HITS_ALL) {
            break;
        }
        if (hits == HITS_TIME) {
            blkcache_job_again(j);
            return;
        }
        if (j->is_ahead && e != CACHE_NIL) {
            j->at = MIN((block_of(j->at) + 1) * CACHE_BLOCK_SECTORS, j->end);
            continue; /* somebody else is at it, or has a part of it */
        }
        if (e != CACHE_NIL && cache_is_busy(c, e)) {
            /* A fill of another job: writes that overlap this one are not in flight. */
            join(j, &j->d->bc->ios[cache_holder(c, e)]);
            return;
        }
        struct blkcache_io *io = blkcache_io_get(j);
        if (io == NULL) {
            return;
        }
        if (e != CACHE_NIL) {
            /* Read through a device that sees less of this block: read it anew. */
            cache_remove(c, e);
        }
        enum fill fill = j->r->past_cache ? FILL_NONE : start_fill(j, io);
        if (fill == FILL_TIME) {
            blkcache_job_again(j);
            return;
        }
        if (fill == FILL_STARTED) {
            continue;
        }
        if (j->is_ahead) {
            blkcache_io_put(io);
            j->at = j->end; /* no room: it was worth a try and no more */
            continue;
        }
        if (j->r->op == BLK_FETCH) {
            blkcache_io_put(io);
            j->joining = false;
            j->at = MIN((block_of(j->at) + 1) * CACHE_BLOCK_SECTORS, j->end);
            continue;
        }
        uint64_t from = j->at, end = missing_end(j);
        if (c->mode != CACHE_OFF) {
            uint64_t blocks = block_of(end - 1) - block_of(from) + 1;
            c->stats.misses += blocks;
            c->stats.bypassed += blocks;
            blkcache_count_misses(j, blocks);
        }
        j->joining = false;
        j->at = start_bypass(j, io, from, end);
    }
    if (j->pending == 0) {
        blkcache_job_end(j);
    }
}

/* A fill has come: what it brought is given to its own job first, then to the cache, block by
 * block, before it can be evicted again. False: the time is up. */
static bool fill_finished(struct blkcache_io *io)
{
    struct blkcache *bc = io->bc;
    struct cache *c = bc->cache;
    struct blkcache_job *j = io->job;
    uint64_t end = io->from + io->sectors;

    while (io->next < io->n_entries) {
        uint32_t e = io->entries[io->next++];
        uint64_t block = cache_block(c, e);
        uint64_t base = block * CACHE_BLOCK_SECTORS;
        uint64_t lo = MAX(base, job_start(j)), hi = MIN(base + CACHE_BLOCK_SECTORS, j->end);
        frames_unpin(c->frames, cache_frame(c, e));
        if (io->status != OK) {
            cache_remove(c, e);
            continue;
        }
        if (j->is_ahead) {
            /* whoever comes for it counts a hit */
        } else if (j->r->op == BLK_FETCH) {
            cache_set_fresh(c, e);
            keep(j, e);
        } else {
            blkcache_copy_to_request(bc, j->r, job_offset(j, lo),
                                     entry_bytes(bc, e) + (lo - base) * BLK_SECTOR,
                                     (size_t)((hi - lo) * BLK_SECTOR));
        }
        cache_publish(c, e, blkcache_mask(block, io->from, end));
        if (io->next < io->n_entries && time_is_up(bc)) {
            return false;
        }
    }
    return true;
}

bool blkcache_read_finished(struct blkcache_io *io)
{
    struct blkcache_job *j = io->job;
    uint64_t end = io->from + io->sectors;

    if (io->kind == IO_FILL) {
        if (!fill_finished(io)) {
            return false;
        }
        if (j->r->op == BLK_FETCH) {
            io->status = OK; /* the read that is to come finds out for itself */
        }
        uint64_t lo = MAX(io->from, job_start(j)), hi = MIN(end, j->end);
        if (io->status != OK && hi - lo < io->sectors) {
            /* The bad sector may be one that nobody asked for: read just those that were. A part
             * of a fill has at most one segment a sector, and is cut where an io ends. */
            io->n_entries = io->next = 0;
            io->landed = false;
            uint64_t reached = start_bypass(j, io, lo, hi);
            if (reached < hi && j->status == OK) {
                j->status = E_IO;
            }
            return true;
        }
    }
    if (io->status != OK && j->status == OK) {
        j->status = io->status;
    }
    blkcache_io_put(io);
    if (j->pending == 0 && !j->parked) {
        blkcache_job_end(j);
    }
    return true;
}

static bool may_have(const struct cache *c, uint32_t e, uint32_t group)
{
    if (cache_is_zero(c, e)) {
        return true;
    }
    const struct frame *fr = frame_of(c->frames, cache_frame(c, e));

    return p2m_may_map_shared(fr, group) && fr->pins < FRAME_PINS_MAX / 2;
}

enum status blkcache_hold(struct blk_dev *dev, uint64_t sector, uint32_t group, mfn_t *out)
{
    struct blkcache_dev *d = (struct blkcache_dev *)dev;
    struct cache *c = d->bc->cache;
    uint64_t at = d->dev.start + sector;

    if (c->mode != CACHE_FOLD || at % CACHE_BLOCK_SECTORS != 0 || d->readers == FRAME_COMMON) {
        return E_UNSUPPORTED;
    }
    if (out == NULL) {
        return OK;
    }
    uint32_t e = cache_find(c, d->dev.id, block_of(at));
    /* BUSY: a fetch waits until whoever is at it has done. */
    if (e == CACHE_NIL || cache_is_busy(c, e) || !cache_has(c, e, CACHE_MASK_ALL)) {
        return E_NOTFOUND;
    }
    if (!may_have(c, e, group)) {
        return E_BUSY;
    }
    d->given = e;
    *out = BLK_ZERO_FRAME;
    if (!cache_is_zero(c, e)) {
        *out = cache_frame(c, e);
        frames_pin(c->frames, *out);
    }
    return OK;
}

void blkcache_taken(struct blk_dev *dev, uint64_t sector, struct blk_account *account)
{
    struct blkcache_dev *d = (struct blkcache_dev *)dev;
    struct cache *c = d->bc->cache;
    uint64_t at = d->dev.start + sector;
    uint32_t e = cache_find_again(c, d->dev.id, block_of(at), d->given);

    if (e == CACHE_NIL || note_use(c, e)) {
        c->stats.hits++;
        d->stats.hits++;
        if (account != NULL) {
            account->cache_hits++;
        }
    }
    if (d->bc->curve != NULL) {
        mrc_read_block(d->bc->curve, d->dev.id, block_of(at));
    }
    blkcache_observe(d, account, BLK_READ, block_of(at), block_of(at));
    blkcache_ahead_note(d, account, block_of(at), block_of(at), false);
    c->stats.adopted++;
    d->stats.reads++;
    d->stats.read_sectors += CACHE_BLOCK_SECTORS;
}
