/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small driver of virtio-blk over PCI (virtio 1.2), one request at a time, by polling. Its rings
 * and registers are open to the tests that misuse them.
 */
#ifndef VIRTIO_H
#define VIRTIO_H

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "kit.h"

#define VIRTIO_QUEUE 16u /* entries */

/* Features that tests ask for, as bits. */
#define VIRTIO_F_RO (1ul << VIRTIO_BLK_F_RO)
#define VIRTIO_F_FLUSH (1ul << VIRTIO_BLK_F_FLUSH) /* without it each write is on the disk */
#define VIRTIO_F_DISCARD (1ul << VIRTIO_BLK_F_DISCARD)
#define VIRTIO_F_ZEROES (1ul << VIRTIO_BLK_F_WRITE_ZEROES)
#define VIRTIO_F_INDIRECT (1ul << VIRTIO_RING_F_INDIRECT_DESC)
#define VIRTIO_F_EVENT (1ul << VIRTIO_RING_F_EVENT_IDX)
#define VIRTIO_F_V1 (1ul << VIRTIO_F_VERSION_1)

struct virtio_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct virtio_rings {
    struct virtio_desc desc[VIRTIO_QUEUE];
    struct {
        uint16_t flags, idx, ring[VIRTIO_QUEUE], event;
    } avail;
    struct {
        uint16_t flags, idx;
        struct {
            uint32_t id, len;
        } ring[VIRTIO_QUEUE];
        uint16_t event;
    } used __attribute__((aligned(4)));
} __attribute__((aligned(4096)));

struct virtio_request {
    uint32_t type, reserved;
    uint64_t sector;
};

struct virtio_disk {
    unsigned slot;                        /* on the PCI bus */
    uint16_t common, isr, notify, config; /* ports */
    uint32_t notify_step;
    uint64_t features, sectors;
    volatile struct virtio_rings *rings; /* the driver's memory, a page */
    volatile struct virtio_request *request;
    volatile uint8_t *status;
    uint16_t seen; /* used index up to here */
};

/* The n-th disk of this VM, from 0; false: there is none. */
bool virtio_find(struct virtio_disk *d, unsigned n);
/* Status 0, and waits until it reads so; false: it does not within a second. */
bool virtio_reset(struct virtio_disk *d);
/* Reset, then all the way to DRIVER_OK with those of `features` that are offered, and VERSION_1. */
bool virtio_start(struct virtio_disk *d, uint64_t features);
/* Its steps: up to FEATURES_OK; the queue at these addresses, enabled; DRIVER_OK. */
bool virtio_negotiate(struct virtio_disk *d, uint64_t features);
void virtio_set_queue(struct virtio_disk *d, uint16_t size, uint64_t desc, uint64_t avail,
                      uint64_t used);
void virtio_ready(struct virtio_disk *d);
uint8_t virtio_status(const struct virtio_disk *d);

/* One request with one data buffer (bytes may be 0): its status byte, or -1 when the device needs a
 * reset, -2 when nothing comes within two seconds. */
int virtio_request(struct virtio_disk *d, uint32_t type, uint64_t sector, void *data,
                   uint32_t bytes);

/* For chains of one's own in d->rings->desc: offers the one that begins at `head`; notifies; waits
 * for a used element (0), NEEDS_RESET (-1), or nothing (-2). */
void virtio_offer(struct virtio_disk *d, uint16_t head);
void virtio_kick(const struct virtio_disk *d);
int virtio_wait(struct virtio_disk *d);

#endif
