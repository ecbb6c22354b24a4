/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk over a range of machine memory. */
#include "drivers/block/ramdisk.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"

static enum status transfer(struct ramdisk *rd, const struct blk_req *r)
{
    uint8_t *disk = rd->window + rd->base.a + r->sector * BLK_SECTOR;

    for (unsigned i = 0; i < r->n_segs; i++) {
        const struct blk_seg *s = &r->segs[i];
        if (!range_within(s->addr.a, s->bytes, rd->memory_bytes)) {
            return E_RANGE;
        }
        uint8_t *seg = rd->window + s->addr.a;
        /* memmove: nobody forbids a segment that lies in the disk itself. */
        memmove(r->op == BLK_READ ? seg : disk, r->op == BLK_READ ? disk : seg, s->bytes);
        disk += s->bytes;
    }
    return OK;
}

static void ramdisk_submit(struct blk_dev *d, struct blk_req *r)
{
    struct ramdisk *rd = (struct ramdisk *)d;
    enum status s = OK;

    if (r->op == BLK_READ || r->op == BLK_WRITE) {
        s = transfer(rd, r);
    } else if (r->op == BLK_ZEROES) {
        memset(rd->window + rd->base.a + r->sector * BLK_SECTOR, 0,
               (size_t)(r->sectors * BLK_SECTOR));
    }
    r->done(r, s);
}

static const struct blk_ops ramdisk_ops = {.submit = ramdisk_submit};

enum status ramdisk_init(struct ramdisk *rd, const char *name, uint32_t id, void *window,
                         uint64_t memory_bytes, hpa_t base, uint64_t bytes, bool read_only)
{
    if (bytes < BLK_SECTOR || !range_within(base.a, bytes, memory_bytes)) {
        return E_RANGE;
    }
    *rd = (struct ramdisk){
        .dev = {.ops = &ramdisk_ops,
                .sectors = bytes / BLK_SECTOR,
                .read_only = read_only,
                .can_zero = !read_only,
                .id = id},
        .window = window,
        .base = base,
        .memory_bytes = memory_bytes,
    };
    format(rd->dev.name, sizeof(rd->dev.name), "%s", name);
    return OK;
}
