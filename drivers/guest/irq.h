/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How device models raise interrupts: a level on an ISA line (to the PIC), or a message (MSI, to
 * the local APIC it names). Both are handed to a model when it is made, so that tests can listen.
 */
#ifndef DRIVERS_GUEST_IRQ_H
#define DRIVERS_GUEST_IRQ_H

#include "base/types.h"

struct irq_sink {
    /* Sets the level of ISA line 0..15. */
    void (*set_line)(void *ctx, unsigned line, bool level);
    /* A memory write to the 0xfeexxxxx range: SDM vol. 3, 11.11 (message signalled interrupts). */
    void (*message)(void *ctx, uint64_t addr, uint32_t data);
    void *ctx;
};

#endif
