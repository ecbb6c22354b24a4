/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration space of a guest's PCI bus: the two ports, write masks, BARs and INTx. */
#include "drivers/guest/vpci.h"

#include "base/bits.h"
#include "base/string.h"
#include "drivers/guest/vpci_internal.h"

#define ADDRESS_ENABLE BIT32(31)
#define BAR_IO 0x1u
#define BAR_IO_FLAGS 0x3u
#define BAR_MEM_FLAGS 0xfu
#define MEM_BAR_MIN 4096u /* each memory BAR gets pages of its own */

/* ---- BARs ---- */

static unsigned bar_offset(unsigned n)
{
    return PCI_BAR0 + 4 * n;
}

static uint32_t bar_address(const struct pci_dev *d, unsigned n)
{
    uint32_t flags = d->bars[n].io ? BAR_IO_FLAGS : BAR_MEM_FLAGS;

    return load_le32(&d->config[bar_offset(n)]) & ~flags;
}

static struct iobus *bar_bus(const struct pci_dev *d, const struct pci_bar *bar)
{
    return bar->io ? d->bus->ports : d->bus->mmio;
}

/* Whether a BAR may be decoded at base: memory only inside the bridge's window, so that no BAR ever
 * covers RAM or the APIC; I/O at ports that exist, not at 0, where sizing leaves it for a moment.
 */
static bool bar_fits(const struct pci_bar *bar, uint32_t base)
{
    if (bar->io) {
        return base != 0 && range_within(base, bar->size, 0x10000);
    }
    return base >= PCI_MEM_BASE && range_within(base, bar->size, PCI_MEM_END);
}

static bool bar_wanted(const struct pci_dev *d, unsigned n)
{
    const struct pci_bar *bar = &d->bars[n];
    uint16_t command = load_le16(&d->config[PCI_COMMAND]);

    return bar->size != 0 && command & (bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY) &&
           bar_fits(bar, bar_address(d, n));
}

static void bar_release(struct pci_dev *d, unsigned n)
{
    struct pci_bar *bar = &d->bars[n];

    if (bar->mapped && (!bar_wanted(d, n) || bar->base != bar_address(d, n))) {
        iobus_remove(bar_bus(d, bar), bar->base);
        bar->mapped = false;
    }
}

/* A place that another device holds is not decoded until one of the two moves. */
static void bar_claim(struct pci_dev *d, unsigned n)
{
    struct pci_bar *bar = &d->bars[n];

    if (!bar->mapped && bar_wanted(d, n)) {
        bar->base = bar_address(d, n);
        bar->mapped =
            iobus_add(bar_bus(d, bar), bar->base, bar->size, bar->read, bar->write, bar->ctx) == OK;
    }
}

/* Makes the iobuses agree with all BARs and command registers. All releases come first, so that two
 * BARs can change places; all devices, because one may have been waiting for another's place. */
static void bars_update(struct pci_bus *b)
{
    for (unsigned i = 0; i < 2 * PCI_SLOTS; i++) {
        struct pci_dev *d = b->slots[i % PCI_SLOTS];
        for (unsigned n = 0; d != NULL && n < PCI_BARS; n++) {
            if (i < PCI_SLOTS) {
                bar_release(d, n);
            } else {
                bar_claim(d, n);
            }
        }
    }
}

static void bars_home(struct pci_dev *d)
{
    uint16_t command = load_le16(&d->config[PCI_COMMAND]) & PCI_COMMAND_MASTER;

    for (unsigned n = 0; n < PCI_BARS; n++) {
        const struct pci_bar *bar = &d->bars[n];
        if (bar->size != 0) {
            store_le32(&d->config[bar_offset(n)], bar->home | (bar->io ? BAR_IO : 0));
            command |= (uint16_t)(bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
        }
    }
    store_le16(&d->config[PCI_COMMAND], command);
}

/* Gives a BAR the next free address of its kind. */
static enum status bar_assign(struct pci_bus *b, struct pci_bar *bar)
{
    uint32_t *next = bar->io ? &b->next_io : &b->next_mem;
    uint32_t end = bar->io ? PCI_IO_END : PCI_MEM_END;
    uint64_t align = bar->io ? bar->size : MAX(bar->size, MEM_BAR_MIN);
    uint64_t home = ALIGN_UP((uint64_t)*next, align);

    if (!range_within(home, bar->size, end)) {
        return E_NOMEM;
    }
    bar->home = (uint32_t)home;
    *next = (uint32_t)(home + bar->size);
    return OK;
}

enum status pci_add_bar(struct pci_dev *d, unsigned n, bool io, uint32_t size, io_read_fn *read,
                        io_write_fn *write, void *ctx)
{
    uint32_t least = io ? 4 : 16, most = io ? 256 : BIT32(28);

    if (n >= PCI_BARS || size < least || size > most || (size & (size - 1)) != 0) {
        return E_INVAL;
    }
    if (d->bars[n].size != 0) {
        return E_EXISTS;
    }
    d->bars[n] = (struct pci_bar){.size = size, .io = io, .read = read, .write = write, .ctx = ctx};
    store_le32(&d->write_mask[bar_offset(n)], ~(size - 1));
    store_le32(&d->config[bar_offset(n)], io ? BAR_IO : 0);
    return OK;
}

/* ---- INTx ---- */

unsigned pci_slot_irq(unsigned slot)
{
    return 10 + (slot & 1);
}

/* A line is shared: its level is the sum of those who assert it. */
void pci_intx_update(struct pci_dev *d)
{
    struct pci_bus *b = d->bus;
    unsigned line = pci_slot_irq(d->slot);
    bool off = load_le16(&d->config[PCI_COMMAND]) & PCI_COMMAND_INTX_OFF;
    bool asserted = d->intx && !off && !pci_msix_enabled(d);
    uint32_t before, after;

    if (b == NULL) {
        return;
    }
    before = b->asserting[line];
    after = asserted ? before | BIT32(d->slot) : before & ~BIT32(d->slot);
    b->asserting[line] = after;
    if ((before != 0) != (after != 0)) {
        b->irqs.set_line(b->irqs.ctx, line, after != 0);
    }
}

void pci_set_intx(struct pci_dev *d, bool level)
{
    d->intx = level;
    if (level) {
        d->config[PCI_STATUS] |= PCI_STATUS_INTX;
    } else {
        d->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
    }
    pci_intx_update(d);
}

bool pci_is_master(const struct pci_dev *d)
{
    return load_le16(&d->config[PCI_COMMAND]) & PCI_COMMAND_MASTER;
}

/* ---- configuration space ---- */

static struct pci_dev *addressed(const struct pci_bus *b, uint32_t address)
{
    unsigned bus = address >> 16 & 0xff, slot = address >> 11 & 31, function = address >> 8 & 7;

    return bus == 0 && function == 0 ? b->slots[slot] : NULL;
}

/* How many of `size` bytes lie in the dword that offset `off` is in: mechanism #1 has four ports.
 */
static unsigned in_dword(unsigned off, unsigned size)
{
    return MIN(size, 4 - (off & 3));
}

uint32_t pci_config_read(struct pci_bus *b, uint32_t address, unsigned size)
{
    struct pci_dev *d = addressed(b, address);
    unsigned off = address & 0xff;
    uint32_t value = UINT32_MAX;

    size = in_dword(off, size);
    if (d == NULL) {
        return value;
    }
    if (d->ops != NULL && d->ops->config_read != NULL) {
        d->ops->config_read(d, off, size);
    }
    for (unsigned i = 0; i < size; i++) {
        value &= ~(UINT32_C(0xff) << 8 * i);
        value |= (uint32_t)d->config[off + i] << 8 * i;
    }
    return value;
}

void pci_config_write(struct pci_bus *b, uint32_t address, unsigned size, uint32_t value)
{
    struct pci_dev *d = addressed(b, address);
    unsigned off = address & 0xff;

    size = in_dword(off, size);
    if (d == NULL) {
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        uint8_t mask = d->write_mask[off + i];
        uint8_t byte = (uint8_t)(value >> 8 * i);
        d->config[off + i] = (uint8_t)((d->config[off + i] & ~mask) | (byte & mask));
    }
    if (off < PCI_BAR0 + 4 * PCI_BARS) { /* the command register or a BAR */
        bars_update(b);
    }
    pci_msix_config_written(d);
    pci_intx_update(d);
    if (d->ops != NULL && d->ops->config_write != NULL) {
        d->ops->config_write(d, off, size);
    }
}

static uint64_t address_read(void *dev, uint64_t addr, unsigned size)
{
    const struct pci_bus *b = dev;

    return addr == 0 && size == 4 ? b->address : UINT64_MAX;
}

static void address_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct pci_bus *b = dev;

    if (addr == 0 && size == 4) { /* narrower accesses are not configuration cycles */
        b->address = (uint32_t)value & 0x80fffffcu;
    }
}

static uint64_t data_read(void *dev, uint64_t addr, unsigned size)
{
    struct pci_bus *b = dev;

    if (!(b->address & ADDRESS_ENABLE) || addr > 3) {
        return UINT64_MAX;
    }
    return pci_config_read(b, b->address | (uint32_t)addr, size);
}

static void data_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct pci_bus *b = dev;

    if (b->address & ADDRESS_ENABLE && addr <= 3) {
        pci_config_write(b, b->address | (uint32_t)addr, size, (uint32_t)value);
    }
}

/* ---- making a bus ---- */

void pci_dev_init(struct pci_dev *d, const struct pci_ids *ids, const struct pci_dev_ops *ops,
                  void *ctx)
{
    *d = (struct pci_dev){.ops = ops, .ctx = ctx, .cap_next = PCI_CAP_START};
    store_le16(&d->config[PCI_VENDOR_ID], ids->vendor);
    store_le16(&d->config[PCI_DEVICE_ID], ids->device);
    store_le16(&d->config[PCI_SUBSYSTEM_VENDOR], ids->subsystem_vendor);
    store_le16(&d->config[PCI_SUBSYSTEM_ID], ids->subsystem);
    store_le32(&d->config[PCI_REVISION], ids->class_code << 8 | ids->revision);
    store_le16(&d->write_mask[PCI_COMMAND],
               PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
    d->write_mask[PCI_IRQ_LINE] = 0xff;
}

enum status pci_add_capability(struct pci_dev *d, uint8_t id, const void *body, unsigned len,
                               unsigned *off)
{
    unsigned at = d->cap_next;

    if (len < 2 || !range_within(at, len, sizeof(d->config))) {
        return E_NOMEM;
    }
    d->config[at] = id;
    d->config[at + 1] = 0;
    if (len > 2) {
        memcpy(&d->config[at + 2], body, len - 2);
    }
    if (d->cap_last == 0) {
        d->config[PCI_CAP_POINTER] = (uint8_t)at;
        d->config[PCI_STATUS] |= PCI_STATUS_CAPS;
    } else {
        d->config[d->cap_last + 1] = (uint8_t)at;
    }
    d->cap_last = at;
    d->cap_next = (unsigned)ALIGN_UP(at + len, 4);
    *off = at;
    return OK;
}

static void dev_reset(struct pci_dev *d)
{
    d->intx = false;
    d->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
    store_le16(&d->config[PCI_COMMAND], 0);
    pci_msix_reset(d);
    bars_home(d);
    pci_intx_update(d);
}

enum status pci_add(struct pci_bus *b, struct pci_dev *d, unsigned slot)
{
    if (slot >= PCI_SLOTS) {
        return E_RANGE;
    }
    if (b->slots[slot] != NULL) {
        return E_EXISTS;
    }
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (d->bars[n].size != 0) {
            enum status s = bar_assign(b, &d->bars[n]);
            if (s != OK) {
                return s;
            }
        }
    }
    d->bus = b;
    d->slot = slot;
    b->slots[slot] = d;
    if (slot != 0) {
        d->config[PCI_IRQ_PIN] = 1; /* INTA# */
        d->config[PCI_IRQ_LINE] = (uint8_t)pci_slot_irq(slot);
    }
    dev_reset(d);
    bars_update(b);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (d->bars[n].size != 0 && !d->bars[n].mapped) {
            return E_NOMEM; /* the iobus's table is full */
        }
    }
    return OK;
}

void pci_bus_reset(struct pci_bus *b)
{
    b->address = 0;
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (b->slots[slot] != NULL) {
            dev_reset(b->slots[slot]);
        }
    }
    bars_update(b);
}

void pci_bus_init(struct pci_bus *b, struct iobus *ports, struct iobus *mmio,
                  const struct irq_sink *irqs)
{
    /* An Intel 440FX host bridge in name: a PC's firmware and kernels know it and leave it alone.
     */
    static const struct pci_ids host = {
        .vendor = 0x8086, .device = 0x1237, .class_code = 0x060000, .revision = 2};

    *b = (struct pci_bus){.ports = ports,
                          .mmio = mmio,
                          .irqs = *irqs,
                          .next_io = PCI_IO_BASE,
                          .next_mem = PCI_MEM_BASE};
    pci_dev_init(&b->host, &host, NULL, b);
    b->host.bus = b;
    b->slots[0] = &b->host;
}

enum status pci_attach(struct pci_bus *b)
{
    enum status s = iobus_add(b->ports, PCI_ADDRESS_PORT, 1, address_read, address_write, b);

    return s != OK ? s : iobus_add(b->ports, PCI_DATA_PORT, 4, data_read, data_write, b);
}
