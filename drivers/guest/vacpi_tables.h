/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI tables of a guest: RSDP, XSDT, FADT, FACS, MADT, DSDT, for exactly the devices of this
 * folder: legacy PC devices with PIC and I/O APIC, no keyboard controller, no VGA.
 */
#ifndef DRIVERS_GUEST_VACPI_TABLES_H
#define DRIVERS_GUEST_VACPI_TABLES_H

#include "base/status.h"
#include "base/types.h"

#define ACPI_TABLES_MAX_CPUS 255

/*
 * Builds the tables for n_cpus processors (APIC ids 0..n_cpus-1) in buf, which the guest will see
 * at `base` (64-byte aligned, below 4 GiB); *rsdp is the RSDP's address there. E_NOMEM: `size` is
 * too small (8 KiB are enough for 64 CPUs); E_INVAL: n_cpus or base.
 */
enum status acpi_tables_build(void *buf, size_t size, gpa_t base, unsigned n_cpus,
                              gpa_t *rsdp) MUST_CHECK;

#endif
