/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A world for testing copy-on-write disks: clients on one disk whose writes go to a snapshot in
 * memory or to an overlay on another disk, frames that run out, disks that fail, power cuts, and an
 * oracle that knows for each sector what a read may return, now and after a cut.
 */
#ifndef TESTS_HOST_SUPPORT_WORLD_COW_H
#define TESTS_HOST_SUPPORT_WORLD_COW_H

#include "fake_lossy.h"

struct cww_options {
    bool overlay;          /* on a store; otherwise a snapshot in memory */
    uint32_t base_sectors; /* at most CWW_SECTORS */
    uint32_t store_chunks;
    uint32_t frames;       /* free at the start */
    uint32_t pool_max;     /* of the snapshot; 0: no bound */
    uint32_t fail_percent; /* of the disks' requests */
    uint32_t cut_in;       /* a power cut in one of so many steps; 0: never */
    bool starve;           /* frames are taken away and given back */
    bool sync;
    bool fold;      /* both disks through a cache in mode fold; clients ask for frames */
    bool back;      /* with `fold`: writes stay in the cache until they are flushed or old */
    uint32_t start; /* with `fold`: where both disks begin on what they are partitions of */
};

#define CWW_SECTORS 6000u

struct cww_result {
    uint64_t cuts, chunks, merges, starved, full, flushes, failed;
    uint64_t areas; /* of the overlay that were entered, the most in one life */
    uint64_t given; /* chunks that the store's cache holds in the client's own frame */
    uint64_t base_held, store_held, zero_held; /* frames that clients were given */
};

/* Runs until the stream ends or `steps` are done, drains, compares everything, audits. */
struct cww_result cww_run(const struct cww_options *o, struct picks picks, unsigned steps);

#endif
