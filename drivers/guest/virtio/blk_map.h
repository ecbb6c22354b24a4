/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the virtio-blk model: pages of a read that are had as frames from the disk's cache
 * (blk_hold) and mapped into the guest in place of its own, nothing being copied.
 */
#ifndef DRIVERS_GUEST_VIRTIO_BLK_MAP_H
#define DRIVERS_GUEST_VIRTIO_BLK_MAP_H

#include "drivers/guest/virtio/blk_slot.h"

/* A piece of a read without a copy, as far as the disk has frames to give; what the slot does then.
 * False: the page at the cursor is to be copied; slot->refused says whether it could be had at
 * another time. */
bool virtio_blk_adopt_piece(struct virtio_blk *d, struct virtio_blk_slot *slot,
                            enum slot_next *next);
/* Lets go of what the slot's fetch brought. */
void virtio_blk_adopt_release(struct virtio_blk *d, struct virtio_blk_slot *slot);
/* Whether a read of the page at the cursor, on the disk at `sector`, could be done without a copy
 * at another time, so that nothing else should be copied along with it. */
bool virtio_blk_adopt_possible(const struct virtio_blk *d, const struct virtio_blk_slot *slot,
                               uint64_t sector);

#endif
