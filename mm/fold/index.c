/* SPDX-License-Identifier: BSD-2-Clause */
/* The indexes of mm/fold, by content and by hash: searching, entering, leaving, teardown. */
#include "mm/fold/index.h"

#include "base/log.h"
#include "mm/fold/attach.h"
#include "mm/fold/bracket.h"
#include "mm/fold/page.h"
#include "mm/index/rbtree.h"
#include "mm/index/treap.h"

/* Sets the groups apart in the index by hash; any odd number does. */
#define GROUP_SALT UINT64_C(0xd6e8feb86659fd93)

struct fold_place fold_index_find(struct fold *f, uint32_t root, const void *page)
{
    struct fold_place at = {.match = FRAME_NIL, .parent = FRAME_NIL};
    uint32_t n = root;

    while (n != FRAME_NIL) {
        const struct frame *fr = frame_of(f->frames, MFN(n));
        int order = f->unit->ops->compare(page, frame_bytes(f->frames, MFN(n)));

        f->compares++;
        if (order == 0) {
            at.match = n;
            return at;
        }
        at.parent = n;
        at.left = order < 0;
        n = at.left ? fr->left : fr->right;
    }
    return at;
}

static void enter(struct fold *f, struct share_group *g, mfn_t mfn, uint32_t *root, uint8_t flag,
                  const struct fold_place *at)
{
    struct frame *fr = frame_of(f->frames, mfn);

    fr->flags = (uint8_t)((fr->flags & ~FRAME_F_HASHED) | flag);
    fr->group = (uint16_t)g->id;
    frame_tree_link(f->frames, root, (uint32_t)mfn.n, at->parent, at->left);
    g->indexed++;
}

void fold_index_add_stable(struct fold *f, struct share_group *g, mfn_t mfn,
                           const struct fold_place *at)
{
    enter(f, g, mfn, &g->stable_root, FRAME_F_STABLE, at);
    f->stable++;
}

void fold_index_add_unstable(struct fold *f, struct share_group *g, mfn_t mfn,
                             const struct fold_place *at)
{
    enter(f, g, mfn, &g->unstable_root, FRAME_F_UNSTABLE, at);
    f->unstable++;
}

static uint32_t *root_of(const struct fold *f, uint64_t hash)
{
    return &f->roots[hash >> f->root_shift];
}

uint64_t fold_index_hash(const struct fold *f, const struct share_group *g, mfn_t mfn)
{
    return f->unit->ops->hash(frame_bytes(f->frames, mfn), &f->key) ^ g->id * GROUP_SALT;
}

uint64_t fold_index_block_hash(struct fold *f, uint32_t group, mfn_t mfn)
{
    struct frame *fr = frame_of(f->frames, mfn);

    if (!(fr->flags & FRAME_F_SUMMED)) {
        f->hashes++;
        frame_set_hash(fr, f->unit->ops->hash(frame_bytes(f->frames, mfn), &f->key));
        fr->flags |= FRAME_F_SUMMED;
    }
    return frame_hash(fr) ^ group * GROUP_SALT;
}

/* The group's first frame with the flag at n, or behind it in its chain. */
static uint32_t of_kind(const struct fold *f, const struct share_group *g, uint32_t n, uint8_t flag)
{
    while (n != FRAME_NIL &&
           !(f->frames->table[n].group == g->id && f->frames->table[n].flags & flag)) {
        n = hash_tree_next(f->frames, n);
    }
    return n;
}

static uint32_t first_of_kind(const struct fold *f, const struct share_group *g, uint64_t hash,
                              uint8_t flag)
{
    return of_kind(f, g, hash_tree_find(f->frames, *root_of(f, hash), hash), flag);
}

static uint32_t next_of_kind(const struct fold *f, const struct share_group *g, uint32_t n,
                             uint8_t flag)
{
    return of_kind(f, g, hash_tree_next(f->frames, n), flag);
}

uint32_t fold_index_find_hash(struct fold *f, const struct share_group *g, uint64_t hash,
                              uint8_t flag, const void *page)
{
    uint32_t n = first_of_kind(f, g, hash, flag);

    if (n == FRAME_NIL || next_of_kind(f, g, n, flag) == FRAME_NIL) {
        return n;
    }
    for (; n != FRAME_NIL; n = next_of_kind(f, g, n, flag)) {
        f->compares++;
        if (f->unit->ops->compare(page, frame_bytes(f->frames, MFN(n))) == 0) {
            break;
        }
    }
    return n;
}

static bool enter_hash(struct fold *f, struct share_group *g, mfn_t mfn, uint64_t hash,
                       uint8_t flag)
{
    struct frame *fr = frame_of(f->frames, mfn);

    fr->group = (uint16_t)g->id;
    frame_set_hash(fr, hash);
    if (!hash_tree_insert(f->frames, root_of(f, hash), (uint32_t)mfn.n)) {
        return false;
    }
    fr->flags |= flag | FRAME_F_HASHED;
    g->indexed++;
    return true;
}

void fold_index_leave_out(struct fold *f, struct share_group *g, mfn_t mfn)
{
    frame_of(f->frames, mfn)->flags |= FRAME_F_LEFT_OUT;
    f->left_out++;
    g->indexed++;
}

void fold_index_hash_stable(struct fold *f, struct share_group *g, mfn_t mfn, uint64_t hash)
{
    uint32_t n;

    while ((n = first_of_kind(f, g, hash, FRAME_F_UNSTABLE)) != FRAME_NIL) {
        fold_index_expel(f, MFN(n));
    }
    if (enter_hash(f, g, mfn, hash, FRAME_F_STABLE)) {
        f->stable++;
    } else {
        fold_index_leave_out(f, g, mfn);
        f->collisions++;
    }
}

bool fold_index_hash_unstable(struct fold *f, struct share_group *g, mfn_t mfn, uint64_t hash)
{
    if (!enter_hash(f, g, mfn, hash, FRAME_F_UNSTABLE)) {
        return false;
    }
    f->unstable++;
    return true;
}

static struct share_group *group_of(const struct fold *f, uint16_t id)
{
    struct share_group *g = f->groups;

    while (g && g->id != id) {
        g = g->fold_next;
    }
    ASSERT(g);
    return g;
}

void fold_index_remove(void *ctx, mfn_t mfn)
{
    struct fold *f = ctx;
    struct frame *fr = frame_of(f->frames, mfn);
    struct share_group *g = group_of(f, fr->group);
    bool stable = fr->flags & FRAME_F_STABLE;
    uint32_t n = (uint32_t)mfn.n;

    g->indexed--;
    if (fr->flags & FRAME_F_LEFT_OUT) {
        f->left_out--;
        fr->flags &= (uint8_t)~FRAME_F_LEFT_OUT;
        return;
    }
    if (fr->flags & FRAME_F_HASHED) {
        hash_tree_erase(f->frames, root_of(f, frame_hash(fr)), n);
    } else if (!stable && f->phase == FOLD_TEARDOWN) {
        frame_tree_cut(f->frames, &g->unstable_root, n);
    } else {
        frame_tree_erase(f->frames, stable ? &g->stable_root : &g->unstable_root, n);
        f->misplaced |= !stable && fr->refs == 0; /* nobody can say any more if it was written */
    }
    if (stable) {
        f->stable--;
    } else {
        f->unstable--;
    }
    fr->flags &= (uint8_t) ~(FRAME_F_INDEXED | FRAME_F_HASHED);
}

void fold_index_written(struct fold *f, mfn_t mfn)
{
    const struct frame *fr = frame_of(f->frames, mfn);

    if (fr->state == FRAME_PRIVATE && (fr->flags & FRAME_F_UNSTABLE)) {
        f->misplaced |= !(fr->flags & FRAME_F_HASHED);
        fold_index_remove(f, mfn);
    }
}

void fold_index_expel(struct fold *f, mfn_t mfn)
{
    const struct frame *fr = frame_of(f->frames, mfn);
    struct p2m *owner = fold_map_of(f, fr->vm);

    fold_index_written(f, mfn);
    if (owner) {
        fold_again(owner, GFN(fr->gfn));
    }
}

bool fold_index_teardown(struct fold *f, unsigned budget)
{
    for (struct share_group *g = f->groups; g; g = g->fold_next) {
        uint32_t n = g->unstable_root;

        while (n != FRAME_NIL && budget > 0) {
            uint32_t leaf = frame_tree_leaf(f->frames, n);

            n = frame_of(f->frames, MFN(leaf))->parent;
            fold_index_expel(f, MFN(leaf));
            budget--;
        }
        if (g->unstable_root != FRAME_NIL) {
            return false;
        }
    }
    f->misplaced = false;
    return true;
}

/* A stable frame changes from one kind of index to the other. */
static void move_stable(struct fold *f, mfn_t mfn)
{
    struct share_group *g = group_of(f, frame_of(f->frames, mfn)->group);
    const void *page = frame_bytes(f->frames, mfn);

    fold_index_remove(f, mfn);
    if (f->on.index == FOLD_HASH) {
        f->hashes++;
        fold_index_hash_stable(f, g, mfn, fold_index_hash(f, g, mfn));
        return;
    }
    struct fold_place at = fold_index_find(f, g->stable_root, page);
    if (at.match == FRAME_NIL) {
        fold_index_add_stable(f, g, mfn, &at);
    } else {
        fold_index_leave_out(f, g, mfn); /* an equal one was made while this one was in no index */
    }
}

bool fold_index_rebuild(struct fold *f, unsigned budget)
{
    const struct frames *frames = f->frames;

    for (; f->reindex_at < frames->count && budget > 0; f->reindex_at++, budget--) {
        mfn_t mfn = MFN(f->reindex_at);
        struct frame *fr = frame_of(frames, mfn);

        if (fr->flags & FRAME_F_UNSTABLE) {
            fold_index_expel(f, mfn);
        } else if (fr->flags & (FRAME_F_STABLE | FRAME_F_LEFT_OUT)) {
            fold_bracket(f);
            move_stable(f, mfn);
        }
        if (fr->state == FRAME_PRIVATE) {
            fr->flags &= (uint8_t)~FRAME_F_SUMMED; /* the halves of a hash mean another thing */
        }
    }
    return f->reindex_at == frames->count;
}
