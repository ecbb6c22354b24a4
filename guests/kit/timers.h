/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's timers, all as fast as they can be set. */
#ifndef GUESTS_KIT_TIMERS_H
#define GUESTS_KIT_TIMERS_H

#include "kit.h"

/* Starts the PIT, the RTC (vectors 32 and 40) and the local APIC's timer, periodic, with their
 * shortest periods; leaves interrupts off. */
void timers_fastest(void);
/* For kit_on_irq: acknowledges an interrupt of one of them, or of the local APIC. */
void timers_on_irq(unsigned vector);

#endif
