/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's PCI bus 0: configuration mechanism #1, type-0 functions, their BARs, INTx and MSI-X.
 *
 * Usage: pci_bus_init, pci_attach; for each device pci_dev_init, then its BARs, capabilities and
 * MSI-X, then pci_add. What firmware would do is done there: BARs get addresses (I/O from
 * PCI_IO_BASE, memory from PCI_MEM_BASE) and are decoded. The guest may move or switch them off;
 * the ranges on the two iobuses follow. A BAR's handlers see offsets from the BAR's start.
 *
 * The caller owns every struct, which must live as long as the bus. One vCPU at a time may be in
 * here (the VM's lock). Source: PCI Local Bus Specification 3.0, chapter 6.
 */
#ifndef DRIVERS_GUEST_VPCI_H
#define DRIVERS_GUEST_VPCI_H

#include "base/status.h"
#include "base/types.h"
#include "drivers/guest/iobus.h"
#include "drivers/guest/irq.h"

#define PCI_SLOTS 32
#define PCI_BARS 6
#define PCI_MSIX_MAX 32 /* vectors a device can have */
#define PCI_ADDRESS_PORT 0xcf8
#define PCI_DATA_PORT 0xcfc
#define PCI_IO_BASE 0xc000u
#define PCI_IO_END 0x10000u
#define PCI_MEM_BASE 0xe0000000u
#define PCI_MEM_END 0xfec00000u /* guest RAM must stay out of [PCI_MEM_BASE, 4 GiB) */

/* Offsets in the configuration header. */
#define PCI_VENDOR_ID 0x00
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_INTX_OFF 0x0400u
#define PCI_STATUS 0x06
#define PCI_STATUS_INTX 0x0008u
#define PCI_STATUS_CAPS 0x0010u
#define PCI_REVISION 0x08
#define PCI_CLASS 0x09 /* programming interface, subclass, class: three bytes */
#define PCI_HEADER_TYPE 0x0e
#define PCI_BAR0 0x10
#define PCI_SUBSYSTEM_VENDOR 0x2c
#define PCI_SUBSYSTEM_ID 0x2e
#define PCI_CAP_POINTER 0x34
#define PCI_IRQ_LINE 0x3c
#define PCI_IRQ_PIN 0x3d
#define PCI_CAP_START 0x40

#define PCI_CAP_ID_VENDOR 0x09
#define PCI_CAP_ID_MSIX 0x11

struct pci_bus;
struct pci_dev;

struct pci_bar {
    uint32_t size; /* a power of two; 0: there is no such BAR */
    bool io;
    bool mapped;   /* `base` is on the iobus now */
    uint32_t base; /* where it is or was mapped */
    uint32_t home; /* the address that firmware gave it */
    io_read_fn *read;
    io_write_fn *write;
    void *ctx;
};

struct pci_msix {
    unsigned n;       /* vectors; 0: the device has no MSI-X */
    unsigned cap;     /* its capability's offset */
    uint64_t pending; /* the PBA */
    struct {
        uint64_t addr;
        uint32_t data;
        uint32_t control; /* bit 0: masked */
    } table[PCI_MSIX_MAX];
};

struct pci_dev_ops {
    /* Either may be NULL. Called before the guest reads [off, off + size) of configuration space,
     * so that bytes can be brought up to date in dev->config. */
    void (*config_read)(struct pci_dev *d, unsigned off, unsigned size);
    /* Called after the guest's write has gone (through the mask) into dev->config. */
    void (*config_write)(struct pci_dev *d, unsigned off, unsigned size);
};

struct pci_dev {
    uint8_t config[256];
    uint8_t write_mask[256]; /* bits that the guest can change */
    struct pci_bar bars[PCI_BARS];
    struct pci_msix msix;
    unsigned cap_next; /* first free byte of the capability area */
    unsigned cap_last; /* the last capability's offset, 0 for none */
    unsigned slot;
    bool intx; /* the device asserts INTA# */
    struct pci_bus *bus;
    const struct pci_dev_ops *ops; /* may be NULL */
    void *ctx;                     /* the device model's own */
};

struct pci_bus {
    struct pci_dev *slots[PCI_SLOTS];
    struct pci_dev host; /* slot 0: the host bridge */
    uint32_t address;    /* the register at 0xcf8 */
    uint32_t next_io, next_mem;
    uint32_t asserting[16]; /* for each ISA line, the slots that assert it */
    struct iobus *ports, *mmio;
    struct irq_sink irqs;
};

struct pci_ids {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* class << 16 | subclass << 8 | programming interface */
    uint8_t revision;
};

/* Makes a bus with a host bridge in slot 0. */
void pci_bus_init(struct pci_bus *b, struct iobus *ports, struct iobus *mmio,
                  const struct irq_sink *irqs);
/* Puts 0xcf8 (one dword; 0xcf9 is left to the reset port) and 0xcfc..0xcff on the port bus. */
enum status pci_attach(struct pci_bus *b) MUST_CHECK;
/* Back to what firmware hands over: BARs at home and decoded, MSI-X off, no interrupt asserted. */
void pci_bus_reset(struct pci_bus *b);
/* The ISA line (10 or 11) that INTA# of a slot is wired to; guests/acpi/dsdt.asl says the same. */
unsigned pci_slot_irq(unsigned slot);

/* Makes a function with nothing but its header; bytes may be changed directly until pci_add. */
void pci_dev_init(struct pci_dev *d, const struct pci_ids *ids, const struct pci_dev_ops *ops,
                  void *ctx);
/*
 * Declares BAR n. `size` is a power of two: 4..256 for I/O, at least 16 for memory (32-bit, not
 * prefetchable). E_INVAL otherwise; E_EXISTS when n is taken.
 */
enum status pci_add_bar(struct pci_dev *d, unsigned n, bool io, uint32_t size, io_read_fn *read,
                        io_write_fn *write, void *ctx) MUST_CHECK;
/*
 * Appends a capability of `len` bytes (with its two header bytes, which are filled in here) and
 * returns its offset in *off. The rest is copied from `body` (len - 2 bytes), read-only to the
 * guest unless the caller opens dev->write_mask. E_NOMEM: no room.
 */
enum status pci_add_capability(struct pci_dev *d, uint8_t id, const void *body, unsigned len,
                               unsigned *off) MUST_CHECK;
/* Gives the device n MSI-X vectors, with table (at 0) and PBA (at 0x800) in a BAR of their own. */
enum status pci_add_msix(struct pci_dev *d, unsigned bar, unsigned n) MUST_CHECK;
/* Puts a finished device into a slot and maps its BARs. E_EXISTS, E_RANGE, E_NOMEM. */
enum status pci_add(struct pci_bus *b, struct pci_dev *d, unsigned slot) MUST_CHECK;

/* Whether the guest has let the device access its memory. */
bool pci_is_master(const struct pci_dev *d);
bool pci_msix_enabled(const struct pci_dev *d);
/*
 * Raises a vector: sends its message, or sets it pending while it or the function is masked. A
 * vector that the device does not have (VIRTIO_MSI_NO_VECTOR too) is dropped. False when MSI-X is
 * off: the caller uses INTx instead.
 */
bool pci_msix_notify(struct pci_dev *d, unsigned vector);
/* Whether the guest has given some vector on the bus the delivery mode NMI. */
bool pci_msix_sends_nmi(const struct pci_bus *b);
/* Sets the level of INTA#; it does not reach the line while MSI-X is on or the guest forbids it. */
void pci_set_intx(struct pci_dev *d, bool level);

/* What the two ports do; `off` is a byte offset in mechanism #1's space. For tests and fuzzers. */
uint32_t pci_config_read(struct pci_bus *b, uint32_t address, unsigned size);
void pci_config_write(struct pci_bus *b, uint32_t address, unsigned size, uint32_t value);

#endif
