/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modern virtio transport over PCI (virtio 1.2, section 4.1): configuration structures, feature
 * negotiation, device status, interrupts.
 *
 * Common configuration, ISR, notification and device configuration are all in one I/O-space BAR, so
 * that every access is a port exit, which needs no instruction decoding; MSI-X table and PBA are in
 * a memory BAR that drivers touch only when they set vectors up.
 *
 *     BAR 0 (I/O, 256 bytes)   0x00 common, 0x40 ISR, 0x44 notify (4 bytes a queue), 0x80 device
 *     BAR 1 (memory)           MSI-X
 *
 * A reset (0 written to device_status) is complete when the device has given back its last request;
 * until then the status reads as it was, and the driver waits, as 2.1.2 and 4.1.4.3.1 allow.
 */
#ifndef DRIVERS_GUEST_VIRTIO_PCI_H
#define DRIVERS_GUEST_VIRTIO_PCI_H

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "base/types.h"
#include "drivers/guest/virtio/virtqueue.h"
#include "drivers/guest/vpci.h"

#define VIRTIO_PCI_QUEUES 4        /* queues that a device can have */
#define VIRTIO_PCI_CONFIG_BYTES 64 /* device-specific configuration, at most */

/* device_status (2.1). */

/* Offsets in BAR 0; the drivers find them through the capabilities. */
#define VIRTIO_PCI_BAR 0
#define VIRTIO_PCI_MSIX_BAR 1
#define VIRTIO_PCI_BAR_BYTES 256u
#define VIRTIO_PCI_COMMON_AT 0x00u
#define VIRTIO_PCI_ISR_AT 0x40u
#define VIRTIO_PCI_NOTIFY_AT 0x44u
#define VIRTIO_PCI_DEVICE_AT 0x80u
#define VIRTIO_PCI_NOTIFY_STEP 4u /* notify_off_multiplier */

/* What a kind of device brings along. */
struct virtio_pci_type {
    uint16_t device;       /* PCI device id */
    uint32_t class_code;   /* as struct vpci_ids has it */
    unsigned config_bytes; /* of device configuration, multiple of 4 */
    /* The driver kicked the queue, or it may hold something since the driver became ready. */
    void (*notify)(void *dev, unsigned queue);
    /* Resets the device and its queues. False: requests are in flight, and the device will call
     * virtio_pci_reset_done when the last is back. */
    bool (*reset)(void *dev);
};

struct virtio_pci {
    struct vpci_dev pci; /* what goes into a slot of the guest's bus */
    const struct virtio_pci_type *type;
    const char *name; /* for messages */
    void *dev;
    struct virtqueue *queues;
    unsigned n_queues;
    unsigned cfg_cap;                      /* offset of VIRTIO_PCI_CAP_PCI_CFG */
    uint64_t offered;                      /* by the device */
    uint64_t wanted;                       /* by the driver, so far */
    uint64_t features;                     /* agreed: `wanted` when FEATURES_OK was set, 0 before */
    uint32_t device_select, driver_select; /* halves of the feature words */
    uint16_t queue_select;
    uint16_t config_vector;
    uint16_t queue_vector[VIRTIO_PCI_QUEUES];
    uint8_t status;
    uint8_t isr;
    uint8_t generation;
    bool resetting;
    bool complained;                         /* a broken queue has been logged */
    uint8_t config[VIRTIO_PCI_CONFIG_BYTES]; /* read-only to the driver */
};

/*
 * Makes the PCI function, with n_queues + 1 MSI-X vectors. `features` without VERSION_1, which is
 * always offered; `name` must live as long as v. The caller fills v->config and puts v->pci into a
 * slot.
 */
void virtio_pci_init(struct virtio_pci *v, const struct virtio_pci_type *type, const char *name,
                     void *dev, uint64_t features, struct virtqueue *queues, unsigned n_queues);

/* Interrupts the driver for used buffers of a queue. */
void virtio_pci_used(struct virtio_pci *v, unsigned queue);
/* Something is broken beyond repair: sets DEVICE_NEEDS_RESET and tells the driver, once until the
 * next reset. The reason is logged once in the device's life, as a guest could go on for ever. */
void virtio_pci_break(struct virtio_pci *v, const char *why);
/* Ends a reset that type->reset could not complete at once. */
void virtio_pci_reset_done(struct virtio_pci *v);

/* Whether queues may be worked on: DRIVER_OK, and no reset wanted or under way. */
static inline bool virtio_pci_live(const struct virtio_pci *v)
{
    return !v->resetting && (v->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0 &&
           (v->status & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)) == 0;
}

static inline bool virtio_pci_resetting(const struct virtio_pci *v)
{
    return v->resetting;
}

#endif
