/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's interrupts as the hypervisor takes them: by vector.
 *
 * A vector comes through a chip, which masks and ends it. The machine's lines (ISA numbers) are
 * those of one chip, today the PIC; irq_route says which vector a line has. So a driver that has a
 * line knows no chip, and one that has a message (MSI) will register its vector as any other.
 *
 * The hypervisor runs with interrupts off. Its loop opens a window where it suits it, and handlers
 * run there and nowhere else: they may touch what the loop touches, but should only note the event.
 */
#ifndef ARCH_IRQ_H
#define ARCH_IRQ_H

#include "base/status.h"
#include "base/types.h"

#define IRQ_FIRST_VECTOR 32u /* below are the exceptions: SDM vol. 3, 6.2 */
#define IRQ_VECTORS 256u

/* What interrupts come through. A vector is one of those that irq_add_chip gave it. */
struct irq_chip {
    const char *name;
    /* NULL, both: its interrupts cannot be masked, so they are never held and never spurious. */
    void (*mask)(unsigned vector);
    void (*unmask)(unsigned vector);
    /* Ends the interrupt that was taken. */
    void (*eoi)(unsigned vector);
    /* Whether the interrupt just taken was none; has done what the chip wants then. NULL: never. */
    bool (*is_spurious)(unsigned vector);
    /* The vector of one of the machine's lines; E_RANGE: there is no such line. NULL: it has none
     * of them. */
    enum status (*route)(unsigned line, unsigned *vector);
};

/* Sets up the chips, everything masked. After paging_init. */
void irq_init(void);

/* The vectors [first, first + n) come through this chip, and no longer through another; lines, if
 * it has them, likewise. Before irq_register of one of them. The chip stays the caller's. */
void irq_add_chip(const struct irq_chip *chip, unsigned first, unsigned n);

/* The vector of a line of the machine. E_RANGE: there is no such line. */
enum status irq_route(unsigned line, unsigned *vector) MUST_CHECK;
/*
 * Calls fn(ctx) at each interrupt of the vector, and unmasks it. Several handlers may share it: all
 * are called. E_RANGE: nothing comes by this vector; E_NOMEM: it has as many handlers as it can.
 */
enum status irq_register(unsigned vector, void (*fn)(void *ctx), void *ctx) MUST_CHECK;
/* The same for the vector of a line. */
enum status irq_register_line(unsigned line, void (*fn)(void *ctx), void *ctx) MUST_CHECK;

/*
 * From now on only `vector` is handled, of those that can be masked. An interrupt of another is
 * noted and masked, until irq_release calls its handlers. The timer goes on. Not nested.
 */
void irq_hold(unsigned vector);
void irq_release(void);

/* Takes what is pending; returns with interrupts off. */
void irq_window(void);
/* Sleeps until an interrupt comes, takes it, and returns with interrupts off. One that is already
 * pending is not slept over. */
void irq_idle(void);

/* From trap.c, for every vector from IRQ_FIRST_VECTOR on. */
void irq_dispatch(unsigned vector);

#endif
