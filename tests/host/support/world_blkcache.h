/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A world for testing the cached block device: clients on three views of one disk (whole, and two
 * partitions that do not begin on a block), a disk that completes late, out of order, torn or not
 * at all, and a flat oracle that knows for each sector which contents a read may return.
 *
 * Every decision is taken from a stream of numbers, random or a fuzzer's. A broken rule aborts.
 */
#ifndef TESTS_HOST_SUPPORT_WORLD_BLKCACHE_H
#define TESTS_HOST_SUPPORT_WORLD_BLKCACHE_H

#include "drivers/block/cache/cache.h"

struct bcw_source {
    /* A number below n; false when the stream has ended. */
    bool (*next)(void *ctx, uint32_t n, uint32_t *out);
    void *ctx;
};

struct bcw_options {
    uint32_t n_jobs, n_ios; /* pools of blkcache */
    uint32_t cache_frames;  /* frames free at the start */
    uint32_t cache_max;
    uint32_t fail_percent; /* of lower requests */
    bool sync;             /* the disk completes inside submit */
    uint32_t readahead;    /* pages, at most */
    bool steps;            /* accounts have queues, and deadlines; pools of 3 or more then */
    bool back;             /* writes are sometimes written back; else they always go through */
};

/* Runs until the stream ends or `steps` are done, drains, audits. Returns the cache's counters. */
struct cache_stats bcw_run(const struct bcw_options *o, struct bcw_source src, unsigned steps);

#endif
