/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 82093AA I/O APIC: 24 inputs, each with a redirection entry, at 0xfec00000.
 *
 * Interrupts leave as messages to the local APICs (irq_sink.message). A level-triggered input that
 * was delivered waits (remote IRR) for vioapic_eoi of its vector, then is looked at again. ISA line
 * n is input n, but for line 0, the timer, which is input 2, as the MADT says. Input 0 is the PIC's
 * INTR, for an entry with delivery mode ExtINT: the processor then takes the vector from the PIC,
 * so the message says only that there is one. Lines are active when set, whatever polarity an entry
 * names: what is wired here has only one. An edge on a masked input is lost.
 */
#ifndef DRIVERS_GUEST_VIOAPIC_H
#define DRIVERS_GUEST_VIOAPIC_H

#include "base/status.h"
#include "base/types.h"
#include "drivers/guest/iobus.h"
#include "drivers/guest/irq.h"

#define VIOAPIC_BASE 0xfec00000u
#define VIOAPIC_INPUTS 24u
#define VIOAPIC_TIMER_INPUT 2u

struct vioapic {
    uint64_t entries[VIOAPIC_INPUTS];
    uint32_t lines; /* levels of the inputs */
    uint32_t select, id;
    struct irq_sink irqs;
};

/* After power-up: everything masked. */
void vioapic_init(struct vioapic *a, const struct irq_sink *irqs);
/* Puts its registers on the MMIO bus. */
enum status vioapic_attach(struct vioapic *a, struct iobus *mmio) MUST_CHECK;
/* The level of ISA line 0..15. */
void vioapic_set_line(struct vioapic *a, unsigned line, bool level);
/* The level of the PIC's INTR output. */
void vioapic_set_intr(struct vioapic *a, bool level);
/* Whether INTR goes through as ExtINT, and to which local APICs: for vlapic_matches. */
bool vioapic_passes_intr(const struct vioapic *a, uint32_t *dest, bool *logical);
/* Whether some input would be delivered as an NMI. */
bool vioapic_sends_nmi(const struct vioapic *a);
/* A local APIC has ended the interrupt of this vector, which came as level-triggered. */
void vioapic_eoi(struct vioapic *a, uint8_t vector);

#endif
