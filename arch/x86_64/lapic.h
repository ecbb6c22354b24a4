/* SPDX-License-Identifier: BSD-2-Clause */
/* This CPU's local APIC: virtual wire for the PIC, the spurious vector, the timer. SDM vol. 3, 11.
 */
#ifndef ARCH_LAPIC_H
#define ARCH_LAPIC_H

#include "arch/x86_64/irq.h"

/* Works in xAPIC mode and, where the firmware turned it on, in x2APIC mode. Panics without one. */
void host_lapic_init(void);
/* For the vectors that it delivers of its own or as messages: they have no mask there. */
extern const struct irq_chip host_lapic_chip;
/* Whether the timer can take an absolute TSC (CPUID.1:ECX.TSC_DEADLINE). */
bool host_lapic_has_tsc_deadline(void);

/* The timer, one-shot at a divider of 1: `count` of its own ticks from now; 0 stops it. */
void host_lapic_timer_oneshot(uint32_t count);
uint32_t host_lapic_timer_left(void);
/* The timer at this TSC value, once; 0 stops it; one in the past fires at once. */
void host_lapic_timer_deadline(uint64_t tsc);
/* Chooses between the two; the timer is stopped. */
void host_lapic_timer_mode(bool deadline);

#endif
