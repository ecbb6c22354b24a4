/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the virtio-blk model: one request on its way, and the interface between taking
 * requests (blk.c) and working them off (blk_request.c).
 *
 * A slot goes START -> [ID or ZONES] -> PIECE -> [GATHER] -> (disk) -> LANDED -> [COPY] -> PIECE
 * ... -> FINISH, and can stay at any of these stages until it can go on: for want of memory, or
 * because the device's deadline has passed. How far a stage has come is in the slot.
 */
#ifndef DRIVERS_GUEST_VIRTIO_BLK_SLOT_H
#define DRIVERS_GUEST_VIRTIO_BLK_SLOT_H

#include <linux/virtio_blk.h>

#include "drivers/guest/virtio/blk.h"

/* Feature bits (virtio 1.2, 5.2.3), request types and status (5.2.6). */

/* Sectors that one zone of a DISCARD or WRITE_ZEROES may have: 32 MiB, so that no request keeps a
 * disk busy for long. */
#define VIRTIO_BLK_ZONE_SECTORS 65536u

enum slot_stage {
    STAGE_START,  /* the chain is known, its header is not */
    STAGE_ID,     /* GET_ID: the name is copied */
    STAGE_ZONES,  /* DISCARD, WRITE_ZEROES: the zones are read */
    STAGE_PIECE,  /* build and submit what comes next */
    STAGE_GATHER, /* the bounce page is filled from the guest */
    STAGE_DISK,   /* the disk has req */
    STAGE_LANDED, /* the disk is done, `result` says how */
    STAGE_COPY,   /* the bounce page holds data for the guest */
    STAGE_FINISH, /* status byte, used ring */
    STAGE_BAD,    /* cannot be answered: drop it and break the queue */
};

/* What a slot does after a stage. */
enum slot_next {
    NEXT_STAGE,     /* go on with the stage that is set now */
    NEXT_DISK,      /* the slot is the disk's now: leave it alone */
    NEXT_LATER,     /* there is more to do, but others come first */
    NEXT_MORE,      /* the deadline has passed: go on here the next time */
    NEXT_STALLED,   /* wait until another request gives back the bounce page or pins */
    NEXT_NO_MEMORY, /* wait for frames */
};

/* Where in a chain's buffers the data goes on. */
struct slot_cursor {
    unsigned buf;
    uint32_t off;
};

/*
 * One page of the piece in flight, in the order of the data: segs[] merges neighbouring frames,
 * this does not. It keeps the guest's name of the page beside the machine's, so that whoever
 * completes the request could also map a frame there instead of copying into it.
 */
struct slot_page {
    gfn_t gfn;
    mfn_t mfn;
};

struct slot_zone {
    uint64_t sector;
    uint32_t sectors;
};

struct virtio_blk_slot {
    STAILQ_ENTRY(virtio_blk_slot) link;
    struct virtio_blk *dev;
    enum slot_stage stage;
    struct vq_chain chain;
    struct vq_buf bufs[VIRTIO_BLK_BUFS];
    /* The status byte's page stays pinned from START to FINISH, so that FINISH cannot fail. */
    bool status_pinned;
    uint8_t status;
    uint16_t status_off;
    mfn_t status_mfn;
    /* The request: what is still to do. */
    uint32_t type;
    uint64_t sector;
    uint64_t left;    /* bytes of data */
    uint64_t fetched; /* frames for the sectors up to here were asked for */
    bool in_vain;     /* and none of them was there afterwards so far */
    uint32_t written;
    struct slot_cursor at;
    uint8_t raw[16];  /* the header, or a zone, as far as it has been read */
    uint32_t copied;  /* bytes of the copy that is under way */
    bool wants_flush; /* a flush comes after the data (or is all there is) */
    unsigned n_zones, next_zone;
    struct slot_zone zones[VIRTIO_BLK_ZONES];
    /* The piece at the disk. */
    struct blk_req req;
    enum status result;
    uint32_t piece_bytes;
    unsigned n_pages, n_segs; /* pinned so far, and the segments that they make */
    bool refused;             /* its first page was asked for as a frame, in vain */
    uint64_t keep;            /* bit i: pages[i] is still to be frozen */
    struct blk_seg segs[VIRTIO_BLK_PIECE];
    struct slot_page pages[VIRTIO_BLK_PIECE];
    /* Frames that the last fetch brought, pinned until they are taken. */
    unsigned n_held;
    uint32_t held[VIRTIO_BLK_PIECE];
};

_Static_assert(sizeof(struct virtio_blk_slot) <= PAGE_SIZE, "a slot is given one page");

/* A chain has been taken into the slot. */
void virtio_blk_slot_begin(struct virtio_blk_slot *slot);
/* Carries out the slot's stage, or a part of it if the device's deadline passes. */
enum slot_next virtio_blk_slot_step(struct virtio_blk *d, struct virtio_blk_slot *slot);
/* Gives back what the slot holds: pins, the bounce page. Not while the disk has it. */
void virtio_blk_slot_release(struct virtio_blk *d, struct virtio_blk_slot *slot);
/* ---- blk_slot.c ---- */
/* The bytes that lie at the cursor in one buffer, at most what is left. Skips no buffer. */
uint32_t virtio_blk_slot_run(const struct virtio_blk_slot *slot, struct slot_cursor at,
                             uint64_t left, gpa_t *gpa);
/* Moves the slot's cursor by n bytes, which lie in one buffer. */
void virtio_blk_slot_advance(struct virtio_blk_slot *slot, uint32_t n);
/* Gives the slot to the disk; it is among the ready ones again when the disk is done. */
enum slot_next virtio_blk_slot_submit(struct virtio_blk *d, struct virtio_blk_slot *slot,
                                      enum blk_op op, uint64_t sector, uint64_t sectors,
                                      unsigned n_segs, bool past_cache);
/* The request ends with this status byte. */
static inline enum slot_next virtio_blk_slot_fail(struct virtio_blk_slot *slot, uint8_t status)
{
    slot->status = status;
    slot->stage = STAGE_FINISH;
    return NEXT_STAGE;
}
/* What a slot does after a status of the p2m (E_BUSY: the time is up): what can be tried again, and
 * what is the guest's fault. */
enum slot_next virtio_blk_no_access(struct virtio_blk_slot *slot, enum status s);

/* ---- blk_direct.c ---- */
/* Begins a piece straight to or from the guest's pages: as many as fit, at least one. If a page is
 * refused, what came before it goes to the disk, and the page is tried again. */
enum slot_next virtio_blk_direct(struct virtio_blk *d, struct virtio_blk_slot *slot);
/* The same piece again, for which there was no time. */
enum slot_next virtio_blk_direct_go_on(struct virtio_blk *d, struct virtio_blk_slot *slot);
/* Some pages of a read that ended well are let go, each after the owner has heard of it: nobody
 * else has had them since the disk was done. False: the time is up. */
bool virtio_blk_let_arrived_go(struct virtio_blk *d, struct virtio_blk_slot *slot);
/* Gives back what the piece holds: pages, or the bounce page. */
void virtio_blk_release_piece(struct virtio_blk *d, struct virtio_blk_slot *slot);
/* Whether the disk can read or write there by itself. */
static inline bool virtio_blk_whole_sectors(gpa_t gpa, uint32_t bytes)
{
    return ((gpa.a | bytes) & (BLK_SECTOR - 1)) == 0;
}

#endif
