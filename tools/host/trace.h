/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A trace of block requests, from a file or made up, as a sequence of uses of numbered blocks.
 *
 * The file is text. A line is `T_US VM DISK BLOCK BLOCKS OP`: microseconds, the VM's number, the
 * disk's, the first block of 4 KiB and how many, and r (read), w (write) or d (discard, zeroes).
 * Lines that begin with # are comments. drivers/block/cache/trace prints such lines.
 */
#ifndef TOOLS_HOST_TRACE_H
#define TOOLS_HOST_TRACE_H

#include "base/types.h"

#include <stdio.h>

struct trace_use {
    uint32_t id; /* of (disk, block), from 0, in order of first use */
    char op;     /* r, w or d */
};

struct trace {
    struct trace_use *uses;
    size_t n, reads;
    uint32_t n_ids;  /* distinct blocks */
    uint32_t n_read; /* of these, read at least once */
    uint64_t requests;
};

/* NULL, or what is wrong with line *line. */
const char *trace_read(struct trace *t, FILE *f, unsigned *line);
/* `reads` reads of a synthetic sequence (tools/host/synth.h); false when there is none so called.
 */
bool trace_make(struct trace *t, const char *name, uint32_t blocks, size_t reads, uint64_t seed);
void trace_free(struct trace *t);

#endif
