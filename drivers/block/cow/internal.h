/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the copy-on-write engine and its stores; everybody else includes cow.h. */
#ifndef DRIVERS_BLOCK_COW_INTERNAL_H
#define DRIVERS_BLOCK_COW_INTERNAL_H

#include "drivers/block/cow/cow.h"

#define COW_SEGS 64u
#define COW_RUN 32u     /* chunks that one piece looks up, or gives places to */
#define COW_ZERO_RUN 4u /* chunks of zeroes that one piece of a read fills in */

enum cow_stage {
    COW_PASS,  /* a read, or a write to places that count already */
    COW_FILL,  /* a write to new places */
    COW_MERGE, /* the base's part of a chunk is being read into the bounce frame */
};

/* A submitter's request, worked off piece by piece, one at a time. */
struct cow_job {
    TAILQ_ENTRY(cow_job) active;
    STAILQ_ENTRY(cow_job) queue; /* free, ready, landed, starved, blocked, or the store's */
    struct cow *c;
    struct blk_req *r;
    uint64_t at, end;  /* sectors: the next to be done; the end */
    uint32_t blockers; /* earlier jobs that must end first */
    enum status status;
    /* The piece in flight. */
    enum cow_stage stage;
    enum status result;
    uint64_t piece_end;
    unsigned n_new; /* FILL, MERGE: chunks from `chunk` on, to places from `place` on */
    uint64_t chunk;
    uint32_t place;
    mfn_t bounce;
    struct blk_req req;
    struct blk_seg segs[COW_SEGS];
};

_Static_assert(sizeof(struct cow_job) <= PAGE_SIZE, "a job is given one frame");

enum cow_next {
    COW_GO,   /* the piece is done, or the job has failed: look again */
    COW_AWAY, /* in flight, or in some queue */
};

/* The next piece, from j->at on. */
enum cow_next cow_read_piece(struct cow_job *j);
enum cow_next cow_write_piece(struct cow_job *j);
enum cow_next cow_discard_piece(struct cow_job *j);
enum cow_next cow_fetch_piece(struct cow_job *j);
/* What comes after the lower request of a piece. */
enum cow_next cow_piece_landed(struct cow_job *j);

/* struct blk_ops, hold and taken. */
enum status cow_hold(struct blk_dev *d, uint64_t sector, uint32_t group, mfn_t *out) MUST_CHECK;
void cow_taken(struct blk_dev *d, uint64_t sector, struct blk_account *account);

/* struct blk_ops, keeps. */
bool cow_keeps(struct blk_dev *d, uint64_t sector);

/* The end of the sectors from j->at on that lie in one run of `max` chunks or less: places in a
 * row, or all of one kind. `value` is the map's for the first of them. */
uint64_t cow_run_end(const struct cow_job *j, uint32_t value, unsigned max);

/* Hands j->req's operation to a lower device, with j->segs; COW_AWAY. */
enum cow_next cow_submit(struct cow_job *j, struct blk_dev *d, enum blk_op op, uint64_t sector,
                         uint64_t sectors, unsigned n_segs);

static inline uint64_t cow_place_sector(uint32_t place)
{
    return (uint64_t)place * COW_CHUNK_SECTORS;
}

/* Whether the request leaves the disk as it is. */
static inline bool cow_is_read(const struct blk_req *r)
{
    return r->op == BLK_READ || r->op == BLK_FETCH;
}

/* Whether the request has to do with some of the chunks from `first` to `last`. */
static inline bool cow_touches(const struct blk_req *r, uint64_t first, uint64_t last)
{
    return r->op != BLK_FLUSH && r->sector / COW_CHUNK_SECTORS <= last &&
           (r->sector + r->sectors - 1) / COW_CHUNK_SECTORS >= first;
}

/* Sectors of chunk number `chunk`: fewer than eight only at the disk's end. */
static inline uint64_t cow_chunk_sectors(const struct cow *c, uint64_t chunk)
{
    uint64_t first = chunk * COW_CHUNK_SECTORS, left = c->dev.sectors - first;

    return left < COW_CHUNK_SECTORS ? left : COW_CHUNK_SECTORS;
}

static inline uint64_t cow_chunks(const struct cow *c)
{
    return (c->dev.sectors + COW_CHUNK_SECTORS - 1) / COW_CHUNK_SECTORS;
}

#endif
