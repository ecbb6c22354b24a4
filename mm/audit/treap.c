/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit's check of the index by hash: links, order, priorities, groups, and the hashes. */
#include "mm/index/treap.h"
#include "mm/audit/audit.h"
#include "mm/fold/index.h"

/* No tree of 2^32 nodes of random shape is nearly as deep; the walk needs no more stack. */
#define DEPTH_MAX 256u

struct walk {
    struct audit *a;
    unsigned tree; /* its number */
    uint64_t stable, unstable, nodes;
    uint32_t previous; /* node in order, or FRAME_NIL */
    unsigned chain;    /* nodes in a row with its hash */
    uint32_t stack[DEPTH_MAX];
    unsigned depth;
};

/* The group that the frame says, or NULL. */
static const struct share_group *group_of(const struct walk *w, const struct frame *fr)
{
    for (unsigned i = 0; i < w->a->n_groups; i++) {
        if (w->a->groups[i]->id == fr->group) {
            return w->a->groups[i];
        }
    }
    return NULL;
}

/* Whether the VM that owns an unstable frame, if it lives, is of the group that the frame says. */
static bool owner_agrees(const struct walk *w, const struct frame *fr)
{
    for (unsigned i = 0; i < w->a->n_maps; i++) {
        if (w->a->maps[i]->vm == fr->vm) {
            return w->a->maps[i]->group->id == fr->group;
        }
    }
    return true;
}

/* The hash that the stable frame should have. */
static uint64_t hash_anew(const struct walk *w, const struct share_group *g, uint32_t n)
{
    const struct content_unit *unit = w->a->fold->unit;

    if (unit->begin) {
        unit->begin();
    }
    uint64_t hash = fold_index_hash(w->a->fold, g, MFN(n));
    if (unit->end) {
        unit->end();
    }
    return hash;
}

static void check_node(struct walk *w, uint32_t n)
{
    const struct frames *f = w->a->frames;
    const struct frame *fr = frame_of(f, MFN(n));
    const struct share_group *g = group_of(w, fr);
    bool stable = fr->flags & FRAME_F_STABLE;
    uint64_t hash = frame_hash(fr);

    w->stable += stable;
    w->unstable += !stable;
    if (!(fr->flags & (FRAME_F_STABLE | FRAME_F_UNSTABLE)) || !(fr->flags & FRAME_F_HASHED)) {
        audit_fail(w->a, "frame %#x: in the index by hash but not flagged so", n);
    }
    if (!g || (!stable && !owner_agrees(w, fr))) {
        audit_fail(w->a, "frame %#x: indexed, but says group %u", n, fr->group);
        return;
    }
    if (stable ? fr->state != FRAME_SHARED && fr->state != FRAME_CACHE_ONLY
               : fr->state != FRAME_PRIVATE) {
        audit_fail(w->a, "frame %#x: indexed while %s", n,
                   frame_state_name((enum frame_state)fr->state));
    }
    if ((w->previous != FRAME_NIL && !hash_tree_is_before(f, w->previous, n)) ||
        hash >> w->a->fold->root_shift != w->tree) {
        audit_fail(w->a, "frame %#x: not in the order of hashes", n);
    }
    bool same = w->previous != FRAME_NIL && frame_hash(frame_of(f, MFN(w->previous))) == hash;
    w->chain = same ? w->chain + 1 : 1;
    if (w->chain > HASH_TREE_CHAIN) {
        audit_fail(w->a, "frame %#x: the %u. of the same hash", n, w->chain);
    }
    w->previous = n;
    /* Content of a stable frame cannot change, so its hash cannot be out of date. */
    if (stable && hash_anew(w, g, n) != hash) {
        audit_fail(w->a, "frame %#x: its content has another hash than it says", n);
    }
}

/* Goes down to the left from n, which hangs below `up` (FRAME_NIL: it is the root). False: the tree
 * is broken, and the walk is over. */
static bool descend(struct walk *w, uint32_t n, uint32_t up)
{
    const struct frames *f = w->a->frames;

    for (; n != FRAME_NIL; n = frame_of(f, MFN(n))->left) {
        if (n >= f->count) {
            audit_fail(w->a, "tree %u by hash: a link names frame %#x, which does not exist",
                       w->tree, n);
            return false;
        }
        if (w->depth == DEPTH_MAX || w->nodes == f->count) {
            audit_fail(w->a, "tree %u by hash: is too deep, or has a cycle", w->tree);
            return false;
        }
        if (up != FRAME_NIL && !hash_tree_is_above(f, up, n)) {
            audit_fail(w->a, "frame %#x: stands below one of lower priority", n);
            return false; /* where links go round in a circle, some link must do that */
        }
        up = n;
        w->stack[w->depth++] = n;
        w->nodes++;
    }
    return true;
}

static void walk_tree(struct walk *w, uint32_t root)
{
    bool sound = descend(w, root, FRAME_NIL);

    while (sound && w->depth > 0 && yield_go_on(w->a->yield)) {
        uint32_t n = w->stack[--w->depth];

        check_node(w, n);
        sound = descend(w, frame_of(w->a->frames, MFN(n))->right, n);
    }
}

void audit_hash_index(struct audit *a, uint64_t *stable, uint64_t *unstable)
{
    for (unsigned i = 0; i < a->fold->n_roots && yield_go_on(a->yield); i++) {
        struct walk w = {.a = a, .tree = i, .previous = FRAME_NIL};

        walk_tree(&w, a->fold->roots[i]);
        *stable += w.stable;
        *unstable += w.unstable;
    }
}
