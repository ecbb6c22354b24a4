/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's PCI bus 0: configuration mechanism #1, type-0 functions, their BARs, INTx and MSI-X.
 *
 * Usage: vpci_bus_init, vpci_attach; for each device vpci_dev_init, then its BARs, capabilities and
 * MSI-X, then vpci_add. What firmware would do is done there: BARs get addresses (I/O from
 * VPCI_IO_BASE, memory from VPCI_MEM_BASE) and are decoded. The guest may move or switch them off;
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

#define VPCI_SLOTS 32
#define VPCI_BARS 6
#define VPCI_MSIX_MAX 32 /* vectors a device can have */
#define VPCI_ADDRESS_PORT 0xcf8
#define VPCI_DATA_PORT 0xcfc
#define VPCI_IO_BASE 0xc000u
#define VPCI_IO_END 0x10000u
#define VPCI_MEM_BASE 0xe0000000u
#define VPCI_MEM_END 0xfec00000u /* guest RAM must stay out of [VPCI_MEM_BASE, 4 GiB) */

/* Offsets in the configuration header. */
#define VPCI_VENDOR_ID 0x00
#define VPCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define VPCI_COMMAND_INTX_OFF 0x0400u
#define VPCI_STATUS 0x06
#define VPCI_STATUS_INTX 0x0008u
#define VPCI_STATUS_CAPS 0x0010u
#define VPCI_REVISION 0x08
#define VPCI_CLASS 0x09 /* programming interface, subclass, class: three bytes */
#define VPCI_HEADER_TYPE 0x0e
#define VPCI_BAR0 0x10
#define VPCI_SUBSYSTEM_VENDOR 0x2c
#define VPCI_SUBSYSTEM_ID 0x2e
#define VPCI_CAP_POINTER 0x34
#define VPCI_IRQ_LINE 0x3c
#define VPCI_IRQ_PIN 0x3d
#define VPCI_CAP_START 0x40

#define VPCI_CAP_ID_VENDOR 0x09
#define VPCI_CAP_ID_MSIX 0x11

struct vpci_bus;
struct vpci_dev;

struct vpci_bar {
    uint32_t size; /* a power of two; 0: there is no such BAR */
    bool io;
    bool mapped;   /* `base` is on the iobus now */
    uint32_t base; /* where it is or was mapped */
    uint32_t home; /* the address that firmware gave it */
    io_read_fn *read;
    io_write_fn *write;
    void *ctx;
};

struct vpci_msix {
    unsigned n;       /* vectors; 0: the device has no MSI-X */
    unsigned cap;     /* its capability's offset */
    uint64_t pending; /* the PBA */
    struct {
        uint64_t addr;
        uint32_t data;
        uint32_t control; /* bit 0: masked */
    } table[VPCI_MSIX_MAX];
};

struct vpci_dev_ops {
    /* Either may be NULL. Called before the guest reads [off, off + size) of configuration space,
     * so that bytes can be brought up to date in dev->config. */
    void (*config_read)(struct vpci_dev *d, unsigned off, unsigned size);
    /* Called after the guest's write has gone (through the mask) into dev->config. */
    void (*config_write)(struct vpci_dev *d, unsigned off, unsigned size);
};

struct vpci_dev {
    uint8_t config[256];
    uint8_t write_mask[256]; /* bits that the guest can change */
    struct vpci_bar bars[VPCI_BARS];
    struct vpci_msix msix;
    unsigned cap_next; /* first free byte of the capability area */
    unsigned cap_last; /* the last capability's offset, 0 for none */
    unsigned slot;
    bool intx; /* the device asserts INTA# */
    struct vpci_bus *bus;
    const struct vpci_dev_ops *ops; /* may be NULL */
    void *ctx;                      /* the device model's own */
};

struct vpci_bus {
    struct vpci_dev *slots[VPCI_SLOTS];
    struct vpci_dev host; /* slot 0: the host bridge */
    uint32_t address;     /* the register at 0xcf8 */
    uint32_t next_io, next_mem;
    uint32_t asserting[16]; /* for each ISA line, the slots that assert it */
    struct iobus *ports, *mmio;
    struct irq_sink irqs;
};

struct vpci_ids {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* class << 16 | subclass << 8 | programming interface */
    uint8_t revision;
};

/* Makes a bus with a host bridge in slot 0. */
void vpci_bus_init(struct vpci_bus *b, struct iobus *ports, struct iobus *mmio,
                   const struct irq_sink *irqs);
/* Puts 0xcf8 (one dword; 0xcf9 is left to the reset port) and 0xcfc..0xcff on the port bus. */
enum status vpci_attach(struct vpci_bus *b) MUST_CHECK;
/* Back to what firmware hands over: BARs at home and decoded, MSI-X off, no interrupt asserted. */
void vpci_bus_reset(struct vpci_bus *b);
/* The ISA line (10 or 11) that INTA# of a slot is wired to; guests/acpi/dsdt.asl says the same. */
unsigned vpci_slot_irq(unsigned slot);

/* Makes a function with nothing but its header; bytes may be changed directly until vpci_add. */
void vpci_dev_init(struct vpci_dev *d, const struct vpci_ids *ids, const struct vpci_dev_ops *ops,
                   void *ctx);
/*
 * Declares BAR n. `size` is a power of two: 4..256 for I/O, at least 16 for memory (32-bit, not
 * prefetchable). E_INVAL otherwise; E_EXISTS when n is taken.
 */
enum status vpci_add_bar(struct vpci_dev *d, unsigned n, bool io, uint32_t size, io_read_fn *read,
                         io_write_fn *write, void *ctx) MUST_CHECK;
/*
 * Appends a capability of `len` bytes (with its two header bytes, which are filled in here) and
 * returns its offset in *off. The rest is copied from `body` (len - 2 bytes), read-only to the
 * guest unless the caller opens dev->write_mask. E_NOMEM: no room.
 */
enum status vpci_add_capability(struct vpci_dev *d, uint8_t id, const void *body, unsigned len,
                                unsigned *off) MUST_CHECK;
/* Gives the device n MSI-X vectors, with table (at 0) and PBA (at 0x800) in a BAR of their own. */
enum status vpci_add_msix(struct vpci_dev *d, unsigned bar, unsigned n) MUST_CHECK;
/* Puts a finished device into a slot and maps its BARs. E_EXISTS, E_RANGE, E_NOMEM. */
enum status vpci_add(struct vpci_bus *b, struct vpci_dev *d, unsigned slot) MUST_CHECK;

/* Whether the guest has let the device access its memory. */
bool vpci_is_master(const struct vpci_dev *d);
bool vpci_msix_enabled(const struct vpci_dev *d);
/*
 * Raises a vector: sends its message, or sets it pending while it or the function is masked. A
 * vector that the device does not have (VIRTIO_MSI_NO_VECTOR too) is dropped. False when MSI-X is
 * off: the caller uses INTx instead.
 */
bool vpci_msix_notify(struct vpci_dev *d, unsigned vector);
/* Whether the guest has given some vector on the bus the delivery mode NMI. */
bool vpci_msix_sends_nmi(const struct vpci_bus *b);
/* Sets the level of INTA#; it does not reach the line while MSI-X is on or the guest forbids it. */
void vpci_set_intx(struct vpci_dev *d, bool level);

/* What the two ports do; `off` is a byte offset in mechanism #1's space. For tests and fuzzers. */
uint32_t vpci_config_read(struct vpci_bus *b, uint32_t address, unsigned size);
void vpci_config_write(struct vpci_bus *b, uint32_t address, unsigned size, uint32_t value);

#endif
