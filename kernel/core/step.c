/* SPDX-License-Identifier: BSD-2-Clause */
/* Deadlines of steps, and the longest step: see step.h. */
#include "kernel/core/step.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/tsc.h"
#include "base/bits.h"
#include "base/log.h"

static PERCPU struct step_cpu {
    uint64_t max_ns, said_ns; /* the longest step on it; the length that was told last */
} step_cpu = {.said_ns = STEP_BOUND_NS};

static uint64_t now(void *ctx)
{
    (void)ctx;
    return rdtsc();
}

struct deadline step_begin(void)
{
    static uint64_t ticks; /* the machine's: STEP_NS */

    if (ticks == 0) {
        ticks = clock_ns_to_ticks(STEP_NS);
    }
    return (struct deadline){.now_ns = now, .end_ns = rdtsc() + ticks};
}

struct deadline step_begin_of(uint64_t ns)
{
    return (struct deadline){.now_ns = now, .end_ns = rdtsc() + clock_ns_to_ticks(ns)};
}

void step_note(const char *what, const char *whose, uint64_t ns)
{
    struct step_cpu *cpu = this_cpu(step_cpu);

    cpu->max_ns = MAX(cpu->max_ns, ns);
    if (ns <= cpu->said_ns) {
        return;
    }
#ifdef PAGEFOLD_DEBUG
    panic("a step took %llu us: %s%s%s", (unsigned long long)ns / 1000, what, whose ? " of " : "",
          whose ? whose : "");
#else
    cpu->said_ns = 2 * ns; /* a few lines in all, however it goes on */
    log_warn("a step took %llu us: %s%s%s", (unsigned long long)ns / 1000, what,
             whose ? " of " : "", whose ? whose : "");
#endif
}

uint64_t step_max_ns(void)
{
    return this_cpu(step_cpu)->max_ns;
}
