/* SPDX-License-Identifier: BSD-2-Clause */
/* RSDP -> RSDT or XSDT -> FADT (-> DSDT) and MADT: ACPI 6.5, chapter 5. */
#include "boot/acpi.h"

#include "base/bits.h"
#include "base/string.h"

#define HEADER_BYTES 36u /* of every table: 5.2.6 */
#define HEADER_LENGTH 4  /* offset of the length */
#define MAX_ENTRIES 128u
#define SPACE_IO 1 /* generic address structure, 5.2.3.2 */

static bool sum_is_zero(const uint8_t *p, size_t n)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    return sum == 0;
}

/* A whole table with this signature (NULL: any); NULL when it is not there or not sound. */
static const uint8_t *table(const struct acpi_reader *r, uint64_t at, const char *signature,
                            uint32_t *len)
{
    const uint8_t *t = at ? r->view(r->ctx, at, HEADER_BYTES) : NULL;

    if (!t || (signature && memcmp(t, signature, 4) != 0)) {
        return NULL;
    }
    *len = load_le32(t + HEADER_LENGTH);
    if (*len < HEADER_BYTES || *len > ACPI_MAX_TABLE) {
        return NULL;
    }
    t = r->view(r->ctx, at, *len);
    return t && sum_is_zero(t, *len) ? t : NULL;
}

/* An I/O port out of a FADT field, from the 12-byte extended form at x if that is there. */
static uint16_t port_of(const uint8_t *t, uint32_t len, uint32_t at, uint32_t x)
{
    if (range_within(x, 12, len) && t[x] == SPACE_IO) {
        uint64_t a = load_le64(t + x + 4);
        if (a && a <= UINT16_MAX) {
            return (uint16_t)a;
        }
    }
    if (!range_within(at, 4, len)) {
        return 0;
    }
    uint32_t a = load_le32(t + at);
    return a <= UINT16_MAX ? (uint16_t)a : 0;
}

/* FADT: 5.2.9. Returns the DSDT's address, or 0. */
static uint64_t parse_fadt(const uint8_t *t, uint32_t len, struct acpi_info *out)
{
    uint64_t dsdt = 0;

    if (len < 116) { /* ACPI 1.0's */
        return 0;
    }
    dsdt = load_le32(t + 40);
    out->sci_irq = load_le16(t + 46);
    out->smi_cmd = load_le32(t + 48) <= UINT16_MAX ? load_le16(t + 48) : 0;
    out->acpi_enable = t[52];
    out->pm1a_cnt = port_of(t, len, 64, 172);
    out->pm1b_cnt = port_of(t, len, 68, 184);
    if (len >= 129 && (load_le32(t + 112) & BIT32(10)) && t[116] == SPACE_IO) {
        uint64_t port = load_le64(t + 120);
        out->reset_port = port <= UINT16_MAX ? (uint16_t)port : 0;
        out->reset_value = t[128];
    }
    if (len >= 148 && load_le64(t + 140)) {
        dsdt = load_le64(t + 140);
    }
    return dsdt;
}

/* One AML integer of a package: 20.2.3. */
static bool aml_byte(const uint8_t *p, uint32_t *at, uint32_t end, uint8_t *v)
{
    if (*at >= end) {
        return false;
    }
    switch (p[*at]) {
    case 0x00: /* ZeroOp */
    case 0x01: /* OneOp */
        *v = p[(*at)++];
        return true;
    case 0x0a: /* BytePrefix */
        if (end - *at < 2) {
            return false;
        }
        *v = p[*at + 1];
        *at += 2;
        return true;
    default:
        return false;
    }
}

/* Name (_S5, Package () {SLP_TYPa, SLP_TYPb, ...}): 7.4.2 and 20.2.5. */
static bool parse_s5(const uint8_t *t, uint32_t len, struct acpi_info *out)
{
    for (uint32_t i = HEADER_BYTES + 1; i + 7 < len; i++) {
        if (memcmp(t + i, "_S5_", 4) != 0 || t[i + 4] != 0x12) { /* PackageOp */
            continue;
        }
        /* NameOp stands before, perhaps with a root prefix between. */
        if (t[i - 1] != 0x08 && !(t[i - 1] == '\\' && t[i - 2] == 0x08)) {
            continue;
        }
        uint32_t at = i + 5, extra = t[at] >> 6;
        at += 1 + extra + 1; /* PkgLength, NumElements */
        uint8_t a, b;
        if (!aml_byte(t, &at, len, &a)) {
            continue;
        }
        if (!aml_byte(t, &at, len, &b)) {
            b = a;
        }
        out->slp_typa = a & 7;
        out->slp_typb = b & 7;
        out->has_s5 = true;
        return true;
    }
    return false;
}

/* MADT: 5.2.12. */
static bool parse_madt(const uint8_t *t, uint32_t len, struct acpi_info *out)
{
    if (len < 44) {
        return false;
    }
    out->has_madt = true;
    out->lapic = load_le32(t + 36);
    out->has_pic = load_le32(t + 40) & 1;
    for (uint32_t at = 44; at + 2 <= len && t[at + 1] >= 2 && t[at + 1] <= len - at;
         at += t[at + 1]) {
        const uint8_t *e = t + at;
        uint8_t n = e[1];
        if ((e[0] == 0 && n >= 8 && (e[4] & 1)) || (e[0] == 9 && n >= 16 && (e[8] & 1))) {
            out->n_cpus++; /* local APIC, local x2APIC: enabled */
        } else if (e[0] == 1 && n >= 12 && out->n_ioapics < ACPI_MAX_IOAPICS) {
            out->ioapic[out->n_ioapics].id = e[2];
            out->ioapic[out->n_ioapics].address = load_le32(e + 4);
            out->ioapic[out->n_ioapics].gsi_base = load_le32(e + 8);
            out->n_ioapics++;
        } else if (e[0] == 5 && n >= 12) {
            out->lapic = load_le64(e + 4); /* address override */
        }
    }
    return true;
}

/* The root table's address and the size of its entries; 0 for none. */
static uint64_t root_table(const uint8_t *p, size_t len, const char **signature, unsigned *width)
{
    if (len < 20 || memcmp(p, "RSD PTR ", 8) != 0 || !sum_is_zero(p, 20)) {
        return 0;
    }
    if (p[15] >= 2 && len >= 36 && sum_is_zero(p, 36) && load_le64(p + 24)) {
        *signature = "XSDT";
        *width = 8;
        return load_le64(p + 24);
    }
    *signature = "RSDT";
    *width = 4;
    return load_le32(p + 16);
}

static void parse_entry(const struct acpi_reader *r, uint64_t at, struct acpi_info *out,
                        const char **why)
{
    uint32_t len;
    const uint8_t *t = at ? r->view(r->ctx, at, HEADER_BYTES) : NULL;
    bool fadt = t && memcmp(t, "FACP", 4) == 0, madt = t && memcmp(t, "APIC", 4) == 0;

    if (fadt) {
        uint64_t dsdt;
        t = table(r, at, "FACP", &len);
        dsdt = t ? parse_fadt(t, len, out) : 0;
        if (!dsdt) {
            *why = "ACPI: the FADT is broken";
            return;
        }
        t = table(r, dsdt, "DSDT", &len);
        if (!t || !parse_s5(t, len, out)) {
            *why = "ACPI: no S5 state in the DSDT";
        }
    } else if (madt) {
        t = table(r, at, "APIC", &len);
        if (!t || out->has_madt || !parse_madt(t, len, out)) {
            *why = "ACPI: the MADT is broken";
        }
    }
}

enum status acpi_parse(const void *rsdp, size_t rsdp_len, const struct acpi_reader *r,
                       struct acpi_info *out, const char **why)
{
    uint32_t len;
    unsigned width;
    const char *signature;

    memset(out, 0, sizeof(*out));
    *why = NULL;
    uint64_t root = root_table(rsdp, rsdp_len, &signature, &width);
    if (!root) {
        *why = "ACPI: no sound RSDP";
        return E_INVAL;
    }
    const uint8_t *t = table(r, root, signature, &len);
    if (!t) {
        *why = "ACPI: the root table is broken";
        return E_INVAL;
    }
    uint64_t entries[MAX_ENTRIES];
    uint32_t n = MIN((len - HEADER_BYTES) / width, MAX_ENTRIES);
    /* The view lasts until the next call: take what it says first. */
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *e = t + HEADER_BYTES + i * width;
        entries[i] = width == 8 ? load_le64(e) : load_le32(e);
    }
    for (uint32_t i = 0; i < n; i++) {
        parse_entry(r, entries[i], out, why);
    }
    return OK;
}
