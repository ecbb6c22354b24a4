/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk that completes late and loses what was not flushed. */
#include "fake_lossy.h"

#include "base/bits.h"
#include "work_disk.h"

#include <string.h>

uint32_t pick(struct picks *p, uint32_t n)
{
    uint32_t v = 0;

    if (!p->ended && !p->next(p->ctx, n, &v)) {
        p->ended = true;
    }
    return p->ended ? 0 : v;
}

static bool writes(const struct blk_req *r)
{
    return r->op == BLK_WRITE || r->op == BLK_ZEROES;
}

static void add_version(struct lossy *d, const struct blk_req *r, uint64_t sector,
                        const uint8_t *data)
{
    if (d->n_versions == d->room) {
        d->room = MAX(d->room * 2, (size_t)64);
        d->versions = realloc(d->versions, d->room * sizeof(*d->versions));
    }
    struct lossy_version *v = &d->versions[d->n_versions++];
    *v = (struct lossy_version){.sector = sector, .req = r};
    memcpy(v->data, data, BLK_SECTOR);
}

void lossy_move(uint8_t *disk, uint8_t *window, const struct blk_req *r, uint64_t n)
{
    uint8_t *d = disk + r->sector * BLK_SECTOR;
    uint64_t left = n * BLK_SECTOR;

    if (r->op == BLK_ZEROES || r->op == BLK_DISCARD) {
        memset(d, 0, left);
        return;
    }
    for (unsigned i = 0; i < r->n_segs && left != 0; i++) {
        uint8_t *p = window + r->segs[i].addr.a;
        uint64_t part = MIN(left, (uint64_t)r->segs[i].bytes);
        memcpy(r->op == BLK_READ ? p : d, r->op == BLK_READ ? d : p, part);
        d += part;
        left -= part;
    }
}

/* What the request would write may be on the disk from now on. */
static void note(struct lossy *d, const struct blk_req *r)
{
    static const uint8_t zeroes[BLK_SECTOR];
    uint64_t s = r->sector;

    if (r->op == BLK_ZEROES) {
        for (; s < r->sector + r->sectors; s++) {
            add_version(d, r, s, zeroes);
        }
        return;
    }
    for (unsigned i = 0; i < r->n_segs; i++) {
        for (uint32_t off = 0; off < r->segs[i].bytes; off += BLK_SECTOR) {
            add_version(d, r, s++, d->window + r->segs[i].addr.a + off);
        }
    }
}

/* What had completed when the flush was submitted is safe. */
static void flushed(struct lossy *d, uint64_t submitted)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->n_versions; i++) {
        struct lossy_version *v = &d->versions[i];
        if (v->req == NULL && v->done <= submitted) {
            memcpy(d->safe + v->sector * BLK_SECTOR, v->data, BLK_SECTOR);
        } else {
            d->versions[kept++] = *v;
        }
    }
    d->n_versions = kept;
}

static bool is_bad(const struct lossy *d, const struct blk_req *r)
{
    return r->op == BLK_READ && r->sector < d->bad + d->n_bad && d->bad < r->sector + r->sectors;
}

static void complete(struct lossy *d, unsigned i)
{
    struct blk_req *r = d->pending[i];
    uint64_t submitted = d->submitted[i];
    bool fails =
        d->dead || is_bad(d, r) || (pick(d->picks, 100) < d->fail_percent && !d->picks->ended);

    d->pending[i] = d->pending[--d->n_pending];
    d->submitted[i] = d->submitted[d->n_pending];
    d->clock++;
    if (!d->dead && r->op != BLK_FLUSH) {
        lossy_move(d->now, d->window, r,
                   fails ? pick(d->picks, (uint32_t)r->sectors + 1) : r->sectors); /* torn */
    } else if (!fails) {
        flushed(d, submitted);
    }
    for (size_t v = 0; v < d->n_versions; v++) {
        if (d->versions[v].req == r) {
            d->versions[v].req = NULL;
            d->versions[v].done = d->clock;
            /* What a failed write did is certain as well: some sectors are as they were. */
            memcpy(d->versions[v].data, d->now + d->versions[v].sector * BLK_SECTOR, BLK_SECTOR);
        }
    }
    d->clock++;
    r->done(r, fails ? E_IO : OK);
}

void lossy_step(struct lossy *d)
{
    if (d->n_pending != 0) {
        complete(d, pick(d->picks, d->n_pending));
    }
}

static void submit(struct blk_dev *dev, struct blk_req *r)
{
    struct lossy *d = (struct lossy *)dev;

    work_disk_sectors += 1 + r->sectors;
    REQUIRE(range_within(r->sector, r->sectors, d->dev.sectors) && d->n_pending < LOSSY_PENDING);
    for (unsigned i = 0; i < d->n_pending; i++) {
        const struct blk_req *q = d->pending[i];
        /* Whoever is above orders what overlaps. */
        REQUIRE((!writes(q) && !writes(r)) || r->op == BLK_FLUSH || q->op == BLK_FLUSH ||
                r->sector >= q->sector + q->sectors || q->sector >= r->sector + r->sectors);
    }
    d->n_reads += r->op == BLK_READ;
    d->n_read_sectors += r->op == BLK_READ ? r->sectors : 0;
    d->n_writes += writes(r);
    d->n_flushes += r->op == BLK_FLUSH;
    if (writes(r) && !d->dead) {
        note(d, r);
    }
    d->submitted[d->n_pending] = d->clock;
    d->pending[d->n_pending++] = r;
    if (d->sync || pick(d->picks, 8) == 1) {
        complete(d, d->n_pending - 1);
    }
}

static const struct blk_ops ops = {.submit = submit};

void lossy_init(struct lossy *d, const char *name, uint64_t sectors, uint8_t *window,
                struct picks *picks)
{
    *d = (struct lossy){.dev = {.ops = &ops, .sectors = sectors}, .window = window, .picks = picks};
    snprintf(d->dev.name, sizeof(d->dev.name), "%s", name);
    d->now = calloc(sectors, BLK_SECTOR);
    d->safe = calloc(sectors, BLK_SECTOR);
}

void lossy_free(struct lossy *d)
{
    free(d->now);
    free(d->safe);
    free(d->versions);
}

/* How much of what was not flushed survives: none, all of the last, or each sector as it comes. */
enum survival { NONE, ALL, ANY };

void lossy_cut(struct lossy *d)
{
    enum survival how = (enum survival)pick(d->picks, 4);

    for (size_t i = 0; i < d->n_versions; i++) {
        const struct lossy_version *v = &d->versions[i];
        if (how == ALL || (how >= ANY && pick(d->picks, 2) != 0)) {
            memcpy(d->safe + v->sector * BLK_SECTOR, v->data, BLK_SECTOR);
        }
    }
    memcpy(d->now, d->safe, d->dev.sectors * BLK_SECTOR);
    d->n_versions = d->n_pending = 0;
    d->dead = false;
}
