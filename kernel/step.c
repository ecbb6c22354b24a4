/* SPDX-License-Identifier: BSD-2-Clause */
/* Deadlines of steps: see step.h. */
#include "kernel/step.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"

static uint64_t now(void *ctx)
{
    (void)ctx;
    return rdtsc();
}

struct deadline step_begin(void)
{
    static uint64_t ticks;

    if (ticks == 0) {
        ticks = clock_ns_to_ticks(STEP_NS);
    }
    return (struct deadline){.now_ns = now, .end_ns = rdtsc() + ticks};
}
