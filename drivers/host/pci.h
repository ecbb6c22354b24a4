/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's PCI configuration space by mechanism #1 (ports 0xcf8/0xcfc): reading, writing, finding
 * devices, sizing BARs. PCI Local Bus specification 3.0, sections 3.2.2.3.2 and 6.
 */
#ifndef DRIVERS_HOST_PCI_H
#define DRIVERS_HOST_PCI_H

#include "base/status.h"
#include "base/types.h"

struct pci_addr {
    uint8_t bus, dev, fn;
};

struct pci_func {
    struct pci_addr at;
    uint16_t vendor, device;
    uint8_t class_code, subclass, prog_if;
    uint8_t header; /* type, without the multi-function bit */
    uint8_t irq_line, irq_pin;
};

struct vpci_bar {
    uint64_t base, size; /* bytes */
    bool io, is_64;
};

#define PCI_COMMAND 0x04
#define PCI_COMMAND_IO 0x1
#define PCI_COMMAND_MEMORY 0x2
#define PCI_COMMAND_MASTER 0x4

/* `reg` is aligned to the access's size. */
uint8_t pci_read8(struct pci_addr a, uint8_t reg);
uint16_t pci_read16(struct pci_addr a, uint8_t reg);
uint32_t pci_read32(struct pci_addr a, uint8_t reg);
void pci_write16(struct pci_addr a, uint8_t reg, uint16_t v);
void pci_write32(struct pci_addr a, uint8_t reg, uint32_t v);

/* Calls visit for every function, depth first through bridges, each bus at most once; ends early
 * when visit returns false. */
void pci_scan(bool (*visit)(void *ctx, const struct pci_func *f), void *ctx);
/* The index'th function of a class, in scan order. E_NOTFOUND. */
enum status pci_find_class(uint8_t class_code, uint8_t subclass, unsigned index,
                           struct pci_func *out) MUST_CHECK;
/* Base and size of BAR 0..5 of a header-type-0 function. Decoding is off for a moment. E_RANGE: no
 * such BAR. E_NOTFOUND: not implemented. */
enum status pci_read_bar(struct pci_addr a, unsigned bar, struct vpci_bar *out) MUST_CHECK;

#endif
