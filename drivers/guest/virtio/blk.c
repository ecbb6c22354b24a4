/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk: the device, its slots, and the loop that takes requests and completes them. */
#include "drivers/guest/virtio/blk.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "drivers/guest/virtio/blk_map.h"
#include "drivers/guest/virtio/blk_slot.h"

#define PCI_DEVICE_VIRTIO_BLK 0x1042    /* 0x1040 + device type 2: 4.1.2.1 */
#define PCI_CLASS_MASS_STORAGE 0x010000 /* SCSI, as everybody's virtio-blk says */

/* Waiting requests that a reset drops in the exit that asks for it; the rest follows as work. */
#define RESET_DROPS 2u

/* A field of the configuration (5.2.4), by its offset. */
#define CFG(field) offsetof(struct virtio_blk_config, field)
#define CFG_BYTES 60

/* Sectors in the 4 KiB blocks that the cache and the guests' pages have. */
#define SECTORS_PER_BLOCK 8u

static void fill_config(struct virtio_blk *d)
{
    const struct blk_dev *disk = d->cfg.disk;
    uint8_t *c = d->pci.config;

    store_le64(c + CFG(capacity), disk->sectors);
    store_le32(c + CFG(seg_max), VIRTIO_BLK_SEG_MAX);
    store_le32(c + CFG(blk_size), BLK_SECTOR);
    /* Suggests 4 KiB blocks, where they begin on the leaf disk. */
    c[CFG(physical_block_exp)] = 3;
    c[CFG(alignment_offset)] =
        (uint8_t)((SECTORS_PER_BLOCK - disk->start % SECTORS_PER_BLOCK) % SECTORS_PER_BLOCK);
    store_le16(c + CFG(min_io_size), SECTORS_PER_BLOCK);
    store_le32(c + CFG(opt_io_size), 0);
    store_le16(c + CFG(num_queues), 1);
    if (disk->can_discard && !disk->read_only) {
        store_le32(c + CFG(max_discard_sectors), VIRTIO_BLK_ZONE_SECTORS);
        store_le32(c + CFG(max_discard_seg), VIRTIO_BLK_ZONES);
        store_le32(c + CFG(discard_sector_alignment), SECTORS_PER_BLOCK);
    }
    if (disk->can_zero && !disk->read_only) {
        store_le32(c + CFG(max_write_zeroes_sectors), VIRTIO_BLK_ZONE_SECTORS);
        store_le32(c + CFG(max_write_zeroes_seg), VIRTIO_BLK_ZONES);
    }
}

static uint64_t offered_features(const struct blk_dev *disk)
{
    uint64_t f = BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
                 BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
                 BIT(VIRTIO_BLK_F_TOPOLOGY);

    if (disk->read_only) {
        return f | BIT(VIRTIO_BLK_F_RO);
    }
    if (disk->can_discard) {
        f |= BIT(VIRTIO_BLK_F_DISCARD);
    }
    if (disk->can_zero) {
        f |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
    }
    return f;
}

static void slot_free(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    virtio_blk_slot_release(d, slot);
    ASSERT(d->n_busy > 0);
    d->n_busy--;
    STAILQ_INSERT_HEAD(&d->free, slot, link);
}

/* Drops requests that the disk does not have, `max` of them or until the deadline. True: there are
 * more. */
static bool drop_waiting(struct virtio_blk *d, unsigned max, const struct deadline *until)
{
    struct virtio_blk_slot *slot;

    STAILQ_CONCAT(&d->ready, &d->stalled);
    while (max-- > 0 && (slot = STAILQ_FIRST(&d->ready)) != NULL) {
        STAILQ_REMOVE_HEAD(&d->ready, link);
        slot_free(d, slot);
        if (deadline_passed(until)) {
            break;
        }
    }
    return !STAILQ_EMPTY(&d->ready);
}

static void count(struct virtio_blk *d, const struct virtio_blk_slot *slot)
{
    struct virtio_blk_stats *st = &d->stats;

    if (slot->status != VIRTIO_BLK_S_OK) {
        st->errors++;
    }
    switch (slot->type) {
    case VIRTIO_BLK_T_IN:
        st->reads++;
        st->read_bytes += slot->status == VIRTIO_BLK_S_OK ? slot->written : 0;
        break;
    case VIRTIO_BLK_T_OUT:
        st->writes++;
        if (slot->status == VIRTIO_BLK_S_OK) {
            st->write_bytes += slot->chain.read_bytes - 16;
        }
        break;
    case VIRTIO_BLK_T_FLUSH:
        st->flushes++;
        break;
    case VIRTIO_BLK_T_GET_ID:
        st->ids++;
        break;
    case VIRTIO_BLK_T_DISCARD:
        st->discards++;
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        st->zeroes++;
        break;
    default:
        break;
    }
}

static void finish(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    uint8_t *page = frame_bytes(d->cfg.p2m->frames, slot->status_mfn);

    ASSERT(slot->status_pinned);
    __atomic_store_n(page + slot->status_off, slot->status, __ATOMIC_RELAXED);
    count(d, slot);
    virtqueue_push(&d->vq, slot->chain.head, slot->written + 1);
    slot_free(d, slot);
}

static void no_memory(struct virtio_blk *d)
{
    d->wants_memory = true;
    d->stats.no_memory++;
}

/* Takes one slot as far as it goes now. What time does not allow comes first the next time. */
static void run(struct virtio_blk *d, struct virtio_blk_slot *slot)
{
    for (;;) {
        if (slot->stage == STAGE_FINISH) {
            finish(d, slot);
            return;
        }
        if (slot->stage == STAGE_BAD) {
            virtqueue_break(&d->vq, "request without an accessible status byte");
            slot_free(d, slot);
            return;
        }
        switch (virtio_blk_slot_step(d, slot)) {
        case NEXT_STAGE:
            break; /* each stage looks at the clock itself where it may take long */
        case NEXT_MORE:
            STAILQ_INSERT_HEAD(&d->ready, slot, link);
            return;
        case NEXT_DISK:
            return;
        case NEXT_LATER:
            STAILQ_INSERT_TAIL(&d->ready, slot, link);
            return;
        case NEXT_STALLED:
            STAILQ_INSERT_TAIL(&d->stalled, slot, link);
            return;
        case NEXT_NO_MEMORY:
            STAILQ_INSERT_HEAD(&d->ready, slot, link);
            no_memory(d);
            return;
        }
    }
}

/* Whether the available ring may be looked at. */
static bool may_take(const struct virtio_blk *d)
{
    return d->kicked && !d->quiesced && !virtqueue_broken(&d->vq) && virtio_pci_live(&d->pci);
}

/* Takes one request from the ring and starts it; false when none can be taken now. */
static bool take(struct virtio_blk *d)
{
    struct virtio_blk_slot *slot = STAILQ_FIRST(&d->free);

    if (!may_take(d)) {
        return false;
    }
    if (slot == NULL) {
        d->stats.no_slot++;
        return false;
    }
    switch (virtqueue_pop(&d->vq, slot->bufs, VIRTIO_BLK_BUFS, &slot->chain)) {
    case OK:
        STAILQ_REMOVE_HEAD(&d->free, link);
        d->n_busy++;
        virtio_blk_slot_begin(slot);
        run(d, slot);
        return true;
    case E_NOTFOUND:
        d->kicked = virtqueue_want_kicks(&d->vq);
        return d->kicked;
    case E_NOMEM:
        no_memory(d);
        return false;
    default:
        return false;
    }
}

/* Drops what is left of a reset, or of a device that ends. True: there is more. */
static bool drop_work(struct virtio_blk *d)
{
    bool more = drop_waiting(d, UINT32_MAX, d->until);

    if (virtio_pci_resetting(&d->pci) && d->n_busy == 0) {
        virtio_pci_reset_done(&d->pci);
    }
    return more;
}

static bool may_go_on(const struct virtio_blk *d)
{
    return !d->wants_memory &&
           (!STAILQ_EMPTY(&d->ready) || (may_take(d) && !STAILQ_EMPTY(&d->free)));
}

/* Goes on with requests, those that are there before new ones. */
static void serve(struct virtio_blk *d)
{
    if (may_take(d)) {
        virtqueue_stop_kicks(&d->vq);
    }
    for (;;) {
        struct virtio_blk_slot *slot = STAILQ_FIRST(&d->ready);

        if (slot != NULL) {
            STAILQ_REMOVE_HEAD(&d->ready, link);
            run(d, slot);
        } else if (!take(d)) {
            break;
        }
        if (!may_go_on(d) || deadline_passed(d->until)) {
            break;
        }
    }
    if (virtqueue_broken(&d->vq)) {
        d->kicked = false;
        virtio_pci_break(&d->pci, d->vq.why);
    }
    if (virtqueue_should_signal(&d->vq)) {
        d->stats.interrupts++;
        virtio_pci_used(&d->pci, 0);
    }
}

bool virtio_blk_work(struct virtio_blk *d, const struct deadline *until)
{
    bool more;

    if (d->working) {
        return true;
    }
    d->working = true;
    d->until = until;
    d->wants_memory = false;
    if (d->quiesced || virtio_pci_resetting(&d->pci)) {
        more = drop_work(d);
    } else {
        serve(d);
        more = may_go_on(d);
    }
    d->until = NULL;
    d->working = false;
    return more;
}

static void kick(void *dev, unsigned queue)
{
    struct virtio_blk *d = dev;

    (void)queue;
    d->stats.kicks++;
    d->kicked = true;
    if (d->cfg.kick != NULL) {
        d->cfg.kick(d->cfg.wake_ctx);
    } else {
        d->cfg.wake(d->cfg.wake_ctx);
    }
}

static bool reset(void *dev)
{
    struct virtio_blk *d = dev;

    d->kicked = false;
    d->wants_memory = false;
    if (drop_waiting(d, RESET_DROPS, NULL)) {
        d->cfg.wake(d->cfg.wake_ctx);
    }
    virtqueue_reset(&d->vq);
    return d->n_busy == 0;
}

static const struct virtio_pci_type type = {
    .device = PCI_DEVICE_VIRTIO_BLK,
    .class_code = PCI_CLASS_MASS_STORAGE,
    .config_bytes = CFG_BYTES,
    .notify = kick,
    .reset = reset,
};

void virtio_blk_init(struct virtio_blk *d, const struct virtio_blk_cfg *cfg)
{
    memset(d, 0, sizeof(*d));
    d->cfg = *cfg;
    memcpy(d->serial, cfg->serial, strnlen(cfg->serial, VIRTIO_BLK_ID_BYTES));
    STAILQ_INIT(&d->free);
    STAILQ_INIT(&d->ready);
    STAILQ_INIT(&d->stalled);
    virtqueue_init(&d->vq, cfg->p2m);
    virtio_pci_init(&d->pci, &type, d->serial, d, offered_features(cfg->disk), &d->vq, 1);
    fill_config(d);
}

enum status virtio_blk_add_slot(struct virtio_blk *d, void *page)
{
    struct virtio_blk_slot *slot = page;

    if (d->n_slots == VIRTIO_BLK_SLOTS) {
        return E_NOMEM;
    }
    memset(slot, 0, sizeof(*slot));
    slot->dev = d;
    d->n_slots++;
    STAILQ_INSERT_TAIL(&d->free, slot, link);
    return OK;
}

bool virtio_blk_quiesce(struct virtio_blk *d)
{
    d->quiesced = true;
    d->kicked = false;
    d->wants_memory = false;
    virtqueue_reset(&d->vq);
    return d->n_busy == 0;
}
