/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an ATA channel works on next: a sweep over the sectors, requests in a row made one command,
 * and a bound on how often a request is passed by.
 *
 * The queue is in the order of arrival. It is searched from end to end, as it is short: everything
 * that the cache may have in flight at most.
 */
#include "base/bits.h"
#include "drivers/host/ata_internal.h"

static struct ata_disk *disk_of(const struct blk_req *r)
{
    return r->dev_priv;
}

/* The place of a sector on the way of the sweep: the master's sectors, then the slave's. */
static uint64_t place(const struct ata_disk *d, uint64_t sector)
{
    return (uint64_t)d->drive << 56 | sector;
}

/* Flushes come at the end of a sweep: what others still want to read need not wait for them. */
static uint64_t place_of(const struct blk_req *r)
{
    return r->op == BLK_FLUSH ? UINT64_MAX : place(disk_of(r), r->sector);
}

static bool moves_data(const struct blk_req *r)
{
    return r->op == BLK_READ || r->op == BLK_WRITE;
}

/* Whether two requests must keep their order. */
static bool conflict(const struct blk_req *a, const struct blk_req *b)
{
    if (disk_of(a) != disk_of(b) || (a->op == BLK_READ && b->op == BLK_READ)) {
        return false;
    }
    if (a->op == BLK_FLUSH || b->op == BLK_FLUSH) {
        return a->op != BLK_READ && b->op != BLK_READ && a->op != b->op;
    }
    return a->sector < b->sector + b->sectors && b->sector < a->sector + a->sectors;
}

/* The first request that must go before r; r itself when there is none. */
static struct blk_req *first_before(const struct ata_channel *ch, struct blk_req *r)
{
    struct blk_req *q;

    STAILQ_FOREACH(q, &ch->queue, link)
    {
        if (q == r || conflict(q, r)) {
            return q;
        }
    }
    return r;
}

void ata_queue_add(struct ata_channel *ch, struct blk_req *r)
{
    r->dev_turn = ch->turn;
    r->dev_alone = false;
    STAILQ_INSERT_TAIL(&ch->queue, r, link);
}

/* Whether a is better to take next than b: those that somebody waits for first, then what lies
 * ahead on the way. */
static bool is_better(const struct ata_channel *ch, const struct blk_req *a,
                      const struct blk_req *b)
{
    if (a->ahead != b->ahead) {
        return !a->ahead;
    }
    /* Behind the sweep: the distance wraps, and is long. */
    return place_of(a) - ch->sweep < place_of(b) - ch->sweep;
}

static struct blk_req *choose(const struct ata_channel *ch)
{
    struct blk_req *r, *best = STAILQ_FIRST(&ch->queue);

    if (best == NULL || ch->turn - best->dev_turn >= ATA_PATIENCE) {
        return best; /* nothing came before it that it could have to wait for */
    }
    STAILQ_FOREACH(r, &ch->queue, link)
    {
        if (is_better(ch, r, best)) {
            best = r;
        }
    }
    /* Each step goes towards the front. */
    while ((r = first_before(ch, best)) != best) {
        best = r;
    }
    return best;
}

/* A batch that grows. */
struct batch {
    struct blk_req *chosen;
    uint64_t from, end; /* its sectors */
};

static bool fits(const struct batch *b, const struct blk_req *r)
{
    uint64_t n = b->end - b->from;
    /* Those who wait shall not wait long for what nobody waits for. */
    uint64_t max = r->ahead && !b->chosen->ahead ? ATA_CMD_SECTORS : ata_cmd_max(disk_of(r));

    return r->op == b->chosen->op && disk_of(r) == disk_of(b->chosen) && !r->dev_alone &&
           (r->sector == b->end || r->sector + r->sectors == b->from) && n < max &&
           r->sectors <= max - n;
}

/* Finds one more request for the batch and puts it there, at one end or the other. */
static bool grow(struct ata_channel *ch, struct batch *b)
{
    struct blk_req *r;

    STAILQ_FOREACH(r, &ch->queue, link)
    {
        if (fits(b, r) && first_before(ch, r) == r) {
            break;
        }
    }
    if (r == NULL) {
        return false;
    }
    STAILQ_REMOVE(&ch->queue, r, blk_req, link);
    if (r->sector == b->end) {
        STAILQ_INSERT_TAIL(&ch->batch, r, link);
        b->end += r->sectors;
    } else {
        STAILQ_INSERT_HEAD(&ch->batch, r, link);
        b->from = r->sector;
    }
    ch->n_merged++;
    return true;
}

/* One flush is everybody's: all that it must come after is done when it begins. */
static void gather_flushes(struct ata_channel *ch, const struct blk_req *chosen)
{
    struct blk_req *r, *next;

    for (r = STAILQ_FIRST(&ch->queue); r != NULL; r = next) {
        next = STAILQ_NEXT(r, link);
        if (r->op == BLK_FLUSH && disk_of(r) == disk_of(chosen) && !r->dev_alone &&
            first_before(ch, r) == r) {
            STAILQ_REMOVE(&ch->queue, r, blk_req, link);
            STAILQ_INSERT_TAIL(&ch->batch, r, link);
            ch->n_merged++;
        }
    }
}

bool ata_queue_take(struct ata_channel *ch)
{
    struct blk_req *r = choose(ch);

    if (r == NULL) {
        return false;
    }
    STAILQ_REMOVE(&ch->queue, r, blk_req, link);
    STAILQ_INSERT_TAIL(&ch->batch, r, link);
    ch->turn++;
    struct batch b = {r, r->sector, r->sector + r->sectors};
    if (moves_data(r) && !r->dev_alone) {
        while (grow(ch, &b)) {
        }
    } else if (r->op == BLK_FLUSH && !r->dev_alone) {
        gather_flushes(ch, r);
    }
    if (r->op != BLK_FLUSH) {
        ch->sweep = place(disk_of(r), b.end);
    }
    return true;
}

void ata_queue_split(struct ata_channel *ch)
{
    struct blk_req *r;

    STAILQ_FOREACH(r, &ch->batch, link)
    {
        r->dev_alone = true;
        r->dev_turn = ch->turn - ATA_PATIENCE; /* next, before all others */
    }
    /* Both lists end up in `queue`, the batch in front. */
    STAILQ_CONCAT(&ch->batch, &ch->queue);
    STAILQ_CONCAT(&ch->queue, &ch->batch);
}
