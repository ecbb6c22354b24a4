/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio-blk device on a PCI bus of a test guest, seen through its BAR as a driver sees it. */
#ifndef TESTS_HOST_SUPPORT_WORLD_VBLK_H
#define TESTS_HOST_SUPPORT_WORLD_VBLK_H

#include "drivers/guest/virtio/blk.h"
#include "fake_guest.h"

#define TVBLK_SLOT 3           /* in the PCI bus */
#define TVBLK_STATUS 32        /* behind a request's header */
#define TVBLK_STATUS_NONE 0xee /* not written yet */

struct tvblk {
    struct tguest g;
    struct tdriver t;
    struct tdisk disk;
    struct iobus ports, mmio;
    struct vpci_bus bus;
    struct virtio_blk d;
    void *slots[VIRTIO_BLK_SLOTS];
    unsigned n_slots;
    mfn_t bounce;
    unsigned line_raised, messages; /* interrupts that reached the sink */
    uint32_t last_message;
    bool line;
    unsigned wakes;
    const struct deadline *until; /* of each call of virtio_blk_work */
    bool marks;                   /* kicks do no work */
    uint64_t arrived;             /* bit gfn % 64: a read's data came to rest there */
};

/* A guest of ram_pages on n_frames, with a device of n_slots slots over a disk of `sectors`. */
void tvblk_init(struct tvblk *r, uint64_t n_frames, uint64_t ram_pages, uint64_t sectors,
                unsigned n_slots);
/* Completes what is in flight, quiesces, and checks that nothing is left behind. */
void tvblk_fini(struct tvblk *r);
uint32_t tvblk_in(struct tvblk *r, unsigned off, unsigned size);
void tvblk_out(struct tvblk *r, unsigned off, unsigned size, uint32_t value);
/* What a driver does to bring the device up: reset, features, a queue at `base`, DRIVER_OK. */
void tvblk_start(struct tvblk *r, uint64_t features, uint16_t size, uint64_t base);
void tvblk_kick(struct tvblk *r);
/* Calls virtio_blk_work until it has nothing more to do. */
void tvblk_work(struct tvblk *r);
/* Puts a request's header at guest address `at`, its status behind it at TVBLK_STATUS, not written
 * yet. */
void tvblk_put_header(struct tvblk *r, uint64_t at, uint32_t type, uint64_t sector);
uint8_t tvblk_status(struct tvblk *r, uint64_t at);
/* Queues it with n data buffers; the descriptors go to the table at `table`, unless that is 0.
 * Returns the chain's head, or -1. */
int tvblk_send(struct tvblk *r, uint64_t at, uint32_t type, uint64_t sector,
               const struct tdesc *data, unsigned n, uint64_t table);
/* The only request there is, to its end; the status byte. */
uint8_t tvblk_ask(struct tvblk *r, uint64_t at, uint32_t type, uint64_t sector,
                  const struct tdesc *data, unsigned n);

#endif
