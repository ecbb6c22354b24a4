/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk over a range of machine memory. */
#include "drivers/block/ramdisk.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"

/* Bytes copied or cleared between two looks at the clock. */
#define STEP_BYTES PAGE_SIZE

/* Segments that do not lie in the window fail the request before anything is done. */
static enum status check_segs(const struct ramdisk *rd, const struct blk_req *r)
{
    for (unsigned i = 0; i < r->n_segs; i++) {
        if (!range_within(r->segs[i].addr.a, r->segs[i].bytes, rd->memory_bytes)) {
            return E_RANGE;
        }
    }
    return OK;
}

/* Copies `bytes` from byte `off` of the request on. memmove: nobody forbids a segment that lies in
 * the disk itself. */
static void transfer(struct ramdisk *rd, const struct blk_req *r, uint64_t off, uint64_t bytes)
{
    uint8_t *disk = rd->window + rd->base.a + r->sector * BLK_SECTOR + off;

    for (unsigned i = 0; i < r->n_segs && bytes > 0; i++) {
        const struct blk_seg *s = &r->segs[i];
        if (off >= s->bytes) {
            off -= s->bytes;
            continue;
        }
        uint64_t n = MIN(bytes, s->bytes - off);
        uint8_t *seg = rd->window + s->addr.a + off;
        memmove(r->op == BLK_READ ? seg : disk, r->op == BLK_READ ? disk : seg, (size_t)n);
        disk += n;
        bytes -= n;
        off = 0;
    }
}

/* Goes on with a request, of which dev_word sectors are done. True: that was all. */
static bool go_on(struct ramdisk *rd, struct blk_req *r, const struct deadline *until)
{
    bool moves = r->op == BLK_READ || r->op == BLK_WRITE;

    while ((moves || r->op == BLK_ZEROES) && r->dev_word < r->sectors) {
        uint64_t off = (uint64_t)r->dev_word * BLK_SECTOR;
        uint64_t n = MIN(r->sectors * BLK_SECTOR - off, (uint64_t)STEP_BYTES);
        if (moves) {
            transfer(rd, r, off, n);
        } else {
            memset(rd->window + rd->base.a + r->sector * BLK_SECTOR + off, 0, (size_t)n);
        }
        r->dev_word += (uint32_t)(n / BLK_SECTOR);
        if (r->dev_word < r->sectors && deadline_passed(until)) {
            return false;
        }
    }
    return true;
}

static void ramdisk_submit(struct blk_dev *d, struct blk_req *r)
{
    struct ramdisk *rd = (struct ramdisk *)d;
    enum status s = check_segs(rd, r);

    r->dev_word = 0;
    if (s == OK && rd->wake != NULL) {
        STAILQ_INSERT_TAIL(&rd->waiting, r, link);
        rd->wake(rd->wake_ctx, r);
        return;
    }
    if (s == OK) {
        (void)go_on(rd, r, NULL);
    }
    r->done(r, s);
}

/* In whose work the request is carried out; 0: in nobody's. */
static uint16_t worker_of(const struct blk_req *r)
{
    return r->account != NULL && r->account->queue != NULL ? r->account->vm : 0;
}

static void charge(const struct ramdisk *rd, uint16_t vm)
{
    if (rd->charge != NULL) {
        rd->charge(vm);
    }
}

/* Likewise go_on, at the cost of the request's VM if the work is nobody's. */
static bool go_on_for(struct ramdisk *rd, struct blk_req *r, const struct deadline *until)
{
    bool other = worker_of(r) == 0 && r->account != NULL && r->account->vm != 0;

    if (!other) {
        return go_on(rd, r, until);
    }
    charge(rd, r->account->vm);
    bool done = go_on(rd, r, until);
    charge(rd, 0);
    return done;
}

static struct blk_req *first_of(const struct ramdisk *rd, uint16_t vm)
{
    struct blk_req *r;

    STAILQ_FOREACH(r, &rd->waiting, link)
    {
        if (worker_of(r) == vm) {
            break;
        }
    }
    return r;
}

bool ramdisk_work(struct ramdisk *rd, uint16_t vm, const struct deadline *until)
{
    struct blk_req *r;

    while ((r = first_of(rd, vm)) != NULL) {
        if (!go_on_for(rd, r, until)) {
            return true;
        }
        STAILQ_REMOVE(&rd->waiting, r, blk_req, link);
        r->done(r, OK);
        if (deadline_passed(until)) {
            return first_of(rd, vm) != NULL;
        }
    }
    return false;
}

static const struct blk_ops ramdisk_ops = {.submit = ramdisk_submit};

enum status ramdisk_init(struct ramdisk *rd, const char *name, uint32_t id, void *window,
                         uint64_t memory_bytes, hpa_t base, uint64_t bytes, bool read_only)
{
    if (bytes < BLK_SECTOR || bytes / BLK_SECTOR > UINT32_MAX ||
        !range_within(base.a, bytes, memory_bytes)) {
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
    STAILQ_INIT(&rd->waiting);
    format(rd->dev.name, sizeof(rd->dev.name), "%s", name);
    return OK;
}
