/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: a request's cursor, and its way to the disk. */
#include "drivers/guest/virtio/blk_slot.h"

#include "base/bits.h"
#include "base/log.h"

uint32_t virtio_blk_slot_run(const struct virtio_blk_slot *slot, struct slot_cursor at,
                             uint64_t left, gpa_t *gpa)
{
    const struct vq_buf *b = &slot->bufs[at.buf];

    *gpa = GPA(b->addr.a + at.off);
    return (uint32_t)MIN(left, b->bytes - at.off);
}

void virtio_blk_slot_advance(struct virtio_blk_slot *slot, uint32_t n)
{
    slot->left -= n;
    slot->at.off += n;
    if (slot->at.off == slot->bufs[slot->at.buf].bytes) {
        slot->at.buf++;
        slot->at.off = 0;
    }
}

/* Frames that the fetch asked for and did not get are pinned no longer. */
static void fetch_landed(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    ASSERT(slot->req.n_held <= slot->n_held);
    d->n_held -= slot->n_held - slot->req.n_held;
    slot->n_held = slot->req.n_held;
}

/* The disk's completion. */
static void landed(struct blk_req *r, enum status s)
{
    struct virtio_blk_slot *slot = r->ctx;
    struct virtio_blk *d = slot->dev;

    ASSERT(slot->stage == STAGE_DISK && d->n_in_flight > 0);
    d->n_in_flight--;
    slot->result = s;
    slot->stage = STAGE_LANDED;
    if (r->op == BLK_FETCH) {
        fetch_landed(d, slot);
    }
    STAILQ_INSERT_TAIL(&d->ready, slot, link);
    if (!d->working) {
        d->cfg.wake(d->cfg.wake_ctx);
    }
}

enum slot_next virtio_blk_slot_submit(struct virtio_blk *d, struct virtio_blk_slot *slot,
                                      enum blk_op op, uint64_t sector, uint64_t sectors,
                                      unsigned n_segs, bool past_cache)
{
    slot->stage = STAGE_DISK;
    slot->req = (struct blk_req){
        .op = op,
        .sector = sector,
        .sectors = sectors,
        .segs = slot->segs,
        .n_segs = n_segs,
        .past_cache = past_cache,
        .held = slot->held,
        .max_held = op == BLK_FETCH ? slot->n_held : 0,
        .done = landed,
        .ctx = slot,
    };
    d->n_in_flight++;
    /* May complete before it returns: the slot is not ours from here on. */
    blk_submit(d->cfg.disk, &slot->req);
    return NEXT_DISK;
}

enum slot_next virtio_blk_no_access(struct virtio_blk_slot *slot, enum status s)
{
    if (s == E_BUSY) {
        return NEXT_MORE;
    }
    return s == E_NOMEM ? NEXT_NO_MEMORY : virtio_blk_slot_fail(slot, VIRTIO_BLK_S_IOERR);
}
