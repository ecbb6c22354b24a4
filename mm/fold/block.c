/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks of the disk cache in the stable index: see block.h. */
#include "mm/fold/block.h"

#include "mm/cache/store.h"
#include "mm/fold/alone.h"
#include "mm/fold/attach.h"
#include "mm/fold/bracket.h"
#include "mm/fold/index.h"
#include "mm/fold/merge.h"
#include "mm/fold/page.h"

/* A block on its way into the index. */
struct block {
    mfn_t mfn;
    struct share_group *group;
    uint64_t hash;        /* index by hash: its place there, */
    struct fold_place at; /* by content: or there */
};

static const void *bytes(const struct fold *f, mfn_t mfn)
{
    return frame_bytes(f->frames, mfn);
}

static bool is_cached(const struct fold *f, mfn_t mfn)
{
    return frame_of(f->frames, mfn)->flags & FRAME_F_IN_CACHE;
}

/* The stable frame with the block's content, or FRAME_NIL and the block's place. */
static uint32_t find_stable(struct fold *f, struct block *b)
{
    if (f->on.index == FOLD_TREE) {
        b->at = fold_index_find(f, b->group->stable_root, bytes(f, b->mfn));
        return b->at.match;
    }
    b->hash = fold_index_block_hash(f, b->group->id, b->mfn);
    uint32_t n = fold_index_find_hash(f, b->group, b->hash, FRAME_F_STABLE, bytes(f, b->mfn));
    if (n == FRAME_NIL) {
        return FRAME_NIL;
    }
    f->compares++;
    if (f->unit->ops->compare(bytes(f, MFN(n)), bytes(f, b->mfn)) != 0) {
        f->collisions++;
        return FRAME_NIL;
    }
    return n;
}

/* A page of the unstable index that may be equal, if a merge with it is possible at all. */
static struct p2m *find_twin(struct fold *f, const struct block *b, mfn_t *twin)
{
    uint32_t n =
        f->on.index == FOLD_TREE
            ? fold_index_find(f, b->group->unstable_root, bytes(f, b->mfn)).match
            : fold_index_find_hash(f, b->group, b->hash, FRAME_F_UNSTABLE, bytes(f, b->mfn));

    if (n == FRAME_NIL) {
        return NULL;
    }
    const struct frame *fr = frame_of(f->frames, MFN(n));
    *twin = MFN(n);
    return (fr->flags & FRAME_F_UNSTABLE) && fr->pins == 0 ? fold_map_of(f, fr->vm) : NULL;
}

/* The block becomes stable; and then, as what guests map must be in the index, the twin joins it.
 */
static void enter(struct fold *f, const struct block *b)
{
    mfn_t twin;
    struct p2m *owner = find_twin(f, b, &twin);

    frame_of(f->frames, b->mfn)->flags &= (uint8_t)~FRAME_F_SUMMED;
    if (f->on.index == FOLD_TREE) {
        fold_index_add_stable(f, b->group, b->mfn, &b->at);
    } else {
        fold_index_hash_stable(f, b->group, b->mfn, b->hash);
    }
    if (owner) {
        (void)fold_merge_twin_of_block(f, owner, twin, b->mfn);
    }
}

static bool is_guests(const struct fold *f, mfn_t x)
{
    const struct frame *fr = frame_of(f->frames, x);

    return fr->state == FRAME_SHARED && fr->refs > 0;
}

/* The cache has let go of the frame: who maps it is to go elsewhere when their pages' turn comes.
 */
static void leave_to_guests(struct fold *f, mfn_t x)
{
    if (is_guests(f, x)) {
        frame_of(f->frames, x)->flags |= FRAME_F_UNSCANNED;
    }
}

/* Zeroes. Without fold.zero, what guests map of them is content like any other. */
static bool make_zero(struct fold *f, mfn_t x)
{
    if (!f->unit->ops->is_zero(bytes(f, x))) {
        return false;
    }
    if (is_cached(f, x)) {
        cache_make_zero(f->cache, x);
    }
    if (is_guests(f, x) && !f->on.zero) {
        return false;
    }
    leave_to_guests(f, x);
    return true;
}

mfn_t fold_block(struct fold *f, struct share_group *g, mfn_t x)
{
    struct block b = {.mfn = x, .group = g};

    f->blocks_scanned++;
    fold_bracket(f);
    cache_seen(f->cache, x);
    if (make_zero(f, x)) {
        return g->zero;
    }
    uint32_t n = find_stable(f, &b);
    if (n != FRAME_NIL) {
        const struct frame *fr = frame_of(f->frames, MFN(n));
        if (fr->state == FRAME_CACHE_ONLY && fr->pins == 0) {
            /* Nobody maps that one: it is the one to go, and no guest has to follow. */
            cache_move(f->cache, MFN(n), x);
            (void)find_stable(f, &b);
        } else if (fr->refs < FRAME_REFS_MAX) {
            if (is_cached(f, x)) {
                cache_move(f->cache, x, MFN(n));
            }
            leave_to_guests(f, x);
            return MFN(n);
        }
    }
    enter(f, &b);
    fold_alone_note(f, x);
    return x;
}

void fold_block_follow(struct fold *f, mfn_t x, mfn_t into)
{
    const struct frame *fr = frame_of(f->frames, x);

    if ((fr->flags & FRAME_F_IN_CACHE) && (fr->flags & FRAME_F_UNSCANNED) && fr->pins == 0 &&
        frame_of(f->frames, into)->refs < FRAME_REFS_MAX) {
        cache_move(f->cache, x, into);
    }
}

static struct share_group *group_of(const struct fold *f, mfn_t mfn)
{
    struct share_group *g = f->groups;

    while (g && g->id != frame_of(f->frames, mfn)->group) {
        g = g->fold_next;
    }
    return g;
}

/*
 * A block that was read for no guest. Where there is only one group, and will be, it is that one's:
 * guests that read it later find it. Else nobody could be folded with it without learning what is
 * none of his, so only zeroes are kept, which need no frame. Dirty ones come again when they are on
 * the disk.
 */
static void take_nobodys(struct fold *f, mfn_t x)
{
    if (!f->several_groups && f->groups && !f->groups->fold_next) {
        frame_of(f->frames, x)->group = (uint16_t)f->groups->id;
        (void)fold_block(f, f->groups, x);
        return;
    }
    fold_bracket(f);
    f->blocks_scanned++;
    if (!make_zero(f, x)) {
        (void)cache_evict_frame(f->cache, x);
    }
}

static void look_at_new(struct fold *f, mfn_t x)
{
    const struct frame *fr = frame_of(f->frames, x);
    struct share_group *g = group_of(f, x);
    if (fr->pins > 0 || (!g && fr->group != FRAME_NO_GROUP)) {
        cache_renew(f->cache, x); /* none of its VMs was seen yet, or somebody is about to map it */
    } else if (g) {
        (void)fold_block(f, g, x);
    } else {
        take_nobodys(f, x);
    }
}

bool fold_block_next(struct fold *f)
{
    mfn_t x;

    if (cache_next_new(f->cache, &x) != OK) {
        return false;
    }
    fold_charge(f, cache_vm_of(f->cache, x));
    look_at_new(f, x);
    fold_charge(f, 0);
    return true;
}

bool fold_cached_begin(struct fold *f)
{
    f->cached_left = 0;
    if (f->cache && f->cache->mode == CACHE_SCRUB) {
        f->cached_left = f->cache->used > 0 ? f->cache->n_max : 0;
    } else if (f->cache) {
        f->cached_left = f->cache->n_new; /* those that come meanwhile are the next pass's */
    }
    return f->cached_left > 0;
}

bool fold_cached_step(struct fold *f)
{
    if (f->cache->mode == CACHE_SCRUB) {
        fold_scrub_step(f);
    } else if (fold_block_next(f)) {
        f->cached_left--;
    } else {
        f->cached_left = 0;
    }
    return f->cached_left == 0;
}
