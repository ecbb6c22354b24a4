/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of device models: a clock that stands still until told, and a listener to interrupts.
 */
#ifndef TESTS_HOST_SUPPORT_WORLD_PLATFORM_H
#define TESTS_HOST_SUPPORT_WORLD_PLATFORM_H

#include "base/timer.h"
#include "base/types.h"
#include "drivers/guest/irq.h"

extern uint64_t fake_ns;
uint64_t fake_now(void);
/* Moves the clock, running every timer on the way at its own moment. */
void fake_advance(struct timerq *q, uint64_t ns);

struct fake_irqs {
    bool level[16];
    unsigned rises[16];
    unsigned messages;
    uint64_t addr; /* the last message */
    uint32_t data;
};

struct irq_sink fake_sink(struct fake_irqs *f);

#endif
