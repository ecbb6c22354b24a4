/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: reads that map the disk's own frames instead of copying; and the cursor. */
#include "drivers/guest/virtio_blk_adopt.h"

#include "base/bits.h"

/* Pages fetched together: few, so that they are still there when they are taken. */
#define FETCH_PAGES 16u

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

/* Whether the data at the cursor fills a page of the guest. */
static bool is_whole_page(const struct virtio_blk_slot *slot, struct slot_cursor at, uint64_t left)
{
    gpa_t gpa;

    return left >= PAGE_SIZE && virtio_blk_slot_run(slot, at, left, &gpa) >= PAGE_SIZE &&
           (gpa.a & PAGE_MASK) == 0;
}

/* Pages from the cursor on that could be had as frames, as far as they lie in a row on the disk. */
static uint64_t count_pages(const struct virtio_blk_slot *slot, uint64_t max)
{
    struct slot_cursor at = slot->at;
    uint64_t n = 0, left = slot->left;

    while (n < max && is_whole_page(slot, at, left)) {
        left -= PAGE_SIZE;
        at.off += PAGE_SIZE;
        if (at.off == slot->bufs[at.buf].bytes) {
            at.buf++;
            at.off = 0;
        }
        n++;
    }
    return n;
}

/* Maps the disk's own frame in place of the guest's page at the cursor. */
static enum status adopt_page(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    struct p2m *p = d->cfg.p2m;
    gpa_t gpa;
    mfn_t mfn;
    enum status s = blk_hold(d->cfg.disk, slot->sector, p->group->id, NULL, &mfn);

    if (s != OK) {
        return s;
    }
    if (mfn.n == BLK_ZERO_FRAME.n) {
        mfn = p->group->zero;
    }
    (void)virtio_blk_slot_run(slot, slot->at, slot->left, &gpa);
    s = p2m_adopt(p, gpa_to_gfn(gpa), mfn);
    frames_unpin(p->frames, mfn);
    if (s != OK) {
        return E_BUSY;
    }
    if (d->cfg.arrived) {
        d->cfg.arrived(d->cfg.arrived_ctx, gpa_to_gfn(gpa));
    }
    slot->sector += BLK_FRAME_SECTORS;
    slot->written += PAGE_SIZE;
    virtio_blk_slot_advance(slot, PAGE_SIZE);
    return OK;
}

bool virtio_blk_adopt_piece(struct virtio_blk *d, struct virtio_blk_slot *slot,
                            enum slot_next *next)
{
    enum status s = OK;
    unsigned n = 0;

    while (s == OK && n < VIRTIO_BLK_PIECE && is_whole_page(slot, slot->at, slot->left)) {
        s = adopt_page(d, slot);
        n += s == OK;
    }
    if (n > 0) {
        *next = NEXT_LATER;
        return true;
    }
    if (s == E_NOTFOUND && slot->sector >= slot->fetched) {
        uint64_t sectors = count_pages(slot, FETCH_PAGES) * BLK_FRAME_SECTORS;

        slot->fetched = slot->sector + sectors;
        *next = virtio_blk_slot_submit(d, slot, BLK_FETCH, slot->sector, sectors, 0, false);
        return true;
    }
    return false;
}

bool virtio_blk_adopt_possible(const struct virtio_blk *d, const struct virtio_blk_slot *slot,
                               uint64_t sector)
{
    return slot->type == VIRTIO_BLK_T_IN && is_whole_page(slot, slot->at, slot->left) &&
           blk_hold(d->cfg.disk, sector, d->cfg.p2m->group->id, NULL, NULL) != E_UNSUPPORTED;
}
