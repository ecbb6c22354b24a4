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
    return VPCI_BAR0 + 4 * n;
}

static uint32_t bar_address(const struct vpci_dev *d, unsigned n)
{
    uint32_t flags = d->bars[n].io ? BAR_IO_FLAGS : BAR_MEM_FLAGS;

    return load_le32(&d->config[bar_offset(n)]) & ~flags;
}

static struct iobus *bar_bus(const struct vpci_dev *d, const struct vpci_bar *bar)
{
    return bar->io ? d->bus->ports : d->bus->mmio;
}

/* Whether a BAR may be decoded at base: memory only inside the bridge's window, so that no BAR ever
 * covers RAM or the APIC; I/O at ports that exist, not at 0, where sizing leaves it for a moment.
 */
static bool bar_fits(const struct vpci_bar *bar, uint32_t base)
{
    if (bar->io) {
        return base != 0 && range_within(base, bar->size, 0x10000);
    }
    return base >= VPCI_MEM_BASE && range_within(base, bar->size, VPCI_MEM_END);
}

static bool bar_wanted(const struct vpci_dev *d, unsigned n)
{
    const struct vpci_bar *bar = &d->bars[n];
    uint16_t command = load_le16(&d->config[PCI_COMMAND]);

    return bar->size != 0 && command & (bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY) &&
           bar_fits(bar, bar_address(d, n));
}

static void bar_release(struct vpci_dev *d, unsigned n)
{
    struct vpci_bar *bar = &d->bars[n];

    if (bar->mapped && (!bar_wanted(d, n) || bar->base != bar_address(d, n))) {
        iobus_remove(bar_bus(d, bar), bar->base);
        bar->mapped = false;
    }
}

/* A place that another device holds is not decoded until one of the two moves. */
static void bar_claim(struct vpci_dev *d, unsigned n)
{
    struct vpci_bar *bar = &d->bars[n];

    if (!bar->mapped && bar_wanted(d, n)) {
        bar->base = bar_address(d, n);
        bar->mapped =
            iobus_add(bar_bus(d, bar), bar->base, bar->size, bar->read, bar->write, bar->ctx) == OK;
    }
}

/* Makes the iobuses agree with all BARs and command registers. All releases come first, so that two
 * BARs can change places; all devices, because one may have been waiting for another's place. */
static void bars_update(struct vpci_bus *b)
{
    for (unsigned i = 0; i < 2 * VPCI_SLOTS; i++) {
        struct vpci_dev *d = b->slots[i % VPCI_SLOTS];
        for (unsigned n = 0; d != NULL && n < VPCI_BARS; n++) {
            if (i < VPCI_SLOTS) {
                bar_release(d, n);
            } else {
                bar_claim(d, n);
            }
        }
    }
}

static void bars_home(struct vpci_dev *d)
{
    uint16_t command = load_le16(&d->config[PCI_COMMAND]) & PCI_COMMAND_MASTER;

    for (unsigned n = 0; n < VPCI_BARS; n++) {
        const struct vpci_bar *bar = &d->bars[n];
        if (bar->size != 0) {
            store_le32(&d->config[bar_offset(n)], bar->home | (bar->io ? BAR_IO : 0));
            command |= (uint16_t)(bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
        }
    }
    store_le16(&d->config[PCI_COMMAND], command);
}

/* Gives a BAR the next free address of its kind. */
static enum status bar_assign(struct vpci_bus *b, struct vpci_bar *bar)
{
    uint32_t *next = bar->io ? &b->next_io : &b->next_mem;
    uint32_t end = bar->io ? VPCI_IO_END : VPCI_MEM_END;
    uint64_t align = bar->io ? bar->size : MAX(bar->size, MEM_BAR_MIN);
    uint64_t home = ALIGN_UP((uint64_t)*next, align);

    if (!range_within(home, bar->size, end)) {
        return E_NOMEM;
    }
    bar->home = (uint32_t)home;
    *next = (uint32_t)(home + bar->size);
    return OK;
}

enum status vpci_add_bar(struct vpci_dev *d, unsigned n, bool io, uint32_t size, io_read_fn *read,
                         io_write_fn *write, void *ctx)
{
    uint32_t least = io ? 4 : 16, most = io ? 256 : BIT32(28);

    if (n >= VPCI_BARS || size < least || size > most || (size & (size - 1)) != 0) {
        return E_INVAL;
    }
    if (d->bars[n].size != 0) {
        return E_EXISTS;
    }
    d->bars[n] =
        (struct vpci_bar){.size = size, .io = io, .read = read, .write = write, .ctx = ctx};
    store_le32(&d->write_mask[bar_offset(n)], ~(size - 1));
    store_le32(&d->config[bar_offset(n)], io ? BAR_IO : 0);
    return OK;
}

/* ---- INTx ---- */

unsigned vpci_slot_irq(unsigned slot)
{
    return 10 + (slot & 1);
}

/* A line is shared: its level is the sum of those who assert it. */
void vpci_intx_update(struct vpci_dev *d)
{
    struct vpci_bus *b = d->bus;
    unsigned line = vpci_slot_irq(d->slot);
    bool off = load_le16(&d->config[PCI_COMMAND]) & VPCI_COMMAND_INTX_OFF;
    bool asserted = d->intx && !off && !vpci_msix_enabled(d);
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

void vpci_set_intx(struct vpci_dev *d, bool level)
{
    d->intx = level;
    if (level) {
        d->config[VPCI_STATUS] |= VPCI_STATUS_INTX;
    } else {
        d->config[VPCI_STATUS] &= (uint8_t)~VPCI_STATUS_INTX;
    }
    vpci_intx_update(d);
}

bool vpci_is_master(const struct vpci_dev *d)
{
    return load_le16(&d->config[PCI_COMMAND]) & PCI_COMMAND_MASTER;
}

/* ---- configuration space ---- */

static struct vpci_dev *addressed(const struct vpci_bus *b, uint32_t address)
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

uint32_t vpci_config_read(struct vpci_bus *b, uint32_t address, unsigned size)
{
    struct vpci_dev *d = addressed(b, address);
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

void vpci_config_write(struct vpci_bus *b, uint32_t address, unsigned size, uint32_t value)
{
    struct vpci_dev *d = addressed(b, address);
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
    if (off < VPCI_BAR0 + 4 * VPCI_BARS) { /* the command register or a BAR */
        bars_update(b);
    }
    vpci_msix_config_written(d);
    vpci_intx_update(d);
    if (d->ops != NULL && d->ops->config_write != NULL) {
        d->ops->config_write(d, off, size);
    }
}

static uint64_t address_read(void *dev, uint64_t addr, unsigned size)
{
    const struct vpci_bus *b = dev;

    return addr == 0 && size == 4 ? b->address : UINT64_MAX;
}

static void address_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct vpci_bus *b = dev;

    if (addr == 0 && size == 4) { /* narrower accesses are not configuration cycles */
        b->address = (uint32_t)value & 0x80fffffcu;
    }
}

static uint64_t data_read(void *dev, uint64_t addr, unsigned size)
{
    struct vpci_bus *b = dev;

    if (!(b->address & ADDRESS_ENABLE) || addr > 3) {
        return UINT64_MAX;
    }
    return vpci_config_read(b, b->address | (uint32_t)addr, size);
}

static void data_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct vpci_bus *b = dev;

    if (b->address & ADDRESS_ENABLE && addr <= 3) {
        vpci_config_write(b, b->address | (uint32_t)addr, size, (uint32_t)value);
    }
}

/* ---- making a bus ---- */

void vpci_dev_init(struct vpci_dev *d, const struct vpci_ids *ids, const struct vpci_dev_ops *ops,
                   void *ctx)
{
    *d = (struct vpci_dev){.ops = ops, .ctx = ctx, .cap_next = VPCI_CAP_START};
    store_le16(&d->config[VPCI_VENDOR_ID], ids->vendor);
    store_le16(&d->config[VPCI_DEVICE_ID], ids->device);
    store_le16(&d->config[VPCI_SUBSYSTEM_VENDOR], ids->subsystem_vendor);
    store_le16(&d->config[VPCI_SUBSYSTEM_ID], ids->subsystem);
    store_le32(&d->config[VPCI_REVISION], ids->class_code << 8 | ids->revision);
    store_le16(&d->write_mask[PCI_COMMAND],
               PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | VPCI_COMMAND_INTX_OFF);
    d->write_mask[VPCI_IRQ_LINE] = 0xff;
}

enum status vpci_add_capability(struct vpci_dev *d, uint8_t id, const void *body, unsigned len,
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
        d->config[VPCI_CAP_POINTER] = (uint8_t)at;
        d->config[VPCI_STATUS] |= VPCI_STATUS_CAPS;
    } else {
        d->config[d->cap_last + 1] = (uint8_t)at;
    }
    d->cap_last = at;
    d->cap_next = (unsigned)ALIGN_UP(at + len, 4);
    *off = at;
    return OK;
}

static void dev_reset(struct vpci_dev *d)
{
    d->intx = false;
    d->config[VPCI_STATUS] &= (uint8_t)~VPCI_STATUS_INTX;
    store_le16(&d->config[PCI_COMMAND], 0);
    vpci_msix_reset(d);
    bars_home(d);
    vpci_intx_update(d);
}

enum status vpci_add(struct vpci_bus *b, struct vpci_dev *d, unsigned slot)
{
    if (slot >= VPCI_SLOTS) {
        return E_RANGE;
    }
    if (b->slots[slot] != NULL) {
        return E_EXISTS;
    }
    for (unsigned n = 0; n < VPCI_BARS; n++) {
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
        d->config[VPCI_IRQ_PIN] = 1; /* INTA# */
        d->config[VPCI_IRQ_LINE] = (uint8_t)vpci_slot_irq(slot);
    }
    dev_reset(d);
    bars_update(b);
    for (unsigned n = 0; n < VPCI_BARS; n++) {
        if (d->bars[n].size != 0 && !d->bars[n].mapped) {
            return E_NOMEM; /* the iobus's table is full */
        }
    }
    return OK;
}

void vpci_bus_reset(struct vpci_bus *b)
{
    b->address = 0;
    for (unsigned slot = 0; slot < VPCI_SLOTS; slot++) {
        if (b->slots[slot] != NULL) {
            dev_reset(b->slots[slot]);
        }
    }
    bars_update(b);
}

void vpci_bus_init(struct vpci_bus *b, struct iobus *ports, struct iobus *mmio,
                   const struct irq_sink *irqs)
{
    /* An Intel 440FX host bridge in name: a PC's firmware and kernels know it and leave it alone.
     */
    static const struct vpci_ids host = {
        .vendor = 0x8086, .device = 0x1237, .class_code = 0x060000, .revision = 2};

    *b = (struct vpci_bus){.ports = ports,
                           .mmio = mmio,
                           .irqs = *irqs,
                           .next_io = VPCI_IO_BASE,
                           .next_mem = VPCI_MEM_BASE};
    vpci_dev_init(&b->host, &host, NULL, b);
    b->host.bus = b;
    b->slots[0] = &b->host;
}

enum status vpci_attach(struct vpci_bus *b)
{
    enum status s = iobus_add(b->ports, VPCI_ADDRESS_PORT, 1, address_read, address_write, b);

    return s != OK ? s : iobus_add(b->ports, VPCI_DATA_PORT, 4, data_read, data_write, b);
}
