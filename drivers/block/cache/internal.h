/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of blkcache; everybody else includes cache.h. */
#ifndef DRIVERS_BLOCK_CACHE_INTERNAL_H
#define DRIVERS_BLOCK_CACHE_INTERNAL_H

#include "drivers/block/cache/cache.h"

#define FILL_BLOCKS 16u /* a fill's blocks at most: 64 KiB */
#define IO_SEGS 64u
#define OUT_BLOCKS 32u /* blocks written out by one request, at most: 128 KiB */
#define OUTS 16u       /* such requests at all disks */
#define OUTS_A_LEAF 4u /* and at one of them: others need some, too */

#define LOOK_MAX 512u /* blocks looked at in one go, if the time is not up before */

/* Why a leaf's blocks are walked over. */
#define PASS_ALL 1u      /* all must go */
#define PASS_PRESSURE 2u /* until a quarter of the bound is dirty */
#define PASS_SWEEP 4u    /* those of the old generation */
#define PASS_AGE 8u      /* they get older; the oldest go */
#define PASS_RETRY 16u   /* those that failed: somebody waits for their frames */

/* Marks of DIRTY entries (cache_mark). */
#define W_HELD 0x08   /* a job is about to supersede it */
#define W_GEN 0x10    /* of its leaf when it became NEW */
#define W_FAILED 0x20 /* NEW: was tried in vain */
#define W_AGE 0xc0    /* ticks since it became NEW, up to three */
#define W_AGE_ONE 0x40

/* A submitter's request on its way. */
struct blkcache_job {
    TAILQ_ENTRY(blkcache_job) active;
    STAILQ_ENTRY(blkcache_job) queue; /* ready, want_io, want_out, or some io's waiters */
    struct blkcache_dev *d;
    struct blkcache_queue *q;
    struct blk_req *r;
    uint64_t at, end; /* leaf sectors: READ: the next to be served; the end */
    /* Blocks behind those that a long walk over the request's range has been to: holding dirty
     * ones, dropping clean ones, letting dirty ones go after an error. */
    uint64_t held, dropped, released;
    bool ending;                   /* the last of these is under way */
    struct blkcache_io *preparing; /* it will be submitted, but the time was up */
    uint32_t blockers;             /* earlier jobs that must end first */
    uint32_t pending;              /* ios in flight */
    bool parked;                   /* in some queue, so somebody will call it on */
    bool swept;                    /* FLUSH: what was dirty is with the disk, or failed */
    uint64_t tried;                /* WRITE: the block that was written out for it, plus one */
    bool is_ahead; /* of the cache's own, and nobody's miss; r->ahead ends when somebody waits */
    bool joining;  /* waited for another's fill: the next hit is a miss in truth */
    enum status status; /* the first error */
};

enum io_kind {
    IO_FILL,   /* whole blocks into cache frames */
    IO_BYPASS, /* part of a read into the submitter's memory */
    IO_PASS,   /* a write, flush, discard or zeroes */
};

/* A lower request. */
struct blkcache_io {
    STAILQ_ENTRY(blkcache_io) link;
    struct blk_req req;
    struct blkcache *bc;
    struct blkcache_job *job;
    struct blkcache_job_list waiters; /* other jobs that want a block of this fill */
    enum io_kind kind;
    enum status status;
    bool landed;            /* it has come back, and is in the queue's list */
    unsigned next;          /* entries that have been seen to since */
    uint64_t released;      /* as the job's, for its own range */
    uint64_t from, sectors; /* leaf sectors of the request, rounded to blocks for a fill */
    unsigned n_entries;     /* FILL: consecutive blocks. PASS: blocks held during the write */
    bool given;             /* PASS: these are OUT, in the guest's frames, and not BUSY */
    bool updates;           /* PASS: these are written from the cache's frames */
    bool own_segs;          /* PASS: segs, of which there are n_segs; else the request's */
    unsigned n_segs;
    uint64_t seen, direct; /* PASS, while it is prepared: sectors up to here; with segments */
    uint32_t entries[IO_SEGS];
    struct blk_seg segs[IO_SEGS];
};

/* Dirty blocks on their way to the disk. */
struct blkcache_out {
    STAILQ_ENTRY(blkcache_out) link;
    struct blk_req req;
    struct blkcache *bc;
    struct blkcache_leaf *leaf;
    struct blk_account account; /* the VM that wrote the blocks; in no queue */
    enum status status;
    bool waited_for; /* by a sweep */
    unsigned n;      /* consecutive blocks, whose entries are OUT */
    unsigned next;   /* those that have been seen to since it landed */
    uint64_t block;
    uint32_t entries[OUT_BLOCKS];
    mfn_t frames[OUT_BLOCKS]; /* pinned */
    struct blk_seg segs[OUT_BLOCKS];
};

/*
 * Steps of a job end when it has ended, is parked, has ios in flight, or when the time is up: then
 * it is the first to be ready. What finishes an io or a request of writing back returns false when
 * the time is up; it is to be called again.
 */

/* Serves what it can, and starts what it must. */
void blkcache_read_step(struct blkcache_job *j);
bool blkcache_read_finished(struct blkcache_io *io) MUST_CHECK;
/* struct blk_ops, hold and taken. */
enum status blkcache_hold(struct blk_dev *dev, uint64_t sector, uint32_t group,
                          mfn_t *out) MUST_CHECK;
void blkcache_taken(struct blk_dev *dev, uint64_t sector, struct blk_account *account);
/* ---- readahead.c ---- */
void blkcache_ahead_init(struct blkcache *bc);
/* The blocks `first` to `last` are asked for, by a request, or one by one by somebody whose request
 * is not seen as a whole. May submit a fetch of what comes next. */
void blkcache_ahead_note(struct blkcache_dev *d, const struct blk_account *account, uint64_t first,
                         uint64_t last, bool whole);
/* Somebody waits for what j, which was read ahead, is about. */
void blkcache_ahead_hurry(struct blkcache_job *j);

void blkcache_write_step(struct blkcache_job *j);
bool blkcache_write_finished(struct blkcache_io *io) MUST_CHECK;

/* ---- writing back ---- */

enum blkcache_absorbed {
    ABSORBED,    /* the block at j->at is DIRTY with what j writes, and j->at behind it */
    ABSORB_PART, /* it cannot be, but the next one perhaps */
    ABSORB_NONE, /* there is no room, or writes go through */
};
enum blkcache_absorbed blkcache_absorb(struct blkcache_job *j);
/* The frame in which the block at leaf sector `sector` lies in j's memory, if it may become the
 * block's. */
bool blkcache_page_at(const struct blkcache_job *j, uint64_t sector, mfn_t *out);

/* What dirty blocks in [from, to) mean for a job that is about to write there past the cache. */
enum blkcache_past {
    PAST_GO,   /* they are held until blkcache_release_dirty */
    PAST_WAIT, /* j is parked until one of them has been written out */
    PAST_FAIL, /* one that is covered in part cannot be written out */
    PAST_MORE, /* the time is up */
};
enum blkcache_past blkcache_exclude_dirty(struct blkcache_job *j, uint64_t from, uint64_t to);
/* Those that are held in [from, to) are superseded (drop), or as they were. *at is the block that
 * comes next, 0 to begin with. False: the time is up. */
bool blkcache_release_dirty(struct blkcache_job *j, uint64_t from, uint64_t to, bool drop,
                            uint64_t *at) MUST_CHECK;

/* ---- leaf.c ---- */
/* The device gets the leaf of its disk; the first one brings it. */
void blkcache_leaf_join(struct blkcache_dev *d);
/* The entry became NEW; is NEW no longer, by being given to the disk or dropped. */
void blkcache_note_new(struct cache *c, struct blkcache_leaf *leaf, uint32_t e);
void blkcache_note_not_new(struct cache *c, struct blkcache_leaf *leaf, uint32_t e);
/* A walk begins where the leaf's last one has come to, and is a whole circle. */
void blkcache_pass_start(struct blkcache_leaf *leaf, unsigned why);
/* For blocks that have not failed: where nothing else is left, there is no sense in a walk. */
void blkcache_pass_start_fresh(struct blkcache_leaf *leaf, unsigned why);
/* Blocks that are dirty, without those that no disk takes. */
uint32_t blkcache_healthy(const struct blkcache *bc);
/* What there is room for beside the blocks that no disk takes. */
uint32_t blkcache_bound(const struct blkcache *bc);
/* More blocks are dirty, or may be written out. */
void blkcache_dirtied(struct blkcache *bc);

/* ---- sweep.c ---- */
/* FLUSH: parks j until what is dirty now has been written out. */
void blkcache_sweep(struct blkcache_job *j);
/* The disk does not take them: what the sweep still wants has failed, untried. Some of these blocks
 * are let off. */
void blkcache_sweep_give_up(struct blkcache *bc, struct blkcache_leaf *leaf);
/* Something that the leaf's sweep or passes may wait for has happened. */
void blkcache_leaf_changed(struct blkcache *bc, struct blkcache_leaf *leaf);

/* ---- writeback.c ---- */
/* Writes out the NEW block of the entry and those behind it. False: too many requests are at the
 * disk; one of them will end. */
bool blkcache_out_start(struct blkcache *bc, struct blkcache_leaf *leaf, uint32_t e);
bool blkcache_out_possible(const struct blkcache *bc, const struct blkcache_leaf *leaf);
bool blkcache_out_finished(struct blkcache_out *o) MUST_CHECK;
/* Says in the log what could not be written out. */
void blkcache_say_failed(struct blkcache_leaf *leaf);

/* ---- flush.c ---- */
/* The loop has come round: what the time, want of frames or the mode asks for begins. */
void blkcache_flush_tick(struct blkcache *bc, uint64_t now_ns);
/* Starts what is wanted and possible; false when there was nothing. */
bool blkcache_flush_step(struct blkcache *bc);

/* What the common queue does next is done for the VM, by its number; 0: for none. */
static inline void blkcache_charge(const struct blkcache *bc, uint16_t vm)
{
    if (bc->charge != NULL) {
        bc->charge(vm);
    }
}

/* ---- loop.c ---- */
/* Works for the queue until nothing can go on, or the time is up: true then. */
bool blkcache_run(struct blkcache_queue *q, const struct deadline *until);

/* ---- queue.c ---- */
/* An empty queue that nobody wakes. */
void blkcache_queue_make(struct blkcache_queue *q, struct blkcache *bc, uint32_t max_jobs,
                         uint32_t max_ios);
/* A job or io came back: queues that had to do without go on. */
void blkcache_pool_grew(struct blkcache *bc);
/* The queue has something to do. */
void blkcache_stir(struct blkcache_queue *q);

/* Whether the step that is running has used its time. */
static inline bool time_is_up(const struct blkcache *bc)
{
    return deadline_passed(bc->until);
}

/* ---- jobs.c ---- */
/* The first request that came to the queue becomes a job; there is a free one. */
void blkcache_admit(struct blkcache_queue *q);
/* The VM that the job is of, or 0. */
uint16_t blkcache_vm(const struct blkcache_job *j);
/* The share group whose guests the job's blocks are for, FRAME_COMMON, or FRAME_NO_GROUP. */
uint32_t blkcache_group(const struct blkcache_job *j);
/* Tells the trace which blocks are wanted, `first` to `last`, whether they are here or not. */
void blkcache_observe(const struct blkcache_dev *d, const struct blk_account *account,
                      enum blk_op op, uint64_t first, uint64_t last);
/* The job goes on where it is, as the queue's next. */
void blkcache_job_again(struct blkcache_job *j);

/* A free io for j, or NULL with j parked until there is one. */
struct blkcache_io *blkcache_io_get(struct blkcache_job *j);
void blkcache_io_put(struct blkcache_io *io);
void blkcache_io_submit(struct blkcache_io *io, enum blk_op op, const struct blk_seg *segs,
                        unsigned n_segs);
void blkcache_job_ready(struct blkcache_job *j);
void blkcache_job_end(struct blkcache_job *j);

/* Blocks of j that were found, or were not; in the device's counters and the requester's. What the
 * cache counts as a miss of its own is counted where it happens. */
void blkcache_count_hit(struct blkcache_job *j);
void blkcache_count_misses(struct blkcache_job *j, uint64_t blocks);

/* Copies n bytes between byte `off` of r's segments and `bytes`: to a reader, from a writer. */
void blkcache_copy_to_request(struct blkcache *bc, const struct blk_req *r, uint64_t off,
                              const void *bytes, size_t n);
void blkcache_copy_from_request(struct blkcache *bc, const struct blk_req *r, uint64_t off,
                                void *bytes, size_t n);
/* Appends r's segments from byte `off`, n bytes, to segs until *n_segs is IO_SEGS; returns the
 * bytes covered, whole sectors. */
uint64_t blkcache_slice(const struct blk_req *r, uint64_t off, uint64_t n, struct blk_seg *segs,
                        unsigned *n_segs);

/* The sectors of [from, end) in `block`, as a mask of its eight. */
uint8_t blkcache_mask(uint64_t block, uint64_t from, uint64_t end);

/* The block that leaf sector `sector` is in. */
static inline uint64_t block_of(uint64_t sector)
{
    return sector / CACHE_BLOCK_SECTORS;
}

/* Where leaf sector `s` lies in j's request, in bytes. */
static inline uint64_t job_offset(const struct blkcache_job *j, uint64_t s)
{
    return (s - (j->d->dev.start + j->r->sector)) * BLK_SECTOR;
}

static inline uint64_t job_start(const struct blkcache_job *j)
{
    return j->d->dev.start + j->r->sector;
}

#endif
