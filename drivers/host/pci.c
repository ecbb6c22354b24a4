/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's PCI configuration space by mechanism #1. */
#include "drivers/host/pci.h"

#include "base/bits.h"
#include "base/portio.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc

#define REG_VENDOR 0x00
#define REG_CLASS 0x08
#define REG_HEADER 0x0e
#define REG_BAR0 0x10
#define REG_SECONDARY_BUS 0x19
#define REG_IRQ_LINE 0x3c
#define REG_IRQ_PIN 0x3d

static void select_reg(struct pci_addr a, uint8_t reg)
{
    port_out32(CONFIG_ADDRESS, UINT32_C(0x80000000) | (uint32_t)a.bus << 16 |
                                   (uint32_t)(a.dev & 31) << 11 | (uint32_t)(a.fn & 7) << 8 |
                                   (reg & 0xfcu));
}

uint32_t pci_read32(struct pci_addr a, uint8_t reg)
{
    select_reg(a, reg);
    return port_in32(CONFIG_DATA);
}

uint16_t pci_read16(struct pci_addr a, uint8_t reg)
{
    select_reg(a, reg);
    return port_in16((uint16_t)(CONFIG_DATA + (reg & 2)));
}

uint8_t pci_read8(struct pci_addr a, uint8_t reg)
{
    select_reg(a, reg);
    return port_in8((uint16_t)(CONFIG_DATA + (reg & 3)));
}

void pci_write32(struct pci_addr a, uint8_t reg, uint32_t v)
{
    select_reg(a, reg);
    port_out32(CONFIG_DATA, v);
}

void pci_write16(struct pci_addr a, uint8_t reg, uint16_t v)
{
    select_reg(a, reg);
    port_out16((uint16_t)(CONFIG_DATA + (reg & 2)), v);
}

static bool read_func(struct pci_addr a, struct pci_func *f, bool *multi)
{
    uint32_t id = pci_read32(a, REG_VENDOR);

    if ((id & 0xffff) == 0xffff || (id & 0xffff) == 0) {
        return false;
    }
    uint32_t cls = pci_read32(a, REG_CLASS);
    uint8_t header = pci_read8(a, REG_HEADER);
    *f = (struct pci_func){
        .at = a,
        .vendor = (uint16_t)id,
        .device = (uint16_t)(id >> 16),
        .class_code = (uint8_t)(cls >> 24),
        .subclass = (uint8_t)(cls >> 16),
        .prog_if = (uint8_t)(cls >> 8),
        .header = header & 0x7f,
        .irq_line = pci_read8(a, REG_IRQ_LINE),
        .irq_pin = pci_read8(a, REG_IRQ_PIN),
    };
    *multi = (header & 0x80) != 0;
    return true;
}

static bool is_bridge(const struct pci_func *f)
{
    return f->class_code == 0x06 && f->subclass == 0x04 && f->header == 1;
}

/* Buses still to be walked: a bit each, so that bridges which name one twice, or one another, end.
 */
struct scan {
    uint64_t todo[4], seen[4];
};

static void want_bus(struct scan *s, uint8_t bus)
{
    if ((s->seen[bus / 64] & BIT(bus % 64)) == 0) {
        s->seen[bus / 64] |= BIT(bus % 64);
        s->todo[bus / 64] |= BIT(bus % 64);
    }
}

static bool scan_bus(struct scan *s, uint8_t bus, bool (*visit)(void *, const struct pci_func *),
                     void *ctx)
{
    for (uint8_t dev = 0; dev < 32; dev++) {
        bool multi = true;
        for (uint8_t fn = 0; fn < 8 && multi; fn++) {
            struct pci_addr a = {bus, dev, fn};
            struct pci_func f;
            bool m = false;
            if (!read_func(a, &f, &m)) {
                if (fn == 0) {
                    break;
                }
                continue;
            }
            if (fn == 0) {
                multi = m;
            }
            if (!visit(ctx, &f)) {
                return false;
            }
            if (is_bridge(&f)) {
                want_bus(s, pci_read8(a, REG_SECONDARY_BUS));
            } else if (bus == 0 && dev == 0 && fn != 0 && f.class_code == 0x06 &&
                       f.subclass == 0x00) {
                want_bus(s, fn); /* several host bridges: function n leads to bus n */
            }
        }
    }
    return true;
}

void pci_scan(bool (*visit)(void *ctx, const struct pci_func *f), void *ctx)
{
    struct scan s = {0};

    want_bus(&s, 0);
    for (unsigned i = 0; i < 4;) {
        if (s.todo[i] == 0) {
            i++;
            continue;
        }
        unsigned bit = (unsigned)__builtin_ctzll(s.todo[i]);
        s.todo[i] &= ~BIT(bit);
        if (!scan_bus(&s, (uint8_t)(i * 64 + bit), visit, ctx)) {
            return;
        }
        i = 0; /* a bridge may lead to a lower bus */
    }
}

struct find {
    uint8_t class_code, subclass;
    unsigned left;
    bool found;
    struct pci_func *out;
};

static bool find_visit(void *ctx, const struct pci_func *f)
{
    struct find *w = ctx;

    if (f->class_code != w->class_code || f->subclass != w->subclass || w->left-- != 0) {
        return true;
    }
    *w->out = *f;
    w->found = true;
    return false;
}

enum status pci_find_class(uint8_t class_code, uint8_t subclass, unsigned index,
                           struct pci_func *out)
{
    struct find w = {class_code, subclass, index, false, out};

    pci_scan(find_visit, &w);
    return w.found ? OK : E_NOTFOUND;
}

/* What reads back after writing ones; the old value is restored. */
static uint32_t probe_bar(struct pci_addr a, uint8_t reg, uint32_t old)
{
    pci_write32(a, reg, UINT32_MAX);
    uint32_t mask = pci_read32(a, reg);
    pci_write32(a, reg, old);
    return mask;
}

enum status pci_read_bar(struct pci_addr a, unsigned bar, struct vpci_bar *out)
{
    if (bar > 5) {
        return E_RANGE;
    }
    uint8_t reg = (uint8_t)(REG_BAR0 + bar * 4);
    uint32_t low = pci_read32(a, reg);
    bool io = (low & 1) != 0, is_64 = !io && (low & 6) == 4;
    if (is_64 && bar == 5) {
        return E_RANGE;
    }
    uint32_t high = is_64 ? pci_read32(a, (uint8_t)(reg + 4)) : 0;

    /* A BAR that holds all ones must not answer to anything. */
    uint16_t command = pci_read16(a, PCI_COMMAND);
    pci_write16(a, PCI_COMMAND, (uint16_t)(command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY)));
    uint32_t flags = io ? 3 : 15;
    uint64_t mask = probe_bar(a, reg, low) & ~flags;
    if (is_64) {
        mask |= (uint64_t)probe_bar(a, (uint8_t)(reg + 4), high) << 32;
    }
    pci_write16(a, PCI_COMMAND, command);
    if (mask == 0) {
        return E_NOTFOUND;
    }
    if (io) {
        mask |= UINT64_C(0xffffffffffff0000); /* the upper half need not be implemented */
    } else if (!is_64) {
        mask |= UINT64_C(0xffffffff00000000);
    }
    *out = (struct vpci_bar){
        .base = (uint64_t)high << 32 | (low & ~flags),
        .size = ~mask + 1,
        .io = io,
        .is_64 = is_64,
    };
    return OK;
}
