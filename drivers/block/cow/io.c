/* SPDX-License-Identifier: BSD-2-Clause */
/* A copy-on-write request's pieces: where the next sectors are read from or written to. */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/block/cow/internal.h"
#include "drivers/block/segs.h"

static uint64_t chunk_of(uint64_t sector)
{
    return sector / COW_CHUNK_SECTORS;
}

/* Where sector `s` lies in the request, in bytes. */
static uint64_t offset(const struct cow_job *j, uint64_t s)
{
    return (s - j->r->sector) * BLK_SECTOR;
}

static uint64_t chunk_end(const struct cow *c, uint64_t chunk)
{
    return chunk * COW_CHUNK_SECTORS + cow_chunk_sectors(c, chunk);
}

/* Whether the request, from j->at on, covers all of the chunk that it begins in. */
static bool is_whole(const struct cow_job *j, uint64_t at)
{
    return at % COW_CHUNK_SECTORS == 0 && j->end >= chunk_end(j->c, chunk_of(at));
}

uint64_t cow_run_end(const struct cow_job *j, uint32_t value, unsigned max)
{
    const struct cow *c = j->c;
    uint64_t first = chunk_of(j->at), n = 1;

    while (n < max && (first + n) * COW_CHUNK_SECTORS < j->end &&
           chunkmap_get(&c->map, first + n) == (value > COW_ZERO ? value + n : value)) {
        n++;
    }
    return MIN((first + n) * COW_CHUNK_SECTORS, j->end);
}

/* ---- reading ---- */

enum cow_next cow_read_piece(struct cow_job *j)
{
    struct cow *c = j->c;
    uint32_t value = chunkmap_get(&c->map, chunk_of(j->at));
    unsigned max = value == COW_NONE ? COW_RUN : value == COW_ZERO ? COW_ZERO_RUN : c->store_run;
    uint64_t bytes = (cow_run_end(j, value, max) - j->at) * BLK_SECTOR;
    unsigned n_segs = 0;

    if (value == COW_ZERO) {
        blk_segs_zero(c->frames->window, j->r, offset(j, j->at), (size_t)bytes);
        j->at += bytes / BLK_SECTOR;
        return COW_GO;
    }
    bytes = blk_segs_slice(j->r, offset(j, j->at), bytes, j->segs, &n_segs, COW_SEGS);
    j->stage = COW_PASS;
    j->piece_end = j->at + bytes / BLK_SECTOR;
    if (value == COW_NONE) {
        return cow_submit(j, c->base, BLK_READ, j->at, bytes / BLK_SECTOR, n_segs);
    }
    return cow_submit(j, c->store, BLK_READ, cow_place_sector(value) + j->at % COW_CHUNK_SECTORS,
                      bytes / BLK_SECTOR, n_segs);
}

/* ---- writing ---- */

static bool is_zeroes(const struct cow_job *j)
{
    return j->r->op == BLK_ZEROES;
}

/* Makes j->segs of what is to be written from j->at on, at most n sectors; returns how many the
 * segments hold. */
static uint64_t source(struct cow_job *j, uint64_t n, unsigned *n_segs)
{
    uint64_t bytes = n * BLK_SECTOR, covered = 0;

    *n_segs = 0;
    if (!is_zeroes(j)) {
        covered = blk_segs_slice(j->r, offset(j, j->at), bytes, j->segs, n_segs, COW_SEGS);
    }
    while (is_zeroes(j) && covered < bytes && *n_segs < COW_SEGS) {
        uint32_t part = (uint32_t)MIN(bytes - covered, (uint64_t)PAGE_SIZE);
        j->segs[(*n_segs)++] = (struct blk_seg){mfn_to_hpa(j->c->zeroes), part};
        covered += part;
    }
    return covered / BLK_SECTOR;
}

static enum cow_next write_in_place(struct cow_job *j, uint32_t value)
{
    uint64_t stop = cow_run_end(j, value, j->c->store_run);
    unsigned n_segs;

    if (is_zeroes(j) && j->c->reuses) {
        stop = MIN(stop, chunk_end(j->c, chunk_of(j->at))); /* what follows may cost no place */
    }
    uint64_t n = source(j, stop - j->at, &n_segs);
    j->stage = COW_PASS;
    j->piece_end = j->at + n;
    return cow_submit(j, j->c->store, BLK_WRITE,
                      cow_place_sector(value) + j->at % COW_CHUNK_SECTORS, n, n_segs);
}

/* No place for a new chunk, or no memory to note it. */
static enum cow_next wait(struct cow_job *j, enum status why)
{
    struct cow *c = j->c;

    if (why == E_NOMEM) {
        c->stats.starved++;
        STAILQ_INSERT_TAIL(&c->starved, j, queue);
        if (c->wake != NULL) {
            c->wake(c->wake_ctx);
        }
        return COW_AWAY;
    }
    if (why == E_BUSY) {
        STAILQ_INSERT_TAIL(&c->blocked, j, queue);
        c->ops->blocked(c);
        return COW_AWAY;
    }
    c->stats.full++;
    j->status = E_IO;
    return COW_GO;
}

/* Up to n places in a row, for chunks from `chunk` on. */
static enum status take_places(struct cow_job *j, uint64_t chunk, uint64_t n)
{
    struct cow *c = j->c;
    enum status s = OK;
    uint32_t place;

    j->chunk = chunk;
    for (j->n_new = 0; j->n_new < n; j->n_new++) {
        s = chunkmap_reserve(&c->map, chunk + j->n_new);
        if (s == OK) {
            s = c->ops->take(c, &place);
        }
        if (s != OK) {
            break;
        }
        if (j->n_new == 0) {
            j->place = place;
        } else if (place != j->place + j->n_new) {
            c->ops->give(c, place);
            break;
        }
    }
    return j->n_new > 0 ? OK : s;
}

static void give_places(struct cow_job *j)
{
    for (unsigned i = 0; i < j->n_new; i++) {
        j->c->ops->give(j->c, j->place + i);
    }
    j->n_new = 0;
}

/* The bounce frame holds the chunk as it was: puts the request's part over it, and writes it. */
static enum cow_next merge(struct cow_job *j)
{
    struct cow *c = j->c;
    uint8_t *bytes = frame_bytes(c->frames, j->bounce);
    uint64_t skip = (j->at - j->chunk * COW_CHUNK_SECTORS) * BLK_SECTOR;
    size_t n = (size_t)((j->piece_end - j->at) * BLK_SECTOR);

    if (is_zeroes(j)) {
        memset(bytes + skip, 0, n);
    } else {
        blk_segs_get(c->frames->window, j->r, offset(j, j->at), bytes + skip, n);
    }
    j->stage = COW_FILL;
    j->segs[0] = (struct blk_seg){mfn_to_hpa(j->bounce), PAGE_SIZE};
    return cow_submit(j, c->store, BLK_WRITE, cow_place_sector(j->place), COW_CHUNK_SECTORS, 1);
}

/* A chunk without a place, written in part. */
static enum cow_next write_part(struct cow_job *j, uint32_t value)
{
    struct cow *c = j->c;
    uint64_t chunk = chunk_of(j->at), sectors = cow_chunk_sectors(c, chunk);
    uint8_t *bytes = frame_bytes(c->frames, j->bounce);
    enum status s = take_places(j, chunk, 1);

    if (s != OK) {
        return wait(j, s);
    }
    j->piece_end = MIN(j->end, chunk_end(c, chunk));
    c->stats.merges++;
    if (value == COW_ZERO) {
        memset(bytes, 0, PAGE_SIZE);
        return merge(j);
    }
    j->stage = COW_MERGE;
    memset(bytes + sectors * BLK_SECTOR, 0, PAGE_SIZE - sectors * BLK_SECTOR);
    j->segs[0] = (struct blk_seg){mfn_to_hpa(j->bounce), (uint32_t)(sectors * BLK_SECTOR)};
    return cow_submit(j, c->base, BLK_READ, chunk * COW_CHUNK_SECTORS, sectors, 1);
}

/* Chunks without places, written whole: as many as one piece can have. */
static enum cow_next write_whole(struct cow_job *j)
{
    struct cow *c = j->c;
    uint64_t first = chunk_of(j->at), n = 1;
    unsigned n_segs;

    while (n < c->store_run && first + n < cow_chunks(c) &&
           is_whole(j, (first + n) * COW_CHUNK_SECTORS) &&
           chunkmap_get(&c->map, first + n) <= COW_ZERO) {
        n++;
    }
    /* A chunk has at most nine segments, so that at least one is whole. */
    uint64_t stop = j->at + source(j, chunk_end(c, first + n - 1) - j->at, &n_segs);
    while (n > 1 && chunk_end(c, first + n - 1) > stop) {
        n--;
    }
    enum status s = take_places(j, first, n);
    if (s != OK) {
        return wait(j, s);
    }
    j->stage = COW_FILL;
    j->piece_end = chunk_end(c, first + j->n_new - 1);
    n = source(j, j->piece_end - j->at, &n_segs);
    ASSERT(n == j->piece_end - j->at);
    return cow_submit(j, c->store, BLK_WRITE, cow_place_sector(j->place), n, n_segs);
}

/* The chunk at j->at becomes one of zeroes, without a place. */
static enum cow_next zero_chunk(struct cow_job *j, uint32_t value)
{
    struct cow *c = j->c;
    uint64_t chunk = chunk_of(j->at);
    enum status s = chunkmap_reserve(&c->map, chunk);

    if (s != OK) {
        return wait(j, s);
    }
    chunkmap_set(&c->map, chunk, COW_ZERO);
    if (value > COW_ZERO) {
        c->stats.chunks--;
        c->ops->give(c, value);
    }
    j->at = chunk_end(c, chunk);
    return COW_GO;
}

enum cow_next cow_write_piece(struct cow_job *j)
{
    uint32_t value = chunkmap_get(&j->c->map, chunk_of(j->at));

    if (is_zeroes(j) && value == COW_ZERO) {
        j->at = cow_run_end(j, value, COW_RUN);
        return COW_GO;
    }
    if (is_zeroes(j) && j->c->reuses && is_whole(j, j->at)) {
        return zero_chunk(j, value);
    }
    if (value > COW_ZERO) {
        return write_in_place(j, value);
    }
    return is_whole(j, j->at) ? write_whole(j) : write_part(j, value);
}

/* What is written and discarded whole reads as zeroes and costs nothing; the rest stays. */
enum cow_next cow_discard_piece(struct cow_job *j)
{
    struct cow *c = j->c;
    uint64_t chunk = chunk_of(j->at);
    uint32_t value = chunkmap_get(&c->map, chunk);

    if (value > COW_ZERO && is_whole(j, j->at)) {
        return zero_chunk(j, value);
    }
    j->at = MIN(j->end, chunk_end(c, chunk));
    return COW_GO;
}

/* ---- what the lower device says ---- */

static void filled(struct cow_job *j)
{
    struct cow *c = j->c;

    for (unsigned i = 0; i < j->n_new; i++) {
        chunkmap_set(&c->map, j->chunk + i, j->place + i);
        c->stats.chunks++;
        if (c->ops->add != NULL) {
            c->ops->add(c, j->chunk + i, j->place + i);
        }
    }
    j->n_new = 0;
}

enum cow_next cow_piece_landed(struct cow_job *j)
{
    j->r->n_held += j->req.n_held;
    if (j->result != OK && j->r->op != BLK_FETCH) { /* the read to come finds out for itself */
        j->status = j->result;
        if (j->stage != COW_PASS) {
            give_places(j);
        }
        return COW_GO;
    }
    if (j->stage == COW_MERGE) {
        return merge(j);
    }
    if (j->stage == COW_FILL) {
        filled(j);
    }
    j->at = j->piece_end;
    return COW_GO;
}
