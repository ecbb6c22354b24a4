/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second-level cache as a block device stacked over another: mm/cache holds the blocks, this
 * does the I/O, the waiting and the copying.
 *
 * Blocks are keyed by the leaf disk and its absolute sector / 8, so everybody who reaches a sector,
 * through whatever partition and VM, meets the same block. A device's first and last block may be
 * cut; the entry's mask says which sectors are there.
 *
 * Order: a request that overlaps an earlier one in a block waits for it, if one of the two is not a
 * read. Requests of one account are taken up in the order of their arrival; those of several, which
 * are in flight at once, in any order. So of two overlapping writes of an account the later one
 * wins, a fill never races with a write, and a read that begins after a write's completion sees it.
 * Requests that do not overlap are in flight together and complete in any order. A read that needs
 * a block that another is reading waits for that one I/O.
 *
 * Writes go through: a cached block is changed first, and the disk is written from the cache's own
 * frame, so that a guest that changes its buffer meanwhile cannot make the two differ. Blocks that
 * are not cached are written from the guest's memory and stay uncached.
 *
 * In mode FOLD a block can be had as a frame (blk_hold) instead of a copy. A write drops the block,
 * and the frame stays with the guests that map it; unless the bytes come in a frame that cannot
 * change (blk_keeps): that one is the block's from then on.
 *
 * Writing back (blkcache_set_writing). Whole blocks that are written become DIRTY in the cache, and
 * the write is done; the disk gets them later, many at a time, in the order of their addresses,
 * from the cache's own frames. That happens when half of the bound is dirty, when a block has been
 * dirty for its time, when the cache may not hold them any longer (mode, bound, want of memory),
 * and at a FLUSH: it waits for all blocks of its leaf disk that were completed before it, then
 * flushes the disk. Blocks that are written in part go through, unless they are dirty already; so
 * does everything once the bound is reached.
 *
 * A block that could not be written out stays dirty and is tried again when its time is over, and
 * at each FLUSH. Every FLUSH that waited for it fails with E_IO, and so does the next one of
 * everybody else (by queue, or else by device) who uses that disk.
 *
 * A write or discard that goes to the disk past dirty blocks takes their place when it has
 * succeeded; when it fails they stay. Where it covers only part of a dirty block, that block is
 * written out first.
 *
 * Who reads from front to back has the next blocks fetched before he asks (readahead.c).
 *
 * When there is no frame for a block, the guest's memory is read into directly.
 *
 * Whose work it is. Each account (a VM's disk) has a queue of its own: what it has asked for, what
 * has landed for it, and its share of the pools of jobs and ios. Submitting and completing only
 * note what there is to do and wake the queue's owner; blkcache_queue_work does it, until a
 * deadline, in the owner's time. The shares add up to no more than the pools, so that one queue
 * never waits for another's requests, except where they are about the same blocks, or where what
 * was the common queue's is still in use there (then it is woken as that comes back). A reader
 * never waits for the turn of another VM that reads the same block: the fill of that one is
 * submitted as it is, and finished once it has landed, by the reader that comes first. Requests
 * without an account, and writing back, are the common queue's, which blkcache_work serves. A
 * request that writes back is of the VM that wrote its blocks last, for the disk below as for the
 * account of its work. Where that queue has no `wake` (in tools and tests) its work is done inside
 * submit and completion.
 *
 * `done` is called from a queue's work, never nested, so it may submit again. Locking: as the frame
 * table.
 */
#ifndef DRIVERS_BLOCK_CACHE_CACHE_H
#define DRIVERS_BLOCK_CACHE_CACHE_H

#include "base/deadline.h"
#include "drivers/block/blk.h"
#include "drivers/block/cache/trace.h"
#include "mm/cache/mrc.h"
#include "mm/cache/store.h"

struct blkcache_job;
struct blkcache_io;
struct blkcache_out;
struct blkcache_dev;

STAILQ_HEAD(blkcache_job_list, blkcache_job);
STAILQ_HEAD(blkcache_io_list, blkcache_io);
TAILQ_HEAD(blkcache_active, blkcache_job);
STAILQ_HEAD(blkcache_out_list, blkcache_out);

/* One account's requests in the cache's hands. */
struct blkcache_queue {
    struct blkcache *bc;
    struct blk_req_list incoming;     /* no job yet */
    uint32_t told;                    /* blocks of the first of them that the curve knows of */
    struct blkcache_job_list ready;   /* to go on */
    struct blkcache_job_list want_io; /* until one of its ios comes free */
    struct blkcache_io_list finished; /* landed */
    STAILQ_ENTRY(blkcache_queue) starved_link;
    bool starved;                     /* in bc->starved */
    uint32_t n_jobs, n_ios, n_aheads; /* that it has; the last: windows being read ahead */
    uint32_t max_jobs, max_ios;
    uint64_t errors_told; /* of writing back: blkcache.errors when its FLUSHes last heard of any */
    /* There is work for blkcache_queue_work; called from anywhere. */
    void (*wake)(void *ctx);
    void *ctx;
};

/* How writes are carried out. */
struct blkcache_writing {
    bool back;          /* whole blocks stay in the cache; else all writes go through */
    bool give;          /* in mode FOLD, keep guests' frames as the blocks they write */
    uint32_t dirty_max; /* blocks, at most */
    uint64_t age_ns; /* a block is written out before it has been dirty for longer; 0: no limit */
};

/* A leaf disk, whatever devices lead to it. */
struct blkcache_leaf {
    STAILQ_ENTRY(blkcache_leaf) link;
    STAILQ_HEAD(, blkcache_dev) devs;
    struct blkcache_active active; /* every job in order of arrival */
    uint32_t id;
    uint32_t n_dirty;  /* its DIRTY entries */
    uint32_t n_new;    /* of these, with bytes that the disk was not given */
    uint32_t n_failed; /* of these, not to be tried again before their time */
    uint32_t n_held;   /* which a write or discard is about to supersede */
    uint32_t n_out;    /* requests of ours at the disk */
    /* The sweep, on behalf of FLUSHes: what was NEW when it began is marked by its generation. */
    bool sweeping;
    uint8_t gen;
    uint32_t n_old;  /* NEW entries of the old generation */
    uint32_t n_wait; /* requests at the disk that the sweep waits for */
    uint64_t sweep_error;
    struct blkcache_job_list flushing, to_flush; /* whom this one serves, and the next */
    /* The walk over its dirty blocks, a circle. */
    unsigned pass;         /* why: PASS_ bits of internal.h */
    uint64_t at, pass_end; /* blocks */
    bool wrapped;
    bool again;     /* what the walk has left out may be had now, and a sweep waits for it */
    uint64_t error; /* blkcache.errors when one last happened here */
    unsigned failures;
    bool giving_up;    /* it fails all the time: the sweep's blocks are being let off, */
    uint64_t given_up; /* those below this one have been */
    uint64_t failed_blocks, failed_at; /* not yet in the log; the first's sector */
};

/* A reader's way over a disk (readahead.c), in blocks. */
struct blkcache_stream {
    uint64_t next; /* behind the last block that was asked for */
    uint64_t end;  /* behind the last that was read ahead */
    uint64_t used; /* when it was last seen; 0: never */
    uint32_t disk;
    uint16_t vm;
    bool goes_on;   /* after the first request */
    uint64_t run;   /* blocks read in a row */
    uint64_t asked; /* of these, by one request at most */
};
#define BLKCACHE_STREAMS 32u

/* A request of the cache's own. */
struct blkcache_ahead {
    STAILQ_ENTRY(blkcache_ahead) link;
    struct blk_req req;
    struct blk_account account;
    struct blkcache_queue *queue;
};
#define BLKCACHE_AHEADS 16u
#define BLKCACHE_AHEADS_A_QUEUE 4u
#define BLKCACHE_AHEAD_MAX 256u /* blocks: the longest window that may be set */

STAILQ_HEAD(blkcache_ahead_list, blkcache_ahead);

/* What all cached devices of the machine have in common. */
struct blkcache {
    struct cache *cache;
    struct mrc *curve;       /* is told each block that is read; may be NULL */
    struct blktrace *trace;  /* is told each request; may be NULL */
    struct blkcache_io *ios; /* the pool; an entry that is being read names its io by index */
    struct blkcache_io_list free_ios;
    struct blkcache_job_list free_jobs;
    struct blkcache_queue common; /* requests without an account; has what no other was given */
    /* Queues that have not all of their share, as others, which had it before, still use it. */
    STAILQ_HEAD(, blkcache_queue) starved;
    bool (*run)(struct blkcache_queue *q, const struct deadline *until); /* loop.c's */
    struct blkcache_queue *running; /* the one whose work is being done */
    const struct deadline *until;   /* of that */
    bool stirred;                   /* the common queue has work, and no wake */
    uint32_t n_ios;
    /* Told for which VM the next piece of writing back is done, by its number; 0: for none. May be
     * NULL. */
    void (*charge)(uint16_t vm);
    uint32_t ahead_max;              /* the longest window, in blocks; 0: nothing is read ahead */
    uint64_t ahead_clock;            /* of the streams' use */
    uint32_t stream;                 /* the one that was seen last */
    struct blkcache_stream stranger; /* whose blocks are here, one after the other: no stream */
    struct blkcache_stream streams[BLKCACHE_STREAMS];
    struct blkcache_ahead aheads[BLKCACHE_AHEADS];
    struct blkcache_ahead_list free_aheads;
    /* Writing back. */
    struct blkcache_writing writing;
    STAILQ_HEAD(, blkcache_leaf) leaves;
    struct blkcache_out *outs;
    struct blkcache_out_list free_outs, finished_outs;
    struct blkcache_job_list want_out; /* until some request of ours has ended */
    uint64_t errors;                   /* of writing out, so far; from 1 */
    uint64_t tick_ns;                  /* when blocks get older; UINT64_MAX: none is dirty */
    unsigned budget;                   /* blocks that may still be looked at now */
    bool more;                         /* the budget is used up */
    bool starving; /* since the last tick, frames were wanted for dirty blocks */
    mfn_t zeroes;  /* to write blocks of zeroes from */
    bool has_zeroes;
};

struct blkcache_dev_stats {
    uint64_t reads, writes, flushes, discards; /* requests completed; zeroes count as discards */
    uint64_t read_sectors, written_sectors;
    uint64_t hits, misses; /* blocks; a miss that waited for another's read is a miss */
    uint64_t errors;
};

struct blkcache_dev {
    struct blk_dev dev; /* must be first: submit to this */
    struct blk_dev *lower;
    struct blkcache *bc;
    uint32_t in_flight;                   /* requests submitted and not done */
    struct blkcache_leaf *leaf, own_leaf; /* the first device of a leaf disk has it */
    uint16_t readers; /* the share group whose guests have it, or FRAME_NO_GROUP, or FRAME_COMMON */
    STAILQ_ENTRY(blkcache_dev) leaf_link;
    uint32_t given;       /* the entry whose frame blk_hold gave last, in some device of the disk */
    uint64_t errors_told; /* as a queue's, for requests of the common one */
    struct blkcache_dev_stats stats;
};

/* Memory for blkcache_init: pools of n_jobs requests and n_ios lower requests, both at least 1. */
uint64_t blkcache_bytes(uint32_t n_jobs, uint32_t n_ios);
/* `mem` 16-aligned. E_INVAL: a pool of 0. */
enum status blkcache_init(struct blkcache *bc, struct cache *cache, void *mem, uint32_t n_jobs,
                          uint32_t n_ios) MUST_CHECK;

/* Sets how much is read ahead at most, in bytes, from now on; 0: nothing, and so it begins. */
void blkcache_set_readahead(struct blkcache *bc, uint64_t bytes);
/* From now on writes are carried out so. What is dirty already is written out by blkcache_work. */
void blkcache_set_writing(struct blkcache *bc, const struct blkcache_writing *w);
/*
 * Goes on with writing back and the common queue until the deadline (NULL: there is none): to be
 * called by the loop, each turn, with a clock that never goes back. True: call again soon. False:
 * not before blkcache_due, unless something else happens.
 */
bool blkcache_work(struct blkcache *bc, uint64_t now_ns, const struct deadline *until);
/* UINT64_MAX: never. */
uint64_t blkcache_due(const struct blkcache *bc);

/*
 * Makes the queue of an account, with its share of the pools. The account names it from then on;
 * `wake` is called with `ctx` whenever there is work. E_NOMEM: that much is not left.
 */
enum status blkcache_queue_init(struct blkcache_queue *q, struct blkcache *bc, uint32_t max_jobs,
                                uint32_t max_ios, void (*wake)(void *ctx), void *ctx) MUST_CHECK;
/* Gives the share back; nothing of the account's may be in flight, nor read ahead: see is_idle. */
void blkcache_queue_fini(struct blkcache_queue *q);
bool blkcache_queue_is_idle(const struct blkcache_queue *q);
/* Goes on with the queue's requests until the deadline. True: there is more to do at once. */
bool blkcache_queue_work(struct blkcache_queue *q, const struct deadline *until);

/* For the machine's end: a line in the log for each disk that has not got all that was written. */
void blkcache_say_lost(const struct blkcache *bc);

/* Stacks d over lower, with its name, size and abilities. Segments of requests must lie inside the
 * cache's frame table. */
void blkcache_dev_init(struct blkcache_dev *d, struct blkcache *bc, struct blk_dev *lower);

/*
 * Guests of share group `group` are going to use the device: to be told for each group before its
 * guests' first request. Where another group has blocks of it too, by this device or by another one
 * of the same disk, both devices are common: their blocks are copied for all guests, as in mode
 * INCLUSIVE, and what guests hold in memory decides neither what is held nor how it is given.
 */
void blkcache_add_reader(struct blkcache_dev *d, uint32_t group);

#endif
