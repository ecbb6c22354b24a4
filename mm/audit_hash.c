/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit's check of one index tree by hash: links, order, priorities, and the hashes. */
#include "mm/audit.h"
#include "mm/hash_tree.h"

/* No tree of 2^32 nodes of random shape is nearly as deep; the walk needs no more stack. */
#define DEPTH_MAX 256u

struct walk {
    struct audit *a;
    const struct share_group *group;
    uint8_t flag;
    uint64_t nodes;
    bool any;
    uint64_t previous; /* hash in order */
    uint32_t stack[DEPTH_MAX];
    unsigned depth;
};

static void check_node(struct walk *w, uint32_t n)
{
    const struct frames *f = w->a->frames;
    const struct frame *fr = frame_of(f, MFN(n));
    enum frame_state want = w->flag == FRAME_F_STABLE ? FRAME_SHARED : FRAME_PRIVATE;

    if (!(fr->flags & w->flag) || !(fr->flags & FRAME_F_HASHED)) {
        audit_fail(w->a, "frame %#x: in a tree by hash but not flagged so", n);
    }
    if (fr->group != w->group->id) {
        audit_fail(w->a, "frame %#x: in the tree of group %s but says group %u", n, w->group->name,
                   fr->group);
    }
    if (fr->state != want) {
        audit_fail(w->a, "frame %#x: indexed while %s", n,
                   frame_state_name((enum frame_state)fr->state));
    }
    if (w->any && frame_hash(fr) <= w->previous) {
        audit_fail(w->a, "frame %#x: not in the order of hashes", n);
    }
    w->any = true;
    w->previous = frame_hash(fr);
    /* Content of a stable frame cannot change, so its hash cannot be out of date. */
    const struct fold *fold = w->a->fold;
    if (fold && w->flag == FRAME_F_STABLE &&
        fold->unit->ops->hash(frame_bytes(f, MFN(n)), &fold->key) != frame_hash(fr)) {
        audit_fail(w->a, "frame %#x: its content has another hash than it says", n);
    }
}

/* Goes down to the left from n, which hangs below `up` (NULL: it is the root). False: the tree is
 * broken, and the walk is over. */
static bool descend(struct walk *w, uint32_t n, const struct frame *up)
{
    const struct frames *f = w->a->frames;

    for (; n != FRAME_NIL; n = frame_of(f, MFN(n))->left) {
        if (n >= f->count) {
            audit_fail(w->a, "group %s: a tree link names frame %#x, which does not exist",
                       w->group->name, n);
            return false;
        }
        if (w->depth == DEPTH_MAX || w->nodes == f->count) {
            audit_fail(w->a, "group %s: a tree by hash is too deep, or has a cycle",
                       w->group->name);
            return false;
        }
        const struct frame *fr = frame_of(f, MFN(n));
        if (up && !hash_tree_is_above(frame_hash(up), frame_hash(fr))) {
            audit_fail(w->a, "frame %#x: stands below one of lower priority", n);
            return false; /* where links go round in a circle, some link must do that */
        }
        up = fr;
        w->stack[w->depth++] = n;
        w->nodes++;
    }
    return true;
}

static void walk_tree(struct walk *w, uint32_t root)
{
    bool sound = descend(w, root, NULL);

    while (sound && w->depth > 0) {
        uint32_t n = w->stack[--w->depth];
        const struct frame *fr = frame_of(w->a->frames, MFN(n));

        check_node(w, n);
        sound = descend(w, fr->right, fr);
    }
}

uint64_t audit_hash_tree(struct audit *a, const struct share_group *g, uint32_t root, uint8_t flag)
{
    const struct content_unit *unit = a->fold ? a->fold->unit : NULL;
    struct walk w = {.a = a, .group = g, .flag = flag};

    if (unit && unit->begin) {
        unit->begin();
    }
    walk_tree(&w, root);
    if (unit && unit->end) {
        unit->end();
    }
    return w.nodes;
}
