/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk whose writes are kept in memory, over a base that stays as it is, until they are dropped.
 *
 * Each written chunk is one frame of the hypervisor's; chunks that are discarded, or written whole
 * with WRITE_ZEROES, give theirs back. All snapshots of a machine share a pool, which counts their
 * frames (data and map) and bounds them. When it is used up, or the machine has no frame, writes
 * wait: see cow.h.
 */
#ifndef DRIVERS_BLOCK_COW_SNAPSHOT_H
#define DRIVERS_BLOCK_COW_SNAPSHOT_H

#include "drivers/block/cow/cow.h"
#include "drivers/block/ramdisk.h"

struct snapshot_pool {
    struct frames *frames;
    uint64_t max;  /* frames that may be held, settable at run time; new ones wait above it */
    uint64_t used; /* frames held: data and maps */
};

struct snapshot {
    struct cow cow;        /* must be first: submit to cow.dev */
    struct ramdisk memory; /* the store: all of memory, of which the places are frames */
    struct snapshot_pool *pool;
    /* Whether its owner may hold `n` frames more; NULL: any number. Set after snapshot_init. */
    bool (*may_hold)(void *ctx, uint64_t n);
    void *may_hold_ctx;
};

/* As cow_init. `base` is not written, and must not be by anybody else while this lives. */
enum status snapshot_init(struct snapshot *s, struct snapshot_pool *pool,
                          struct blk_dev *base) MUST_CHECK;
/* Gives back frames of what was written until the time is over; true while there is more. Nothing
 * may be in flight. */
bool snapshot_drop_some(struct snapshot *s, const struct deadline *d);
/* Drops the rest, and the device's own frames. */
void snapshot_fini(struct snapshot *s);
/* Whether the pool, and not the machine, is what keeps a starved write waiting. */
bool snapshot_pool_is_full(const struct snapshot_pool *pool);
/* Proves that map, counts and frames agree; E_INVAL with one line in `why` if not. `y` (or NULL)
 * comes between two pieces of the work; the result has no meaning when it ended the work. */
enum status snapshot_check(const struct snapshot *s, struct yield *y, char *why,
                           size_t size) MUST_CHECK;

#endif
