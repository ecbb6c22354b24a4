/* SPDX-License-Identifier: BSD-2-Clause */
/* A copy-on-write disk's blocks as frames: those of the base and of the store, as they are. */
#include "base/bits.h"
#include "drivers/block/cow/internal.h"

/* Who has the chunk, and where it begins there; NULL: nobody. */
static struct blk_dev *owner(const struct cow *c, uint64_t chunk, uint64_t *sector)
{
    uint32_t value = chunkmap_get(&c->map, chunk);

    if (value == COW_NONE) {
        *sector = chunk * COW_CHUNK_SECTORS;
        return c->base;
    }
    *sector = cow_place_sector(value);
    return value == COW_ZERO ? NULL : c->store;
}

/* Whether a request submitted before changes the chunk. At most as many as the submitters have in
 * flight are looked at. */
static bool is_changing(const struct cow *c, uint64_t chunk)
{
    const struct cow_job *j;
    const struct blk_req *r;

    TAILQ_FOREACH(j, &c->active, active)
    {
        if (!cow_is_read(j->r) && cow_touches(j->r, chunk, chunk)) {
            return true;
        }
    }
    STAILQ_FOREACH(r, &c->incoming, link)
    {
        if (!cow_is_read(r) && cow_touches(r, chunk, chunk)) {
            return true;
        }
    }
    return false;
}

/* The chunk is all zeroes. Where the base gives no frames, nothing is given away. */
static enum status hold_zero(struct cow *c, uint64_t chunk, uint32_t group, mfn_t *out)
{
    if (blk_hold(c->base, chunk * COW_CHUNK_SECTORS, group, NULL) == E_UNSUPPORTED) {
        return E_UNSUPPORTED;
    }
    if (out == NULL) {
        return OK;
    }
    if (is_changing(c, chunk)) {
        return E_NOTFOUND;
    }
    *out = BLK_ZERO_FRAME;
    return OK;
}

enum status cow_hold(struct blk_dev *d, uint64_t sector, uint32_t group, mfn_t *out)
{
    struct cow *c = (struct cow *)d;
    uint64_t chunk = sector / COW_CHUNK_SECTORS, at;

    _Static_assert(COW_CHUNK_SECTORS == BLK_FRAME_SECTORS, "a chunk is a frame");
    if (sector % COW_CHUNK_SECTORS != 0) {
        return E_UNSUPPORTED; /* it may lie in two places */
    }
    struct blk_dev *o = owner(c, chunk, &at);
    if (o == NULL) {
        return hold_zero(c, chunk, group, out);
    }
    if (out != NULL && is_changing(c, chunk)) {
        /* Without frames below, nobody shall try to fetch one. */
        return blk_hold(o, at, group, NULL) == E_UNSUPPORTED ? E_UNSUPPORTED : E_NOTFOUND;
    }
    return blk_hold(o, at, group, out);
}

void cow_taken(struct blk_dev *d, uint64_t sector, struct blk_account *account)
{
    struct cow *c = (struct cow *)d;
    uint64_t at;
    struct blk_dev *o = owner(c, sector / COW_CHUNK_SECTORS, &at);

    c->stats.base_taken += o == c->base;
    c->stats.store_taken += o != c->base;
    if (o != NULL) {
        blk_taken(o, at, account);
    }
}

bool cow_keeps(struct blk_dev *d, uint64_t sector)
{
    const struct cow *c = (const struct cow *)d;

    /* Whichever place the chunk has or gets: they all begin with a chunk of the store. */
    return sector % COW_CHUNK_SECTORS == 0 && blk_keeps(c->store, 0);
}

enum cow_next cow_fetch_piece(struct cow_job *j)
{
    struct cow *c = j->c;
    uint64_t stop = cow_run_end(j, chunkmap_get(&c->map, j->at / COW_CHUNK_SECTORS), COW_RUN),
             first;
    struct blk_dev *o = owner(c, j->at / COW_CHUNK_SECTORS, &first);

    if (o == NULL || o->ops->hold == NULL) {
        j->at = stop;
        return COW_GO;
    }
    j->stage = COW_PASS;
    j->piece_end = stop;
    return cow_submit(j, o, BLK_FETCH, first + j->at % COW_CHUNK_SECTORS, stop - j->at, 0);
}
