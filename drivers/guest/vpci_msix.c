/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X: capability, table, masking and pending bits (PCI 3.0, section 6.8.2). */
#include "base/bits.h"
#include "base/string.h"
#include "drivers/guest/vpci.h"
#include "drivers/guest/vpci_internal.h"

#define CAP_LEN 12
#define CAP_CONTROL 2 /* message control, from the capability's start */
#define CONTROL_ENABLE 0x8000u
#define CONTROL_MASK_ALL 0x4000u
#define ENTRY_BYTES 16
#define ENTRY_MASKED 1u
#define DATA_MODE(data) ((data) >> 8 & 7u)
#define MODE_NMI 4u
#define MSIX_BAR_BYTES 4096
#define PBA_OFFSET 0x800

_Static_assert(VPCI_MSIX_MAX *ENTRY_BYTES <= PBA_OFFSET, "the table ends before the PBA");
_Static_assert(VPCI_MSIX_MAX <= 64, "the PBA is one 64-bit word");

static uint16_t control(const struct vpci_dev *d)
{
    return load_le16(&d->config[d->msix.cap + CAP_CONTROL]);
}

bool vpci_msix_enabled(const struct vpci_dev *d)
{
    return d->msix.n != 0 && control(d) & CONTROL_ENABLE;
}

/* A message is a memory write of the device, so it needs bus mastering. */
static bool may_send(const struct vpci_dev *d, unsigned vector)
{
    uint16_t c = control(d);

    return c & CONTROL_ENABLE && !(c & CONTROL_MASK_ALL) && vpci_is_master(d) &&
           !(d->msix.table[vector].control & ENTRY_MASKED);
}

/* Sends vectors that were waiting and may go now. */
static void flush(struct vpci_dev *d)
{
    for (unsigned v = 0; d->msix.pending != 0 && v < d->msix.n; v++) {
        if (d->msix.pending & BIT(v) && may_send(d, v)) {
            d->msix.pending &= ~BIT(v);
            d->bus->irqs.message(d->bus->irqs.ctx, d->msix.table[v].addr, d->msix.table[v].data);
        }
    }
}

bool vpci_msix_notify(struct vpci_dev *d, unsigned vector)
{
    if (!vpci_msix_enabled(d)) {
        return false;
    }
    if (vector < d->msix.n) {
        d->msix.pending |= BIT(vector);
        flush(d);
    }
    return true;
}

void vpci_msix_config_written(struct vpci_dev *d)
{
    if (d->msix.n != 0) {
        flush(d);
    }
}

void vpci_msix_reset(struct vpci_dev *d)
{
    if (d->msix.n == 0) {
        return;
    }
    d->msix.pending = 0;
    for (unsigned v = 0; v < d->msix.n; v++) {
        d->msix.table[v].addr = 0;
        d->msix.table[v].data = 0;
        d->msix.table[v].control = ENTRY_MASKED;
    }
    store_le16(&d->config[d->msix.cap + CAP_CONTROL], (uint16_t)(d->msix.n - 1));
}

/* The dword at `offset` of the BAR, which is a multiple of four. */
static uint32_t read_dword(const struct vpci_dev *d, uint64_t offset)
{
    uint64_t v = offset / ENTRY_BYTES;

    if (offset == PBA_OFFSET || offset == PBA_OFFSET + 4) {
        return (uint32_t)(d->msix.pending >> 8 * (offset - PBA_OFFSET));
    }
    if (v >= d->msix.n) {
        return 0;
    }
    switch (offset % ENTRY_BYTES / 4) {
    case 0:
        return (uint32_t)d->msix.table[v].addr;
    case 1:
        return (uint32_t)(d->msix.table[v].addr >> 32);
    case 2:
        return d->msix.table[v].data;
    default:
        return d->msix.table[v].control;
    }
}

static void write_dword(struct vpci_dev *d, uint64_t offset, uint32_t value)
{
    uint64_t v = offset / ENTRY_BYTES;

    if (v >= d->msix.n) {
        return; /* also the PBA: read-only */
    }
    switch (offset % ENTRY_BYTES / 4) {
    case 0:
        d->msix.table[v].addr = (d->msix.table[v].addr & ~UINT64_C(0xffffffff)) | (value & ~3u);
        break;
    case 1:
        d->msix.table[v].addr = (uint32_t)d->msix.table[v].addr | (uint64_t)value << 32;
        break;
    case 2:
        d->msix.table[v].data = value;
        break;
    default:
        d->msix.table[v].control = value & ENTRY_MASKED;
        flush(d);
        break;
    }
}

/* Only aligned accesses of 4 or 8 bytes are defined; others read as 0 and change nothing. */
static bool is_aligned(uint64_t offset, unsigned size)
{
    return (size == 4 || size == 8) && offset % size == 0;
}

static uint64_t msix_read(void *dev, uint64_t offset, unsigned size)
{
    const struct vpci_dev *d = dev;
    uint64_t value;

    if (!is_aligned(offset, size)) {
        return 0;
    }
    value = read_dword(d, offset);
    return size == 8 ? value | (uint64_t)read_dword(d, offset + 4) << 32 : value;
}

static void msix_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct vpci_dev *d = dev;

    if (!is_aligned(offset, size)) {
        return;
    }
    write_dword(d, offset, (uint32_t)value);
    if (size == 8) {
        write_dword(d, offset + 4, (uint32_t)(value >> 32));
    }
}

enum status vpci_add_msix(struct vpci_dev *d, unsigned bar, unsigned n)
{
    uint8_t body[CAP_LEN - 2];
    enum status s;

    if (n == 0 || n > VPCI_MSIX_MAX) {
        return E_INVAL;
    }
    if (d->msix.n != 0) {
        return E_EXISTS;
    }
    s = vpci_add_bar(d, bar, false, MSIX_BAR_BYTES, msix_read, msix_write, d);
    if (s != OK) {
        return s;
    }
    store_le16(&body[0], (uint16_t)(n - 1));
    store_le32(&body[2], bar); /* table: offset 0 */
    store_le32(&body[6], PBA_OFFSET | bar);
    s = vpci_add_capability(d, VPCI_CAP_ID_MSIX, body, CAP_LEN, &d->msix.cap);
    if (s != OK) {
        return s;
    }
    d->msix.n = n;
    store_le16(&d->write_mask[d->msix.cap + CAP_CONTROL], CONTROL_ENABLE | CONTROL_MASK_ALL);
    vpci_msix_reset(d);
    return OK;
}

bool vpci_msix_sends_nmi(const struct vpci_bus *b)
{
    for (unsigned slot = 0; slot < VPCI_SLOTS; slot++) {
        const struct vpci_dev *d = b->slots[slot];
        for (unsigned v = 0; d != NULL && v < d->msix.n; v++) {
            if (vpci_msix_enabled(d) && DATA_MODE(d->msix.table[v].data) == MODE_NMI) {
                return true;
            }
        }
    }
    return false;
}
