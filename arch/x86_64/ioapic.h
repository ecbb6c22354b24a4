/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APICs, which are not used: interrupts come through the PIC. */
#ifndef ARCH_IOAPIC_H
#define ARCH_IOAPIC_H

#include "boot/acpi.h"

/*
 * Masks every pin of every I/O APIC that the MADT names, so that nothing the firmware left there
 * reaches a CPU beside the PIC's line (an ExtINT pin would acknowledge each interrupt twice).
 */
void ioapic_mask_all(const struct acpi_info *info);

#endif
