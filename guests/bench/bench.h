/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples in ticks of the guest's own TSC, and the line of figures that each series ends in. */
#ifndef BENCH_H
#define BENCH_H

#include "kit.h"

#define SAMPLES_MAX 4096u

/* Takes one sample: the ticks from before `body` to after it, the RDTSC pair's own included. */
#define BENCH_SAMPLE(body)                                                                         \
    do {                                                                                           \
        uint64_t bench_start = rdtsc();                                                            \
        body;                                                                                      \
        bench_add(rdtsc() - bench_start);                                                          \
    } while (0)

void bench_add(uint64_t ticks);
/* Prints "BENCH name n mean median min p99", and forgets the samples. */
void bench_report(const char *name);

/* Reads 4 KiB blocks from the first virtio-blk disk. False, after a line that says why, if it
 * cannot. */
bool bench_disk(void);
/* These, and larger reads, writes, and stores to pages that a read has filled. */
bool bench_disk_all(void);

#endif
