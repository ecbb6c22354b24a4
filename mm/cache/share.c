/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames that the blocks are in: which entries a frame has, when guests begin and end to map
 * it, and what mm/fold is shown of it.
 */
#include "mm/cache/share.h"

#include "base/bits.h"
#include "base/log.h"
#include "mm/cache/dirty.h"
#include "mm/cache/queue.h"

uint32_t *cache_share_bucket(const struct cache *c, uint32_t frame)
{
    uint64_t h = (frame ^ c->seed) * UINT64_C(0x9e3779b97f4a7c15);

    return &c->frame_buckets[(uint32_t)(h >> 32) & c->bucket_mask];
}

/* The first of the frame's entries in its chain from `e` on. */
static uint32_t entry_in(const struct cache *c, uint32_t frame, uint32_t e)
{
    while (e != CACHE_NIL && c->entries[e].frame != frame) {
        e = c->entries[e].frame_next;
    }
    return e;
}

#define FOR_EACH_ENTRY(c, e, mfn)                                                                  \
    for (uint32_t e = entry_in(c, (uint32_t)(mfn).n, *cache_share_bucket(c, (uint32_t)(mfn).n));   \
         e != CACHE_NIL; e = entry_in(c, (uint32_t)(mfn).n, (c)->entries[e].frame_next))

uint32_t cache_share_first(const struct cache *c, mfn_t mfn)
{
    uint32_t frame = (uint32_t)mfn.n;

    return entry_in(c, frame, *cache_share_bucket(c, frame));
}

bool cache_share_exceeds(const struct cache *c, mfn_t mfn, unsigned n)
{
    FOR_EACH_ENTRY(c, e, mfn)
    {
        if (n-- == 0) {
            return true;
        }
    }
    return false;
}

/* ---- new frames ---- */

static bool is_new(const struct cache *c, mfn_t mfn)
{
    return (frame_of(c->frames, mfn)->flags & FRAME_F_UNSCANNED) != 0;
}

void cache_seen(struct cache *c, mfn_t mfn)
{
    struct frame *fr = frame_of(c->frames, mfn), *table = c->frames->table;

    if (!is_new(c, mfn)) {
        return;
    }
    fr->flags &= (uint8_t)~FRAME_F_UNSCANNED;
    if ((fr->flags & FRAME_F_IN_CACHE) == 0) {
        return; /* it left the queue with the cache */
    }
    *(fr->right != FRAME_NIL ? &table[fr->right].left : &c->new_first) = fr->left;
    *(fr->left != FRAME_NIL ? &table[fr->left].right : &c->new_last) = fr->right;
    c->n_new--;
}

void cache_renew(struct cache *c, mfn_t mfn)
{
    struct frame *fr = frame_of(c->frames, mfn), *table = c->frames->table;

    ASSERT((fr->flags & FRAME_F_IN_CACHE) != 0 && (fr->flags & FRAME_F_INDEXED) == 0);
    bool wanted = fr->state == FRAME_SHARED || (c->mode == CACHE_FOLD && fr->group != FRAME_COMMON);
    if (!wanted || is_new(c, mfn)) {
        return;
    }
    fr->flags |= FRAME_F_UNSCANNED;
    fr->left = FRAME_NIL;
    fr->right = c->new_last;
    *(c->new_last != FRAME_NIL ? &table[c->new_last].left : &c->new_first) = (uint32_t)mfn.n;
    c->new_last = (uint32_t)mfn.n;
    c->n_new++;
}

enum status cache_next_new(struct cache *c, mfn_t *out)
{
    if (c->new_first == FRAME_NIL) {
        return E_NOTFOUND;
    }
    *out = MFN(c->new_first);
    cache_seen(c, *out);
    return OK;
}

void cache_share_hide(struct cache *c, mfn_t mfn)
{
    cache_seen(c, mfn);
    frames_leave_index(c->frames, mfn);
    frame_of(c->frames, mfn)->flags &= (uint8_t)~FRAME_F_SUMMED;
}

uint16_t cache_vm_of(const struct cache *c, mfn_t mfn)
{
    uint32_t e = cache_share_first(c, mfn);

    return e != CACHE_NIL ? c->entries[e].vm : 0;
}

/* ---- frames and their entries ---- */

void cache_share_join(struct cache *c, uint32_t e, mfn_t mfn)
{
    struct frame *fr = frame_of(c->frames, mfn);
    uint32_t *bucket = cache_share_bucket(c, (uint32_t)mfn.n);

    c->entries[e].frame = (uint32_t)mfn.n;
    c->entries[e].frame_next = *bucket;
    *bucket = e;
    if ((fr->flags & FRAME_F_IN_CACHE) == 0) {
        bool renewed = is_new(c, mfn); /* guests', and in no queue */

        fr->refs++; /* not frames_get: no guest maps it by that */
        fr->flags = (uint8_t)((fr->flags & ~FRAME_F_UNSCANNED) | FRAME_F_IN_CACHE);
        if (renewed) {
            cache_renew(c, mfn);
        }
    }
}

void cache_share_join_mapped(struct cache *c, uint32_t e, mfn_t mfn)
{
    const struct frame *fr = frame_of(c->frames, mfn);

    ASSERT(fr->state == FRAME_SHARED || fr->state == FRAME_ZERO);
    if (fr->state == FRAME_ZERO) {
        c->entries[e].flags |= CACHE_E_ZERO;
        c->zeroes++;
        return;
    }
    cache_share_join(c, e, mfn);
    c->entries[e].flags |= CACHE_E_MAPPED;
    c->mapped++;
}

/* The cache holds the frame no longer. */
static void let_frame_go(struct cache *c, mfn_t mfn)
{
    struct frame *fr = frame_of(c->frames, mfn);
    bool renewed = is_new(c, mfn) && fr->state == FRAME_SHARED;

    cache_seen(c, mfn);
    fr->flags &= (uint8_t)~FRAME_F_IN_CACHE;
    if (renewed) {
        fr->flags |= FRAME_F_UNSCANNED; /* mm/fold comes to it by the guests' pages */
    }
    frames_put(c->frames, mfn);
}

void cache_share_leave(struct cache *c, uint32_t e)
{
    struct cache_entry *x = &c->entries[e];

    if ((x->flags & CACHE_E_ZERO) != 0) {
        c->zeroes--;
        x->flags &= (uint8_t)~CACHE_E_ZERO;
        return;
    }
    uint32_t frame = x->frame, *link = cache_share_bucket(c, frame);

    while (*link != e) {
        ASSERT(*link != CACHE_NIL);
        link = &c->entries[*link].frame_next;
    }
    *link = x->frame_next;
    x->frame = CACHE_NIL;
    c->mapped -= (x->flags & CACHE_E_MAPPED) != 0;
    x->flags &= (uint8_t)~CACHE_E_MAPPED;
    if (cache_share_first(c, MFN(frame)) == CACHE_NIL) {
        let_frame_go(c, MFN(frame));
    }
}

bool cache_is_alone(const struct cache *c, uint32_t e)
{
    if (cache_is_zero(c, e)) {
        return false;
    }
    mfn_t mfn = cache_frame(c, e);
    const struct frame *fr = frame_of(c->frames, mfn);
    uint32_t first = cache_share_first(c, mfn);

    return fr->refs == 1 && fr->pins == 0 && first == e &&
           entry_in(c, (uint32_t)mfn.n, c->entries[e].frame_next) == CACHE_NIL;
}

const void *cache_bytes_of(const struct cache *c, uint32_t e)
{
    static const uint64_t zeroes[PAGE_SIZE / sizeof(uint64_t)];

    return cache_is_zero(c, e) ? (const void *)zeroes : frame_bytes(c->frames, cache_frame(c, e));
}

/* ---- blocks of equal content ---- */

/* For room. */
static void drop_entry(struct cache *c, uint32_t e)
{
    cache_drop(c, e);
    c->stats.evictions++;
}

/* Takes the frame's entries, which are VALID, out of it and out of their queues one by one; the
 * last one's frame goes with it. CACHE_NIL: there are no more. */
static uint32_t take_entry(struct cache *c, mfn_t mfn)
{
    uint32_t e = cache_share_first(c, mfn);

    if (e == CACHE_NIL) {
        return e;
    }
    ASSERT(!cache_is_busy(c, e));
    if (cache_is_queued(&c->entries[e])) {
        cache_queue_leave(c, e);
    }
    cache_share_leave(c, e);
    return e;
}

/* The entry, of another frame until now, is in `to`. */
static void move_entry(struct cache *c, uint32_t e, mfn_t to)
{
    if (cache_is_queued(&c->entries[e])) {
        cache_queue_leave(c, e);
    }
    cache_share_leave(c, e);
    cache_share_join(c, e, to);
    if (frame_of(c->frames, to)->state == FRAME_SHARED) {
        c->entries[e].flags |= CACHE_E_MAPPED;
        c->mapped++;
    } else if (cache_is_queued(&c->entries[e])) {
        cache_queue_enter(c, e, CACHE_BACK);
    }
    c->stats.moved++;
}

/* How many more blocks the frame may be for. */
static unsigned room_in(const struct cache *c, mfn_t mfn)
{
    unsigned n = 0;

    FOR_EACH_ENTRY(c, e, mfn)
    {
        n++;
    }
    ASSERT(n <= CACHE_FRAME_BLOCKS);
    return CACHE_FRAME_BLOCKS - n;
}

void cache_move(struct cache *c, mfn_t from, mfn_t to)
{
    const struct frame *source = frame_of(c->frames, from), *target = frame_of(c->frames, to);
    unsigned room = room_in(c, to);

    ASSERT(from.n != to.n && (target->state == FRAME_SHARED || target->state == FRAME_CACHE_ONLY));
    for (uint32_t next, e = cache_share_first(c, from); e != CACHE_NIL; e = next) {
        ASSERT(!cache_is_busy(c, e));
        next = entry_in(c, (uint32_t)from.n, c->entries[e].frame_next);
        if (room > 0) {
            move_entry(c, e, to);
            room--;
        } else if (!cache_is_dirty(c, e)) {
            drop_entry(c, e);
        }
    }
    if ((source->flags & FRAME_F_IN_CACHE) != 0) {
        c->starved = true; /* the sooner they are written out, the sooner the frame is free */
        cache_share_hide(c, from); /* `to` is what stands for the content */
        if (source->state == FRAME_SHARED) {
            cache_renew(c, from); /* whoever maps it is still to go there */
        }
    }
}

void cache_make_zero(struct cache *c, mfn_t mfn)
{
    uint32_t e;

    while ((e = take_entry(c, mfn)) != CACHE_NIL) {
        c->entries[e].flags |= CACHE_E_ZERO;
        c->zeroes++;
        c->stats.moved++;
    }
}

/* ---- what guests do with frames (struct frames_cache) ---- */

static void note_mapped(void *ctx, mfn_t mfn, bool mapped)
{
    struct cache *c = ctx;

    FOR_EACH_ENTRY(c, e, mfn)
    {
        struct cache_entry *x = &c->entries[e];

        ASSERT((x->flags & CACHE_E_BUSY) == 0);
        if (mapped) {
            if (cache_is_queued(x)) {
                cache_queue_map(c, e);
            }
            x->flags |= CACHE_E_MAPPED;
            c->mapped++;
        } else {
            c->mapped--;
            x->flags &= (uint8_t)~CACHE_E_MAPPED;
            if (cache_is_queued(x)) {
                cache_queue_enter(c, e, CACHE_LEFT);
            }
        }
    }
    if (mapped) {
        if ((frame_of(c->frames, mfn)->flags & FRAME_F_INDEXED) == 0) {
            cache_renew(c, mfn); /* what guests map is known or new, in any mode */
        }
        return;
    }
    if (c->mode != CACHE_FOLD) {
        cache_share_hide(c, mfn);
    } else if ((frame_of(c->frames, mfn)->flags & FRAME_F_INDEXED) != 0 && c->frames->alone) {
        c->frames->alone(c->frames->unindex_ctx, mfn);
    }
    cache_trim(c);
}

bool cache_evict_frame(struct cache *c, mfn_t mfn)
{
    uint32_t e;

    if (cache_frame_is_dirty(c, mfn)) {
        return false;
    }
    while ((e = cache_share_first(c, mfn)) != CACHE_NIL) {
        drop_entry(c, e);
    }
    return true;
}

static bool let_go(void *ctx, mfn_t mfn)
{
    struct cache *c = ctx;
    bool gone = cache_evict_frame(c, mfn);

    c->starved |= !gone;
    return gone;
}

static void renew(void *ctx, mfn_t mfn)
{
    cache_renew(ctx, mfn);
}

void cache_share_init(struct cache *c)
{
    c->new_first = c->new_last = FRAME_NIL;
    c->frames->cache =
        (struct frames_cache){.ctx = c, .mapped = note_mapped, .drop = let_go, .renew = renew};
}

/* In mode FOLD mm/fold is shown all blocks; in the others it knows only of those that guests map,
 * left over from that mode. */
void cache_share_mode(struct cache *c, struct yield *y)
{
    for (uint32_t e = 0; e < c->n_max && c->used != 0; e++) {
        const struct cache_entry *x = &c->entries[e];

        (void)yield_go_on(y);
        if ((x->flags & (CACHE_E_USED | CACHE_E_BUSY | CACHE_E_MAPPED | CACHE_E_ZERO)) !=
            CACHE_E_USED) {
            continue;
        }
        if (c->mode != CACHE_FOLD) {
            cache_share_hide(c, cache_frame(c, e));
        } else if ((frame_of(c->frames, cache_frame(c, e))->flags & FRAME_F_INDEXED) == 0) {
            cache_renew(c, cache_frame(c, e));
        }
    }
}
