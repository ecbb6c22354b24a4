/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: reads that map the disk's own frames instead of copying. */
#include "drivers/guest/virtio/blk_map.h"

#include "base/bits.h"
#include "base/log.h"

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
    enum status s = E_UNSUPPORTED;

    if (!p->fold_off) { /* it may have been turned while the data was fetched */
        s = blk_hold(d->cfg.disk, slot->sector, p->group->id, &mfn);
    }
    if (s != OK) {
        return s;
    }
    if (mfn.n == BLK_ZERO_FRAME.n) {
        mfn = p->group->zero;
    }
    (void)virtio_blk_slot_run(slot, slot->at, slot->left, &gpa);
    s = p2m_map_shared(p, gpa_to_gfn(gpa), mfn);
    frames_unpin(p->frames, mfn);
    if (s != OK) {
        return E_BUSY;
    }
    blk_taken(d->cfg.disk, slot->sector, NULL);
    if (d->cfg.arrived) {
        d->cfg.arrived(d->cfg.arrived_ctx, gpa_to_gfn(gpa));
    }
    slot->sector += BLK_FRAME_SECTORS;
    slot->written += PAGE_SIZE;
    virtio_blk_slot_advance(slot, PAGE_SIZE);
    return OK;
}

void virtio_blk_adopt_release(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    d->n_held -= slot->n_held;
    while (slot->n_held > 0) {
        frames_unpin(d->cfg.p2m->frames, MFN(slot->held[--slot->n_held]));
    }
}

/* Asks for all that is missing from the cursor on at once. As far as pins go round, it stays
 * until it is taken. */
static enum slot_next fetch(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    uint64_t pages = count_pages(slot, VIRTIO_BLK_PIECE);

    virtio_blk_adopt_release(d, slot);
    slot->n_held = (uint32_t)MIN(pages, (uint64_t)VIRTIO_BLK_HELD - d->n_held);
    d->n_held += slot->n_held;
    slot->fetched = slot->sector + pages * BLK_FRAME_SECTORS;
    slot->in_vain = true;
    return virtio_blk_slot_submit(d, slot, BLK_FETCH, slot->sector, pages * BLK_FRAME_SECTORS, 0,
                                  false);
}

bool virtio_blk_adopt_piece(struct virtio_blk *d, struct virtio_blk_slot *slot,
                            enum slot_next *next)
{
    enum status s = OK;
    unsigned n = 0;

    while (s == OK && n < VIRTIO_BLK_PIECE && is_whole_page(slot, slot->at, slot->left)) {
        if (n > 0 && deadline_passed(d->until)) {
            break;
        }
        s = adopt_page(d, slot);
        n += s == OK;
    }
    if (slot->sector >= slot->fetched) {
        virtio_blk_adopt_release(d, slot);
    }
    if (n > 0) {
        slot->in_vain = false;
        *next = slot->left > 0 ? NEXT_LATER : NEXT_STAGE;
        return true;
    }
    if (s == E_NOTFOUND && (slot->sector >= slot->fetched || !slot->in_vain)) {
        *next = fetch(d, slot);
        return true;
    }
    slot->refused = s != OK && s != E_UNSUPPORTED;
    return false;
}

bool virtio_blk_adopt_possible(const struct virtio_blk *d, const struct virtio_blk_slot *slot,
                               uint64_t sector)
{
    return slot->type == VIRTIO_BLK_T_IN && !d->cfg.p2m->fold_off &&
           is_whole_page(slot, slot->at, slot->left) &&
           blk_hold(d->cfg.disk, sector, d->cfg.p2m->group->id, NULL) != E_UNSUPPORTED;
}
