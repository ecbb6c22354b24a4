/* SPDX-License-Identifier: BSD-2-Clause */
/* A small virtio-blk driver: see virtio.h. */
#include "virtio.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define DISK_ID 0x10421af4u
#define BAR0 0x10
#define PORTS 0xc000u /* where BAR 0 goes if nobody has placed it: 256 ports a slot */

#define NEGOTIATED                                                                                 \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)

static struct virtio_rings rings[8];
static struct virtio_request requests[8];
static uint8_t statuses[8];

static uint32_t pci_read(unsigned slot, unsigned reg)
{
    outl(PCI_ADDRESS, 1u << 31 | slot << 11 | (reg & 0xfc));
    return inl(PCI_DATA);
}

static void pci_write(unsigned slot, unsigned reg, uint32_t v)
{
    outl(PCI_ADDRESS, 1u << 31 | slot << 11 | (reg & 0xfc));
    outl(PCI_DATA, v);
}

static bool read_capabilities(struct virtio_disk *d)
{
    uint32_t bar = pci_read(d->slot, BAR0);
    unsigned found = 0;

    if (!(bar & 1)) {
        return false;
    }
    if (!(bar & 0xfffc)) {
        pci_write(d->slot, BAR0, PORTS + d->slot * 256);
        bar = pci_read(d->slot, BAR0);
    }
    pci_write(d->slot, 4, (pci_read(d->slot, 4) & 0xffff) | 7); /* ports, memory, bus master */
    uint16_t base = bar & 0xfffc;
    unsigned at = pci_read(d->slot, 0x34) & 0xfc;
    for (unsigned n = 0; at && n < 48; n++) {
        uint32_t head = pci_read(d->slot, at);
        if ((head & 0xff) == 9 && (pci_read(d->slot, at + VIRTIO_PCI_CAP_BAR) & 0xff) == 0) {
            uint16_t port = (uint16_t)(base + pci_read(d->slot, at + VIRTIO_PCI_CAP_OFFSET));
            switch (head >> 24) {
            case VIRTIO_PCI_CAP_COMMON_CFG:
                d->common = port;
                break;
            case VIRTIO_PCI_CAP_NOTIFY_CFG:
                d->notify = port;
                d->notify_step = pci_read(d->slot, at + VIRTIO_PCI_NOTIFY_CAP_MULT);
                break;
            case VIRTIO_PCI_CAP_ISR_CFG:
                d->isr = port;
                break;
            case VIRTIO_PCI_CAP_DEVICE_CFG:
                d->config = port;
                break;
            default:
                found--;
            }
            found++;
        }
        at = head >> 8 & 0xfc;
    }
    return found >= 4;
}

bool virtio_find(struct virtio_disk *d, unsigned n)
{
    unsigned seen = 0;

    for (unsigned slot = 0; slot < 32; slot++) {
        if (pci_read(slot, 0) != DISK_ID || seen++ != n) {
            continue;
        }
        memset(d, 0, sizeof(*d));
        d->slot = slot;
        d->rings = &rings[n & 7];
        d->request = &requests[n & 7];
        d->status = &statuses[n & 7];
        if (!read_capabilities(d)) {
            return false;
        }
        d->sectors = inl(d->config) | (uint64_t)inl(d->config + 4) << 32;
        return true;
    }
    return false;
}

uint8_t virtio_status(const struct virtio_disk *d)
{
    return inb(d->common + VIRTIO_PCI_COMMON_STATUS);
}

bool virtio_reset(struct virtio_disk *d)
{
    uint64_t end = rdtsc() + kit_tsc_hz();

    outb(d->common + VIRTIO_PCI_COMMON_STATUS, 0);
    while (virtio_status(d) != 0) {
        if (rdtsc() > end) {
            return false;
        }
        __asm__ volatile("pause");
    }
    return true;
}

bool virtio_negotiate(struct virtio_disk *d, uint64_t features)
{
    uint64_t offered = 0;

    if (!virtio_reset(d)) {
        return false;
    }
    outb(d->common + VIRTIO_PCI_COMMON_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    outb(d->common + VIRTIO_PCI_COMMON_STATUS,
         VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    for (unsigned i = 0; i < 2; i++) {
        outl(d->common + VIRTIO_PCI_COMMON_DFSELECT, i);
        offered |= (uint64_t)inl(d->common + VIRTIO_PCI_COMMON_DF) << 32 * i;
    }
    d->features = offered & (features | VIRTIO_F_V1);
    for (unsigned i = 0; i < 2; i++) {
        outl(d->common + VIRTIO_PCI_COMMON_GFSELECT, i);
        outl(d->common + VIRTIO_PCI_COMMON_GF, (uint32_t)(d->features >> 32 * i));
    }
    outb(d->common + VIRTIO_PCI_COMMON_STATUS, NEGOTIATED);
    return virtio_status(d) == NEGOTIATED;
}

static void out64(uint16_t port, uint64_t v)
{
    outl(port, (uint32_t)v);
    outl((uint16_t)(port + 4), (uint32_t)(v >> 32));
}

void virtio_set_queue(struct virtio_disk *d, uint16_t size, uint64_t desc, uint64_t avail,
                      uint64_t used)
{
    memset((void *)d->rings, 0, sizeof(*d->rings));
    d->seen = 0;
    outw(d->common + VIRTIO_PCI_COMMON_Q_SELECT, 0);
    outw(d->common + VIRTIO_PCI_COMMON_Q_SIZE, size);
    out64(d->common + VIRTIO_PCI_COMMON_Q_DESCLO, desc);
    out64(d->common + VIRTIO_PCI_COMMON_Q_AVAILLO, avail);
    out64(d->common + VIRTIO_PCI_COMMON_Q_USEDLO, used);
    outw(d->common + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
}

void virtio_ready(struct virtio_disk *d)
{
    outb(d->common + VIRTIO_PCI_COMMON_STATUS, NEGOTIATED | VIRTIO_CONFIG_S_DRIVER_OK);
}

bool virtio_start(struct virtio_disk *d, uint64_t features)
{
    if (!virtio_negotiate(d, features)) {
        return false;
    }
    virtio_set_queue(d, VIRTIO_QUEUE, (uint64_t)d->rings->desc, (uint64_t)&d->rings->avail,
                     (uint64_t)&d->rings->used);
    virtio_ready(d);
    return virtio_status(d) == (NEGOTIATED | VIRTIO_CONFIG_S_DRIVER_OK);
}

void virtio_offer(struct virtio_disk *d, uint16_t head)
{
    d->rings->avail.ring[d->rings->avail.idx % VIRTIO_QUEUE] = head;
    __asm__ volatile("" ::: "memory");
    d->rings->avail.idx++;
}

void virtio_kick(const struct virtio_disk *d)
{
    outw(d->common + VIRTIO_PCI_COMMON_Q_SELECT, 0);
    uint16_t off = inw(d->common + VIRTIO_PCI_COMMON_Q_NOFF);
    __asm__ volatile("mfence" ::: "memory");
    outw((uint16_t)(d->notify + off * d->notify_step), 0);
}

int virtio_wait(struct virtio_disk *d)
{
    uint64_t end = rdtsc() + 2 * kit_tsc_hz();

    for (unsigned n = 0; d->rings->used.idx == d->seen; n++) {
        if (n % 16 == 0 && (virtio_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
            return -1;
        }
        if (rdtsc() > end) {
            return -2;
        }
        __asm__ volatile("pause");
    }
    d->seen++;
    return 0;
}

int virtio_request(struct virtio_disk *d, uint32_t type, uint64_t sector, void *data,
                   uint32_t bytes)
{
    volatile struct virtio_desc *desc = d->rings->desc;
    bool to_memory = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    unsigned n = 1;

    *d->request = (struct virtio_request){type, 0, sector};
    *d->status = 0xee;
    desc[0] = (struct virtio_desc){(uint64_t)d->request, 16, VRING_DESC_F_NEXT, 1};
    if (bytes) {
        desc[n] = (struct virtio_desc){
            (uint64_t)data, bytes,
            (uint16_t)(VRING_DESC_F_NEXT | (to_memory ? VRING_DESC_F_WRITE : 0)),
            (uint16_t)(n + 1)};
        n++;
    }
    desc[n] = (struct virtio_desc){(uint64_t)d->status, 1, VRING_DESC_F_WRITE, 0};
    virtio_offer(d, 0);
    virtio_kick(d);
    int s = virtio_wait(d);
    return s < 0 ? s : *d->status;
}
