/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtio PCI transport: registers, negotiation, status, interrupts. */
#include "drivers/guest/virtio/pci.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"

#define VENDOR_RED_HAT 0x1af4 /* 4.1.2 */
#define REVISION_MODERN 1

#define COMMON_BYTES 0x38u

/* struct virtio_pci_cap (4.1.4), by offset from the capability. */
#define CAP_BYTES 16u
#define CAP_DATA 16 /* notify_off_multiplier, or pci_cfg_data */
#define CAP_LONG_BYTES 20u

#define ISR_QUEUE 1u

static struct virtqueue *selected(const struct virtio_pci *v)
{
    return v->queue_select < v->n_queues ? &v->queues[v->queue_select] : NULL;
}

static void interrupt(struct virtio_pci *v, unsigned vector, uint8_t isr)
{
    if (!vpci_msix_notify(&v->pci, vector)) {
        v->isr |= isr;
        vpci_set_intx(&v->pci, true);
    }
}

void virtio_pci_used(struct virtio_pci *v, unsigned queue)
{
    interrupt(v, v->queue_vector[queue], ISR_QUEUE);
}

void virtio_pci_break(struct virtio_pci *v, const char *why)
{
    if (v->resetting || (v->status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0) {
        return;
    }
    if (!v->complained) {
        v->complained = true;
        log_warn("%s: the guest broke its virtio device: %s", v->name, why);
    }
    v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    /* 2.1.2: only a driver that was told of the device being ready expects to hear of this. */
    if ((v->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0) {
        interrupt(v, v->config_vector, VIRTIO_PCI_ISR_CONFIG);
    }
}

/* The registers' state at power-on. */
static void clear(struct virtio_pci *v)
{
    v->wanted = 0;
    v->features = 0;
    v->device_select = 0;
    v->driver_select = 0;
    v->queue_select = 0;
    v->config_vector = VIRTIO_MSI_NO_VECTOR;
    for (unsigned i = 0; i < VIRTIO_PCI_QUEUES; i++) {
        v->queue_vector[i] = VIRTIO_MSI_NO_VECTOR;
    }
    v->status = 0;
    v->isr = 0;
    v->resetting = false;
    vpci_set_intx(&v->pci, false);
}

void virtio_pci_reset_done(struct virtio_pci *v)
{
    if (v->resetting) {
        clear(v);
    }
}

static void write_status(struct virtio_pci *v, uint8_t value)
{
    uint8_t set = (uint8_t)(value & ~v->status);

    if (value == 0) {
        v->resetting = true;
        if (v->type->reset(v->dev)) {
            clear(v);
        }
        return;
    }
    /* Bits are only ever added (2.1.1), NEEDS_RESET by the device alone. */
    v->status |= (uint8_t)(value & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                                    VIRTIO_CONFIG_S_FAILED));
    if ((set & VIRTIO_CONFIG_S_FEATURES_OK) != 0 && (v->wanted & ~v->offered) == 0 &&
        (v->wanted & BIT(VIRTIO_F_VERSION_1)) != 0) {
        v->features = v->wanted;
        v->status |= VIRTIO_CONFIG_S_FEATURES_OK;
    }
    if ((set & VIRTIO_CONFIG_S_DRIVER_OK) != 0 && (v->status & VIRTIO_CONFIG_S_FEATURES_OK) != 0) {
        v->status |= VIRTIO_CONFIG_S_DRIVER_OK;
        for (unsigned i = 0; i < v->n_queues; i++) {
            /* What was made available before now needs no kick. */
            if (v->queues[i].enabled && virtio_pci_live(v)) {
                v->type->notify(v->dev, i);
            }
        }
    }
}

/* The aligned dword of the common configuration (4.1.4.3) at `off`: the fields that it has, the one
 * that it is named by lowest. */
static uint32_t common_read(const struct virtio_pci *v, unsigned off)
{
    const struct virtqueue *q = selected(v);

    switch (off) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        return v->device_select;
    case VIRTIO_PCI_COMMON_DF:
        return v->device_select < 2 ? (uint32_t)(v->offered >> (32 * v->device_select)) : 0;
    case VIRTIO_PCI_COMMON_GFSELECT:
        return v->driver_select;
    case VIRTIO_PCI_COMMON_GF:
        return v->driver_select < 2 ? (uint32_t)(v->wanted >> (32 * v->driver_select)) : 0;
    case VIRTIO_PCI_COMMON_MSIX:
        return v->config_vector | v->n_queues << 16;
    case VIRTIO_PCI_COMMON_STATUS:
        return v->status | (uint32_t)v->generation << 8 | (uint32_t)v->queue_select << 16;
    default:
        break;
    }
    if (q == NULL) {
        /* queue_size 0 says that there is no such queue. */
        return off == VIRTIO_PCI_COMMON_Q_SIZE ? (uint32_t)VIRTIO_MSI_NO_VECTOR << 16 : 0;
    }
    switch (off) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        return q->size | (uint32_t)v->queue_vector[v->queue_select] << 16;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        return (q->enabled ? 1u : 0u) | (uint32_t)v->queue_select << 16;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
    case VIRTIO_PCI_COMMON_Q_DESCLO + 4:
        return (uint32_t)(q->desc.base.a >> (off & 4) * 8);
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
    case VIRTIO_PCI_COMMON_Q_AVAILLO + 4:
        return (uint32_t)(q->avail.base.a >> (off & 4) * 8);
    case VIRTIO_PCI_COMMON_Q_USEDLO:
    case VIRTIO_PCI_COMMON_Q_USEDLO + 4:
        return (uint32_t)(q->used.base.a >> (off & 4) * 8);
    default:
        return 0;
    }
}

static void set_half(gpa_t *address, unsigned off, uint32_t value)
{
    unsigned shift = (off & 4) * 8;

    address->a = (address->a & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
}

/* A vector that does not exist is refused by reading back as none (4.1.5.1.2.1). */
static uint16_t checked_vector(const struct virtio_pci *v, uint32_t value)
{
    return value < v->pci.msix.n ? (uint16_t)value : VIRTIO_MSI_NO_VECTOR;
}

static void set_wanted(struct virtio_pci *v, uint32_t value)
{
    unsigned shift = 32 * v->driver_select;

    if (v->driver_select < 2 && (v->status & VIRTIO_CONFIG_S_FEATURES_OK) == 0) {
        v->wanted = (v->wanted & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
    }
}

static void enable_queue(struct virtio_pci *v, struct virtqueue *q)
{
    if ((v->status & VIRTIO_CONFIG_S_FEATURES_OK) == 0) {
        return;
    }
    virtqueue_enable(q, v->features);
    if (virtqueue_broken(q)) {
        virtio_pci_break(v, q->why);
    }
}

/* Fields of the selected queue; fixed once it is enabled. */
static void queue_write(struct virtio_pci *v, unsigned off, unsigned size, uint32_t value)
{
    struct virtqueue *q = selected(v);

    if (q == NULL) {
        return;
    }
    if (off == VIRTIO_PCI_COMMON_Q_MSIX && size == 2) {
        v->queue_vector[v->queue_select] = checked_vector(v, value);
    } else if (q->enabled) {
        return;
    } else if (off == VIRTIO_PCI_COMMON_Q_SIZE && size == 2) {
        q->size = (uint16_t)value;
    } else if (off == VIRTIO_PCI_COMMON_Q_ENABLE && size == 2) {
        if (value == 1) {
            enable_queue(v, q);
        }
    } else if (size == 4) {
        switch (off & ~4u) {
        case VIRTIO_PCI_COMMON_Q_DESCLO:
            set_half(&q->desc.base, off, value);
            break;
        case VIRTIO_PCI_COMMON_Q_AVAILLO:
            set_half(&q->avail.base, off, value);
            break;
        case VIRTIO_PCI_COMMON_Q_USEDLO:
            set_half(&q->used.base, off, value);
            break;
        default:
            break;
        }
    }
}

/* Drivers access each field with its own width, 64-bit ones as two halves (4.1.3.1); anything else
 * is ignored. */
static void common_write(struct virtio_pci *v, unsigned off, unsigned size, uint32_t value)
{
    if (v->resetting) {
        return;
    }
    if (size == 4 && off == VIRTIO_PCI_COMMON_DFSELECT) {
        v->device_select = value;
    } else if (size == 4 && off == VIRTIO_PCI_COMMON_GFSELECT) {
        v->driver_select = value;
    } else if (size == 4 && off == VIRTIO_PCI_COMMON_GF) {
        set_wanted(v, value);
    } else if (size == 2 && off == VIRTIO_PCI_COMMON_MSIX) {
        v->config_vector = checked_vector(v, value);
    } else if (size == 1 && off == VIRTIO_PCI_COMMON_STATUS) {
        write_status(v, (uint8_t)value);
    } else if (size == 2 && off == VIRTIO_PCI_COMMON_Q_SELECT) {
        v->queue_select = (uint16_t)value;
    } else {
        queue_write(v, off, size, value);
    }
}

/* Reading takes the interrupt back (4.1.4.5). */
static uint8_t isr_read(struct virtio_pci *v)
{
    uint8_t isr = v->isr;

    v->isr = 0;
    vpci_set_intx(&v->pci, false);
    return isr;
}

/* BAR 0. A read that crosses an aligned dword is answered as far as that dword goes. */
static uint64_t bar_read(void *ctx, uint64_t addr, unsigned size)
{
    struct virtio_pci *v = ctx;
    unsigned off = (unsigned)addr & (VIRTIO_PCI_BAR_BYTES - 1);
    unsigned dword = off & ~3u;
    uint32_t value = 0;

    if (off == VIRTIO_PCI_ISR_AT) {
        return isr_read(v);
    }
    if (dword < COMMON_BYTES) {
        value = common_read(v, dword);
    } else if (dword >= VIRTIO_PCI_DEVICE_AT &&
               range_within(dword - VIRTIO_PCI_DEVICE_AT, 4, v->type->config_bytes)) {
        value = load_le32(v->config + (dword - VIRTIO_PCI_DEVICE_AT));
    }
    value >>= (off & 3) * 8;
    return size >= 4 ? value : value & (BIT32(size * 8) - 1);
}

static void bar_write(void *ctx, uint64_t addr, unsigned size, uint64_t value)
{
    struct virtio_pci *v = ctx;
    unsigned off = (unsigned)addr & (VIRTIO_PCI_BAR_BYTES - 1);

    if (off < COMMON_BYTES) {
        common_write(v, off, size, (uint32_t)value);
    } else if (off >= VIRTIO_PCI_NOTIFY_AT &&
               off < VIRTIO_PCI_NOTIFY_AT + VIRTIO_PCI_NOTIFY_STEP * v->n_queues) {
        /* The place says which queue; so does the value, but a guest could disagree with itself. */
        unsigned queue = (off - VIRTIO_PCI_NOTIFY_AT) / VIRTIO_PCI_NOTIFY_STEP;

        if (virtio_pci_live(v) && v->queues[queue].enabled) {
            v->type->notify(v->dev, queue);
        }
    }
}

/*
 * VIRTIO_PCI_CAP_PCI_CFG (4.1.4.9): a window into the BAR through configuration space, for firmware
 * that has not mapped it. Bar, offset and length are the guest's; false if they name nothing.
 */
static bool window(const struct virtio_pci *v, unsigned off, unsigned size, unsigned *at,
                   unsigned *len)
{
    const uint8_t *cap = v->pci.config + v->cfg_cap;
    uint32_t offset = load_le32(cap + VIRTIO_PCI_CAP_OFFSET);
    uint32_t length = load_le32(cap + VIRTIO_PCI_CAP_LENGTH);
    unsigned data = v->cfg_cap + CAP_DATA;

    if (off >= data + 4 || off + size <= data || cap[VIRTIO_PCI_CAP_BAR] != VIRTIO_PCI_BAR) {
        return false;
    }
    if ((length != 1 && length != 2 && length != 4) || (offset & (length - 1)) != 0 ||
        !range_within(offset, length, VIRTIO_PCI_BAR_BYTES)) {
        return false;
    }
    *at = offset;
    *len = length;
    return true;
}

static void config_read(struct vpci_dev *pci, unsigned off, unsigned size)
{
    struct virtio_pci *v = pci->ctx;
    unsigned at, len;

    if (window(v, off, size, &at, &len)) {
        store_le32(pci->config + v->cfg_cap + CAP_DATA, (uint32_t)bar_read(v, at, len));
    }
}

static void config_write(struct vpci_dev *pci, unsigned off, unsigned size)
{
    struct virtio_pci *v = pci->ctx;
    unsigned at, len;

    if (window(v, off, size, &at, &len)) {
        uint32_t value = load_le32(pci->config + v->cfg_cap + CAP_DATA);

        bar_write(v, at, len, len == 4 ? value : value & (BIT32(len * 8) - 1));
    }
}

static const struct vpci_dev_ops pci_ops = {
    .config_read = config_read,
    .config_write = config_write,
};

/* Appends one vendor capability; `extra` is the dword that some types have at the end. */
static unsigned add_cap(struct virtio_pci *v, uint8_t cfg_type, uint32_t offset, uint32_t length,
                        const uint32_t *extra)
{
    uint8_t cap[CAP_LONG_BYTES] = {0};
    unsigned bytes = extra != NULL ? CAP_LONG_BYTES : CAP_BYTES;
    unsigned at = 0;
    enum status s;

    cap[2] = (uint8_t)bytes;
    cap[VIRTIO_PCI_CAP_CFG_TYPE] = cfg_type;
    cap[VIRTIO_PCI_CAP_BAR] = VIRTIO_PCI_BAR;
    store_le32(cap + VIRTIO_PCI_CAP_OFFSET, offset);
    store_le32(cap + VIRTIO_PCI_CAP_LENGTH, length);
    if (extra != NULL) {
        store_le32(cap + CAP_DATA, *extra);
    }
    s = vpci_add_capability(&v->pci, VPCI_CAP_ID_VENDOR, cap + 2, bytes, &at);
    ASSERT(s == OK);
    return at;
}

void virtio_pci_init(struct virtio_pci *v, const struct virtio_pci_type *type, const char *name,
                     void *dev, uint64_t features, struct virtqueue *queues, unsigned n_queues)
{
    const struct vpci_ids ids = {
        .vendor = VENDOR_RED_HAT,
        .device = type->device,
        .subsystem_vendor = VENDOR_RED_HAT,
        .subsystem = type->device,
        .class_code = type->class_code,
        .revision = REVISION_MODERN,
    };
    const uint32_t step = VIRTIO_PCI_NOTIFY_STEP, zero = 0;
    enum status s;

    ASSERT(n_queues <= VIRTIO_PCI_QUEUES && type->config_bytes <= VIRTIO_PCI_CONFIG_BYTES);
    memset(v, 0, sizeof(*v));
    v->type = type;
    v->name = name;
    v->dev = dev;
    v->queues = queues;
    v->n_queues = n_queues;
    v->offered = features | BIT(VIRTIO_F_VERSION_1);
    vpci_dev_init(&v->pci, &ids, &pci_ops, v);
    s = vpci_add_bar(&v->pci, VIRTIO_PCI_BAR, true, VIRTIO_PCI_BAR_BYTES, bar_read, bar_write, v);
    ASSERT(s == OK);
    s = vpci_add_msix(&v->pci, VIRTIO_PCI_MSIX_BAR, n_queues + 1);
    ASSERT(s == OK);
    add_cap(v, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_COMMON_AT, COMMON_BYTES, NULL);
    add_cap(v, VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_PCI_ISR_AT, 1, NULL);
    add_cap(v, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_PCI_NOTIFY_AT, VIRTIO_PCI_NOTIFY_STEP * n_queues,
            &step);
    add_cap(v, VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_PCI_DEVICE_AT, type->config_bytes, NULL);
    v->cfg_cap = add_cap(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, &zero);
    v->pci.write_mask[v->cfg_cap + VIRTIO_PCI_CAP_BAR] = 0xff;
    memset(v->pci.write_mask + v->cfg_cap + VIRTIO_PCI_CAP_OFFSET, 0xff,
           CAP_LONG_BYTES - VIRTIO_PCI_CAP_OFFSET);
    clear(v);
}
