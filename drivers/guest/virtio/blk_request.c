/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: one request from its header to its status byte, stage by stage. */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/guest/virtio/blk_map.h"
#include "drivers/guest/virtio/blk_slot.h"

#define HEADER_BYTES 16u /* type, reserved, sector: 5.2.6 */
#define ZONE_BYTES 16u   /* sector, num_sectors, flags: 5.2.6 */
#define ZONE_UNMAP 1u

static enum slot_next go(struct virtio_blk_slot *slot, enum slot_stage stage)
{
    slot->stage = stage;
    return NEXT_STAGE;
}

static bool time_is_up(const struct virtio_blk *d)
{
    return deadline_passed(d->until);
}

/*
 * Copies `bytes` between `mem` and the guest's buffers from the cursor on, and moves the cursor.
 * The caller knows that the buffers hold that much. E_BUSY: the time is up. After that, and after
 * E_NOMEM, the same call goes on where this one ended.
 */
static enum status copy(struct virtio_blk *d, struct virtio_blk_slot *slot, uint8_t *mem,
                        uint32_t bytes, bool to_guest)
{
    while (slot->copied < bytes) {
        const struct vq_buf *b = &slot->bufs[slot->at.buf];
        gpa_t gpa = GPA(b->addr.a + slot->at.off);
        uint32_t n = MIN(bytes - slot->copied, b->bytes - slot->at.off);
        n = MIN(n, PAGE_SIZE - (uint32_t)(gpa.a & PAGE_MASK));
        enum status s = to_guest ? p2m_write(d->cfg.p2m, gpa, mem + slot->copied, n)
                                 : p2m_read(d->cfg.p2m, gpa, mem + slot->copied, n);

        if (s != OK) {
            return s == E_NOMEM ? E_NOMEM : E_FAULT;
        }
        slot->copied += n;
        slot->at.off += n;
        if (slot->at.off == b->bytes) {
            slot->at.buf++;
            slot->at.off = 0;
        }
        if (slot->copied < bytes && time_is_up(d)) {
            return E_BUSY;
        }
    }
    slot->copied = 0;
    return OK;
}

static enum slot_next start_transfer(struct virtio_blk *d, struct virtio_blk_slot *slot, bool write)
{
    uint64_t sectors = slot->left / BLK_SECTOR;

    if (slot->left % BLK_SECTOR != 0 ||
        !range_within(slot->sector, sectors, d->cfg.disk->sectors)) {
        return virtio_blk_slot_fail(slot, VIRTIO_BLK_S_IOERR);
    }
    if (write) {
        if (d->cfg.disk->read_only) {
            return virtio_blk_slot_fail(slot, VIRTIO_BLK_S_IOERR);
        }
        /* Without FLUSH the driver takes a completed write for a durable one (5.2.6.2). */
        slot->wants_flush = (d->pci.features & BIT(VIRTIO_BLK_F_FLUSH)) == 0;
    }
    return go(slot, STAGE_PIECE);
}

static enum slot_next give_id(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    uint32_t n = (uint32_t)MIN(slot->left, VIRTIO_BLK_ID_BYTES);
    enum status s = copy(d, slot, (uint8_t *)d->serial, n, true);

    if (s != OK) {
        return virtio_blk_no_access(slot, s);
    }
    slot->written = n;
    slot->left = 0;
    return go(slot, STAGE_FINISH);
}

static enum slot_next start_zones(struct virtio_blk *d, struct virtio_blk_slot *slot, bool zeroes)
{
    unsigned feature = zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD;

    if ((d->pci.features & BIT(feature)) == 0) {
        return virtio_blk_slot_fail(slot, VIRTIO_BLK_S_UNSUPP);
    }
    if (d->cfg.disk->read_only || slot->left == 0 || slot->left % ZONE_BYTES != 0 ||
        slot->left / ZONE_BYTES > VIRTIO_BLK_ZONES) {
        return virtio_blk_slot_fail(slot, VIRTIO_BLK_S_IOERR);
    }
    return go(slot, STAGE_ZONES);
}

/* Every zone is read and checked before the first is carried out. */
static enum slot_next read_zones(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    uint32_t flags = slot->type == VIRTIO_BLK_T_WRITE_ZEROES ? ZONE_UNMAP : 0;

    while (slot->left > 0) {
        struct slot_zone *z = &slot->zones[slot->n_zones];
        enum status s = copy(d, slot, slot->raw, ZONE_BYTES, false);

        if (s != OK) {
            return virtio_blk_no_access(slot, s);
        }
        z->sector = load_le64(slot->raw);
        z->sectors = load_le32(slot->raw + 8);
        if ((load_le32(slot->raw + 12) & ~flags) != 0) {
            return virtio_blk_slot_fail(slot, VIRTIO_BLK_S_UNSUPP);
        }
        if (z->sectors > VIRTIO_BLK_ZONE_SECTORS ||
            !range_within(z->sector, z->sectors, d->cfg.disk->sectors)) {
            return virtio_blk_slot_fail(slot, VIRTIO_BLK_S_IOERR);
        }
        slot->n_zones++;
        slot->left -= ZONE_BYTES;
        if (slot->left > 0 && time_is_up(d)) {
            return NEXT_MORE;
        }
    }
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

void virtio_blk_slot_begin(struct virtio_blk_slot *slot)
{
    slot->stage = STAGE_START;
    slot->status = VIRTIO_BLK_S_OK;
    slot->type = UINT32_MAX;
    slot->left = 0;
    slot->written = 0;
    slot->fetched = 0;
    slot->wants_flush = false;
    slot->n_zones = 0;
    slot->next_zone = 0;
    slot->copied = 0;
    slot->at = (struct slot_cursor){0};
}

static enum slot_next start(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
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
        return virtio_blk_slot_fail(slot, VIRTIO_BLK_S_IOERR);
    }
    enum status s = copy(d, slot, slot->raw, HEADER_BYTES, false);
    if (s != OK) {
        return virtio_blk_no_access(slot, s);
    }
    slot->type = load_le32(slot->raw);
    slot->sector = load_le64(slot->raw + 8);
    slot->left = slot->chain.read_bytes - HEADER_BYTES;
    if (slot->type == VIRTIO_BLK_T_IN || slot->type == VIRTIO_BLK_T_GET_ID) {
        slot->at = (struct slot_cursor){.buf = slot->chain.n_read};
        slot->left = slot->chain.write_bytes - 1;
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
        return go(slot, STAGE_ID);
    case VIRTIO_BLK_T_DISCARD:
        return start_zones(d, slot, false);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return start_zones(d, slot, true);
    default:
        return virtio_blk_slot_fail(slot, VIRTIO_BLK_S_UNSUPP);
    }
}

static enum slot_next submit_bounced(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    uint64_t sector = slot->sector;
    uint32_t bytes = slot->piece_bytes;

    slot->left -= bytes;
    slot->sector += bytes / BLK_SECTOR;
    slot->segs[0] = (struct blk_seg){mfn_to_hpa(d->cfg.bounce), bytes};
    return virtio_blk_slot_submit(d, slot, slot->type == VIRTIO_BLK_T_IN ? BLK_READ : BLK_WRITE,
                                  sector, bytes / BLK_SECTOR, 1, false);
}

/* A piece that needs the bounce page: up to a page of data, whatever buffers it lies in. */
static enum slot_next piece_bounced(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    if (d->bounce_user != NULL) {
        return NEXT_STALLED;
    }
    d->bounce_user = slot;
    d->stats.bounced++;
    slot->piece_bytes = (uint32_t)MIN(slot->left, PAGE_SIZE);
    return slot->type == VIRTIO_BLK_T_IN ? submit_bounced(d, slot) : go(slot, STAGE_GATHER);
}

static enum slot_next gather(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    enum status s =
        copy(d, slot, frame_bytes(d->cfg.p2m->frames, d->cfg.bounce), slot->piece_bytes, false);

    return s == OK ? submit_bounced(d, slot) : virtio_blk_no_access(slot, s);
}

static enum slot_next piece(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    if (slot->n_pages > 0) {
        return virtio_blk_direct_go_on(d, slot); /* time did not allow all of it */
    }
    slot->piece_bytes = 0;
    slot->refused = false;
    if (slot->left > 0) {
        enum slot_next next;
        gpa_t gpa;
        uint32_t n = virtio_blk_slot_run(slot, slot->at, slot->left, &gpa);

        if (slot->type == VIRTIO_BLK_T_IN && virtio_blk_adopt_piece(d, slot, &next)) {
            return next;
        }
        return virtio_blk_whole_sectors(gpa, n) ? virtio_blk_direct(d, slot)
                                                : piece_bounced(d, slot);
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

static enum slot_next landed(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    bool in = slot->type == VIRTIO_BLK_T_IN;

    if (slot->req.op == BLK_FETCH) {
        return go(slot, STAGE_PIECE);
    }
    if (slot->result == OK && in && d->bounce_user == slot) {
        return go(slot, STAGE_COPY);
    }
    if (slot->result == OK && in && !virtio_blk_let_arrived_go(d, slot)) {
        return NEXT_MORE;
    }
    virtio_blk_release_piece(d, slot);
    if (slot->result != OK) {
        return virtio_blk_slot_fail(slot, slot->result == E_UNSUPPORTED ? VIRTIO_BLK_S_UNSUPP
                                                                        : VIRTIO_BLK_S_IOERR);
    }
    if (in) {
        slot->written += slot->piece_bytes;
    }
    return go(slot, STAGE_PIECE);
}

static enum slot_next copy_out(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    enum status s =
        copy(d, slot, frame_bytes(d->cfg.p2m->frames, d->cfg.bounce), slot->piece_bytes, true);

    if (s != OK) {
        return virtio_blk_no_access(slot, s); /* a failure gives the bounce page back at its end */
    }
    virtio_blk_release_piece(d, slot);
    slot->written += slot->piece_bytes;
    return go(slot, STAGE_PIECE);
}

enum slot_next virtio_blk_slot_step(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    switch (slot->stage) {
    case STAGE_START:
        return start(d, slot);
    case STAGE_ID:
        return give_id(d, slot);
    case STAGE_ZONES:
        return read_zones(d, slot);
    case STAGE_PIECE:
        return piece(d, slot);
    case STAGE_GATHER:
        return gather(d, slot);
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
    virtio_blk_release_piece(d, slot);
    if (slot->status_pinned) {
        slot->status_pinned = false;
        p2m_put(d->cfg.p2m, slot->status_mfn);
    }
}
