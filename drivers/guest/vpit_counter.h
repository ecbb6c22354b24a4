/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How an 8254 channel counts, as a function of time in its own ticks (Intel 8254 data sheet, "Mode
 * definitions"). A count written at tick t is loaded by the next clock pulse, t + 1.
 */
#ifndef DRIVERS_GUEST_VPIT_COUNTER_H
#define DRIVERS_GUEST_VPIT_COUNTER_H

#include "drivers/guest/vpit.h"

/* A new count as written (0 means 65536, or 10000 in BCD). */
void vpit_load(struct vpit_channel *c, uint64_t tick, uint16_t value);
void vpit_set_gate(struct vpit_channel *c, uint64_t tick, bool gate);
/* Lets a count that was waiting for the end of the period take over. */
void vpit_settle(struct vpit_channel *c, uint64_t tick);
/* The counter, the OUT pin and the null-count flag at `tick`. */
uint16_t vpit_value(struct vpit_channel *c, uint64_t tick);
bool vpit_out(struct vpit_channel *c, uint64_t tick);
bool vpit_null_count(struct vpit_channel *c, uint64_t tick);
/* The first tick after `tick` at which OUT rises, or UINT64_MAX. */
uint64_t vpit_next_edge(struct vpit_channel *c, uint64_t tick);

#endif
