/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: pieces that the disk reads and writes in the guest's own pages. */
#include "base/bits.h"
#include "drivers/guest/virtio/blk_map.h"
#include "drivers/guest/virtio/blk_slot.h"

/* Pages frozen behind one flush; with a write-protection each they are one piece of work. */
#define FREEZE_PAGES 8u

/* Adds one pinned run of machine memory to the segments, to the last of them if it continues it. */
static void add_seg(struct virtio_blk_slot *slot, hpa_t addr, uint32_t bytes)
{
    if (slot->n_segs > 0) {
        struct blk_seg *last = &slot->segs[slot->n_segs - 1];

        if (last->addr.a + last->bytes == addr.a) {
            last->bytes += bytes;
            return;
        }
    }
    slot->segs[slot->n_segs++] = (struct blk_seg){addr, bytes};
}

/* Freezes some of the pages of the piece that the disk may keep as its blocks, if the data fill
 * them and lie on whole blocks: those in slot->keep. */
static void freeze_some(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    gfn_t gfns[FREEZE_PAGES];
    unsigned n = 0;

    for (unsigned i = 0; i < slot->n_pages && n < FREEZE_PAGES; i++) {
        if ((slot->keep & BIT(i)) != 0) {
            slot->keep &= ~BIT(i);
            gfns[n++] = slot->pages[i].gfn;
        }
    }
    if (!d->cfg.p2m->fold_off) {
        p2m_share_for_io(d->cfg.p2m, gfns, n);
    }
}

/* Pins the page at the cursor, or what of it is data, for the piece. E_NOTFOUND: it belongs to the
 * next piece. */
static enum status pin_page(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    bool in = slot->type == VIRTIO_BLK_T_IN;
    uint64_t sector = slot->sector + slot->piece_bytes / BLK_SECTOR;
    gpa_t gpa;
    mfn_t mfn;
    uint32_t n = virtio_blk_slot_run(slot, slot->at, slot->left, &gpa);

    if (!virtio_blk_whole_sectors(gpa, n)) {
        return E_NOTFOUND; /* the next piece is a bounced one */
    }
    if (slot->n_pages > 0 && (slot->refused || virtio_blk_adopt_possible(d, slot, sector))) {
        return E_NOTFOUND; /* and the next one is tried as a frame */
    }
    n = MIN(n, PAGE_SIZE - (uint32_t)(gpa.a & PAGE_MASK));
    enum status s = in ? p2m_get_write(d->cfg.p2m, gpa_to_gfn(gpa), &mfn)
                       : p2m_get_read(d->cfg.p2m, gpa_to_gfn(gpa), &mfn);
    if (s != OK) {
        return s == E_NOMEM ? E_NOMEM : E_FAULT;
    }
    /* Only a page that is the guest's own already: a pinned one of these stays where it is until it
     * is frozen, perhaps a step later; another might have become one that a device writes to. */
    bool own = frame_of(d->cfg.p2m->frames, mfn)->state == FRAME_PRIVATE;
    if (!in && own && n == PAGE_SIZE && blk_keeps(d->cfg.disk, sector)) {
        slot->keep |= BIT(slot->n_pages);
    }
    slot->pages[slot->n_pages++] = (struct slot_page){gpa_to_gfn(gpa), mfn};
    d->n_pins++;
    add_seg(slot, HPA(mfn_to_hpa(mfn).a + (gpa.a & PAGE_MASK)), n);
    slot->piece_bytes += n;
    virtio_blk_slot_advance(slot, n);
    return OK;
}

enum slot_next virtio_blk_direct_go_on(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    enum status s = OK;

    while (slot->left > 0 && slot->n_pages < VIRTIO_BLK_PIECE && d->n_pins < VIRTIO_BLK_PINS) {
        s = pin_page(d, slot);
        if (s != OK) {
            break;
        }
        if (slot->left > 0 && deadline_passed(d->until)) {
            return NEXT_MORE;
        }
    }
    if (slot->n_pages == 0) {
        return s != OK ? virtio_blk_no_access(slot, s) : NEXT_STALLED;
    }
    while (slot->keep != 0) {
        freeze_some(d, slot);
        if (slot->keep != 0 && deadline_passed(d->until)) {
            return NEXT_MORE;
        }
    }
    uint64_t sector = slot->sector, sectors = slot->piece_bytes / BLK_SECTOR;
    slot->sector += sectors;
    return virtio_blk_slot_submit(d, slot, slot->type == VIRTIO_BLK_T_IN ? BLK_READ : BLK_WRITE,
                                  sector, sectors, slot->n_segs, slot->refused);
}

enum slot_next virtio_blk_direct(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    slot->n_segs = 0;
    slot->keep = 0;
    return virtio_blk_direct_go_on(d, slot);
}

void virtio_blk_release_piece(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    bool gave = slot->n_pages > 0 || d->bounce_user == slot;

    d->n_pins -= slot->n_pages;
    while (slot->n_pages > 0) {
        p2m_put(d->cfg.p2m, slot->pages[--slot->n_pages].mfn);
    }
    if (d->bounce_user == slot) {
        d->bounce_user = NULL;
    }
    if (gave) {
        STAILQ_CONCAT(&d->ready, &d->stalled);
    }
}

bool virtio_blk_let_arrived_go(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    while (slot->n_pages > 1) {
        const struct slot_page *page = &slot->pages[--slot->n_pages];

        if (d->cfg.arrived) {
            d->cfg.arrived(d->cfg.arrived_ctx, page->gfn);
        }
        p2m_put(d->cfg.p2m, page->mfn);
        d->n_pins--;
        if (deadline_passed(d->until)) {
            return false;
        }
    }
    if (d->cfg.arrived && slot->n_pages > 0) {
        d->cfg.arrived(d->cfg.arrived_ctx, slot->pages[0].gfn);
    }
    return true;
}
