/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks that are slow on purpose: see delay.h. */
#include "drivers/block/delay.h"

#include "base/bits.h"

static bool moves_data(const struct blk_req *r)
{
    return r->op == BLK_READ || r->op == BLK_WRITE;
}

static uint64_t due_ns(const struct delay_dev *d)
{
    uint64_t blocks = (d->sectors + BLK_FRAME_SECTORS - 1) / BLK_FRAME_SECTORS;

    return d->since_ns + d->begun.command_ns + blocks * d->begun.block_ns;
}

/* Done, and the slot is free: `done` may submit the next batch. */
static void finish(struct delay_slot *slot)
{
    struct blk_req *r = slot->orig;

    slot->orig = NULL;
    r->done(r, slot->status);
}

static void landed(struct blk_req *copy, enum status s)
{
    struct delay_slot *slot = copy->ctx;
    struct delay_dev *d = slot->d;

    d->n_flight--;
    slot->status = s;
    if (d->host->now_ns() >= due_ns(d)) {
        finish(slot);
        return;
    }
    slot->landed = true;
    d->n_deferred += d->n_kept == 0;
    if (d->n_kept++ == 0) {
        d->host->deadline_changed(d->host->ctx);
    }
}

static struct delay_slot *free_slot(struct delay_dev *d)
{
    for (unsigned i = 0; i < DELAY_REQUESTS; i++) {
        if (d->slots[i].orig == NULL) {
            return &d->slots[i];
        }
    }
    return NULL;
}

static void delay_submit(struct blk_dev *dev, struct blk_req *r)
{
    struct delay_dev *d = (struct delay_dev *)dev;
    struct delay_slot *slot;

    if (d->n_flight == 0 && d->n_kept == 0) {
        d->begun = d->times;
        d->sectors = 0;
        d->since_ns = d->host->now_ns();
    }
    if ((d->begun.command_ns == 0 && d->begun.block_ns == 0) || (slot = free_slot(d)) == NULL) {
        blk_submit(d->lower, r);
        return;
    }
    d->n_flight++;
    d->sectors += moves_data(r) ? r->sectors : 0;
    slot->orig = r;
    slot->landed = false;
    slot->req = *r;
    slot->req.done = landed;
    slot->req.ctx = slot;
    blk_submit(d->lower, &slot->req);
}

uint64_t delay_next(const struct delay_dev *d)
{
    return d->n_kept > 0 ? due_ns(d) : UINT64_MAX;
}

void delay_tick(struct delay_dev *d, uint64_t now_ns)
{
    struct delay_slot *due[DELAY_REQUESTS];
    unsigned n = 0;

    if (now_ns < delay_next(d)) {
        return;
    }
    for (unsigned i = 0; i < DELAY_REQUESTS; i++) {
        if (d->slots[i].orig != NULL && d->slots[i].landed) {
            d->slots[i].landed = false;
            due[n++] = &d->slots[i];
        }
    }
    d->n_kept = 0; /* a batch that is submitted from `done` is another one */
    for (unsigned i = 0; i < n; i++) {
        finish(due[i]);
    }
}

static const struct blk_ops delay_ops = {.submit = delay_submit};

void delay_dev_init(struct delay_dev *d, const struct delay_host *host, struct blk_dev *lower)
{
    *d = (struct delay_dev){.dev = *lower, .lower = lower, .host = host};
    d->dev.ops = &delay_ops;
    for (unsigned i = 0; i < DELAY_REQUESTS; i++) {
        d->slots[i].d = d;
    }
}
