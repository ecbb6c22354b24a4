/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of one split virtqueue (virtio 1.2, section 2.7): descriptor chains out of the
 * available ring, used elements into the used ring, and who wants to be notified when.
 *
 * Everything in the rings is hostile. Whatever breaks the specification in a way that leaves no
 * request to answer makes the queue *broken*: nothing is read from it or written to it any more
 * until it is reset, `why` says what was wrong, and the device tells the driver
 * (DEVICE_NEEDS_RESET).
 *
 * The pages of the three ring areas (at most six) are pinned when the queue is first used after
 * being enabled, and stay so until virtqueue_reset: rings are touched for every request, and a
 * pinned page is neither folded nor moved, so its machine address holds. Descriptor tables beyond
 * the ring (indirect ones) are read through the p2m each time.
 *
 * Every descriptor is read once, into the caller's memory, so a guest that changes it afterwards
 * changes nothing.
 */
#ifndef DRIVERS_GUEST_VIRTIO_VIRTQUEUE_H
#define DRIVERS_GUEST_VIRTIO_VIRTQUEUE_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/status.h"
#include "base/types.h"
#include "mm/p2m.h"

#define VIRTQUEUE_MAX 256u /* largest queue size; a power of two */

/* A run of guest-physical bytes that one descriptor names; never wraps, never empty. */
struct vq_buf {
    gpa_t addr;
    uint32_t bytes;
};

/* One descriptor chain: bufs[0, n_read) are the device's to read, the next n_write to write. */
struct vq_chain {
    uint16_t head; /* its name in the used ring */
    unsigned n_read, n_write;
    uint64_t read_bytes, write_bytes;
};

#define VQ_AREA_PAGES 2

/* One of a queue's three areas. */
struct vq_area {
    gpa_t base; /* as the driver set it */
    unsigned n; /* pages pinned; 0: not pinned */
    mfn_t mfn[VQ_AREA_PAGES];
    uint8_t *page[VQ_AREA_PAGES];
};

struct virtqueue {
    struct p2m *p2m;
    /* The driver's settings, through the transport; fixed once `enabled`. */
    uint16_t size;
    struct vq_area desc, avail, used;
    /* State. */
    bool enabled;
    bool pinned;
    bool event_idx, indirect; /* negotiated features */
    uint16_t next_avail;      /* free-running index of the next available entry to take */
    uint16_t next_used;       /* free-running index of the next used entry to fill */
    uint16_t signalled;       /* next_used at the last virtqueue_should_signal */
    const char *why;          /* NULL, or why the queue is broken: a constant string */
};

/* A queue that is not enabled, of the largest size. */
void virtqueue_init(struct virtqueue *q, struct p2m *p2m);
/* Back to the state after init: settings cleared, pins released. */
void virtqueue_reset(struct virtqueue *q);
/*
 * Checks the settings and opens the queue with the features (a mask of BIT(VIRTIO_F_...)) that were
 * negotiated. Bad settings break the queue.
 */
void virtqueue_enable(struct virtqueue *q, uint64_t features);

/*
 * Takes the next available chain; its buffers go to bufs (at most max). E_NOTFOUND: the ring is
 * empty (or the queue not enabled). E_NOMEM: out of frames; nothing was taken, try again later.
 * E_INVAL: the queue is broken.
 */
enum status virtqueue_pop(struct virtqueue *q, struct vq_buf *bufs, unsigned max,
                          struct vq_chain *out) MUST_CHECK;
/* Returns the chain to the driver, `written` bytes of it filled. Nothing on a broken queue. */
void virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written);
/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtqueue_should_signal(struct virtqueue *q);
/*
 * Asks the driver not to notify, or to notify for the next entry. After asking for it, the ring may
 * have got an entry that nobody will notify about: true then, and the caller goes on popping.
 */
void virtqueue_stop_kicks(struct virtqueue *q);
bool virtqueue_want_kicks(struct virtqueue *q);
/* Breaks the queue; the first reason stays. */
void virtqueue_break(struct virtqueue *q, const char *why);

static inline bool virtqueue_broken(const struct virtqueue *q)
{
    return q->why != NULL;
}

#endif
