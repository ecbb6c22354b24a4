/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A copy-on-write disk: what is read comes from a base disk, what is written is kept aside in a
 * store, in chunks of 4 KiB, and read from there ever after. The base is never written.
 *
 * This is the engine that both stores share: `snapshot` (memory) and `overlay` (another disk). To
 * the engine a store is a block device in which place p is the sectors 8p to 8p + 7, and a few
 * operations that hand out places and make them count. A chunk written whole goes to its place
 * straight from the submitter's memory; of one written in part the rest is read from the base
 * first. Only when the data is in its place does the chunk point there.
 *
 * Order: a request that overlaps an earlier one in a chunk waits for it, if one of the two is not a
 * read; so of two writes the later one wins. Others are in flight together. When the jobs are used
 * up, requests wait in order of arrival. Completions run from a loop, never nested.
 *
 * Frames instead of copies (blk_hold): a chunk that was not written is had as the base's frame, one
 * that was as the store's, where these devices have frames to give. What a frame shows is what a
 * read submitted at that moment would: a chunk that a write before it is on its way to is not had
 * but fetched, and the fetch waits for the write as a read does. A guest's frame that is written
 * whole is handed to the store as it is, which may keep it (blk_keeps).
 *
 * Bounded steps. With a `wake`, requests and completions are only noted, and cow_work carries them
 * out until its deadline: between two pieces of a request, and a piece is some chunks looked up, or
 * store_run chunks copied where the store is memory. Without one, for tools and at start-up, all is
 * done inside submit and completion.
 *
 * Out of frames, a write waits (it is `starved`) until cow_retry, and nothing is lost; cow_cancel
 * fails it instead, for whoever is being stopped. The store full, a write to a chunk that has no
 * place yet fails with E_IO; everything else goes on.
 *
 * Locking: as the frame table.
 */
#ifndef DRIVERS_BLOCK_COW_COW_H
#define DRIVERS_BLOCK_COW_COW_H

#include "base/deadline.h"
#include "drivers/block/blk.h"
#include "drivers/block/cow/chunkmap.h"

#define COW_CHUNK_SECTORS 8u
#define COW_JOBS 8u /* requests in flight; each needs two frames */
#define COW_FRAMES (1u + 2 * COW_JOBS)

/* Values in the map besides places: not written, and written with zeroes that need no place. The
 * stores never hand out these two. */
#define COW_NONE 0u
#define COW_ZERO 1u

struct cow;
struct cow_job;

STAILQ_HEAD(cow_job_list, cow_job);
TAILQ_HEAD(cow_active, cow_job);

struct cow_ops {
    /* A place for one more chunk. E_NOMEM: no frame (the job is starved); E_BUSY: not now, see
     * below; E_RANGE: the store is full. */
    enum status (*take)(struct cow *c, uint32_t *place);
    /* A job waits after E_BUSY: the store does what it must and calls cow_places_changed, perhaps
     * before this returns. NULL when `take` never says so. */
    void (*blocked)(struct cow *c);
    /* A place back, of a chunk that was never added, or that cow has no more use for. */
    void (*give)(struct cow *c, uint32_t place);
    /* The chunk's data is in its place: from now on it counts. May be NULL. */
    void (*add)(struct cow *c, uint64_t chunk, uint32_t place);
    /* All that was completed before is to survive a power cut: ends by cow_flushed. NULL: nothing
     * ever does, and a flush is done at once. */
    void (*flush)(struct cow *c, struct cow_job *j);
};

struct cow_stats {
    uint64_t chunks;        /* of the map that have a place */
    uint64_t merges;        /* chunks completed from the base for a write in part */
    uint64_t starved, full; /* writes that had to wait for a frame; that failed for want of room */
    uint64_t base_taken, store_taken; /* chunks had as the base's frame, as the store's */
};

struct cow {
    struct blk_dev dev; /* must be first: submit to this */
    struct blk_dev *base, *store;
    const struct cow_ops *ops;
    struct frames *frames;
    struct chunkmap map;
    bool reuses;  /* places can be given back: discards and zeroes free them */
    mfn_t zeroes; /* a frame of zeroes to write from */
    mfn_t job_frames[2 * COW_JOBS];
    unsigned n_frames; /* of job_frames; the map's come on top */
    struct cow_job_list free_jobs, ready, landed;
    struct cow_job_list starved; /* want a frame */
    struct cow_job_list blocked; /* want a place, which the store will have later */
    struct cow_active active;    /* every job in order of arrival */
    struct blk_req_list incoming;
    uint32_t in_flight; /* requests submitted and not done */
    unsigned store_run; /* chunks of one request to the store, at most */
    bool running;
    const struct deadline *until; /* of the step that is running */
    /* There is work for cow_work, or a job is starved; called from anywhere. May be NULL. */
    void (*wake)(void *ctx);
    void *wake_ctx;
    struct cow_stats stats;
};

/*
 * Makes the device: as large as the base, writable. Takes COW_FRAMES frames (HYP) from `frames`,
 * through whose window all segments are reached. E_NOMEM: not enough of them; E_RANGE: the base is
 * too large; nothing is held then.
 */
enum status cow_init(struct cow *c, const struct cow_ops *ops, struct frames *frames,
                     struct blk_dev *base, struct blk_dev *store, bool reuses) MUST_CHECK;
/* Gives back the frames; the map must be empty, and nothing in flight. */
void cow_fini(struct cow *c);
/* All frames that it holds: the map's and the jobs', but not the store's. */
uint64_t cow_frames(const struct cow *c);

/* Goes on with what is possible until the deadline (NULL: there is none). True: there is more. */
bool cow_work(struct cow *c, const struct deadline *until);

/* Whether some write waits for a frame; to try again; or to fail it with E_IO. */
bool cow_is_starved(const struct cow *c);
void cow_retry(struct cow *c);
void cow_cancel(struct cow *c);

/* For the stores: places may be had again, or (s != OK) those who wait must fail. */
void cow_places_changed(struct cow *c, enum status s);
void cow_flushed(struct cow_job *j, enum status s);

#endif
