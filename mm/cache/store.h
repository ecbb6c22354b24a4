/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store of the second-level disk cache: 4 KiB blocks, each (disk, block number) -> frame.
 *
 * An entry is FREE, BUSY or VALID. A new entry is BUSY: its holder reads the block into its frame
 * and then publishes or abandons it. A BUSY entry is found by lookups, but never evicted: a device
 * may be writing to its frame. A VALID entry is a clean copy of the sectors of its mask (one bit
 * for each of the block's eight) and may be evicted at any time, unless its frame is pinned. The
 * holder of a write makes it BUSY again while the disk reads from its frame (cache_lock).
 *
 * Replacement is S3-FIFO (Yang et al., SOSP 2023): new blocks enter a small queue, a tenth of all,
 * and those that were used there again go on to the main one when their time is over; the others
 * are evicted and remembered as ghosts, and enter the main queue if they come back soon. The main
 * queue gives its oldest block another round for each use, of three at most. A hit moves nothing.
 * Of the blocks that guests let go of, in mode FOLD, either the newest or the oldest stay, by what
 * has proved better (queue.c).
 * build/host/cache-bench compares it with others on traces of our own guests; README.md has the
 * figures. The queues are queue.c.
 *
 * A frame that only the cache holds is FRAME_CACHE_ONLY, with one reference. In mode FOLD guests
 * may map the frame of a VALID entry too, read-only: it is FRAME_SHARED then. While any does, the
 * block costs nothing: it is in no queue, is not evicted, and does not count towards the bound;
 * when the last one lets go, it comes back to the queue that it was in. Its bytes are meanwhile the
 * guests' memory: nobody may change them, only drop the entry, which leaves the frame to the
 * guests.
 *
 * A DIRTY entry is VALID and newer than the disk's block, or just being written there: it is in no
 * queue and never evicted or dropped until it has been written (cache_written) or superseded
 * (cache_remove). It may be written by guests again meanwhile, and guests may map its frame.
 * dirty.c keeps these in the order of their addresses.
 *
 * Blocks of equal content at different addresses may have one frame (cache_move), and blocks of
 * zeroes need none (cache_make_zero): mm/fold finds out, and in mode FOLD is offered each block
 * that has come (cache_next_new).
 *
 * Not here: I/O, waiting, and copying, which are drivers/block/cache. What is outside mm/cache
 * and mm/audit reaches the entries by the functions below. Locking: as the frame table.
 */
#ifndef MM_CACHE_STORE_H
#define MM_CACHE_STORE_H

#include "base/bits.h"
#include "base/status.h"
#include "base/types.h"
#include "base/yield.h"
#include "mm/frame.h"

#define CACHE_NIL UINT32_MAX
#define CACHE_BLOCK_SECTORS 8u
#define CACHE_MASK_ALL 0xffu
/* Blocks that one frame is for, at most: whenever a block leaves it, or guests begin or end to map
 * it, all of them are walked over. */
#define CACHE_FRAME_BLOCKS 64u

enum cache_mode {
    CACHE_OFF,       /* nothing is held */
    CACHE_INCLUSIVE, /* what was read is held, whatever the guests hold */
    CACHE_SCRUB,     /* likewise, but mm/fold drops what it knows guests to hold, after each pass */
    CACHE_FOLD,      /* guests map the frames of what they read */
    CACHE_MODES
};

/* entry flags */
#define CACHE_E_USED 0x01
#define CACHE_E_BUSY 0x02
#define CACHE_E_MAIN 0x04   /* of the main queue, not of the small one */
#define CACHE_E_DOOMED 0x08 /* BUSY or DIRTY, and to be dropped instead of published or kept */
#define CACHE_E_MAPPED 0x10 /* VALID, in no queue: guests map the frame */
#define CACHE_E_FRESH 0x20  /* VALID: its first use belongs to the miss that brought it */
#define CACHE_E_ZERO 0x40   /* VALID, in no queue: all zeroes, without a frame */

#define CACHE_E_DIRTY 0x80 /* VALID, in no queue: newer than the disk's block */
#define CACHE_E_NO_QUEUE (CACHE_E_BUSY | CACHE_E_MAPPED | CACHE_E_ZERO | CACHE_E_DIRTY)

/* wb, of DIRTY entries: one or both of NEW and OUT. The other bits, CACHE_W_MARKS, are for the
 * cache device, which writes the blocks out (cache_mark). */
#define CACHE_W_DIRTY 0x01 /* its bytes have not been given to the disk */
#define CACHE_W_WRITEBACK                                                                          \
    0x02                   /* they, or older ones in a frame that is pinned, are being written */
#define CACHE_W_FIRST 0x04 /* it has never been in a queue */
#define CACHE_W_MARKS 0xf8

#define CACHE_BLOCK_BITS 40 /* 4 PiB */
#define CACHE_DISK_BITS 12
#define CACHE_VM_BITS 12

struct cache_entry {
    uint64_t block : CACHE_BLOCK_BITS;
    uint64_t disk : CACHE_DISK_BITS;
    uint64_t vm : CACHE_VM_BITS; /* for which it was read, or that wrote it last; 0: none */
    uint32_t frame;              /* ZERO: CACHE_NIL */
    uint32_t hash_next;
    uint32_t frame_next; /* in the chain of its frame's number */
    uint32_t prev;       /* VALID: the next newer entry. BUSY: whatever its holder keeps there */
    uint32_t next;       /* VALID: the next older entry. FREE: the next free one */
                         /* DIRTY: the two below it in the tree */
    uint8_t flags;
    uint8_t mask; /* sectors of the block that the frame holds */
    uint8_t uses; /* since it entered its queue, 0 to CACHE_USES_MAX; or CACHE_USES_AHEAD */
    uint8_t wb;   /* DIRTY: CACHE_W_ bits. Otherwise queue.c's: when it came to its queue */
};

_Static_assert(sizeof(struct cache_entry) == 32, "DESIGN: at most 32 bytes of metadata a block");

#define CACHE_USES_MAX 3u
#define CACHE_USES_AHEAD 0xffu /* read ahead; the first use is the miss that it saved */

struct cache_queue {
    uint32_t newest, oldest; /* CACHE_NIL: it is empty */
    uint32_t n;
};

struct cache_stats {
    uint64_t hits, misses;  /* blocks of read requests */
    uint64_t joined;        /* misses that waited for another's read of the same block */
    uint64_t insertions;    /* blocks published */
    uint64_t evictions;     /* dropped for room or by reclaim */
    uint64_t scrubbed;      /* dropped because guests hold the content too */
    uint64_t invalidations; /* dropped because of a write, a discard, or an error */
    uint64_t copied_bytes;
    uint64_t bypassed;         /* blocks read past the cache for want of a frame */
    uint64_t adopted;          /* blocks given to a guest's map, nothing copied */
    uint64_t readahead;        /* blocks that were read ahead */
    uint64_t readahead_wasted; /* of these, dropped before anybody asked for them */
    uint64_t absorbed;         /* blocks of write requests that became DIRTY */
    uint64_t given;            /* blocks of write requests that are held in the guest's own frame */
    uint64_t cleaned, clean_requests, clean_errors; /* blocks written out, in how many; failures */
    uint64_t moved; /* blocks that were found equal to another frame, and now have that */
};

struct cache {
    struct frames *frames;
    struct cache_entry *entries;
    uint32_t *buckets;       /* by (disk, block) */
    uint32_t *frame_buckets; /* by frame, as many */
    uint32_t bucket_mask;
    uint32_t n_max; /* entries there are */
    uint32_t max;   /* entries that may be used, settable at run time */
    uint32_t used;  /* VALID and BUSY */
    uint32_t busy;
    uint32_t mapped; /* VALID, mapped by guests: not counted towards `max` */
    uint32_t zeroes; /* VALID, of zeroes: likewise */
    uint32_t ahead;  /* read ahead and not used yet */
    uint32_t dirty;  /* VALID, newer than the disk's */
    uint32_t dirty_root;
    bool starved;       /* frames are wanted, and DIRTY blocks are in the way: write them out */
    uint64_t n_cleaned; /* blocks that are DIRTY no longer, so far */
    uint32_t free_head;
    uint32_t hand; /* where the search for an entry that is in no queue goes on */
    uint32_t new_first, new_last,
        n_new; /* frames for mm/fold: FRAME_F_UNSCANNED, linked by left, right */
    struct cache_queue small, main; /* of the VALID entries */
    uint64_t *ghosts;               /* sets of fingerprints of evicted blocks, with their times */
    uint32_t ghost_mask;            /* number of sets, less one */
    uint32_t ghost_clock;           /* ghosts made so far */
    uint32_t arrivals;              /* blocks that came to a queue so far, and stayed there */
    int32_t lean;                   /* what speaks for letting the oldest blocks stay */
    bool oldest_stay;               /* of those that guests have let go of */
    uint64_t seed;                  /* so that guests cannot choose blocks that collide */
    enum cache_mode mode;
    struct cache_stats stats;
};

/* Memory for cache_init, in bytes, 8-aligned: 32 a block, two hash tables of 4 to 8 bytes a
 * block each, and the ghosts, of 8 to 16. 0: too many. */
uint64_t cache_bytes(uint64_t n_max);
/*
 * An empty cache of at most n_max blocks in `mem`, mode OFF, its bound at n_max; frames->cache is
 * set to it. The caller adds cache_reclaim to the frames' reclaimers. E_INVAL: n_max is 0 or 2^31
 * or more.
 */
enum status cache_init(struct cache *c, struct frames *frames, void *mem, uint64_t n_max,
                       uint64_t seed) MUST_CHECK;

/* Drops what the new mode does not allow; BUSY entries go when their holders are done. What guests
 * map, they keep. */
void cache_set_mode(struct cache *c, enum cache_mode mode);
/* Sets the bound (n_max when above it) for what no guest maps, and evicts down to it, as far as
 * entries are not BUSY. */
void cache_set_max(struct cache *c, uint64_t max);
/* The same in pieces: all of it is done at the return, and `y` (or NULL) comes between, which
 * changes nothing of the cache and cannot end it. */
void cache_set_mode_yield(struct cache *c, enum cache_mode mode, struct yield *y);
void cache_set_max_yield(struct cache *c, uint64_t max, struct yield *y);
const char *cache_mode_name(enum cache_mode mode);

/* The block's entry, VALID or BUSY, or CACHE_NIL. Changes nothing. */
uint32_t cache_find(const struct cache *c, uint32_t disk, uint64_t block);
/* The same, without a search if the block's entry is `likely`, which may be any entry's number. */
static inline uint32_t cache_find_again(const struct cache *c, uint32_t disk, uint64_t block,
                                        uint32_t likely)
{
    const struct cache_entry *x = &c->entries[likely];
    bool is_it = (x->flags & CACHE_E_USED) != 0 && x->block == block && x->disk == disk;

    return is_it ? likely : cache_find(c, disk, block);
}

/* Notes a use of a VALID entry for the replacement policy. What guests map is not used more by
 * that: they have it. */
void cache_touch(struct cache *c, uint32_t e);
/*
 * A new BUSY entry with a frame whose bytes are undefined, evicting another when the cache is full.
 * E_EXISTS: the block has an entry. E_NOMEM: no frame, or mode OFF, or everything is BUSY, or the
 * disk's or the block's number is too big to be kept.
 */
enum status cache_insert(struct cache *c, uint32_t disk, uint64_t block, uint32_t *out) MUST_CHECK;
/*
 * The same for a block that nobody has asked for yet. E_NOMEM also unless there is room to spare,
 * or the block whose place it takes is one that goes next anyway: of the small queue while that has
 * its share, and as long as less than half of its share waits unused.
 */
enum status cache_insert_ahead(struct cache *c, uint32_t disk, uint64_t block,
                               uint32_t *out) MUST_CHECK;
/* How many such blocks there may be room for now, at most. */
uint32_t cache_ahead_room(const struct cache *c);
/* BUSY: says for guests of which share group the block is read; FRAME_COMMON: of several. */
void cache_set_group(struct cache *c, uint32_t e, uint32_t group);
/* From now on the work that the block still makes (mm/fold's look at it, writing it out) is done
 * for this VM, by its number in struct blk_account; 0, or one that does not fit, is no VM. */
static inline void cache_set_vm(struct cache *c, uint32_t e, uint16_t vm)
{
    c->entries[e].vm = (vm < BIT(CACHE_VM_BITS) ? vm : 0u) & (BIT32(CACHE_VM_BITS) - 1);
}
/* BUSY -> VALID with `mask` (dropped instead when doomed or mask is 0). In mode FOLD, a block of
 * zeroes is in no frame then. */
void cache_publish(struct cache *c, uint32_t e, uint8_t mask);
/* VALID and the cache's alone -> BUSY: not in the queue and not evicted until published or removed.
 * The frame leaves mm/fold's index: its bytes may change now. */
void cache_lock(struct cache *c, uint32_t e);
/* Drops an entry; the holder's duty for BUSY ones. What a DIRTY one holds is lost; it must not be
 * OUT. Counted as an invalidation. */
void cache_remove(struct cache *c, uint32_t e);
/* Drops a VALID entry that guests hold a copy of. */
void cache_scrub(struct cache *c, uint32_t e);
/* Drops the VALID entries in [first, first + n) of a disk but the DIRTY ones, dooms BUSY ones.
 * Bounded by the entries that there are, not by n. */
void cache_invalidate(struct cache *c, uint32_t disk, uint64_t first, uint64_t n);
/* Drops all VALID entries, dooms BUSY and DIRTY ones. */
void cache_drop_all(struct cache *c);
/* A reclaimer of frames, ctx is the struct cache: evicts blocks until `want` frames have come free,
 * and returns how many have; fewer also when it has evicted dozens of blocks beyond those for
 * which a frame came free. */
uint64_t cache_reclaim(void *ctx, uint64_t want);

/* ---- blocks that the disk has not got yet --------------------------------------------------- */

/*
 * Makes the block DIRTY and NEW, in a frame whose bytes the caller may change, and does at once:
 * all of them, or with `keep`, which wants it VALID and whole, some. They are a guest's of share
 * group `group` (or FRAME_NO_GROUP). E_NOMEM: no frame or entry for it, mode OFF, or BUSY; nothing
 * has changed.
 */
enum status cache_write(struct cache *c, uint32_t disk, uint64_t block, bool keep, uint32_t group,
                        uint32_t *out) MUST_CHECK;
/* Likewise, with the bytes that are in a guest's frame, SHARED or a zero page: that is the block's
 * frame from now on. E_NOMEM also when it is as many blocks' already as it can be. */
enum status cache_write_frame(struct cache *c, uint32_t disk, uint64_t block, mfn_t mfn,
                              uint32_t *out) MUST_CHECK;
/* NEW -> OUT: the bytes are given to the disk. */
void cache_write_out(struct cache *c, uint32_t e);
/* They are there, or (not ok) perhaps not. OUT -> clean and VALID, or dropped if DOOMED or in mode
 * OFF; still DIRTY (false) if it is NEW again, or not ok. */
bool cache_written(struct cache *c, uint32_t e, bool ok);
/* The disk's first DIRTY entry at or after the block, or CACHE_NIL. */
uint32_t cache_next_dirty(const struct cache *c, uint32_t disk, uint64_t block);

/* ---- for mm/fold: what blocks contain ------------------------------------------------------- */

/*
 * Takes the oldest frame that holds a block and was not looked at yet: FRAME_CACHE_ONLY, perhaps of
 * no share group, or, mapped by guests already, FRAME_SHARED. Its content stays as it is until it
 * leaves the index, if it is entered there, or goes free. E_NOTFOUND: there is none now.
 */
enum status cache_next_new(struct cache *c, mfn_t *out) MUST_CHECK;
/* The VM that a look at the frame is done for: that of the block that came to it last. */
uint16_t cache_vm_of(const struct cache *c, mfn_t mfn);
/* The frame, CACHED or not, is not new any more. */
void cache_seen(struct cache *c, mfn_t mfn);
/* It is new again, if in mode FOLD or mapped by guests: mm/fold is to look at it later. CACHED, and
 * in no index. */
void cache_renew(struct cache *c, mfn_t mfn);
/*
 * All blocks that are in frame `from` are in `to` from now on, which is CACHE or SHARED, of the
 * same group, and equal in content; those that it has no room for are evicted. `from` is CACHED no
 * longer, and free if no guest maps it; but DIRTY blocks that there is no room for stay in it until
 * they have been written out, in no index, and new while guests map it.
 */
void cache_move(struct cache *c, mfn_t from, mfn_t to);
/* All blocks that are in the frame, none of which is BUSY, are evicted, and it is CACHED no longer.
 * False, and nothing done: one is dirty. */
bool cache_evict_frame(struct cache *c, mfn_t mfn);
/* All blocks that are in the frame are zeroes; the frame is CACHED no longer, and free if no guest
 * maps it. */
void cache_make_zero(struct cache *c, mfn_t mfn);

/* The block was asked for by somebody whose use is counted elsewhere. */
static inline void cache_take_ahead(struct cache *c, uint32_t e)
{
    if (c->entries[e].uses == CACHE_USES_AHEAD) {
        c->entries[e].uses = 0;
        c->ahead--;
    }
}

/* The entry's frame; not of zeroes. */
static inline mfn_t cache_frame(const struct cache *c, uint32_t e)
{
    return MFN(c->entries[e].frame);
}

/* The block's bytes, to be read only. */
const void *cache_bytes_of(const struct cache *c, uint32_t e);

/* Whether the cache may change the bytes of a VALID entry: nobody else sees them, no other block is
 * in the frame, no device reads them for a guest that mapped them before. */
bool cache_is_alone(const struct cache *c, uint32_t e);

/* What counts towards the bound: the frames that only the cache holds. */
static inline uint32_t cache_held(const struct cache *c)
{
    return (uint32_t)c->frames->by_state[FRAME_CACHE_ONLY];
}

static inline bool cache_is_zero(const struct cache *c, uint32_t e)
{
    return (c->entries[e].flags & CACHE_E_ZERO) != 0;
}

static inline bool cache_is_dirty(const struct cache *c, uint32_t e)
{
    return (c->entries[e].flags & CACHE_E_DIRTY) != 0;
}

static inline bool cache_is_busy(const struct cache *c, uint32_t e)
{
    return (c->entries[e].flags & CACHE_E_BUSY) != 0;
}

/* Whether the entry, which may be a FREE one, is VALID, has a frame, and is no newer than the disk.
 */
static inline bool cache_is_clean(const struct cache *c, uint32_t e)
{
    return (c->entries[e].flags & (CACHE_E_USED | CACHE_E_BUSY | CACHE_E_ZERO | CACHE_E_DIRTY)) ==
           CACHE_E_USED;
}

/* Which block of its disk the entry is. */
static inline uint64_t cache_block(const struct cache *c, uint32_t e)
{
    return c->entries[e].block;
}

/* The VM that cache_set_vm has set. */
static inline uint16_t cache_vm(const struct cache *c, uint32_t e)
{
    return c->entries[e].vm;
}

/* The sectors of the block that the frame holds, one bit each. */
static inline uint8_t cache_mask(const struct cache *c, uint32_t e)
{
    return c->entries[e].mask;
}

/* VALID: the entry holds these sectors of the block; CACHE_MASK_ALL: all of it. */
static inline bool cache_has(const struct cache *c, uint32_t e, uint8_t sectors)
{
    return (cache_mask(c, e) & sectors) == sectors;
}

/* BUSY: a number that its holder keeps with the entry while it reads the block. */
static inline void cache_set_holder(struct cache *c, uint32_t e, uint32_t holder)
{
    c->entries[e].prev = holder;
}

static inline uint32_t cache_holder(const struct cache *c, uint32_t e)
{
    return c->entries[e].prev;
}

/* The first use of the block belongs to the miss that brought it. */
static inline void cache_set_fresh(struct cache *c, uint32_t e)
{
    c->entries[e].flags |= CACHE_E_FRESH;
}

/* Whether this use is that first one; no later one is. */
static inline bool cache_take_fresh(struct cache *c, uint32_t e)
{
    bool fresh = (c->entries[e].flags & CACHE_E_FRESH) != 0;

    if (fresh) {
        c->entries[e].flags &= (uint8_t)~CACHE_E_FRESH;
    }
    return fresh;
}

/* DIRTY: the disk was not given the bytes. */
static inline bool cache_is_new(const struct cache *c, uint32_t e)
{
    return (c->entries[e].wb & CACHE_W_DIRTY) != 0;
}

/* DIRTY: they, or older ones, are being written. */
static inline bool cache_is_out(const struct cache *c, uint32_t e)
{
    return (c->entries[e].wb & CACHE_W_WRITEBACK) != 0;
}

/* DIRTY: the marks of the cache device. An entry that becomes DIRTY has none. */
static inline uint8_t cache_marks(const struct cache *c, uint32_t e)
{
    return c->entries[e].wb & CACHE_W_MARKS;
}

static inline void cache_mark(struct cache *c, uint32_t e, uint8_t marks)
{
    c->entries[e].wb |= marks & CACHE_W_MARKS;
}

static inline void cache_unmark(struct cache *c, uint32_t e, uint8_t marks)
{
    c->entries[e].wb &= (uint8_t) ~(marks & CACHE_W_MARKS);
}

/*
 * The self-audit for `check`: walks entries, hash chains, the queue, the free list and the frame
 * table. OK, or E_INVAL with one line that names the first thing found wrong in `why`.
 */
enum status cache_check(const struct cache *c, char *why, size_t size) MUST_CHECK;
/* Likewise; `y` comes between two pieces of the work, some entries each, and changes nothing. The
 * result has no meaning when it ended the work. */
enum status cache_check_yield(const struct cache *c, struct yield *y, char *why,
                              size_t size) MUST_CHECK;
/* For struct audit.others, ctx is the struct cache: each frame that blocks are in, once. */
void cache_references(void *ctx, struct yield *y, void (*found)(void *arg, mfn_t mfn), void *arg);

#endif
