/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APIC's registers and delivery: see vioapic.h; Intel 82093AA data sheet, section 3. */
#include "drivers/guest/vioapic.h"

#include "base/bits.h"
#include "base/string.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI 0x40 /* version 0x20 and later */
#define INTR_INPUT 0u
#define INDEX_ID 0
#define INDEX_VERSION 1
#define INDEX_ARBITRATION 2
#define INDEX_TABLE 0x10
#define VERSION 0x20u

#define ENTRY_VECTOR UINT64_C(0xff)
#define ENTRY_MODE(e) ((e) >> 8 & 7)
#define MODE_NMI 4u
#define MODE_EXTINT 7u
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DEST(e) ((e) >> 56)
/* Delivery status and remote IRR are not the guest's to write. */
#define ENTRY_WRITABLE (UINT64_C(0xff0000000001ffff) & ~(BIT(12) | ENTRY_REMOTE_IRR))

#define MSI_BASE 0xfee00000u
#define MSI_LOGICAL 0x4u
#define MSI_ASSERT 0x4000u
#define MSI_LEVEL 0x8000u

static void send(struct vioapic *a, unsigned n)
{
    uint64_t e = a->entries[n];
    uint64_t addr = MSI_BASE | ENTRY_DEST(e) << 12 | ((e & ENTRY_LOGICAL) ? MSI_LOGICAL : 0);
    uint32_t data = (uint32_t)((e & ENTRY_VECTOR) | ENTRY_MODE(e) << 8) |
                    ((e & ENTRY_LEVEL) ? MSI_LEVEL | MSI_ASSERT : 0);

    a->irqs.message(a->irqs.ctx, addr, data);
}

static bool intr_open(const struct vioapic *a)
{
    uint64_t e = a->entries[INTR_INPUT];

    return !(e & ENTRY_MASKED) && ENTRY_MODE(e) == MODE_EXTINT;
}

/* Delivers what stands at a level-triggered input, unless an earlier one has not ended yet. */
static void look_at_level(struct vioapic *a, unsigned n)
{
    uint64_t *e = &a->entries[n];

    if ((*e & ENTRY_LEVEL) && !(*e & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) && (a->lines & BIT32(n))) {
        *e |= ENTRY_REMOTE_IRR;
        send(a, n);
    }
}

static void set_input(struct vioapic *a, unsigned n, bool level)
{
    bool was = a->lines & BIT32(n);
    if (level == was) {
        return;
    }
    a->lines ^= BIT32(n);
    /* An edge on a masked input is lost, as in the chip. */
    if (level && !(a->entries[n] & (ENTRY_LEVEL | ENTRY_MASKED))) {
        send(a, n);
    }
    look_at_level(a, n);
}

void vioapic_set_line(struct vioapic *a, unsigned line, bool level)
{
    if (line < 16) {
        set_input(a, line == 0 ? VIOAPIC_TIMER_INPUT : line, level);
    }
}

void vioapic_set_intr(struct vioapic *a, bool level)
{
    set_input(a, INTR_INPUT, level);
}

bool vioapic_passes_intr(const struct vioapic *a, uint32_t *dest, bool *logical)
{
    uint64_t e = a->entries[INTR_INPUT];

    *dest = ENTRY_DEST(e) == 0xff ? UINT32_MAX : (uint32_t)ENTRY_DEST(e);
    *logical = e & ENTRY_LOGICAL;
    return intr_open(a);
}

bool vioapic_sends_nmi(const struct vioapic *a)
{
    for (unsigned n = 0; n < VIOAPIC_INPUTS; n++) {
        if (!(a->entries[n] & ENTRY_MASKED) && ENTRY_MODE(a->entries[n]) == MODE_NMI) {
            return true;
        }
    }
    return false;
}

void vioapic_eoi(struct vioapic *a, uint8_t vector)
{
    for (unsigned n = 0; n < VIOAPIC_INPUTS; n++) {
        uint64_t *e = &a->entries[n];
        if ((*e & ENTRY_REMOTE_IRR) && (*e & ENTRY_VECTOR) == vector) {
            *e &= ~ENTRY_REMOTE_IRR;
            look_at_level(a, n);
        }
    }
}

static void write_entry(struct vioapic *a, unsigned half, uint32_t value)
{
    unsigned n = half / 2;
    uint64_t *e = &a->entries[n], old = *e;
    uint64_t next =
        half % 2 ? (uint32_t)old | (uint64_t)value << 32 : (old & ~UINT64_C(0xffffffff)) | value;

    *e = (next & ENTRY_WRITABLE) | (old & ENTRY_REMOTE_IRR);
    /* An entry turned to edge has nothing to wait for: how Linux ends a stuck level interrupt. */
    if (!(*e & ENTRY_LEVEL)) {
        *e &= ~ENTRY_REMOTE_IRR;
    }
    look_at_level(a, n);
    /* The PIC holds its output until it is acknowledged, so this edge is not lost. */
    if (n == INTR_INPUT && intr_open(a) && (a->lines & BIT32(INTR_INPUT)) && !(*e & ENTRY_LEVEL)) {
        send(a, n);
    }
}

static uint64_t read(void *dev, uint64_t addr, unsigned size)
{
    const struct vioapic *a = dev;
    uint32_t i = a->select;

    (void)size;
    if (addr == REG_SELECT) {
        return i;
    }
    if (addr != REG_WINDOW) {
        return 0;
    }
    if (i == INDEX_ID || i == INDEX_ARBITRATION) {
        return a->id;
    }
    if (i == INDEX_VERSION) {
        return VERSION | (VIOAPIC_INPUTS - 1) << 16;
    }
    if (i >= INDEX_TABLE && i < INDEX_TABLE + 2 * VIOAPIC_INPUTS) {
        uint64_t e = a->entries[(i - INDEX_TABLE) / 2];
        return i % 2 ? e >> 32 : (uint32_t)e;
    }
    return 0;
}

static void write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct vioapic *a = dev;
    uint32_t i = a->select;

    (void)size;
    if (addr == REG_SELECT) {
        a->select = value & 0xff;
    } else if (addr == REG_EOI) {
        vioapic_eoi(a, (uint8_t)value);
    } else if (addr == REG_WINDOW && i == INDEX_ID) {
        a->id = (uint32_t)value & 0x0f000000;
    } else if (addr == REG_WINDOW && i >= INDEX_TABLE && i < INDEX_TABLE + 2 * VIOAPIC_INPUTS) {
        write_entry(a, i - INDEX_TABLE, (uint32_t)value);
    }
}

void vioapic_init(struct vioapic *a, const struct irq_sink *irqs)
{
    memset(a, 0, sizeof(*a));
    a->irqs = *irqs;
    for (unsigned n = 0; n < VIOAPIC_INPUTS; n++) {
        a->entries[n] = ENTRY_MASKED;
    }
}

enum status vioapic_attach(struct vioapic *a, struct iobus *mmio)
{
    return iobus_add(mmio, VIOAPIC_BASE, PAGE_SIZE, read, write, a);
}
