/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing dirty blocks out: runs of neighbours, each in one request, from the cache's frames. */
#include "base/bits.h"
#include "base/log.h"
#include "drivers/block/cache/internal.h"

/* A device through which all of the block can be written. It became dirty by one. */
static struct blkcache_dev *way_to(const struct blkcache_leaf *leaf, uint64_t block)
{
    uint64_t first = block * CACHE_BLOCK_SECTORS;
    struct blkcache_dev *d;

    STAILQ_FOREACH(d, &leaf->devs, leaf_link)
    {
        if (!d->lower->read_only && first >= d->dev.start &&
            range_within(first - d->dev.start, CACHE_BLOCK_SECTORS, d->dev.sectors)) {
            return d;
        }
    }
    panic("block %llu of disk %u is dirty, but no device reaches it", (unsigned long long)block,
          leaf->id);
}

static void out_done(struct blk_req *r, enum status s)
{
    struct blkcache_out *o = r->ctx;

    o->status = s;
    o->next = 0;
    STAILQ_INSERT_TAIL(&o->bc->finished_outs, o, link);
    blkcache_stir(&o->bc->common);
}

/* Adds a block to the request: its frame stays as it is until the disk has read it. */
static void add(struct blkcache_out *o, uint32_t e)
{
    struct cache *c = o->bc->cache;
    mfn_t mfn = cache_is_zero(c, e) ? o->bc->zeroes : cache_frame(c, e);

    o->waited_for |= o->leaf->sweeping && (cache_marks(c, e) & W_GEN) != o->leaf->gen;
    blkcache_note_not_new(c, o->leaf, e);
    cache_write_out(c, e);
    frames_pin(c->frames, mfn);
    o->entries[o->n] = e;
    o->frames[o->n] = mfn;
    o->n++;
}

/* Whether the block behind those there are can go with them: it is of the same VM. One that failed
 * goes alone, so that its neighbours do not fail with it. */
static bool goes_along(const struct blkcache_out *o, uint32_t e)
{
    const struct cache *c = o->bc->cache;

    return e != CACHE_NIL && cache_is_dirty(c, e) && cache_vm(c, e) == o->account.vm &&
           cache_is_new(c, e) && !cache_is_out(c, e) &&
           (cache_marks(c, e) & (W_HELD | W_FAILED)) == 0;
}

static unsigned make_segs(struct blkcache_out *o)
{
    unsigned n = 0;

    for (unsigned i = 0; i < o->n; i++) {
        hpa_t at = mfn_to_hpa(o->frames[i]);
        if (n > 0 && o->segs[n - 1].addr.a + o->segs[n - 1].bytes == at.a) {
            o->segs[n - 1].bytes += PAGE_SIZE;
        } else {
            o->segs[n++] = (struct blk_seg){at, PAGE_SIZE};
        }
    }
    return n;
}

bool blkcache_out_possible(const struct blkcache *bc, const struct blkcache_leaf *leaf)
{
    return leaf->n_out < OUTS_A_LEAF && !STAILQ_EMPTY(&bc->free_outs);
}

bool blkcache_out_start(struct blkcache *bc, struct blkcache_leaf *leaf, uint32_t e)
{
    struct cache *c = bc->cache;

    if (!blkcache_out_possible(bc, leaf)) {
        return false;
    }
    struct blkcache_out *o = STAILQ_FIRST(&bc->free_outs);
    struct blkcache_dev *d = way_to(leaf, cache_block(c, e));
    uint64_t end = (d->dev.start + d->dev.sectors) / CACHE_BLOCK_SECTORS;
    bool alone = (cache_marks(c, e) & W_FAILED) != 0;

    STAILQ_REMOVE_HEAD(&bc->free_outs, link);
    o->leaf = leaf;
    o->block = cache_block(c, e);
    o->account = (struct blk_account){.vm = cache_vm(c, e)};
    o->n = 0;
    o->waited_for = false;
    add(o, e);
    while (!alone && o->n < OUT_BLOCKS && o->block + o->n < end &&
           goes_along(o, e = cache_find(c, leaf->id, o->block + o->n))) {
        add(o, e);
    }
    leaf->n_out++;
    leaf->n_wait += o->waited_for;
    c->stats.clean_requests++;
    o->req = (struct blk_req){
        .op = BLK_WRITE,
        .sector = o->block * CACHE_BLOCK_SECTORS - d->dev.start,
        .sectors = (uint64_t)o->n * CACHE_BLOCK_SECTORS,
        .segs = o->segs,
        .n_segs = make_segs(o),
        .done = out_done,
        .ctx = o,
        .account = &o->account,
    };
    blk_submit(d->lower, &o->req);
    return true;
}

static void block_written(struct blkcache_out *o, uint32_t e)
{
    struct cache *c = o->bc->cache;
    struct blkcache_leaf *leaf = o->leaf;
    bool again = cache_is_new(c, e); /* somebody wrote it meanwhile */

    if (cache_written(c, e, o->status == OK)) {
        leaf->n_dirty--;
    } else if (!again) {
        blkcache_note_new(c, leaf, e);
        cache_mark(c, e, W_FAILED);
        leaf->n_failed++;
    }
}

void blkcache_say_failed(struct blkcache_leaf *leaf)
{
    if (leaf->failed_blocks != 0) {
        const struct blkcache_dev *d = way_to(leaf, leaf->failed_at / CACHE_BLOCK_SECTORS);
        log_error("%s: %llu blocks could not be written back, the first at sector %llu; they are "
                  "kept, and tried again",
                  d->dev.name, (unsigned long long)leaf->failed_blocks,
                  (unsigned long long)(leaf->failed_at - d->dev.start));
        leaf->failed_blocks = 0;
    }
}

void blkcache_say_lost(const struct blkcache *bc)
{
    const struct blkcache_leaf *leaf;

    STAILQ_FOREACH(leaf, &bc->leaves, link)
    {
        uint32_t e = cache_next_dirty(bc->cache, leaf->id, 0);
        if (e != CACHE_NIL) {
            uint64_t block = cache_block(bc->cache, e);
            const struct blkcache_dev *d = way_to(leaf, block);
            log_error("%s: %u blocks were never written back, the first at sector %llu: they are "
                      "lost",
                      d->dev.name, leaf->n_dirty,
                      (unsigned long long)(block * CACHE_BLOCK_SECTORS - d->dev.start));
        }
    }
}

static void note_error(struct blkcache_out *o)
{
    struct blkcache_leaf *leaf = o->leaf;

    leaf->error = ++o->bc->errors;
    leaf->failures++;
    o->bc->cache->stats.clean_errors += o->n;
    if (leaf->failed_blocks == 0 || leaf->failed_at > o->block * CACHE_BLOCK_SECTORS) {
        leaf->failed_at = o->block * CACHE_BLOCK_SECTORS;
    }
    leaf->failed_blocks += o->n;
}

/* The request as a whole has come back. */
static void landed(struct blkcache_out *o)
{
    struct blkcache_leaf *leaf = o->leaf;

    if (o->status != OK) {
        note_error(o);
    } else {
        leaf->failures = 0;
        o->bc->cache->stats.cleaned += o->n;
    }
}

bool blkcache_out_finished(struct blkcache_out *o)
{
    struct blkcache *bc = o->bc;
    struct blkcache_leaf *leaf = o->leaf;
    struct blkcache_job *j;

    if (o->next == 0) {
        landed(o);
    }
    while (o->next < o->n) {
        frames_unpin(bc->cache->frames, o->frames[o->next]);
        block_written(o, o->entries[o->next++]);
        if (o->next < o->n && time_is_up(bc)) {
            return false;
        }
    }
    leaf->n_out--;
    leaf->n_wait -= o->waited_for;
    STAILQ_INSERT_HEAD(&bc->free_outs, o, link);
    if (leaf->n_out == 0) {
        blkcache_say_failed(leaf);
    }
    while ((j = STAILQ_FIRST(&bc->want_out)) != NULL) {
        STAILQ_REMOVE_HEAD(&bc->want_out, queue);
        blkcache_job_ready(j);
    }
    blkcache_dirtied(bc); /* those that were written again meanwhile count like new ones */
    blkcache_leaf_changed(bc, leaf);
    return true;
}
