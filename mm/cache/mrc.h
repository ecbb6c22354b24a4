/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A miss-ratio curve: which part of the block reads would miss in an LRU cache of another size.
 *
 * Stack distances of a spatial sample of blocks, in a bounded memory: SHARDS with a fixed sample
 * size (Waldspurger, Park, Garthwaite and Ahmad, FAST 2015). A block is in the sample when the high
 * half of its keyed hash is at most a limit. It begins with every block; each time the sample would
 * outgrow its memory the limit is lowered by an eighth, and the blocks above it are dropped. A
 * distance in the sample counts as distance / rate, and a sampled read as 1 / rate reads. What the
 * sample's reads miss of the true number of reads, or have too much, is taken for reads at the
 * smallest distance, where the few hottest blocks are (SHARDS-adj).
 *
 * A read that is not in the sample costs a hash. One that is costs a look-up and O(log n) steps,
 * and every MRC_TRACKED / 8 of them, at most, a pass over the sample's memory.
 *
 * Pure; the caller's memory; locking is the caller's.
 */
#ifndef MM_CACHE_MRC_H
#define MM_CACHE_MRC_H

#include "base/status.h"
#include "base/types.h"

#define MRC_POINTS 16u
#define MRC_TRACKED 8192u /* blocks in the sample at most */
#define MRC_SLOTS (2 * MRC_TRACKED)
#define MRC_SWEEP 8u /* slots that a read looks at to make room, at most */
#define MRC_NIL UINT32_MAX
#define MRC_PPM 1000000u
#define MRC_ONE (1u << 12)

/* The last read of a block of the sample, in order of time; or what was one before a later one. */
struct mrc_slot {
    uint64_t hash; /* of disk and block: taken for their identity */
    uint32_t next; /* in the hash chain; MRC_DEAD: read again since */
    uint32_t sum;  /* this slot's node of a Fenwick tree over the live ones */
};

struct mrc {
    struct mrc_slot *slots; /* MRC_SLOTS */
    uint32_t *buckets;      /* MRC_TRACKED */
    uint32_t used;          /* slots taken, dead ones too */
    /* While a sweep lasts, which makes room at the end: of the first `swept` slots the live ones
     * are the first `front`. */
    uint32_t swept, front;
    bool sweeps;
    uint32_t tracked; /* live ones */
    uint32_t limit;   /* the rate is (limit + 1) / 2^32 */
    uint64_t weight;  /* of a sampled read: 1 / rate, in 1 / MRC_ONE */
    uint64_t seed;
    uint64_t reads;
    uint64_t sizes[MRC_POINTS];    /* of caches, in blocks, ascending */
    uint64_t bins[MRC_POINTS + 1]; /* weights of reads that hit from sizes[i] on; the last: never */
};

struct mrc_point {
    uint64_t blocks;   /* the cache's size */
    uint32_t miss_ppm; /* of a million block reads so many miss */
};

/* Memory for mrc_init, in bytes. */
#define MRC_BYTES (MRC_SLOTS * sizeof(struct mrc_slot) + MRC_TRACKED * sizeof(uint32_t))

/*
 * An empty curve, its points from 1/32 of `blocks` to six times as many, the 11th being `blocks`
 * itself. `mem` is MRC_BYTES, 8-aligned. The seed keeps guests from choosing what is sampled.
 */
void mrc_init(struct mrc *m, void *mem, uint64_t blocks, uint64_t seed);
/* A read of a block, whether it hit or not. */
void mrc_read_block(struct mrc *m, uint32_t disk, uint64_t block);
/* One block in so many is in the sample. */
static inline uint64_t mrc_one_in(const struct mrc *m)
{
    return (m->weight + MRC_ONE / 2) / MRC_ONE;
}
/* The curve so far; 0 everywhere when nothing was read. */
void mrc_curve(const struct mrc *m, struct mrc_point out[MRC_POINTS]);

#endif
