/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time: nanoseconds since boot from the TSC, and the host's one timer interrupt.
 *
 * The interrupt's handler does nothing: it is there to end a HLT or a guest's run at that moment.
 */
#ifndef ARCH_CLOCK_H
#define ARCH_CLOCK_H

#include "base/types.h"

#define CLOCK_NEVER UINT64_MAX

/*
 * Measures the TSC and, if it is needed, the APIC timer against the PIT, about 100 ms. After
 * irq_init. False, with the reason in `why`, when the TSC cannot be used.
 */
bool clock_init(char *why, size_t n);

/* Nanoseconds since clock_init's start; 0 before. */
uint64_t clock_now_ns(void);
uint64_t clock_tsc_khz(void);

/* Between points in time: a TSC value, and nanoseconds since boot. They saturate at both ends. */
uint64_t clock_ns_to_tsc(uint64_t ns);
uint64_t clock_tsc_to_ns(uint64_t tsc);
/* Between durations. */
uint64_t clock_ns_to_ticks(uint64_t ns);
uint64_t clock_ticks_to_ns(uint64_t ticks);

/*
 * One interrupt at or shortly after deadline_ns (since boot), in place of the one asked for before;
 * CLOCK_NEVER: none. A deadline that has passed fires at once. Without a TSC deadline timer a far
 * one may fire early. Cheap when the deadline is the one already armed.
 */
void clock_arm(uint64_t deadline_ns);

#endif
