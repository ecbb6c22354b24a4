/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: one request from its header to its status byte, stage by stage. */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/guest/virtio_blk_adopt.h"
#include "drivers/guest/virtio_blk_slot.h"

#define HEADER_BYTES 16u /* type, reserved, sector: 5.2.6 */
#define ZONE_BYTES 16u   /* sector, num_sectors, flags: 5.2.6 */
#define ZONE_UNMAP 1u

static enum slot_next go(struct virtio_blk_slot *slot, enum slot_stage stage)
{
    slot->stage = stage;
    return NEXT_STAGE;
}

static enum slot_next fail(struct virtio_blk_slot *slot, uint8_t status)
{
    slot->status = status;
    return go(slot, STAGE_FINISH);
}

/* For a status of the p2m: out of frames can be tried again, anything else is the guest's fault. */
static enum slot_next no_access(struct virtio_blk_slot *slot, enum status s)
{
    return s == E_NOMEM ? NEXT_NO_MEMORY : fail(slot, VIRTIO_BLK_S_IOERR);
}

/*
 * Copies `bytes` between `mem` and the guest's buffers from *at on, and moves *at. The caller knows
 * that the buffers hold that much. On an error *at is where it was.
 */
static enum status copy(struct virtio_blk *d, const struct virtio_blk_slot *slot,
                        struct slot_cursor *at, uint8_t *mem, uint32_t bytes, bool to_guest)
{
    struct slot_cursor c = *at;

    while (bytes > 0) {
        const struct vq_buf *b = &slot->bufs[c.buf];
        uint32_t n = MIN(bytes, b->bytes - c.off);
        gpa_t gpa = GPA(b->addr.a + c.off);
        enum status s =
            to_guest ? p2m_write(d->cfg.p2m, gpa, mem, n) : p2m_read(d->cfg.p2m, gpa, mem, n);

        if (s != OK) {
            return s;
        }
        mem += n;
        bytes -= n;
        c.off += n;
        if (c.off == b->bytes) {
            c.buf++;
            c.off = 0;
        }
    }
    *at = c;
    return OK;
}

static enum slot_next start_transfer(struct virtio_blk *d, struct virtio_blk_slot *slot, bool write)
{
    uint64_t sectors = slot->left / BLK_SECTOR;

    if (slot->left % BLK_SECTOR != 0 ||
        !range_within(slot->sector, sectors, d->cfg.disk->sectors)) {
        return fail(slot, VIRTIO_BLK_S_IOERR);
    }
    if (write) {
        if (d->cfg.disk->read_only) {
            return fail(slot, VIRTIO_BLK_S_IOERR);
        }
        /* Without FLUSH the driver takes a completed write for a durable one (5.2.6.2). */
        slot->wants_flush = (d->pci.features & BIT(VIRTIO_BLK_F_FLUSH)) == 0;
    }
    return go(slot, STAGE_PIECE);
}

static enum slot_next start_id(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    uint32_t n = (uint32_t)MIN(slot->left, VIRTIO_BLK_ID_BYTES);
    enum status s = copy(d, slot, &slot->at, (uint8_t *)d->serial, n, true);

    if (s != OK) {
        return no_access(slot, s);
    }
    slot->written = n;
    slot->left = 0;
    return go(slot, STAGE_FINISH);
}

/* DISCARD and WRITE_ZEROES: every zone is read and checked before the first is carried out. */
static enum slot_next start_zones(struct virtio_blk *d, struct virtio_blk_slot *slot, bool zeroes)
{
    unsigned feature = zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD;
    struct slot_cursor at = slot->at;
    uint64_t n = slot->left / ZONE_BYTES;

    if ((d->pci.features & BIT(feature)) == 0) {
        return fail(slot, VIRTIO_BLK_S_UNSUPP);
    }
    if (d->cfg.disk->read_only || n == 0 || slot->left % ZONE_BYTES != 0 || n > VIRTIO_BLK_ZONES) {
        return fail(slot, VIRTIO_BLK_S_IOERR);
    }
    for (unsigned i = 0; i < n; i++) {
        uint8_t raw[ZONE_BYTES];
        struct slot_zone *z = &slot->zones[i];
        enum status s = copy(d, slot, &at, raw, sizeof(raw), false);

        if (s != OK) {
            return no_access(slot, s);
        }
        z->sector = load_le64(raw);
        z->sectors = load_le32(raw + 8);
        if ((load_le32(raw + 12) & ~(zeroes ? ZONE_UNMAP : 0u)) != 0) {
            return fail(slot, VIRTIO_BLK_S_UNSUPP);
        }
        if (z->sectors > VIRTIO_BLK_ZONE_SECTORS ||
            !range_within(z->sector, z->sectors, d->cfg.disk->sectors)) {
            return fail(slot, VIRTIO_BLK_S_IOERR);
        }
    }
    slot->n_zones = (unsigned)n;
    slot->left = 0;
    slot->wants_flush = (d->pci.features & BIT(VIRTIO_BLK_F_FLUSH)) == 0;
    return go(slot, STAGE_PIECE);
}

/* The status byte is the chain's last writable byte; its page is pinned once. */
static enum slot_next pin_status(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    const struct vq_buf *last = &slot->bufs[slot->chain.n_read + slot->chain.n_write - 1];
    gpa_t gpa = GPA(last->addr.a + last->bytes - 1);
    enum status s = p2m_get_write(d->cfg.p2m, gpa_to_gfn(gpa), &slot->status_mfn);

    if (s != OK) {
        return s == E_NOMEM ? NEXT_NO_MEMORY : go(slot, STAGE_BAD);
    }
    slot->status_off = (uint16_t)(gpa.a & PAGE_MASK);
    slot->status_pinned = true;
    return NEXT_STAGE;
}

static enum slot_next start(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    uint8_t header[HEADER_BYTES];
    struct slot_cursor at = {0};
    enum status s;

    slot->status = VIRTIO_BLK_S_OK;
    slot->type = UINT32_MAX;
    slot->left = 0;
    slot->written = 0;
    slot->fetched = 0;
    slot->wants_flush = false;
    slot->n_zones = 0;
    slot->next_zone = 0;
    if (slot->chain.n_write == 0) {
        return go(slot, STAGE_BAD);
    }
    if (!slot->status_pinned) {
        enum slot_next next = pin_status(d, slot);

        if (next != NEXT_STAGE || slot->stage != STAGE_START) {
            return next;
        }
    }
    if (slot->chain.read_bytes < HEADER_BYTES) {
        return fail(slot, VIRTIO_BLK_S_IOERR);
    }
    s = copy(d, slot, &at, header, sizeof(header), false);
    if (s != OK) {
        return no_access(slot, s);
    }
    slot->type = load_le32(header);
    slot->sector = load_le64(header + 8);
    if (slot->type == VIRTIO_BLK_T_IN || slot->type == VIRTIO_BLK_T_GET_ID) {
        slot->at = (struct slot_cursor){.buf = slot->chain.n_read};
        slot->left = slot->chain.write_bytes - 1;
    } else {
        slot->at = at;
        slot->left = slot->chain.read_bytes - HEADER_BYTES;
    }
    switch (slot->type) {
    case VIRTIO_BLK_T_IN:
        return start_transfer(d, slot, false);
    case VIRTIO_BLK_T_OUT:
        return start_transfer(d, slot, true);
    case VIRTIO_BLK_T_FLUSH:
        slot->left = 0;
        slot->wants_flush = true;
        return go(slot, STAGE_PIECE);
    case VIRTIO_BLK_T_GET_ID:
        return start_id(d, slot);
    case VIRTIO_BLK_T_DISCARD:
        return start_zones(d, slot, false);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return start_zones(d, slot, true);
    default:
        return fail(slot, VIRTIO_BLK_S_UNSUPP);
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
        .done = virtio_blk_slot_landed,
        .ctx = slot,
    };
    d->n_in_flight++;
    /* May complete before it returns: the slot is not ours from here on. */
    blk_submit(d->cfg.disk, &slot->req);
    return NEXT_DISK;
}

static bool whole_sectors(gpa_t gpa, uint32_t bytes)
{
    return ((gpa.a | bytes) & (BLK_SECTOR - 1)) == 0;
}

/* A piece that needs the bounce page: up to a page of data, whatever buffers it lies in. */
static enum slot_next piece_bounced(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    uint32_t bytes = (uint32_t)MIN(slot->left, PAGE_SIZE);
    bool in = slot->type == VIRTIO_BLK_T_IN;
    uint64_t sector = slot->sector;

    if (d->bounce_user != NULL) {
        return NEXT_STALLED;
    }
    if (!in) {
        enum status s =
            copy(d, slot, &slot->at, frame_bytes(d->cfg.p2m->frames, d->cfg.bounce), bytes, false);

        if (s != OK) {
            return no_access(slot, s);
        }
    }
    d->bounce_user = slot;
    d->stats.bounced++;
    slot->piece_bytes = bytes;
    slot->left -= bytes;
    slot->sector += bytes / BLK_SECTOR;
    slot->segs[0] = (struct blk_seg){mfn_to_hpa(d->cfg.bounce), bytes};
    return virtio_blk_slot_submit(d, slot, in ? BLK_READ : BLK_WRITE, sector, bytes / BLK_SECTOR, 1,
                                  false);
}

/* Adds one pinned run of machine memory to the segments, to the last of them if it continues it. */
static unsigned add_seg(struct virtio_blk_slot *slot, unsigned n_segs, hpa_t addr, uint32_t bytes)
{
    if (n_segs > 0) {
        struct blk_seg *last = &slot->segs[n_segs - 1];

        if (last->addr.a + last->bytes == addr.a) {
            last->bytes += bytes;
            return n_segs;
        }
    }
    slot->segs[n_segs] = (struct blk_seg){addr, bytes};
    return n_segs + 1;
}

/* Freezes the pages of the piece that the disk may keep as its blocks, if the data fill them and
 * lie on whole blocks: bit i of `keep` for pages[i]. */
static void freeze(struct virtio_blk *d, const struct virtio_blk_slot *slot, uint64_t keep)
{
    gfn_t gfns[VIRTIO_BLK_PIECE];
    unsigned n = 0;

    for (unsigned i = 0; i < slot->n_pages; i++) {
        if ((keep & BIT(i)) != 0) {
            gfns[n++] = slot->pages[i].gfn;
        }
    }
    if (n > 0 && !d->cfg.p2m->fold_off) {
        p2m_freeze(d->cfg.p2m, gfns, n);
    }
}

/* A piece straight to or from the guest's pages: as many as fit, at least one. */
static enum slot_next piece_direct(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    bool in = slot->type == VIRTIO_BLK_T_IN;
    uint64_t sector = slot->sector;
    unsigned n_segs = 0;
    uint32_t bytes = 0;
    uint64_t keep = 0;
    enum status s = OK;

    bool refused = virtio_blk_adopt_possible(d, slot, sector); /* asked for as a frame, in vain */

    ASSERT(slot->n_pages == 0);
    while (slot->left > 0 && slot->n_pages < VIRTIO_BLK_PIECE && d->n_pins < VIRTIO_BLK_PINS) {
        gpa_t gpa;
        mfn_t mfn;
        uint32_t n = virtio_blk_slot_run(slot, slot->at, slot->left, &gpa);

        if (!whole_sectors(gpa, n)) {
            break; /* the next piece is a bounced one */
        }
        if (slot->n_pages > 0 &&
            (refused || virtio_blk_adopt_possible(d, slot, sector + bytes / BLK_SECTOR))) {
            break; /* and the next one is tried as a frame */
        }
        n = MIN(n, PAGE_SIZE - (uint32_t)(gpa.a & PAGE_MASK));
        s = in ? p2m_get_write(d->cfg.p2m, gpa_to_gfn(gpa), &mfn)
               : p2m_get_read(d->cfg.p2m, gpa_to_gfn(gpa), &mfn);
        if (s != OK) {
            break;
        }
        if (!in && n == PAGE_SIZE && blk_keeps(d->cfg.disk, sector + bytes / BLK_SECTOR)) {
            keep |= BIT(slot->n_pages);
        }
        slot->pages[slot->n_pages++] = (struct slot_page){gpa_to_gfn(gpa), mfn};
        d->n_pins++;
        n_segs = add_seg(slot, n_segs, HPA(mfn_to_hpa(mfn).a + (gpa.a & PAGE_MASK)), n);
        bytes += n;
        virtio_blk_slot_advance(slot, n);
    }
    if (slot->n_pages == 0) {
        return s != OK ? no_access(slot, s) : NEXT_STALLED;
    }
    freeze(d, slot, keep);
    /* If a page was refused, what came before it goes to the disk, and the page is tried again. */
    slot->piece_bytes = bytes;
    slot->sector += bytes / BLK_SECTOR;
    return virtio_blk_slot_submit(d, slot, in ? BLK_READ : BLK_WRITE, sector, bytes / BLK_SECTOR,
                                  n_segs, refused);
}

static enum slot_next piece(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    slot->piece_bytes = 0;
    if (slot->left > 0) {
        enum slot_next next;
        gpa_t gpa;
        uint32_t n = virtio_blk_slot_run(slot, slot->at, slot->left, &gpa);

        if (slot->type == VIRTIO_BLK_T_IN && virtio_blk_adopt_piece(d, slot, &next)) {
            return next;
        }
        return whole_sectors(gpa, n) ? piece_direct(d, slot) : piece_bounced(d, slot);
    }
    while (slot->next_zone < slot->n_zones) {
        const struct slot_zone *z = &slot->zones[slot->next_zone++];
        enum blk_op op = slot->type == VIRTIO_BLK_T_DISCARD ? BLK_DISCARD : BLK_ZEROES;

        if (z->sectors != 0) {
            return virtio_blk_slot_submit(d, slot, op, z->sector, z->sectors, 0, false);
        }
    }
    if (slot->wants_flush) {
        slot->wants_flush = false;
        return virtio_blk_slot_submit(d, slot, BLK_FLUSH, 0, 0, 0, false);
    }
    return go(slot, STAGE_FINISH);
}

/* Before the pages are let go: nobody else has had them since the disk was done. */
static void tell_arrived(struct virtio_blk *d, const struct virtio_blk_slot *slot)
{
    for (unsigned i = 0; d->cfg.arrived && i < slot->n_pages; i++) {
        d->cfg.arrived(d->cfg.arrived_ctx, slot->pages[i].gfn);
    }
}

static void release_piece(struct virtio_blk *d, struct virtio_blk_slot *slot)
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

static enum slot_next landed(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    bool in = slot->type == VIRTIO_BLK_T_IN;

    if (slot->req.op == BLK_FETCH) {
        return go(slot, STAGE_PIECE);
    }
    if (slot->result == OK && in && d->bounce_user == slot) {
        return go(slot, STAGE_COPY);
    }
    if (slot->result == OK && in) {
        tell_arrived(d, slot);
    }
    release_piece(d, slot);
    if (slot->result != OK) {
        return fail(slot, slot->result == E_UNSUPPORTED ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
    }
    if (in) {
        slot->written += slot->piece_bytes;
    }
    return go(slot, STAGE_PIECE);
}

static enum slot_next copy_out(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    enum status s = copy(d, slot, &slot->at, frame_bytes(d->cfg.p2m->frames, d->cfg.bounce),
                         slot->piece_bytes, true);

    if (s == E_NOMEM) {
        return NEXT_NO_MEMORY;
    }
    release_piece(d, slot);
    if (s != OK) {
        return fail(slot, VIRTIO_BLK_S_IOERR);
    }
    slot->written += slot->piece_bytes;
    return go(slot, STAGE_PIECE);
}

enum slot_next virtio_blk_slot_step(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    switch (slot->stage) {
    case STAGE_START:
        return start(d, slot);
    case STAGE_PIECE:
        return piece(d, slot);
    case STAGE_LANDED:
        return landed(d, slot);
    case STAGE_COPY:
        return copy_out(d, slot);
    default:
        panic("virtio-blk slot stepped at stage %d", (int)slot->stage);
    }
}

void virtio_blk_slot_release(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    virtio_blk_adopt_release(d, slot);
    release_piece(d, slot);
    if (slot->status_pinned) {
        slot->status_pinned = false;
        p2m_put(d->cfg.p2m, slot->status_mfn);
    }
}
