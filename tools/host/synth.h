/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Synthetic sequences of block reads, the same for the same seed.
 *
 *     zipf:S      independent reads, the k-th most popular block with probability ~ 1 / k^S
 *     scan        zipf:1.0; and each time that as many reads have gone by as it has blocks, half as
 *                 many blocks of a cold area of four times its size are read in a row, once
 *     loop        all blocks in order, again and again
 */
#ifndef TOOLS_HOST_SYNTH_H
#define TOOLS_HOST_SYNTH_H

#include "base/types.h"

struct synth {
    uint32_t blocks;
    uint64_t random, step;
    double *sums; /* Zipf: of the probabilities, blocks of them; NULL for the loop */
    bool scans;
    uint32_t scan_at; /* in the cold area */
    uint32_t scan_left;
};

/* False when the name is none of the above. `blocks`, at least 2: popular ones, or of the loop. */
bool synth_make(struct synth *s, const char *name, uint32_t blocks, uint64_t seed);
/* The next block, below synth_blocks. */
uint32_t synth_next(struct synth *s);
uint32_t synth_blocks(const struct synth *s);
void synth_free(struct synth *s);

#endif
