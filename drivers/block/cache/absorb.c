/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes that end in the cache as dirty blocks; and those that go past blocks that are dirty. */
#include "base/bits.h"
#include "base/page.h"
#include "drivers/block/cache/internal.h"

/* ---- becoming dirty ---- */

/* A block of zeroes has no frame to be written from: there is one for all of them. */
static bool have_zeroes(struct blkcache *bc)
{
    struct frames *f = bc->cache->frames;

    if (!bc->has_zeroes && frames_alloc(f, FRAME_HYP, &bc->zeroes) == OK) {
        page_zero(frame_bytes(f, bc->zeroes));
        bc->has_zeroes = true;
    }
    return bc->has_zeroes;
}

bool blkcache_page_at(const struct blkcache_job *j, uint64_t sector, mfn_t *out)
{
    const struct blkcache *bc = j->d->bc;
    const struct frames *f = bc->cache->frames;
    uint64_t off = job_offset(j, sector);

    if (bc->cache->mode != CACHE_FOLD || !bc->writing.give || j->d->readers == FRAME_COMMON) {
        return false;
    }
    for (unsigned i = 0; i < j->r->n_segs; i++) {
        const struct blk_seg *s = &j->r->segs[i];
        if (off >= s->bytes) {
            off -= s->bytes;
            continue;
        }
        hpa_t at = HPA(s->addr.a + off);
        mfn_t mfn = hpa_to_mfn(at);
        if (s->bytes - off < PAGE_SIZE || (at.a & PAGE_MASK) != 0 || mfn.n >= f->count) {
            return false;
        }
        const struct frame *fr = frame_of(f, mfn);
        *out = mfn;
        /* Without references it is a page that the guest has changed since, and goes away. */
        return fr->state == FRAME_ZERO ||
               (fr->state == FRAME_SHARED && fr->refs > 0 && fr->pins > 0);
    }
    return false;
}

/* Puts what j writes to the block at j->at, n sectors of it, into the cache. */
static enum status put(struct blkcache_job *j, uint64_t n, uint32_t *e)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;
    uint64_t block = block_of(j->at), skip = j->at % CACHE_BLOCK_SECTORS;
    mfn_t mfn;

    if (n == CACHE_BLOCK_SECTORS && blkcache_page_at(j, j->at, &mfn) &&
        cache_write_frame(c, j->d->dev.id, block, mfn, e) == OK) {
        c->stats.given++;
        return OK;
    }
    enum status s =
        cache_write(c, j->d->dev.id, block, n != CACHE_BLOCK_SECTORS, blkcache_group(j), e);
    if (s == OK) {
        uint8_t *bytes = frame_bytes(c->frames, cache_frame(c, *e));
        blkcache_copy_from_request(bc, j->r, job_offset(j, j->at), bytes + skip * BLK_SECTOR,
                                   (size_t)(n * BLK_SECTOR));
    }
    return s;
}

enum blkcache_absorbed blkcache_absorb(struct blkcache_job *j)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;
    struct blkcache_leaf *leaf = j->d->leaf;

    if (!bc->writing.back || c->mode == CACHE_OFF) {
        return ABSORB_NONE;
    }
    uint64_t n = MIN(CACHE_BLOCK_SECTORS - j->at % CACHE_BLOCK_SECTORS, j->end - j->at);
    uint32_t e = cache_find(c, j->d->dev.id, block_of(j->at));
    bool dirty = e != CACHE_NIL && cache_is_dirty(c, e);
    bool is_new = dirty && cache_is_new(c, e);

    if (!dirty && n != CACHE_BLOCK_SECTORS) {
        return ABSORB_PART;
    }
    if ((!dirty && c->dirty >= bc->writing.dirty_max) || !have_zeroes(bc) || put(j, n, &e) != OK) {
        return ABSORB_NONE;
    }
    cache_set_vm(c, e, blkcache_vm(j));
    leaf->n_dirty += !dirty;
    if (!is_new) {
        blkcache_note_new(c, leaf, e);
    }
    if ((cache_marks(c, e) & W_HELD) != 0) {
        cache_unmark(c, e, W_HELD); /* there is room for it now */
        leaf->n_held--;
        blkcache_leaf_changed(bc, leaf);
    }
    c->stats.absorbed++;
    j->at += n;
    blkcache_dirtied(bc);
    return ABSORBED;
}

/* ---- going past ---- */

static bool is_covered(uint64_t block, uint64_t from, uint64_t to)
{
    return block * CACHE_BLOCK_SECTORS >= from && (block + 1) * CACHE_BLOCK_SECTORS <= to;
}

static enum blkcache_past wait_for_out(struct blkcache_job *j)
{
    j->parked = true;
    STAILQ_INSERT_TAIL(&j->d->bc->want_out, j, queue);
    return PAST_WAIT;
}

/* Part of the block will be written past the cache: the rest of it must be on the disk. */
static enum blkcache_past clean_first(struct blkcache_job *j, uint32_t e)
{
    const struct cache *c = j->d->bc->cache;
    uint64_t block = cache_block(c, e);

    if (j->tried == block + 1 && (cache_marks(c, e) & W_FAILED) != 0) {
        return PAST_FAIL;
    }
    if (blkcache_out_possible(j->d->bc, j->d->leaf)) {
        j->tried = block + 1;
        enum blkcache_past past = wait_for_out(j); /* before it ends, which may be at once */
        (void)blkcache_out_start(j->d->bc, j->d->leaf, e);
        return past;
    }
    return wait_for_out(j);
}

enum blkcache_past blkcache_exclude_dirty(struct blkcache_job *j, uint64_t from, uint64_t to)
{
    struct cache *c = j->d->bc->cache;
    struct blkcache_leaf *leaf = j->d->leaf;
    uint32_t e;

    /* What it has been past cannot have become dirty since: others that write there wait for j. */
    j->held = MAX(j->held, block_of(from));
    while (leaf->n_dirty != 0 && (e = cache_next_dirty(c, leaf->id, j->held)) != CACHE_NIL) {
        uint64_t block = cache_block(c, e);
        if (block * CACHE_BLOCK_SECTORS >= to) {
            break;
        }
        if (cache_is_out(c, e)) {
            return wait_for_out(j); /* the disk must not see the two out of order */
        }
        if (!is_covered(block, from, to)) {
            return clean_first(j, e);
        }
        leaf->n_held += (cache_marks(c, e) & W_HELD) == 0;
        cache_mark(c, e, W_HELD);
        j->held = block + 1;
        if (time_is_up(j->d->bc)) {
            return PAST_MORE;
        }
    }
    return PAST_GO;
}

bool blkcache_release_dirty(struct blkcache_job *j, uint64_t from, uint64_t to, bool drop,
                            uint64_t *at)
{
    struct blkcache *bc = j->d->bc;
    struct cache *c = bc->cache;
    struct blkcache_leaf *leaf = j->d->leaf;
    bool any = leaf->n_held != 0, late = false;
    uint32_t e;

    *at = MAX(*at, block_of(from));
    while (leaf->n_held != 0 && !late && (e = cache_next_dirty(c, leaf->id, *at)) != CACHE_NIL) {
        uint64_t block = cache_block(c, e);
        if (block * CACHE_BLOCK_SECTORS >= to) {
            break;
        }
        *at = block + 1;
        late = time_is_up(bc);
        if ((cache_marks(c, e) & W_HELD) == 0) {
            continue;
        }
        cache_unmark(c, e, W_HELD);
        leaf->n_held--;
        if (drop) {
            blkcache_note_not_new(c, leaf, e);
            leaf->n_dirty--;
            cache_remove(c, e);
        }
    }
    if (any) {
        blkcache_leaf_changed(bc, leaf);
    }
    return !late;
}
