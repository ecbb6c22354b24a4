/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate in front of every block device: a request that passes it can be trusted by the driver.
 */
#include "drivers/block/blk.h"

#include "base/bits.h"

static enum status check_segments(const struct blk_req *r)
{
    uint64_t bytes = 0;

    if (r->n_segs != 0 && r->segs == NULL) {
        return E_INVAL;
    }
    for (unsigned i = 0; i < r->n_segs; i++) {
        const struct blk_seg *s = &r->segs[i];
        if (s->bytes == 0 || s->bytes % BLK_SECTOR != 0 || (s->addr.a & 1) != 0 ||
            s->addr.a > UINT64_MAX - s->bytes) {
            return E_INVAL;
        }
        bytes += s->bytes; /* 2^32 segments of 2^32 bytes do not overflow 64 bits */
    }
    /* Compared in sectors: r->sectors * 512 may overflow, this cannot. */
    return bytes / BLK_SECTOR == r->sectors ? OK : E_INVAL;
}

static enum status check(const struct blk_dev *d, const struct blk_req *r)
{
    switch (r->op) {
    case BLK_FLUSH:
        return r->sectors == 0 ? OK : E_INVAL;
    case BLK_READ:
    case BLK_WRITE:
    case BLK_DISCARD:
    case BLK_ZEROES:
    case BLK_FETCH:
        break;
    default:
        return E_INVAL;
    }
    if (r->sectors == 0) {
        return E_INVAL;
    }
    if (!range_within(r->sector, r->sectors, d->sectors)) {
        return E_RANGE;
    }
    if (r->op == BLK_FETCH) {
        return d->ops->hold != NULL && r->n_segs == 0 ? OK : E_UNSUPPORTED;
    }
    if (r->op != BLK_READ && d->read_only) {
        return E_READONLY;
    }
    if ((r->op == BLK_DISCARD && !d->can_discard) || (r->op == BLK_ZEROES && !d->can_zero)) {
        return E_UNSUPPORTED;
    }
    return r->op == BLK_READ || r->op == BLK_WRITE ? check_segments(r) : OK;
}

void blk_submit(struct blk_dev *d, struct blk_req *r)
{
    enum status s = check(d, r);

    if (s != OK) {
        r->done(r, s);
        return;
    }
    d->ops->submit(d, r);
}

enum status blk_hold(struct blk_dev *d, uint64_t sector, uint32_t group, mfn_t *out)
{
    if (d->ops->hold == NULL || !range_within(sector, BLK_FRAME_SECTORS, d->sectors)) {
        return E_UNSUPPORTED;
    }
    return d->ops->hold(d, sector, group, out);
}

void blk_taken(struct blk_dev *d, uint64_t sector, struct blk_account *account)
{
    d->ops->taken(d, sector, account);
}

bool blk_keeps(struct blk_dev *d, uint64_t sector)
{
    return d->ops->keeps != NULL && !d->read_only &&
           range_within(sector, BLK_FRAME_SECTORS, d->sectors) && d->ops->keeps(d, sector);
}

struct wait {
    bool done;
    enum status status;
};

static void wait_done(struct blk_req *r, enum status s)
{
    struct wait *w = r->ctx;

    w->status = s;
    w->done = true;
}

enum status blk_wait(struct blk_dev *d, enum blk_op op, uint64_t sector, hpa_t buf,
                     uint32_t sectors, void (*poll)(void *ctx), void *ctx)
{
    struct wait w = {0};
    struct blk_seg seg = {.addr = buf, .bytes = sectors * BLK_SECTOR};
    struct blk_req r = {
        .op = op,
        .sector = sector,
        .sectors = sectors,
        .segs = &seg,
        .n_segs = sectors != 0 ? 1 : 0,
        .done = wait_done,
        .ctx = &w,
    };

    if (sectors > UINT32_MAX / BLK_SECTOR) {
        return E_INVAL;
    }
    blk_submit(d, &r);
    /* The request lives on this stack, so there is no giving up here: the driver's own timeout ends
     * every request. */
    while (!w.done) {
        poll(ctx);
        __asm__ volatile("" ::: "memory");
    }
    return w.status;
}

enum status blk_read_wait(struct blk_dev *d, uint64_t sector, hpa_t buf, uint32_t sectors,
                          void (*poll)(void *ctx), void *ctx)
{
    return blk_wait(d, BLK_READ, sector, buf, sectors, poll, ctx);
}
