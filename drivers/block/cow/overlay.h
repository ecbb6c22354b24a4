/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk whose writes are kept on a disk of their own (the store), over a base that stays as it is.
 *
 * The store's format is that of the persistent exception store of Linux's dm-snapshot, version 1,
 * with chunks of 4 KiB (all integers little-endian):
 *
 *     chunk 0         header: "SnAp", valid = 1, version = 1, sectors a chunk = 8, 32 bits each
 *                     byte 512: our identification of the base, which Linux does not read
 *     chunk 1         table of area 0: 256 entries {chunk of the base, chunk of the store}, 64 bits
 *                     each, in order of writing; the first with store chunk 0 ends it
 *     chunk 2 .. 257  area 0's chunks of data
 *     chunk 258 ...   table and data of area 1, and so on; only a full table has a next one
 *
 * So Linux can read it: `dmsetup create x --table "0 SECTORS snapshot BASE STORE P 8"`. In a store
 * that this code writes, an entry names a chunk of its own area; one that does not is refused.
 *
 * What survives a power cut. A chunk's first write goes to a free chunk of the store; the entry
 * that makes it count is written by the next commit: the store is flushed (data before its entry),
 * the area's table written, the store flushed. Until then the old content counts. A FLUSH is a
 * commit, and so is an area that becomes full, before which the next area's table is cleared. A
 * torn table write loses only entries that no completed FLUSH covers, as the table ends at its
 * first hole; what a torn write left behind the hole is cleared before anything is appended. Later
 * writes to the chunk go to the same place, as on any disk.
 *
 * overlay_open believes nothing that it reads. A store that is blank (its first 128 KiB are zeroes)
 * is made a new overlay; anything else that is not an overlay of this base is refused with a
 * reason, and not touched.
 */
#ifndef DRIVERS_BLOCK_COW_OVERLAY_H
#define DRIVERS_BLOCK_COW_OVERLAY_H

#include "drivers/block/cow/cow.h"

#define OVERLAY_SLOTS 256u /* of an area: entries in its table, chunks behind it */

enum overlay_step { OVERLAY_IDLE, OVERLAY_CLEAR_NEXT, OVERLAY_DATA, OVERLAY_TABLE, OVERLAY_END };

struct overlay {
    struct cow cow;    /* must be first: submit to cow.dev */
    uint64_t n_chunks; /* of the store */
    /* The area that is being filled. */
    uint64_t area;
    unsigned room;      /* its chunks that can be used, at most OVERLAY_SLOTS */
    unsigned n_entries; /* in its table, of which the first n_committed are on the disk */
    unsigned n_committed;
    unsigned n_taken; /* its chunks that are used or being written */
    uint64_t taken[OVERLAY_SLOTS / 64];
    mfn_t table; /* its table as it will be */
    /* The commit. */
    enum overlay_step step;
    mfn_t writing; /* the table as it is being written */
    unsigned n_writing;
    struct blk_req req;
    struct blk_seg seg;
    struct cow_job_list flushing, to_flush; /* those whom this commit serves; the next */
    /* Entries wait for a commit; called when there is a first one. May be NULL. */
    void (*dirty)(void *ctx);
    void *dirty_ctx;
    bool said_tight, said_full, said_failed;
};

/* What overlay_open needs. Waits for the disks by calling poll(ctx): only for start-up. */
struct overlay_cfg {
    struct frames *frames;
    struct blk_dev *base;  /* must not be written by anybody while this is open */
    struct blk_dev *store; /* this overlay's alone */
    void (*poll)(void *ctx);
    void *ctx;
};

/*
 * Opens the overlay that the store holds, or makes one when it is blank. On an error one line in
 * `why` says what is wrong, nothing is held, and the store is as it was (but for a blank one).
 * E_INVAL: no overlay, or a damaged one; E_EXISTS: of another base; E_RANGE: too small or too
 * large; E_NOMEM, E_IO, E_READONLY.
 */
enum status overlay_open(struct overlay *o, const struct overlay_cfg *cfg, char *why,
                         size_t why_size) MUST_CHECK;
/* Gives its memory back; nothing may be in flight, nor dirty if it is to be kept. */
void overlay_close(struct overlay *o);

/* Whether entries wait for a commit; begins one, if there is anything to commit. */
bool overlay_is_dirty(const struct overlay *o);
void overlay_commit(struct overlay *o);
/* Whether a commit is under way. */
static inline bool overlay_is_busy(const struct overlay *o)
{
    return o->step != OVERLAY_IDLE;
}

/* Chunks that it has room for besides those that it holds. */
uint64_t overlay_free_chunks(const struct overlay *o);

/* Frames that it holds, for the accounts. */
static inline uint64_t overlay_frames(const struct overlay *o)
{
    return cow_frames(&o->cow) + 2;
}

#endif
