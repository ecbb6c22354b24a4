/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes through the cache, and what else changes or orders the disk: zeroes, discards, flushes. */
#include "base/bits.h"
#include "base/log.h"
#include "drivers/block/blkcache_internal.h"

/* How many of the job's blocks are cached. */
static uint64_t count_cached(const struct blkcache_job *j)
{
    const struct cache *c = j->d->bc->cache;
    uint64_t n = 0;

    if (c->used == 0) {
        return 0;
    }
    for (uint64_t b = job_start(j) / CACHE_BLOCK_SECTORS; b * CACHE_BLOCK_SECTORS < j->end; b++) {
        n += cache_find(c, j->d->dev.id, b) != CACHE_NIL;
    }
    return n;
}

static void invalidate(const struct blkcache_job *j)
{
    uint64_t first = job_start(j) / CACHE_BLOCK_SECTORS;

    cache_invalidate(j->d->bc->cache, j->d->dev.id, first,
                     (j->end - 1) / CACHE_BLOCK_SECTORS - first + 1);
}

/* Drops the blocks that guests map, or mapped and a device still reads: their bytes are not ours to
 * change. */
static void drop_shared(const struct blkcache_job *j)
{
    struct cache *c = j->d->bc->cache;

    if (c->used == 0) {
        return;
    }
    for (uint64_t b = job_start(j) / CACHE_BLOCK_SECTORS; b * CACHE_BLOCK_SECTORS < j->end; b++) {
        uint32_t e = cache_find(c, j->d->dev.id, b);
        if (e != CACHE_NIL && !cache_is_alone(c, e)) {
            cache_remove(c, e);
        }
    }
}

/*
 * Brings the cached blocks up to date and holds them, and makes segments that write these from the
 * cache's frames and the rest from the submitter's memory. Nobody else can look at the blocks now:
 * jobs that overlap this one wait for it.
 */
static unsigned update_cached(struct blkcache_job *j, struct blkcache_io *io)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;
    unsigned n_segs = 0;
    uint64_t direct = job_start(j); /* start of what is not cached and has no segment yet */

    for (uint64_t s = direct, next; s < j->end; s = next) {
        uint64_t block = s / CACHE_BLOCK_SECTORS;
        next = MIN((block + 1) * CACHE_BLOCK_SECTORS, j->end);
        uint32_t e = cache_find(c, j->d->dev.id, block);
        if (e == CACHE_NIL) {
            continue;
        }
        uint64_t at = s % CACHE_BLOCK_SECTORS * BLK_SECTOR;
        uint32_t bytes = (uint32_t)((next - s) * BLK_SECTOR);
        blkcache_slice(j->r, job_offset(j, direct), (s - direct) * BLK_SECTOR, io->segs, &n_segs);
        direct = next;
        blkcache_take(bc, j->r, job_offset(j, s),
                      (uint8_t *)frame_bytes(c->frames, cache_frame(c, e)) + at, bytes);
        cache_hold(c, e);
        frames_pin(c->frames, cache_frame(c, e));
        io->entries[io->n_entries++] = e;
        ASSERT(n_segs < IO_SEGS);
        io->segs[n_segs++] = (struct blk_seg){HPA(mfn_to_hpa(cache_frame(c, e)).a + at), bytes};
    }
    blkcache_slice(j->r, job_offset(j, direct), (j->end - direct) * BLK_SECTOR, io->segs, &n_segs);
    return n_segs;
}

void blkcache_write_step(struct blkcache_job *j)
{
    struct blkcache_io *io = blkcache_io_get(j);

    if (io == NULL) {
        return;
    }
    io->kind = IO_PASS;
    io->from = job_start(j);
    io->sectors = j->r->sectors;
    if (j->r->op == BLK_WRITE) {
        drop_shared(j);
        uint64_t cached = count_cached(j);
        /* Each cached block cuts at most one segment in two and adds its own. */
        if (cached != 0 && cached <= IO_SEGS && j->r->n_segs + 2 * cached <= IO_SEGS) {
            unsigned n_segs = update_cached(j, io);
            blkcache_io_submit(io, BLK_WRITE, io->segs, n_segs);
            return;
        }
        if (cached != 0) {
            invalidate(j);
        }
    } else if (j->r->op != BLK_FLUSH) {
        invalidate(j);
    }
    blkcache_io_submit(io, j->r->op, j->r->segs, j->r->n_segs);
}

void blkcache_write_finished(struct blkcache_io *io)
{
    struct cache *c = io->bc->cache;
    struct blkcache_job *j = io->job;

    for (unsigned i = 0; i < io->n_entries; i++) {
        uint32_t e = io->entries[i];
        const struct cache_entry *x = &c->entries[e];
        frames_unpin(c->frames, cache_frame(c, e));
        /* After an error nobody knows what the disk holds: drop the block (mask 0). */
        uint8_t mask = (uint8_t)(x->mask | blkcache_mask(x->block, job_start(j), j->end));
        cache_publish(c, e, io->status == OK ? mask : 0);
    }
    j->status = io->status;
    blkcache_io_put(io);
    blkcache_job_end(j);
}
