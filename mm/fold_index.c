/* SPDX-License-Identifier: BSD-2-Clause */
/* The content-ordered trees of mm/fold: searching, entering, leaving, teardown. */
#include "mm/fold_index.h"

#include "base/log.h"
#include "mm/content.h"
#include "mm/frame_tree.h"

struct fold_place fold_index_find(struct fold *f, uint32_t root, const void *page)
{
    struct fold_place at = {.match = FRAME_NIL, .parent = FRAME_NIL};
    uint32_t n = root;

    while (n != FRAME_NIL) {
        const struct frame *fr = frame_of(f->frames, MFN(n));
        int order = content_compare(page, frame_bytes(f->frames, MFN(n)));

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

    fr->flags |= flag;
    fr->group = (uint16_t)g->id;
    frame_tree_link(f->frames, root, (uint32_t)mfn.n, at->parent, at->left);
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
    uint32_t n = (uint32_t)mfn.n;

    if (fr->flags & FRAME_F_STABLE) {
        frame_tree_erase(f->frames, &g->stable_root, n);
        f->stable--;
    } else if (f->phase == FOLD_TEARDOWN) {
        frame_tree_cut(f->frames, &g->unstable_root, n);
        f->unstable--;
    } else {
        frame_tree_erase(f->frames, &g->unstable_root, n);
        f->unstable--;
    }
    fr->flags &= (uint8_t) ~(FRAME_F_STABLE | FRAME_F_UNSTABLE);
}

bool fold_index_teardown(struct fold *f, unsigned budget)
{
    for (struct share_group *g = f->groups; g; g = g->fold_next) {
        uint32_t n = g->unstable_root;

        while (n != FRAME_NIL && budget > 0) {
            uint32_t leaf = frame_tree_leaf(f->frames, n);

            n = frame_of(f->frames, MFN(leaf))->parent;
            fold_index_remove(f, MFN(leaf));
            budget--;
        }
        if (g->unstable_root != FRAME_NIL) {
            return false;
        }
    }
    return true;
}
