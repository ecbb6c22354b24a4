/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes, and what else changes or orders the disk: zeroes, discards, flushes. */
#include "base/bits.h"
#include "base/log.h"
#include "drivers/block/blkcache_internal.h"

/* The entry of a block that is cached and not dirty, or CACHE_NIL. */
static uint32_t clean_entry(const struct blkcache_job *j, uint64_t block)
{
    const struct cache *c = j->d->bc->cache;
    uint32_t e = cache_find(c, j->d->dev.id, block);

    return e != CACHE_NIL && cache_is_dirty(c, e) ? CACHE_NIL : e;
}

/* How many blocks in [from, to) are cached and clean. */
static uint64_t count_cached(const struct blkcache_job *j, uint64_t from, uint64_t to)
{
    uint64_t n = 0;

    if (j->d->bc->cache->used == 0) {
        return 0;
    }
    for (uint64_t b = block_of(from); b * CACHE_BLOCK_SECTORS < to; b++) {
        n += clean_entry(j, b) != CACHE_NIL;
    }
    return n;
}

/* The dirty ones stay. */
static void invalidate(const struct blkcache_job *j, uint64_t from, uint64_t to)
{
    cache_invalidate(j->d->bc->cache, j->d->dev.id, block_of(from),
                     block_of(to - 1) - block_of(from) + 1);
}

/* Drops the blocks that guests map, or mapped and a device still reads: their bytes are not ours to
 * change. */
static void drop_shared(const struct blkcache_job *j, uint64_t from, uint64_t to)
{
    struct cache *c = j->d->bc->cache;

    if (c->used == 0) {
        return;
    }
    for (uint64_t b = block_of(from); b * CACHE_BLOCK_SECTORS < to; b++) {
        uint32_t e = clean_entry(j, b);
        if (e != CACHE_NIL && !cache_is_alone(c, e)) {
            cache_remove(c, e);
        }
    }
}

/*
 * Brings the cached blocks in the io's range up to date and holds them, and makes segments that
 * write these from the cache's frames and the rest from the submitter's memory. Nobody else can
 * look at the blocks now: jobs that overlap this one wait for it.
 */
static unsigned update_cached(struct blkcache_job *j, struct blkcache_io *io)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;
    unsigned n_segs = 0;
    uint64_t direct = io->from; /* start of what is not cached and has no segment yet */
    uint64_t end = io->from + io->sectors;

    for (uint64_t s = direct, next; s < end; s = next) {
        next = MIN((block_of(s) + 1) * CACHE_BLOCK_SECTORS, end);
        uint32_t e = clean_entry(j, block_of(s));
        if (e == CACHE_NIL) {
            continue;
        }
        uint64_t at = s % CACHE_BLOCK_SECTORS * BLK_SECTOR;
        uint32_t bytes = (uint32_t)((next - s) * BLK_SECTOR);
        blkcache_slice(j->r, job_offset(j, direct), (s - direct) * BLK_SECTOR, io->segs, &n_segs);
        direct = next;
        cache_hold(c, e); /* first: mm/fold must know nothing of it when it changes */
        blkcache_take(bc, j->r, job_offset(j, s),
                      (uint8_t *)frame_bytes(c->frames, cache_frame(c, e)) + at, bytes);
        frames_pin(c->frames, cache_frame(c, e));
        io->entries[io->n_entries++] = e;
        ASSERT(n_segs < IO_SEGS);
        io->segs[n_segs++] = (struct blk_seg){HPA(mfn_to_hpa(cache_frame(c, e)).a + at), bytes};
    }
    blkcache_slice(j->r, job_offset(j, direct), (end - direct) * BLK_SECTOR, io->segs, &n_segs);
    return n_segs;
}

/*
 * Mode FOLD: no copy is kept of what the guest has in its own memory. Its frames, where they cannot
 * change, are the blocks' from now on, OUT until the disk has them.
 */
static void take_frames(struct blkcache_job *j, struct blkcache_io *io)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;
    uint64_t end = io->from + io->sectors;

    io->given = true;
    for (uint64_t s = ALIGN_UP(io->from, CACHE_BLOCK_SECTORS);
         s + CACHE_BLOCK_SECTORS <= end && io->n_entries < IO_SEGS; s += CACHE_BLOCK_SECTORS) {
        uint32_t e = cache_find(c, j->d->dev.id, block_of(s));
        mfn_t mfn;
        if (e != CACHE_NIL || !blkcache_page_at(j, s, &mfn) ||
            cache_write_frame(c, j->d->dev.id, block_of(s), mfn, &e) != OK) {
            continue;
        }
        cache_write_out(c, e);
        j->d->leaf->n_dirty++;
        c->stats.given++;
        io->entries[io->n_entries++] = e;
    }
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

/* Writes [j->at, to) to the disk, as far as one io reaches; j->at is where it ends then. False: j
 * is parked. */
static bool write_through(struct blkcache_job *j, uint64_t to)
{
    struct blkcache *bc = j->d->bc;
    enum blkcache_past past = blkcache_hold_dirty(j, j->at, to);
    bool all = j->at == job_start(j) && to == j->end;
    const struct blk_seg *segs = j->r->segs;
    unsigned n_segs = 0;

    if (past != PAST_GO) {
        j->status = past == PAST_FAIL ? E_IO : j->status;
        return past == PAST_FAIL;
    }
    struct blkcache_io *io = blkcache_io_get(j);
    if (io == NULL) {
        return false;
    }
    io->kind = IO_PASS;
    io->from = j->at;
    io->sectors = to - j->at;
    if (all) {
        n_segs = j->r->n_segs;
    } else {
        slice_range(j, io, &n_segs);
        segs = io->segs;
    }
    uint64_t end = io->from + io->sectors;
    drop_shared(j, io->from, end);
    uint64_t cached = count_cached(j, io->from, end);
    if (bc->cache->mode == CACHE_FOLD) {
        invalidate(j, io->from, end);
        take_frames(j, io);
    } else if (cached != 0 && cached <= IO_SEGS && n_segs + 2 * cached <= IO_SEGS) {
        /* Each cached block cuts at most one segment in two and adds its own. */
        n_segs = update_cached(j, io);
        segs = io->segs;
    } else if (cached != 0) {
        invalidate(j, io->from, end);
    }
    j->at = end;
    blkcache_io_submit(io, BLK_WRITE, segs, n_segs);
    return true;
}

/* The bytes go into the cache, where they can, and to the disk, where they must. */
static void write_step(struct blkcache_job *j)
{
    while (j->status == OK && j->at < j->end) {
        enum blkcache_absorbed a = blkcache_absorb(j);
        if (a == ABSORBED) {
            continue;
        }
        uint64_t next = (block_of(j->at) + 1) * CACHE_BLOCK_SECTORS;
        if (!write_through(j, a == ABSORB_PART ? MIN(next, j->end) : j->end)) {
            return;
        }
    }
    if (j->pending == 0) {
        blkcache_job_end(j);
    }
}

/* Zeroes and discards: the dirty blocks are superseded once the disk has done it. */
static void drop_step(struct blkcache_job *j)
{
    enum blkcache_past past = blkcache_hold_dirty(j, j->at, j->end);

    if (past == PAST_WAIT) {
        return;
    }
    if (past == PAST_FAIL) {
        j->status = E_IO;
        blkcache_job_end(j);
        return;
    }
    struct blkcache_io *io = blkcache_io_get(j);
    if (io != NULL) {
        io->kind = IO_PASS;
        io->from = j->at;
        io->sectors = j->r->sectors;
        invalidate(j, j->at, j->end);
        blkcache_io_submit(io, j->r->op, NULL, 0);
    }
}

/* Whether blocks of this disk could not be written out since this submitter last heard of it. */
static bool tell_errors(const struct blkcache_job *j)
{
    uint64_t *told = j->r->account != NULL ? &j->r->account->errors_told : &j->d->errors_told;
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
    if (j->r->op == BLK_WRITE) {
        write_step(j);
    } else if (j->r->op == BLK_FLUSH) {
        flush_step(j);
    } else {
        drop_step(j);
    }
}

/* The disk has read the blocks that were held for it. After an error nobody knows what it holds:
 * they are dropped. */
static void let_entries_go(struct blkcache_io *io)
{
    struct cache *c = io->bc->cache;
    bool ok = io->status == OK;

    for (unsigned i = 0; i < io->n_entries; i++) {
        uint32_t e = io->entries[i];
        const struct cache_entry *x = &c->entries[e];
        if (io->given) {
            io->job->d->leaf->n_dirty--;
            if (!cache_written(c, e, ok)) {
                cache_remove(c, e);
            }
            continue;
        }
        frames_unpin(c->frames, cache_frame(c, e));
        uint8_t mask =
            (uint8_t)(x->mask | blkcache_mask(x->block, io->from, io->from + io->sectors));
        cache_publish(c, e, ok ? mask : 0);
    }
}

void blkcache_write_finished(struct blkcache_io *io)
{
    struct blkcache_job *j = io->job;

    let_entries_go(io);
    if (j->r->op == BLK_FLUSH) {
        bool news = tell_errors(j);
        if (io->status == OK && news) {
            io->status = E_IO;
        }
    } else {
        blkcache_release_dirty(j, io->from, io->from + io->sectors, io->status == OK);
    }
    if (j->status == OK) {
        j->status = io->status;
    }
    blkcache_io_put(io);
    if (j->pending == 0 && !j->parked) {
        blkcache_job_end(j);
    }
}
