/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk for tests of what is stacked over one: requests complete late and out of order, fail torn,
 * and a power cut leaves, of each sector written since the last completed flush, any version or
 * none. Every decision is taken from a stream of numbers. A broken rule aborts.
 */
#ifndef TESTS_HOST_SUPPORT_FAKE_LOSSY_H
#define TESTS_HOST_SUPPORT_FAKE_LOSSY_H

#include "drivers/block/blk.h"
#include "require.h"

/* The stream: random or a fuzzer's. Once it has ended, every number is 0. */
struct picks {
    bool (*next)(void *ctx, uint32_t n, uint32_t *out); /* below n; false: the stream has ended */
    void *ctx;
    bool ended;
};

uint32_t pick(struct picks *p, uint32_t n);

#define LOSSY_PENDING 64

/* A version of a sector that is not certain to be on the disk. */
struct lossy_version {
    uint64_t sector;
    const struct blk_req *req; /* NULL once it has completed */
    uint64_t done;             /* when */
    uint8_t data[BLK_SECTOR];
};

struct lossy {
    struct blk_dev dev; /* must be first */
    struct picks *picks;
    uint8_t *window;
    uint8_t *now;  /* what reads return */
    uint8_t *safe; /* what a power cut cannot take */
    struct lossy_version *versions;
    size_t n_versions, room;
    struct blk_req *pending[LOSSY_PENDING];
    uint64_t submitted[LOSSY_PENDING]; /* when */
    unsigned n_pending;
    uint64_t clock;
    unsigned fail_percent;
    uint64_t bad, n_bad; /* sectors that cannot be read */
    bool sync;           /* completes inside submit */
    bool dead;           /* the power is off: every request fails, and nothing is done */
    uint64_t n_writes, n_flushes, n_reads;
    uint64_t n_read_sectors;
};

/* A disk of zeroes, without abilities; the caller may set read_only, id, can_zero. */
/* Moves the first n sectors of a read, a write or a request for zeroes (or a discard, which makes
 * some here) between the disk's bytes and memory, whose address 0 is at window. */
void lossy_move(uint8_t *disk, uint8_t *window, const struct blk_req *r, uint64_t n);

void lossy_init(struct lossy *d, const char *name, uint64_t sectors, uint8_t *window,
                struct picks *picks);
void lossy_free(struct lossy *d);
/* Completes one of the pending requests, if there is any. */
void lossy_step(struct lossy *d);
/* The power goes off and comes back: nothing is pending, and the disk holds what it happened to. */
void lossy_cut(struct lossy *d);

#endif
