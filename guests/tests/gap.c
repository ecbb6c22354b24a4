/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Computes for `ms` milliseconds, and looks at the clock: the longest time that passed between two
 * looks, and which part of the CPU it had, must be within `gap_us` and `share` percent. What a
 * batch of work takes alone is what the quickest one took.
 */
#include "kit.h"

#define BATCH 200u

/* A batch of work; *longest: between two looks at the clock, if it is more. Returns its ticks. */
static uint64_t batch(uint64_t *last, uint64_t *longest)
{
    uint64_t start = *last;

    for (unsigned i = 0; i < BATCH; i++) {
        uint64_t now = rdtsc();
        if (now - *last > *longest) {
            *longest = now - *last;
        }
        *last = now;
    }
    return *last - start;
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t ms = kit_option(boot_params, "ms", 3000);
    uint64_t gap_us = kit_option(boot_params, "gap_us", 25000);
    uint64_t share = kit_option(boot_params, "share", 45);
    uint64_t hz = kit_tsc_hz(), start, last, longest = 0, batches = 0, quickest = UINT64_MAX;

    kit_spin_ms(kit_option(boot_params, "wait", 300)); /* the others are at it by then */
    print("gap: begins\n");
    start = last = rdtsc();
    while (last - start < hz / 1000 * ms) {
        uint64_t took = batch(&last, &longest);
        if (took < quickest) {
            quickest = took;
        }
        batches++;
    }
    uint64_t had = batches * quickest * 100 / (last - start);
    tap_ok(longest <= hz / 1000000 * gap_us, "the longest gap is %lu us of %lu",
           longest / (hz / 1000000), gap_us);
    tap_ok(had >= share, "it had %lu%% of the CPU, of %lu%%", had, share);
}
