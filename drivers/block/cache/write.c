/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes, and what else changes or orders the disk: zeroes, discards, flushes. */
#include "base/bits.h"
#include "base/log.h"
#include "drivers/block/cache/internal.h"

/* Blocks looked up between two looks at the clock. */
#define DROP_BLOCKS 32u

/* The job has failed, or is done. What it held and has not superseded stays dirty. */
static void end_job(struct blkcache_job *j)
{
    if (j->status != OK && j->r->op != BLK_FLUSH) {
        j->ending = true;
        if (!blkcache_release_dirty(j, job_start(j), j->end, false, &j->released)) {
            blkcache_job_again(j);
            return;
        }
    }
    blkcache_job_end(j);
}

/* The entry of a block that is cached and not dirty, or CACHE_NIL. */
static uint32_t clean_entry(const struct blkcache_job *j, uint64_t block)
{
    const struct cache *c = j->d->bc->cache;
    uint32_t e = cache_find(c, j->d->dev.id, block);

    return e != CACHE_NIL && cache_is_dirty(c, e) ? CACHE_NIL : e;
}

/* Sectors are passed over in whole blocks: the end of the block that sector s is in, or `end`. */
static uint64_t block_end(uint64_t s, uint64_t end)
{
    return MIN((block_of(s) + 1) * CACHE_BLOCK_SECTORS, end);
}

/* Counts the clean blocks in the io's range. Those that guests map, or mapped and a device still
 * reads, are dropped: their bytes are not ours to change. */
static uint64_t count_cached(const struct blkcache_job *j, const struct blkcache_io *io)
{
    struct cache *c = j->d->bc->cache;
    uint64_t n = 0, end = io->from + io->sectors;

    if (c->used == 0) {
        return 0;
    }
    for (uint64_t s = io->from; s < end; s = block_end(s, end)) {
        uint32_t e = clean_entry(j, block_of(s));
        if (e != CACHE_NIL && !cache_is_alone(c, e)) {
            cache_remove(c, e);
        } else {
            n += e != CACHE_NIL;
        }
    }
    return n;
}

/* The dirty ones stay. */
static void invalidate(const struct blkcache_job *j, uint64_t from, uint64_t to)
{
    cache_invalidate(j->d->bc->cache, j->d->dev.id, block_of(from),
                     block_of(to - 1) - block_of(from) + 1);
}

/* The entry of a block whose bytes may be changed, or CACHE_NIL. */
static uint32_t own_entry(struct blkcache_job *j, uint64_t block)
{
    uint32_t e = clean_entry(j, block);

    if (e != CACHE_NIL && !cache_is_alone(j->d->bc->cache, e)) {
        cache_remove(j->d->bc->cache, e); /* since it was counted a guest has mapped it */
        e = CACHE_NIL;
    }
    return e;
}

/*
 * Brings the cached blocks in the io's range up to date and holds them, and makes segments that
 * write these from the cache's frames and the rest from the submitter's memory. No other job can
 * look at the blocks now: those that overlap this one wait for it. False: the time is up.
 */
static bool update_cached(struct blkcache_job *j, struct blkcache_io *io)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;
    uint64_t end = io->from + io->sectors;

    while (io->seen < end) {
        uint64_t s = io->seen, next = block_end(s, end);
        uint32_t e = own_entry(j, block_of(s));
        io->seen = next;
        if (e == CACHE_NIL) {
            continue;
        }
        uint64_t at = s % CACHE_BLOCK_SECTORS * BLK_SECTOR;
        uint32_t bytes = (uint32_t)((next - s) * BLK_SECTOR);
        blkcache_slice(j->r, job_offset(j, io->direct), (s - io->direct) * BLK_SECTOR, io->segs,
                       &io->n_segs);
        io->direct = next;
        cache_lock(c, e); /* first: mm/fold must know nothing of it when it changes */
        cache_set_vm(c, e, blkcache_vm(j));
        blkcache_copy_from_request(bc, j->r, job_offset(j, s),
                                   (uint8_t *)frame_bytes(c->frames, cache_frame(c, e)) + at,
                                   bytes);
        frames_pin(c->frames, cache_frame(c, e));
        io->entries[io->n_entries++] = e;
        ASSERT(io->n_segs < IO_SEGS);
        io->segs[io->n_segs++] = (struct blk_seg){HPA(mfn_to_hpa(cache_frame(c, e)).a + at), bytes};
        if (next < end && time_is_up(bc)) {
            return false;
        }
    }
    blkcache_slice(j->r, job_offset(j, io->direct), (end - io->direct) * BLK_SECTOR, io->segs,
                   &io->n_segs);
    return true;
}

/* Makes the guest's frame at sector s the block's, OUT until the disk has it, if it can be. */
static void take_frame(struct blkcache_job *j, struct blkcache_io *io, uint64_t s)
{
    struct cache *c = j->d->bc->cache;
    uint32_t e = cache_find(c, j->d->dev.id, block_of(s));
    mfn_t mfn;

    if (e != CACHE_NIL || io->n_entries == IO_SEGS || !blkcache_page_at(j, s, &mfn) ||
        cache_write_frame(c, j->d->dev.id, block_of(s), mfn, &e) != OK) {
        return;
    }
    cache_set_vm(c, e, blkcache_vm(j));
    cache_write_out(c, e);
    j->d->leaf->n_dirty++;
    c->stats.given++;
    io->entries[io->n_entries++] = e;
}

/*
 * Mode FOLD: no copy is kept of what the guest has in its own memory. Its frames, where they cannot
 * change, are the blocks' from now on; what was cached there goes. False: the time is up.
 */
static bool take_frames(struct blkcache_job *j, struct blkcache_io *io)
{
    uint64_t end = io->from + io->sectors;

    while (io->seen < end) {
        uint64_t s = io->seen, next = block_end(s, end);
        io->seen = next;
        invalidate(j, s, next);
        if (next - s == CACHE_BLOCK_SECTORS) {
            take_frame(j, io, s);
        }
        if (next < end && time_is_up(j->d->bc)) {
            return false;
        }
    }
    return true;
}

/* Gives the io's range, [from, from + sectors), as segments, or what fits of it: whole blocks, so
 * that no block is written by two ios. */
static void slice_range(struct blkcache_job *j, struct blkcache_io *io, unsigned *n_segs)
{
    uint64_t bytes =
        blkcache_slice(j->r, job_offset(j, io->from), io->sectors * BLK_SECTOR, io->segs, n_segs);

    if (bytes < io->sectors * BLK_SECTOR) {
        uint64_t end = io->from + bytes / BLK_SECTOR;
        io->sectors = end - end % CACHE_BLOCK_SECTORS - io->from;
        *n_segs = 0;
        blkcache_slice(j->r, job_offset(j, io->from), io->sectors * BLK_SECTOR, io->segs, n_segs);
    }
}

/* Settles what a write of [j->at, to), or as much of it as one io holds, means for the cache. */
static void begin_write(struct blkcache_job *j, struct blkcache_io *io, uint64_t to)
{
    io->kind = IO_PASS;
    io->from = j->at;
    io->sectors = to - j->at;
    io->given = j->d->bc->cache->mode == CACHE_FOLD;
    io->updates = false;
    io->n_segs = 0;
    io->own_segs = io->from != job_start(j) || to != j->end;
    if (io->own_segs) {
        slice_range(j, io, &io->n_segs);
    }
    io->seen = io->direct = io->from;
    if (!io->given) {
        uint64_t cached = count_cached(j, io), n_segs = io->own_segs ? io->n_segs : j->r->n_segs;
        /* Each cached block cuts at most one segment in two and adds its own. */
        io->updates = cached != 0 && cached <= IO_SEGS && n_segs + 2 * cached <= IO_SEGS;
        if (cached != 0 && !io->updates) {
            invalidate(j, io->from, io->from + io->sectors);
        }
    }
    if (io->updates) {
        io->own_segs = true;
        io->n_segs = 0;
    }
    j->preparing = io;
}

/* Brings the cache up to date for the write that has begun, and submits it; j->at is where it ends
 * then. False: the time is up. */
static bool prepare_write(struct blkcache_job *j)
{
    struct blkcache_io *io = j->preparing;

    if ((io->given && !take_frames(j, io)) || (io->updates && !update_cached(j, io))) {
        return false;
    }
    j->preparing = NULL;
    j->at = io->from + io->sectors;
    blkcache_io_submit(io, BLK_WRITE, io->own_segs ? io->segs : j->r->segs,
                       io->own_segs ? io->n_segs : j->r->n_segs);
    return true;
}

/* Writes [j->at, to) to the disk, as far as one io reaches. False: j is in some queue. */
static bool write_through(struct blkcache_job *j, uint64_t to)
{
    enum blkcache_past past = blkcache_exclude_dirty(j, j->at, to);

    if (past == PAST_MORE) {
        blkcache_job_again(j);
        return false;
    }
    if (past != PAST_GO) {
        j->status = past == PAST_FAIL ? E_IO : j->status;
        return past == PAST_FAIL;
    }
    struct blkcache_io *io = blkcache_io_get(j);
    if (io == NULL) {
        return false;
    }
    begin_write(j, io, to);
    if (!prepare_write(j)) {
        blkcache_job_again(j);
        return false;
    }
    return true;
}

/* The bytes go into the cache, where they can, and to the disk, where they must. */
static void write_step(struct blkcache_job *j)
{
    if (j->preparing != NULL && !prepare_write(j)) {
        blkcache_job_again(j);
        return;
    }
    while (j->status == OK && j->at < j->end) {
        enum blkcache_absorbed a = blkcache_absorb(j);
        if (a != ABSORBED &&
            !write_through(j, a == ABSORB_PART ? block_end(j->at, j->end) : j->end)) {
            return;
        }
        if (j->status == OK && j->at < j->end && time_is_up(j->d->bc)) {
            blkcache_job_again(j);
            return;
        }
    }
    if (j->pending == 0) {
        end_job(j);
    }
}

/* Drops the job's clean blocks. False: the time is up. */
static bool drop_clean(struct blkcache_job *j)
{
    struct cache *c = j->d->bc->cache;
    uint64_t end = block_of(j->end - 1) + 1, at = MAX(j->dropped, block_of(j->at));

    for (; at < end && c->used != 0; at = j->dropped) {
        uint64_t n = MIN(end - at, DROP_BLOCKS);
        cache_invalidate(c, j->d->dev.id, at, n);
        j->dropped = at + n;
        if (j->dropped < end && time_is_up(j->d->bc)) {
            return false;
        }
    }
    return true;
}

/* Zeroes and discards: the dirty blocks are superseded once the disk has done it. */
static void drop_step(struct blkcache_job *j)
{
    enum blkcache_past past = blkcache_exclude_dirty(j, j->at, j->end);

    if (past == PAST_WAIT) {
        return;
    }
    if (past == PAST_MORE || (past == PAST_GO && !drop_clean(j))) {
        blkcache_job_again(j);
        return;
    }
    if (past == PAST_FAIL) {
        j->status = E_IO;
        end_job(j);
        return;
    }
    struct blkcache_io *io = blkcache_io_get(j);
    if (io != NULL) {
        io->kind = IO_PASS;
        io->from = j->at;
        io->sectors = j->r->sectors;
        blkcache_io_submit(io, j->r->op, NULL, 0);
    }
}

/* Whether blocks of this disk could not be written out since this submitter last heard of it. */
static bool tell_errors(const struct blkcache_job *j)
{
    uint64_t *told = j->q != &j->d->bc->common ? &j->q->errors_told : &j->d->errors_told;
    bool news = *told < j->d->leaf->error;

    *told = j->d->bc->errors;
    return news;
}

static void flush_step(struct blkcache_job *j)
{
    if (!j->swept && j->d->leaf->n_dirty != 0) {
        blkcache_sweep(j);
        return;
    }
    struct blkcache_io *io = blkcache_io_get(j);
    if (io != NULL) {
        io->kind = IO_PASS;
        io->from = io->sectors = 0;
        blkcache_io_submit(io, BLK_FLUSH, NULL, 0);
    }
}

void blkcache_write_step(struct blkcache_job *j)
{
    if (j->ending) {
        end_job(j);
    } else if (j->r->op == BLK_WRITE) {
        write_step(j);
    } else if (j->r->op == BLK_FLUSH) {
        flush_step(j);
    } else {
        drop_step(j);
    }
}

/* The disk has read the block that was held for it. After an error nobody knows what it holds: it
 * is dropped. */
static void let_entry_go(struct blkcache_io *io, uint32_t e)
{
    struct cache *c = io->bc->cache;
    bool ok = io->status == OK;

    if (io->given) {
        io->job->d->leaf->n_dirty--;
        if (!cache_written(c, e, ok)) {
            cache_remove(c, e);
        }
        return;
    }
    frames_unpin(c->frames, cache_frame(c, e));
    uint8_t written = blkcache_mask(cache_block(c, e), io->from, io->from + io->sectors);
    cache_publish(c, e, ok ? cache_mask(c, e) | written : 0);
}

/* Everything that the io held. False: the time is up. */
static bool let_go(struct blkcache_io *io)
{
    while (io->next < io->n_entries) {
        let_entry_go(io, io->entries[io->next++]);
        if (time_is_up(io->bc)) {
            return false;
        }
    }
    return io->job->r->op == BLK_FLUSH ||
           blkcache_release_dirty(io->job, io->from, io->from + io->sectors, io->status == OK,
                                  &io->released);
}

bool blkcache_write_finished(struct blkcache_io *io)
{
    struct blkcache_job *j = io->job;

    if (!let_go(io)) {
        return false;
    }
    if (j->r->op == BLK_FLUSH) {
        bool news = tell_errors(j);
        if (io->status == OK && news) {
            io->status = E_IO;
        }
    }
    if (j->status == OK) {
        j->status = io->status;
    }
    blkcache_io_put(io);
    if (j->pending == 0 && !j->parked) {
        end_job(j);
    }
    return true;
}
