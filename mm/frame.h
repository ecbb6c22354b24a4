/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame table: every 4 KiB machine frame stands in it once.
 *
 * Whatever may hold a page (a guest's p2m, the disk cache) holds a counted reference to its frame.
 * Folding two guests' pages, sharing a cached block and copy-on-write are all moves of references.
 *
 * States, and how a frame moves between them:
 *
 *     RESERVED     not usable memory, for ever
 *     FREE         on the free list; refs == 0
 *     HYP          the hypervisor's own: its image, tables, EPT pages; refs == 0
 *     PRIVATE      one guest page, refs == 1 (vm, gfn name the owner); may be writable there
 *     SHARED       content that cannot change, mapped by guests of one share group, writable
 *                  nowhere; refs >= 1; (vm, gfn) is a hint only
 *     ZERO         a share group's zero page; refs >= 0, writable nowhere, never freed by a put
 *     CACHE        a disk block's content that only the cache holds; refs == 1
 *
 *     FREE -> HYP|PRIVATE|CACHE (frames_alloc), PRIVATE -> SHARED (mm/fold), SHARED -> PRIVATE (its
 *     last holder takes it over), any -> FREE (last frames_put, or frames_free for HYP)
 *
 * The cache may hold a SHARED frame too, as what one or more disk blocks contain: FRAME_F_IN_CACHE
 * says so, and one of the references is the cache's. Such a frame goes from CACHE to SHARED with
 * the first guest that maps it, and back to CACHE with the last.
 *
 * A boot image (mm/fold/image) holds SHARED frames too, by a reference like any guest's.
 *
 * What is indexed may be SHARED or CACHE (stable), or PRIVATE (unstable).
 *
 * A pin keeps a frame from being merged or reused while a device may still access it: a frame whose
 * references are gone but whose pins are not keeps its state, leaves the index, and goes free at
 * the last unpin. A zero page is never merged nor freed, so its pins are not counted.
 *
 * Locking: the whole table is guarded by the caller (one CPU runs the hypervisor at present).
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "base/status.h"
#include "base/types.h"

enum frame_state {
    FRAME_RESERVED,
    FRAME_FREE,
    FRAME_HYP,
    FRAME_PRIVATE,
    FRAME_SHARED,
    FRAME_ZERO,
    FRAME_CACHE_ONLY,
    FRAME_STATES
};

#define FRAME_NIL UINT32_MAX /* no frame, in the 32-bit links below */

/* flags */
#define FRAME_F_STABLE 0x01    /* linked into a stable index */
#define FRAME_F_UNSTABLE 0x02  /* linked into an unstable index */
#define FRAME_F_RED 0x04       /* colour of its tree node */
#define FRAME_F_SUMMED 0x08    /* hash holds the sum of some earlier pass */
#define FRAME_F_HASHED 0x10    /* indexed: in a tree ordered by hash, not by content */
#define FRAME_F_LEFT_OUT 0x20  /* SHARED, and in no index: its hash is another frame's too */
#define FRAME_F_IN_CACHE 0x40  /* the cache holds one of the references */
#define FRAME_F_UNSCANNED 0x80 /* a block that mm/fold has not looked at; in no index */
/* Whoever keeps the index is told before such a frame changes. */
#define FRAME_F_INDEXED (FRAME_F_STABLE | FRAME_F_UNSTABLE | FRAME_F_LEFT_OUT)

struct frame {
    uint32_t refs;
    uint8_t state; /* enum frame_state */
    uint8_t flags;
    uint16_t vm;          /* PRIVATE: the owner. SHARED: where it was first seen (a hint) */
    uint32_t gfn;         /* likewise; 32 bits are 16 TiB of guest memory */
    uint32_t left, right; /* index links by frame number; FREE: `left` is the next free */
    union {
        uint32_t parent;    /* in a tree ordered by content */
        uint32_t hash_high; /* else, when hashes are kept */
    };
    uint32_t hash;  /* low half of a hash, or a checksum */
    uint16_t group; /* SHARED, CACHE, or indexed: the share group it is of */
    uint16_t pins;
};

_Static_assert(sizeof(struct frame) == 32, "DESIGN: at most 32 bytes of metadata a frame");

#define FRAME_NO_GROUP UINT16_MAX
/* A block of a disk that several share groups read: no guest maps its frame, and mm/fold leaves it
 * alone, so that nothing that is done with it depends on what the guests of one group hold. */
#define FRAME_COMMON (UINT16_MAX - 1)

/* What the disk cache is told about, or asked for, CACHED frames. */
struct frames_cache {
    void *ctx;
    /* The first guest maps it, or the last one has let it go: then only the cache holds it, and
     * may have given it up when this returns. */
    void (*mapped)(void *ctx, mfn_t mfn, bool mapped);
    /* Let go of it: on true the cache's reference is gone, and the flag. */
    bool (*drop)(void *ctx, mfn_t mfn);
    /* It has left the index, and mm/fold is to look at it again. */
    void (*renew)(void *ctx, mfn_t mfn);
};

/* What gives frames back when one is wanted and none is free. */
struct frames_reclaimer {
    /* Gives back up to `want` frames and returns how many came free. Must not allocate. */
    uint64_t (*give)(void *ctx, uint64_t want);
    void *ctx;
};
#define FRAMES_RECLAIMERS 4

struct frames {
    struct frame *table; /* indexed by mfn, 0 .. count-1 */
    uint64_t count;
    uint8_t *window; /* window + mfn * PAGE_SIZE is the frame's bytes */
    uint32_t free_head;
    uint64_t by_state[FRAME_STATES]; /* frames in each state; the sum is `count` */
    uint64_t pinned;                 /* frames with pins > 0 */
    uint64_t n_unpinned;             /* so often a frame's last pin has gone */
    uint64_t shared_gone;            /* SHARED, and nothing but pins keeps them */
    uint64_t shared_given; /* SHARED, and there whether guests map them or not (mm/fold/image) */
    uint64_t kept;         /* free frames that are kept for who was promised them (mm/promise) */
    bool draws;            /* what is allocated now may be of these */
    struct frames_reclaimer reclaimers[FRAMES_RECLAIMERS]; /* in the order they are asked */
    unsigned n_reclaimers;
    /* Called before a frame with a flag of FRAME_F_INDEXED changes state or is freed: take it out
     * of the index. Set by mm/fold; may be NULL when nothing is ever indexed. */
    void (*unindex)(void *ctx, mfn_t mfn);
    /* Called when the last guest has let go of a CACHED frame that stays in the index. Likewise. */
    void (*alone)(void *ctx, mfn_t mfn);
    void *unindex_ctx;         /* of both */
    struct frames_cache cache; /* set by mm/cache */
};

/*
 * Makes an empty table of `count` frames, all RESERVED, in `table` (count * sizeof(struct frame)
 * bytes, owned by the caller, for as long as f is used).
 */
void frames_init(struct frames *f, struct frame *table, uint64_t count, void *window);
/* RESERVED -> FREE or HYP for [first, first + n); frames beyond `count` are ignored. */
void frames_add_free(struct frames *f, mfn_t first, uint64_t n);
void frames_mark_hyp(struct frames *f, mfn_t first, uint64_t n);

/*
 * Adds a reclaimer behind those that there are: the first is asked for everything, the next for
 * what the first does not give. So the order of adding is the order of what the frames are worth,
 * the cheapest to get back first. At most FRAMES_RECLAIMERS.
 */
void frames_add_reclaimer(struct frames *f, uint64_t (*give)(void *ctx, uint64_t want), void *ctx);
/* Asks the reclaimers in their order until `want` frames have come free; returns how many have. */
uint64_t frames_reclaim(struct frames *f, uint64_t want);

/*
 * Takes a free frame (by frames_reclaim when there is none but the kept ones) into `state`, refs 1
 * (0 for HYP). Its bytes are not cleared. E_NOMEM when nothing could be had; *out is untouched
 * then.
 */
enum status frames_alloc(struct frames *f, enum frame_state state, mfn_t *out) MUST_CHECK;
/* A HYP frame back to FREE. */
void frames_free(struct frames *f, mfn_t mfn);
/* One more reference, where there are less than FRAME_REFS_MAX: a caller on a guest's behalf looks
 * first. 2^32 entries can map one zero page, so the count can be used up. */
#define FRAME_REFS_MAX UINT32_MAX
void frames_get(struct frames *f, mfn_t mfn);
/* One reference less; at zero the frame is taken out of the index and goes free (ZERO stays). */
void frames_put(struct frames *f, mfn_t mfn);
/* At most FRAME_PINS_MAX pins at a time: who pins on a guest's behalf looks at `pins` first. */
#define FRAME_PINS_MAX UINT16_MAX
void frames_pin(struct frames *f, mfn_t mfn);
void frames_unpin(struct frames *f, mfn_t mfn);
/* Changes the state and the counts; leaves the index first if need be. */
void frames_set_state(struct frames *f, mfn_t mfn, enum frame_state state);
/* Takes it out of whatever index it is in. */
void frames_leave_index(struct frames *f, mfn_t mfn);

static inline struct frame *frame_of(const struct frames *f, mfn_t mfn)
{
    return &f->table[mfn.n];
}

static inline void *frame_bytes(const struct frames *f, mfn_t mfn)
{
    return f->window + mfn.n * PAGE_SIZE;
}

static inline uint64_t frame_hash(const struct frame *fr)
{
    return (uint64_t)fr->hash_high << 32 | fr->hash;
}

static inline void frame_set_hash(struct frame *fr, uint64_t hash)
{
    fr->hash = (uint32_t)hash;
    fr->hash_high = (uint32_t)(hash >> 32);
}

/* The state's name as `mem` and `check` print it. */
const char *frame_state_name(enum frame_state s);

#endif
