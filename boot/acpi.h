/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host needs from the firmware's ACPI tables: how to turn the machine off and reset it,
 * and which interrupt controllers there are. No AML interpreter: the S5 sleep type is found by a
 * bounded search for its package in the DSDT. The tables are input like any other: checked lengths
 * and checksums, bounded loops.
 */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "base/status.h"
#include "base/types.h"

#define ACPI_MAX_IOAPICS 16
#define ACPI_MAX_TABLE (1u << 20) /* bytes of one table that we look at */

struct acpi_info {
    /* FADT; 0 where there is none. */
    uint16_t pm1a_cnt, pm1b_cnt, smi_cmd;
    uint8_t acpi_enable;
    uint16_t sci_irq;
    uint16_t reset_port; /* only a reset register in I/O space counts */
    uint8_t reset_value;
    /* DSDT */
    bool has_s5;
    uint8_t slp_typa, slp_typb;
    /* MADT */
    bool has_madt, has_pic;
    uint64_t lapic;
    unsigned n_cpus; /* enabled processors */
    unsigned n_ioapics;
    struct {
        uint32_t address, gsi_base;
        uint8_t id;
    } ioapic[ACPI_MAX_IOAPICS];
};

struct acpi_reader {
    /* `len` bytes of physical memory, valid until the next call; NULL when they cannot be had. */
    const void *(*view)(void *ctx, uint64_t at, uint64_t len);
    void *ctx;
};

/*
 * Reads the tables that the RSDP (`rsdp_len` bytes: 20 for ACPI 1.0, else 36) leads to. A broken
 * or missing FADT, DSDT or MADT leaves its fields zero and is named in *why (else NULL) while the
 * others are still read. E_INVAL: no usable RSDP or root table; *out is all zero then.
 */
enum status acpi_parse(const void *rsdp, size_t rsdp_len, const struct acpi_reader *r,
                       struct acpi_info *out, const char **why) MUST_CHECK;

#endif
