/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit's check of one index tree: links, colours, black heights, order of content. */
#include "mm/audit/audit.h"
#include "mm/content/content.h"

struct walk {
    struct audit *a;
    const struct share_group *group;
    uint8_t flag;
    bool balanced, ordered;
    uint64_t nodes;
    uint32_t previous;   /* in order */
    unsigned black;      /* black nodes from the root to here, this one included */
    unsigned leaf_black; /* the same for the first end of a path; later ones must equal it */
    bool leaf_seen;
};

static const struct frame *at(const struct walk *w, uint32_t n)
{
    return &w->a->frames->table[n];
}

/* A child may be entered when it exists and points back: then no node is entered twice. */
static bool may_enter(struct walk *w, uint32_t n, uint32_t parent)
{
    if (n >= w->a->frames->count) {
        audit_fail(w->a, "group %s: a tree link names frame %#x, which does not exist",
                   w->group->name, n);
        return false;
    }
    if (at(w, n)->parent != parent) {
        audit_fail(w->a, "frame %#x: tree parent is %#x instead of %#x", n, at(w, n)->parent,
                   parent);
        return false;
    }
    return true;
}

static bool is_red(const struct walk *w, uint32_t n)
{
    return at(w, n)->flags & FRAME_F_RED;
}

/* Everything about a node that does not need its neighbours in order. */
static void check_node(struct walk *w, uint32_t n)
{
    const struct frame *fr = at(w, n);
    bool fits = w->flag == FRAME_F_STABLE
                    ? fr->state == FRAME_SHARED || fr->state == FRAME_CACHE_ONLY
                    : fr->state == FRAME_PRIVATE;

    w->nodes++;
    if (!(fr->flags & w->flag)) {
        audit_fail(w->a, "frame %#x: in a tree but not flagged so", n);
    }
    if (fr->group != w->group->id) {
        audit_fail(w->a, "frame %#x: in the tree of group %s but says group %u", n, w->group->name,
                   fr->group);
    }
    if (!fits) {
        audit_fail(w->a, "frame %#x: indexed while %s", n,
                   frame_state_name((enum frame_state)fr->state));
    }
    if (w->balanced && is_red(w, n) && (fr->parent == FRAME_NIL || is_red(w, fr->parent))) {
        audit_fail(w->a, "frame %#x: a red tree node at the root or under a red one", n);
    }
}

static void check_path_end(struct walk *w, uint32_t n)
{
    if (!w->balanced) {
        return;
    }
    if (!w->leaf_seen) {
        w->leaf_seen = true;
        w->leaf_black = w->black;
    } else if (w->leaf_black != w->black) {
        audit_fail(w->a, "frame %#x: %u black tree nodes above instead of %u", n, w->black,
                   w->leaf_black);
    }
}

static void check_order(struct walk *w, uint32_t n)
{
    const struct frames *f = w->a->frames;

    if (w->ordered && w->previous != FRAME_NIL &&
        content_compare(frame_bytes(f, MFN(w->previous)), frame_bytes(f, MFN(n))) >= 0) {
        audit_fail(w->a, "frame %#x: not after frame %#x in the order of content", n, w->previous);
    }
    w->previous = n;
}

static void enter(struct walk *w, uint32_t n)
{
    check_node(w, n);
    w->black += !is_red(w, n);
}

/* The child to go on with, or FRAME_NIL where the path ends or must not be followed. */
static uint32_t child(struct walk *w, uint32_t n, uint32_t c)
{
    if (c == FRAME_NIL) {
        check_path_end(w, n);
        return FRAME_NIL;
    }
    return may_enter(w, c, n) ? c : FRAME_NIL;
}

uint64_t audit_tree(struct audit *a, const struct share_group *g, uint32_t root, uint8_t flag,
                    bool balanced, bool ordered)
{
    struct walk w = {.a = a,
                     .group = g,
                     .flag = flag,
                     .balanced = balanced,
                     .ordered = ordered,
                     .previous = FRAME_NIL};
    uint32_t n = root;

    if (root == FRAME_NIL || !may_enter(&w, root, FRAME_NIL)) {
        return 0;
    }
    enter(&w, n);
    for (;;) {
        /* Down to the left as far as it goes. */
        uint32_t next = child(&w, n, at(&w, n)->left);
        if (next != FRAME_NIL) {
            n = next;
            enter(&w, n);
            continue;
        }
        /* This node, then its right; where there is none, up past every right child. */
        for (;;) {
            if (!yield_go_on(a->yield)) {
                return w.nodes;
            }
            check_order(&w, n);
            if (at(&w, n)->left != FRAME_NIL && at(&w, n)->left == at(&w, n)->right) {
                audit_fail(a, "frame %#x: one frame is both its tree children", n);
                return w.nodes;
            }
            next = child(&w, n, at(&w, n)->right);
            if (next != FRAME_NIL) {
                n = next;
                enter(&w, n);
                break;
            }
            uint32_t up = at(&w, n)->parent;
            while (up != FRAME_NIL && at(&w, up)->left != n) {
                w.black -= !is_red(&w, n);
                n = up;
                up = at(&w, n)->parent;
            }
            if (up == FRAME_NIL) {
                return w.nodes;
            }
            w.black -= !is_red(&w, n);
            n = up;
        }
    }
}
