/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record of the requests that reach the disk cache, for replaying them elsewhere.
 *
 * A ring of fixed size: what finds it full is counted and not kept. Blocks are those of the cache,
 * 4 KiB of a leaf disk. Pure; locking as the cache.
 */
#ifndef DRIVERS_BLOCK_CACHE_TRACE_H
#define DRIVERS_BLOCK_CACHE_TRACE_H

#include "base/types.h"

/* Bytes of a record as text, its NUL included. */
#define BLKTRACE_TEXT 96u

enum blktrace_op { BLKTRACE_READ, BLKTRACE_WRITE, BLKTRACE_DROP };

struct blktrace_record {
    uint64_t t_us;   /* since boot */
    uint64_t block;  /* the first one that the request touches */
    uint32_t blocks; /* how many */
    uint32_t disk;
    uint16_t vm; /* 0: nobody's; an overlay reads its own tables */
    uint8_t op;  /* enum blktrace_op; discards and zeroes are DROP */
};

struct blktrace {
    struct blktrace_record *ring;
    uint32_t n_max, first, n;
    uint64_t lost; /* did not fit */
    uint64_t (*now_ns)(void);
};

/* Memory for blktrace_init. */
static inline uint64_t blktrace_bytes(uint32_t n_max)
{
    return (uint64_t)n_max * sizeof(struct blktrace_record);
}

/* An empty record of at most n_max requests, at least 1, in `mem`, 8-aligned. */
void blktrace_init(struct blktrace *t, void *mem, uint32_t n_max, uint64_t (*now_ns)(void));
/* Notes a request; the time is filled in here. */
void blktrace_add(struct blktrace *t, struct blktrace_record r);
/* Takes the oldest one out; false when there is none. */
bool blktrace_take(struct blktrace *t, struct blktrace_record *out);
/* As a line without its end, "T_US VM DISK BLOCK BLOCKS OP", OP being r, w or d; returns its
 * length. */
size_t blktrace_text(const struct blktrace_record *r, char *buf, size_t size);

#endif
