/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks that are newer than the disk's, in the order of their addresses: a treap by (disk, block),
 * linked by `prev` (below) and `next` (above), whose priorities are the blocks' keyed hashes. So it
 * is balanced whatever the guests write, and needs no room of its own.
 */
#include "mm/cache/dirty.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "mm/cache/queue.h"
#include "mm/cache/share.h"

/* ---- the tree ---- */

/* Less, equal or greater than 0, as (disk, block) is to the entry's. */
static int order(const struct cache_entry *x, uint32_t disk, uint64_t block)
{
    if (disk != x->disk) {
        return disk < x->disk ? -1 : 1;
    }
    return block == x->block ? 0 : block < x->block ? -1 : 1;
}

static uint64_t priority(const struct cache *c, uint32_t e)
{
    return cache_hash(c, c->entries[e].disk, c->entries[e].block);
}

/* Hangs what is below the block in tree n at *low, and what is above it at *high. */
static void split(struct cache *c, uint32_t n, uint32_t disk, uint64_t block, uint32_t *low,
                  uint32_t *high)
{
    while (n != CACHE_NIL) {
        struct cache_entry *x = &c->entries[n];

        if (order(x, disk, block) > 0) {
            *low = n;
            low = &x->next;
            n = x->next;
        } else {
            *high = n;
            high = &x->prev;
            n = x->prev;
        }
    }
    *low = *high = CACHE_NIL;
}

static void tree_insert(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];
    uint32_t *at = &c->dirty_root;

    while (*at != CACHE_NIL && priority(c, *at) >= priority(c, e)) {
        struct cache_entry *up = &c->entries[*at];
        at = order(up, x->disk, x->block) < 0 ? &up->prev : &up->next;
    }
    split(c, *at, x->disk, x->block, &x->prev, &x->next);
    *at = e;
}

static void tree_erase(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];
    uint32_t *at = &c->dirty_root, low = x->prev, high = x->next;

    while (*at != e) {
        ASSERT(*at != CACHE_NIL);
        struct cache_entry *up = &c->entries[*at];
        at = order(up, x->disk, x->block) < 0 ? &up->prev : &up->next;
    }
    while (low != CACHE_NIL && high != CACHE_NIL) {
        if (priority(c, low) >= priority(c, high)) {
            *at = low;
            at = &c->entries[low].next;
            low = *at;
        } else {
            *at = high;
            at = &c->entries[high].prev;
            high = *at;
        }
    }
    *at = low != CACHE_NIL ? low : high;
}

uint32_t cache_next_dirty(const struct cache *c, uint32_t disk, uint64_t block)
{
    uint32_t n = c->dirty_root, best = CACHE_NIL;

    while (n != CACHE_NIL) {
        const struct cache_entry *x = &c->entries[n];
        int o = order(x, disk, block);

        if (o <= 0) {
            best = n;
        }
        if (o == 0) {
            break;
        }
        n = o < 0 ? x->prev : x->next;
    }
    return best != CACHE_NIL && c->entries[best].disk == disk ? best : CACHE_NIL;
}

void cache_dirty_init(struct cache *c)
{
    c->dirty = 0;
    c->dirty_root = CACHE_NIL;
}

/* ---- becoming dirty, and clean ---- */

/* BUSY and new, or VALID and in no queue -> DIRTY. */
static void become_dirty(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];

    if (cache_is_dirty(c, e)) {
        x->wb |= CACHE_W_DIRTY;
        return;
    }
    x->wb = CACHE_W_DIRTY;
    cache_take_ahead(c, e);
    if (cache_is_busy(c, e)) {
        x->flags &= (uint8_t)~CACHE_E_BUSY;
        x->wb |= CACHE_W_FIRST;
        c->busy--;
        c->stats.insertions++;
    }
    x->flags = (uint8_t)((x->flags & ~CACHE_E_FRESH) | CACHE_E_DIRTY);
    x->mask = CACHE_MASK_ALL;
    c->dirty++;
    tree_insert(c, e);
}

void cache_dirty_leave(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];

    ASSERT(cache_is_dirty(c, e) && (x->wb & CACHE_W_WRITEBACK) == 0);
    tree_erase(c, e);
    x->flags &= (uint8_t)~CACHE_E_DIRTY;
    x->wb = 0;
    c->dirty--;
    c->n_cleaned++;
}

bool cache_frame_is_dirty(const struct cache *c, mfn_t mfn)
{
    uint32_t e = cache_share_first(c, mfn);

    while (e != CACHE_NIL && (c->entries[e].frame != mfn.n || !cache_is_dirty(c, e))) {
        e = c->entries[e].frame_next;
    }
    return e != CACHE_NIL;
}

/* Sees to it that the bytes of an entry in no queue are nobody else's, and may be changed. */
static enum status own_frame(struct cache *c, uint32_t e, bool keep, uint32_t group)
{
    mfn_t mfn;
    bool out = cache_is_dirty(c, e) && (c->entries[e].wb & CACHE_W_WRITEBACK) != 0;

    if (cache_is_alone(c, e) && !out) {
        cache_share_hide(c, cache_frame(c, e));
        frame_of(c->frames, cache_frame(c, e))->group = (uint16_t)group;
        return OK;
    }
    enum status s = cache_new_frame(c, &mfn);
    if (s != OK) {
        return s;
    }
    frame_of(c->frames, mfn)->group = (uint16_t)group;
    if (keep) {
        memcpy(frame_bytes(c->frames, mfn), cache_bytes_of(c, e), PAGE_SIZE);
    }
    cache_share_leave(c, e);
    cache_share_join(c, e, mfn);
    return OK;
}

enum status cache_write(struct cache *c, uint32_t disk, uint64_t block, bool keep, uint32_t group,
                        uint32_t *out)
{
    uint32_t e = cache_find(c, disk, block);
    enum status s;

    if (e == CACHE_NIL) {
        s = cache_insert(c, disk, block, &e);
        if (s == OK) {
            frame_of(c->frames, cache_frame(c, e))->group = (uint16_t)group;
        }
    } else if (cache_is_dirty(c, e)) {
        s = own_frame(c, e, keep, group);
    } else if (c->mode == CACHE_OFF || cache_is_busy(c, e)) {
        s = E_NOMEM;
    } else {
        bool queued = cache_is_queued(&c->entries[e]);
        if (queued) {
            cache_queue_leave(c, e); /* so that making room for its new frame does not take it */
        }
        s = own_frame(c, e, keep, group);
        if (s != OK && queued) {
            cache_queue_enter(c, e, CACHE_BACK);
        }
    }
    if (s != OK) {
        return s;
    }
    become_dirty(c, e);
    cache_renew(c, cache_frame(c, e));
    *out = e;
    return OK;
}

enum status cache_write_frame(struct cache *c, uint32_t disk, uint64_t block, mfn_t mfn,
                              uint32_t *out)
{
    uint32_t e = cache_find(c, disk, block);
    const struct frame *fr = frame_of(c->frames, mfn);
    bool there = e != CACHE_NIL && !cache_is_zero(c, e) && cache_frame(c, e).n == mfn.n;

    if (!there && cache_share_exceeds(c, mfn, CACHE_FRAME_BLOCKS - 1)) {
        return E_NOMEM;
    }
    if (e == CACHE_NIL) {
        enum status s = cache_insert_frame(c, disk, block, mfn, &e);
        if (s != OK) {
            return s;
        }
    } else if (cache_is_busy(c, e) || c->mode == CACHE_OFF) {
        return E_NOMEM;
    } else {
        if (cache_is_queued(&c->entries[e])) {
            cache_queue_leave(c, e);
        }
        if (!there) {
            cache_share_leave(c, e);
            cache_share_join_mapped(c, e, mfn);
        }
    }
    become_dirty(c, e);
    if (!cache_is_zero(c, e) && (fr->flags & FRAME_F_INDEXED) == 0) {
        cache_renew(c, mfn);
    }
    *out = e;
    return OK;
}

void cache_write_out(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];

    ASSERT(cache_is_dirty(c, e) && (x->wb & (CACHE_W_DIRTY | CACHE_W_WRITEBACK)) == CACHE_W_DIRTY);
    x->wb = (uint8_t)((x->wb & ~CACHE_W_DIRTY) | CACHE_W_WRITEBACK);
}

/* The block is in a frame that mm/fold knows nothing of, where it had to stay while it was DIRTY.
 */
static void show_again(struct cache *c, uint32_t e)
{
    if (!cache_is_zero(c, e) &&
        (frame_of(c->frames, cache_frame(c, e))->flags & FRAME_F_INDEXED) == 0) {
        cache_renew(c, cache_frame(c, e));
    }
}

bool cache_written(struct cache *c, uint32_t e, bool ok)
{
    struct cache_entry *x = &c->entries[e];
    bool first = (x->wb & CACHE_W_FIRST) != 0;

    ASSERT(cache_is_dirty(c, e) && (x->wb & CACHE_W_WRITEBACK) != 0);
    x->wb &= (uint8_t)~CACHE_W_WRITEBACK;
    if (!ok) {
        x->wb |= CACHE_W_DIRTY;
    }
    if ((x->wb & CACHE_W_DIRTY) != 0) {
        return false;
    }
    cache_dirty_leave(c, e);
    if (cache_is_queued(x)) {
        cache_queue_enter(c, e, first ? CACHE_NEW : CACHE_BACK);
    }
    if ((x->flags & CACHE_E_DOOMED) != 0 || c->mode == CACHE_OFF) {
        x->flags &= (uint8_t)~CACHE_E_DOOMED;
        cache_remove(c, e);
    } else {
        show_again(c, e);
    }
    cache_trim(c);
    return true;
}
