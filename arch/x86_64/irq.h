/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's interrupts as the hypervisor takes them: 16 PIC lines and the timer.
 *
 * The hypervisor runs with interrupts off. Its loop opens a window where it suits it, and handlers
 * run there and nowhere else: they may touch what the loop touches, but should only note the event.
 */
#ifndef ARCH_IRQ_H
#define ARCH_IRQ_H

#include "base/status.h"
#include "base/types.h"

#define IRQ_LINES 16

/* Remaps the PICs, everything masked, and sets up the local APIC. After paging_init. */
void irq_init(void);

/*
 * Calls fn(ctx) at each interrupt of the line, and unmasks it. Several handlers may share a line:
 * all are called. E_RANGE: no such line; E_NOMEM: the line has as many handlers as it can.
 */
enum status irq_register(unsigned line, void (*fn)(void *ctx), void *ctx) MUST_CHECK;

/*
 * From now on only `line` is handled. An interrupt of another is noted and its line masked, until
 * irq_release calls its handlers. The timer goes on. Not nested.
 */
void irq_hold(unsigned line);
void irq_release(void);

/* Takes what is pending; returns with interrupts off. */
void irq_window(void);
/* Sleeps until an interrupt comes, takes it, and returns with interrupts off. One that is already
 * pending is not slept over. */
void irq_idle(void);

/* From trap.c, for every vector from 32 on. */
void irq_dispatch(unsigned vector);

#endif
