/* SPDX-License-Identifier: BSD-2-Clause */
/* Lays out a guest's ACPI tables in one buffer (ACPI 6.4, sections 5.2.5 to 5.2.12). */
#include "drivers/guest/vacpi_tables.h"

#include "base/bits.h"
#include "base/string.h"
#include "drivers/guest/vacpi_pm.h"
#include "drivers/guest/vioapic.h"
#include "drivers/guest/vlapic.h"
#include "drivers/guest/vrtc_time.h"
#include "dsdt.h" /* made from guests/acpi/dsdt.asl: dsdt_aml_code */

#define HEADER_BYTES 36u
#define RSDP_BYTES 36u
#define FACS_BYTES 64u
#define FADT_BYTES 276u
#define XSDT_TABLES 2u
#define MADT_LAPIC_BYTES 8u
#define MADT_NMI_BYTES 6u
#define MADT_IOAPIC_BYTES 12u
#define MADT_OVERRIDE_BYTES 10u
#define MADT_OVERRIDES 4u
#define TABLE_ALIGN 64u

/* FADT fields (ACPI 6.4, table 5.9) */
#define FADT_FACS 36
#define FADT_DSDT 40
#define FADT_PM_PROFILE 45
#define FADT_SCI 46
#define FADT_PM1A_EVT 56
#define FADT_PM1A_CNT 64
#define FADT_PM_TMR 76
#define FADT_PM1_EVT_LEN 88
#define FADT_PM1_CNT_LEN 89
#define FADT_PM_TMR_LEN 91
#define FADT_C2_LATENCY 96
#define FADT_C3_LATENCY 98
#define FADT_CENTURY 108
#define FADT_BOOT_ARCH 109
#define FADT_FLAGS 112
#define FADT_RESET_REG 116
#define FADT_RESET_VALUE 128
#define FADT_MINOR 131
#define FADT_X_DSDT 140
#define FADT_X_PM1A_EVT 148
#define FADT_X_PM1A_CNT 172
#define FADT_X_PM_TMR 208

#define BOOT_ARCH_LEGACY 0x01u /* there are ISA devices; bit 1 clear: no keyboard controller */
#define BOOT_ARCH_NO_VGA 0x04u
#define BOOT_ARCH_NO_ASPM 0x10u
#define FLAG_WBINVD 0x0001u
#define FLAG_PROC_C1 0x0004u
#define FLAG_SLP_BUTTON 0x0020u /* no fixed sleep button */
#define FLAG_TMR_VAL_EXT 0x0100u
#define FLAG_RESET_REG 0x0400u
#define NO_C2 0x65 /* latencies that say: there is no such state */
#define NO_C3 0x3e9

#define GAS_IO 1
#define MADT_PCAT_COMPAT 1u

/* Where the tables go in the buffer. */
struct layout {
    uint32_t rsdp, xsdt, fadt, facs, madt, madt_bytes, dsdt, end;
};

static void lay_out(struct layout *l, unsigned n_cpus)
{
    uint32_t at = 0;

    l->rsdp = at;
    at = (uint32_t)ALIGN_UP(at + RSDP_BYTES, TABLE_ALIGN);
    l->xsdt = at;
    at = (uint32_t)ALIGN_UP(at + HEADER_BYTES + 8 * XSDT_TABLES, TABLE_ALIGN);
    l->facs = at;
    at += FACS_BYTES;
    l->fadt = at;
    at = (uint32_t)ALIGN_UP(at + FADT_BYTES, TABLE_ALIGN);
    l->madt = at;
    l->madt_bytes = HEADER_BYTES + 8 + n_cpus * MADT_LAPIC_BYTES + MADT_IOAPIC_BYTES +
                    MADT_OVERRIDES * MADT_OVERRIDE_BYTES + MADT_NMI_BYTES;
    at = (uint32_t)ALIGN_UP(at + l->madt_bytes, TABLE_ALIGN);
    l->dsdt = at;
    l->end = at + (uint32_t)sizeof(dsdt_aml_code);
}

/* The byte that makes the sum of n bytes, of which it is one and 0 now, 0. */
static uint8_t checksum(const uint8_t *p, size_t n)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    return (uint8_t)-sum;
}

static void put_header(uint8_t *t, const char *signature, uint32_t len, uint8_t revision)
{
    memcpy(t, signature, 4);
    store_le32(t + 4, len);
    t[8] = revision;
    memcpy(t + 10, "PGFOLD", 6);
    memcpy(t + 16, "PAGEFOLD", 8);
    store_le32(t + 24, 1);
    memcpy(t + 28, "PGFD", 4);
    store_le32(t + 32, 1);
}

static void seal(uint8_t *t)
{
    t[9] = 0;
    t[9] = checksum(t, load_le32(t + 4));
}

/* A generic address structure for an I/O port. */
static void put_gas(uint8_t *p, uint16_t port, uint8_t bits, uint8_t access)
{
    p[0] = GAS_IO;
    p[1] = bits;
    p[2] = 0;
    p[3] = access; /* 1: bytes, 2: words, 3: dwords */
    store_le64(p + 4, port);
}

static void put_rsdp(uint8_t *t, uint64_t xsdt)
{
    memcpy(t, "RSD PTR ", 8);
    memcpy(t + 9, "PGFOLD", 6);
    t[15] = 2; /* no RSDT: everything is in the XSDT */
    store_le32(t + 20, RSDP_BYTES);
    store_le64(t + 24, xsdt);
    t[8] = checksum(t, 20);
    t[32] = checksum(t, RSDP_BYTES);
}

static void put_fadt(uint8_t *t, uint32_t facs, uint32_t dsdt)
{
    put_header(t, "FACP", FADT_BYTES, 6);
    store_le32(t + FADT_FACS, facs);
    store_le32(t + FADT_DSDT, dsdt);
    t[FADT_PM_PROFILE] = 4; /* an enterprise server */
    store_le16(t + FADT_SCI, VACPI_PM_SCI);
    /* No SMI command port: the machine is in ACPI mode from the start. */
    store_le32(t + FADT_PM1A_EVT, VACPI_PM_EVT_PORT);
    store_le32(t + FADT_PM1A_CNT, VACPI_PM_CNT_PORT);
    store_le32(t + FADT_PM_TMR, VACPI_PM_TMR_PORT);
    t[FADT_PM1_EVT_LEN] = 4;
    t[FADT_PM1_CNT_LEN] = 2;
    t[FADT_PM_TMR_LEN] = 4;
    store_le16(t + FADT_C2_LATENCY, NO_C2);
    store_le16(t + FADT_C3_LATENCY, NO_C3);
    t[FADT_CENTURY] = VRTC_CENTURY;
    store_le16(t + FADT_BOOT_ARCH, BOOT_ARCH_LEGACY | BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM);
    store_le32(t + FADT_FLAGS, FLAG_WBINVD | FLAG_PROC_C1 | FLAG_SLP_BUTTON | FLAG_TMR_VAL_EXT |
                                   FLAG_RESET_REG); /* FIX_RTC is 0: RTC_STS is there */
    put_gas(t + FADT_RESET_REG, VACPI_PM_RESET_PORT, 8, 1);
    t[FADT_RESET_VALUE] = VACPI_PM_RESET_VALUE;
    t[FADT_MINOR] = 4;
    /* X_FIRMWARE_CTRL stays 0: the FACS is named by the 32-bit field, and only one may be. */
    store_le64(t + FADT_X_DSDT, dsdt);
    put_gas(t + FADT_X_PM1A_EVT, VACPI_PM_EVT_PORT, 32, 2);
    put_gas(t + FADT_X_PM1A_CNT, VACPI_PM_CNT_PORT, 16, 2);
    put_gas(t + FADT_X_PM_TMR, VACPI_PM_TMR_PORT, 32, 3);
    seal(t);
}

static void put_facs(uint8_t *t)
{
    memcpy(t, "FACS", 4);
    store_le32(t + 4, FACS_BYTES);
    t[32] = 2; /* version; there is no checksum */
}

/* How an ISA line reaches the I/O APIC where it is not "input of the same number, edge, high". */
static uint8_t *put_override(uint8_t *p, uint8_t line, uint32_t input, uint16_t flags)
{
    p[0] = 2;
    p[1] = MADT_OVERRIDE_BYTES;
    p[2] = 0; /* ISA */
    p[3] = line;
    store_le32(p + 4, input);
    store_le16(p + 8, flags);
    return p + MADT_OVERRIDE_BYTES;
}

static void put_madt(uint8_t *t, uint32_t len, unsigned n_cpus)
{
    uint8_t *p = t + HEADER_BYTES + 8;

    put_header(t, "APIC", len, 5);
    store_le32(t + HEADER_BYTES, VLAPIC_DEFAULT_BASE);
    store_le32(t + HEADER_BYTES + 4, MADT_PCAT_COMPAT);
    for (unsigned i = 0; i < n_cpus; i++) {
        p[0] = 0; /* processor local APIC */
        p[1] = MADT_LAPIC_BYTES;
        p[2] = (uint8_t)i;    /* ACPI processor UID */
        p[3] = (uint8_t)i;    /* APIC id */
        store_le32(p + 4, 1); /* enabled */
        p += MADT_LAPIC_BYTES;
    }
    p[0] = 1; /* I/O APIC */
    p[1] = MADT_IOAPIC_BYTES;
    store_le32(p + 4, VIOAPIC_BASE);
    p += MADT_IOAPIC_BYTES; /* its id and first interrupt are 0 */
    p = put_override(p, 0, VIOAPIC_TIMER_INPUT, 0);
    p = put_override(p, VACPI_PM_SCI, VACPI_PM_SCI, 0xd); /* level, high */
    p = put_override(p, 10, 10, 0xd);                     /* PCI's lines, likewise */
    p = put_override(p, 11, 11, 0xd);
    p[0] = 4; /* local APIC NMI */
    p[1] = MADT_NMI_BYTES;
    p[2] = 0xff; /* on all processors */
    store_le16(p + 3, 0);
    p[5] = 1; /* LINT1; LINT0 is the PIC's */
    seal(t);
}

enum status acpi_tables_build(void *buf, size_t size, gpa_t base, unsigned n_cpus, gpa_t *rsdp)
{
    uint8_t *t = buf;
    uint32_t at = (uint32_t)base.a;
    struct layout l;

    if (n_cpus == 0 || n_cpus > ACPI_TABLES_MAX_CPUS || base.a % TABLE_ALIGN != 0) {
        return E_INVAL;
    }
    lay_out(&l, n_cpus);
    if (l.end > size) {
        return E_NOMEM;
    }
    if (!range_within(base.a, l.end, UINT64_C(1) << 32)) {
        return E_INVAL;
    }
    memset(t, 0, l.end);
    put_facs(t + l.facs);
    put_fadt(t + l.fadt, at + l.facs, at + l.dsdt);
    put_madt(t + l.madt, l.madt_bytes, n_cpus);
    memcpy(t + l.dsdt, dsdt_aml_code, sizeof(dsdt_aml_code));
    put_header(t + l.xsdt, "XSDT", HEADER_BYTES + 8 * XSDT_TABLES, 1);
    store_le64(t + l.xsdt + HEADER_BYTES, at + l.fadt);
    store_le64(t + l.xsdt + HEADER_BYTES + 8, at + l.madt);
    seal(t + l.xsdt);
    put_rsdp(t + l.rsdp, at + l.xsdt);
    *rsdp = GPA(at + l.rsdp);
    return OK;
}
