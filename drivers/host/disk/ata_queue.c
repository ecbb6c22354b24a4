/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an ATA channel works on next: requests in the order of their arrival. Those that follow one
 * another there, and whose sectors are in a row, are one batch.
 */
#include "base/bits.h"
#include "drivers/host/disk/ata_internal.h"

static bool moves_data(const struct blk_req *r)
{
    return r->op == BLK_READ || r->op == BLK_WRITE;
}

/* Whether r goes on with the batch of `first`, which ends at sector `end`. */
static bool goes_on(const struct blk_req *first, uint64_t end, const struct blk_req *r)
{
    if (r->op != first->op || r->dev_priv != first->dev_priv) {
        return false;
    }
    /* One flush is for all: what it must come after is done when it begins. */
    return r->op == BLK_FLUSH ||
           (moves_data(r) && r->sector == end &&
            r->sectors <= ata_cmd_max(r->dev_priv) -
                              MIN(end - first->sector, (uint64_t)ata_cmd_max(r->dev_priv)));
}

static void move_first(struct ata_channel *ch)
{
    struct blk_req *r = STAILQ_FIRST(&ch->queue);

    STAILQ_REMOVE_HEAD(&ch->queue, link);
    STAILQ_INSERT_TAIL(&ch->batch, r, link);
}

void ata_queue_add(struct ata_channel *ch, struct blk_req *r)
{
    STAILQ_INSERT_TAIL(&ch->queue, r, link);
}

bool ata_queue_take(struct ata_channel *ch)
{
    const struct blk_req *first = STAILQ_FIRST(&ch->queue), *r;

    if (first == NULL) {
        return false;
    }
    move_first(ch);
    if (ch->n_alone > 0) {
        ch->n_alone--;
        return true;
    }
    for (uint64_t end = first->sector + first->sectors;
         (r = STAILQ_FIRST(&ch->queue)) != NULL && goes_on(first, end, r); end += r->sectors) {
        move_first(ch);
        ch->n_merged++;
    }
    return true;
}

void ata_queue_split(struct ata_channel *ch)
{
    const struct blk_req *r;

    STAILQ_FOREACH(r, &ch->batch, link)
    {
        ch->n_alone++;
    }
    /* Both lists end up in `queue`, the batch in front. */
    STAILQ_CONCAT(&ch->batch, &ch->queue);
    STAILQ_CONCAT(&ch->queue, &ch->batch);
}
