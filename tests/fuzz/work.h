/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much the code under test works for an input, and that it is bounded.
 *
 * The code under test (and neither the fuzzers nor the tests' worlds) is compiled with counters of
 * its regions (-fprofile-instr-generate): each counts how often a piece of straight code, as the
 * body of a loop, has run. Their sum is the work: exact, the same on any machine, and blind to
 * nothing but the inside of memcpy and memset. What a disk is asked to move or clear is counted
 * beside it.
 *
 * Oracles use the code under test too: what they do is left out (work.h).
 */
#ifndef TESTS_FUZZ_WORK_H
#define TESTS_FUZZ_WORK_H

#include "work_disk.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* LLVM's, compiler-rt/lib/profile/InstrProfiling.h: all counters of this program. */
uint64_t *__llvm_profile_begin_counters(void);
uint64_t *__llvm_profile_end_counters(void);

static uint64_t work_at_begin, work_left_out, work_aside_at;

__attribute__((no_sanitize("address", "undefined"))) static inline uint64_t work_sum(void)
{
    uint64_t sum = work_disk_sectors;

    for (const uint64_t *c = __llvm_profile_begin_counters(); c < __llvm_profile_end_counters();
         c++) {
        sum += *c;
    }
    return sum;
}

static inline void work_turn_aside(bool on)
{
    if (on) {
        work_aside_at = work_sum();
    } else {
        work_left_out += work_sum() - work_aside_at;
    }
}

/* Each input's work begins here. */
static inline void work_begin(void)
{
    work_aside = work_turn_aside;
    work_left_out = 0;
    work_at_begin = work_sum();
}

/* And ends here: at most `fixed` for the rig, and `per_byte` for each byte of the input. */
static inline void work_end(size_t bytes, uint64_t fixed, uint64_t per_byte)
{
    uint64_t work = work_sum() - work_at_begin - work_left_out, most = fixed + per_byte * bytes;

#ifdef WORK_REPORT
    static uint64_t seen_fixed, seen_per_byte;
    if (work > seen_fixed && bytes < 4) {
        seen_fixed = work;
        fprintf(stderr, "WORK fixed %llu\n", (unsigned long long)work);
    }
    if (bytes > 0 && work / bytes > seen_per_byte && bytes >= 64) {
        seen_per_byte = work / bytes;
        fprintf(stderr, "WORK bytes %zu work %llu: %llu\n", bytes, (unsigned long long)work,
                (unsigned long long)seen_per_byte);
    }
#endif
    if (work > most) {
        fprintf(stderr, "work without bound: %llu for %zu bytes, at most %llu\n",
                (unsigned long long)work, bytes, (unsigned long long)most);
        abort();
    }
}

/* The fuzzer: run(data, size), with a bound on the work for each input. */
#define FUZZ_ENTRY(run, fixed, per_byte)                                                           \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);                                  \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                   \
    {                                                                                              \
        work_begin();                                                                              \
        int ignored = run(data, size);                                                             \
        work_end(size, fixed, per_byte);                                                           \
        return ignored;                                                                            \
    }

#endif
