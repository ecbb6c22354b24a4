/* SPDX-License-Identifier: BSD-2-Clause */
/* The time stamp counter: arch/x86_64/clock.h says what its ticks are worth. */
#ifndef ARCH_TSC_H
#define ARCH_TSC_H

#include "base/types.h"

/* RDTSC clears the upper halves of RAX and RDX. */
static inline uint64_t rdtsc(void)
{
    uint64_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return hi << 32 | lo;
}

#endif
