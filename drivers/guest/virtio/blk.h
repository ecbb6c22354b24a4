/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio block device (virtio 1.2, section 5.2) over any struct blk_dev: one queue, several
 * requests in flight, data moved straight between the disk and the guest's pinned pages.
 *
 * Memory comes from the caller: struct virtio_blk itself, one page for each request slot (so many
 * requests are in flight at most), and one bounce page. A request of any length is worked off in
 * pieces of at most VIRTIO_BLK_PIECE pages. Buffers that are not whole, aligned sectors go through
 * the bounce page.
 *
 * How it is driven. A kick only marks that the ring may hold something. A kick, and whatever else
 * becomes possible (the disk completed something, a reset has slots to drop), is announced by
 * cfg.kick or cfg.wake, and done when the VM's loop calls virtio_blk_work, again and again while
 * that returns true. Used entries and interrupts come from there only, so what completed together
 * is signalled together.
 *
 * Bounded steps. virtio_blk_work ends soon after its deadline: between two pages that are pinned,
 * mapped, frozen or released, and between two buffers that are copied. What is left stays in the
 * slot. One piece of work beyond the deadline is at most a page copied and a few walks of the p2m.
 *
 * Out of frames: nothing is lost. wants_memory is set, and the VM's loop pauses the VM and calls
 * virtio_blk_work again when frames are free (it clears the flag and tries again).
 *
 * Frames in flight stay pinned: they are not merged, moved or reused until the disk is done.
 */
#ifndef DRIVERS_GUEST_VIRTIO_BLK_H
#define DRIVERS_GUEST_VIRTIO_BLK_H

#include <linux/virtio_blk.h>

#include "base/deadline.h"
#include "base/status.h"
#include "base/types.h"
#include "drivers/block/blk.h"
#include "drivers/guest/virtio/pci.h"
#include "drivers/guest/virtio/virtqueue.h"
#include "mm/p2m.h"

#define VIRTIO_BLK_SLOTS 64   /* most slots that a device can have */
#define VIRTIO_BLK_PIECE 64   /* pages in one blk_req, at most */
#define VIRTIO_BLK_BUFS 72    /* buffers of one chain, at most */
#define VIRTIO_BLK_SEG_MAX 64 /* what the driver is told: leaves room for a split header */
#define VIRTIO_BLK_PINS 1024  /* data pages pinned by one device, at most: 4 MiB in flight */
#define VIRTIO_BLK_HELD 512   /* frames of the disk's, fetched and pinned until they are mapped */
#define VIRTIO_BLK_ZONES 16   /* segments of one DISCARD or WRITE_ZEROES */

struct virtio_blk;
struct virtio_blk_slot;

STAILQ_HEAD(virtio_blk_slots, virtio_blk_slot);

struct virtio_blk_stats {
    uint64_t reads, writes, flushes, discards, zeroes, ids; /* requests completed, by kind */
    uint64_t read_bytes, write_bytes;                       /* data of those that succeeded */
    uint64_t errors;    /* completed with a status other than OK */
    uint64_t bounced;   /* pieces that went through the bounce page */
    uint64_t no_memory; /* times that work stopped for want of a frame */
    uint64_t no_slot;   /* times that requests were left in the ring, all slots being busy */
    uint64_t kicks, interrupts;
};

struct virtio_blk_cfg {
    struct p2m *p2m;
    struct blk_dev *disk;
    const char *serial; /* "VMNAME-diskN"; copied, cut to 20 bytes */
    mfn_t bounce;       /* a frame of the hypervisor's, this device's alone */
    /* There is work: call virtio_blk_work soon. Possibly called from inside the disk's completion,
     * more than once; must not call back into the device. */
    void (*wake)(void *ctx);
    /* The guest has notified the device: as wake, but from the guest's own exit, so that the owner
     * may call virtio_blk_work at once. NULL: wake is called instead. */
    void (*kick)(void *ctx);
    void *wake_ctx;
    /* May be NULL. The disk's data has come to rest in this guest page. */
    void (*arrived)(void *ctx, gfn_t gfn);
    void *arrived_ctx;
};

struct virtio_blk {
    struct virtio_pci pci; /* the transport; pci.pci is what the guest's PCI bus gets */
    struct virtqueue vq;
    struct virtio_blk_cfg cfg;
    char serial[VIRTIO_BLK_ID_BYTES + 1]; /* ends with NUL: also the name in messages */
    bool wants_memory;                    /* stopped for want of a frame */
    bool quiesced;                        /* no new requests, ever */
    bool working;                         /* inside virtio_blk_work: completions only queue up */
    bool kicked;                          /* the available ring may hold something */
    const struct deadline *until;         /* of the step that is running */
    struct virtio_blk_slot *bounce_user;  /* who has the bounce page */
    uint32_t n_slots;
    uint32_t n_busy;      /* slots not free */
    uint32_t n_in_flight; /* slots whose blk_req the disk has */
    uint32_t n_pins;      /* pages pinned by pieces */
    uint32_t n_held;      /* frames pinned between a fetch and their use, or that may come to be */
    struct virtio_blk_slots free;
    struct virtio_blk_slots ready;   /* can go on */
    struct virtio_blk_slots stalled; /* wait for the bounce page or for pins */
    struct virtio_blk_stats stats;
};

/* Makes the device. The caller then adds slots, and puts d->pci.pci into the guest's bus
 * (vpci_add); interrupts go where that bus sends them. */
void virtio_blk_init(struct virtio_blk *d, const struct virtio_blk_cfg *cfg);
/* Gives one more slot in `page` (PAGE_SIZE bytes, aligned to 8, the device's until it has been
 * quiesced). E_NOMEM: it has VIRTIO_BLK_SLOTS already. At least one is needed. */
enum status virtio_blk_add_slot(struct virtio_blk *d, void *page) MUST_CHECK;

/* Goes on with what is possible until the deadline (NULL: there is none). True: call again soon
 * (there is more, and it does not wait for the disk or for memory). */
bool virtio_blk_work(struct virtio_blk *d, const struct deadline *until);

/*
 * For stopping the VM: no requests are taken from now on, and virtio_blk_work drops those that
 * wait. True once the disk has given back everything and no page of the guest is pinned by this
 * device. The device's memory may be reused then.
 */
bool virtio_blk_quiesce(struct virtio_blk *d);

#endif
