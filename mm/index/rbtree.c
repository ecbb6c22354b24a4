/* SPDX-License-Identifier: BSD-2-Clause */
/* Red-black trees of frames: linking, erasing, teardown. */
#include "mm/index/rbtree.h"

static inline struct frame *node_of(const struct frames *f, uint32_t n)
{
    return &f->table[n];
}

static inline bool is_red(const struct frames *f, uint32_t n)
{
    return n != FRAME_NIL && (node_of(f, n)->flags & FRAME_F_RED);
}

static inline void set_red(const struct frames *f, uint32_t n, bool red)
{
    struct frame *fr = node_of(f, n);

    fr->flags = (uint8_t)(red ? fr->flags | FRAME_F_RED : fr->flags & ~FRAME_F_RED);
}

/* Whatever pointed at `old` from above points at `new` (which may be FRAME_NIL). */
static void replace_child(const struct frames *f, uint32_t *root, uint32_t parent, uint32_t old,
                          uint32_t new)
{
    if (parent == FRAME_NIL) {
        *root = new;
    } else if (node_of(f, parent)->left == old) {
        node_of(f, parent)->left = new;
    } else {
        node_of(f, parent)->right = new;
    }
    if (new != FRAME_NIL) {
        node_of(f, new)->parent = parent;
    }
}

/* Turns the tree at n so that its right (or left) child takes its place; returns that child. */
static uint32_t rotate(const struct frames *f, uint32_t *root, uint32_t n, bool to_left)
{
    struct frame *top = node_of(f, n);
    uint32_t up = to_left ? top->right : top->left;
    struct frame *rise = node_of(f, up);
    uint32_t moved = to_left ? rise->left : rise->right;

    replace_child(f, root, top->parent, n, up);
    if (to_left) {
        top->right = moved;
        rise->left = n;
    } else {
        top->left = moved;
        rise->right = n;
    }
    top->parent = up;
    if (moved != FRAME_NIL) {
        node_of(f, moved)->parent = n;
    }
    return up;
}

void frame_tree_link(const struct frames *f, uint32_t *root, uint32_t node, uint32_t parent,
                     bool left)
{
    struct frame *fr = node_of(f, node);

    fr->left = fr->right = FRAME_NIL;
    fr->parent = parent;
    set_red(f, node, true);
    if (parent == FRAME_NIL) {
        *root = node;
    } else if (left) {
        node_of(f, parent)->left = node;
    } else {
        node_of(f, parent)->right = node;
    }

    /* A red node under a red parent moves up until it is gone. */
    while (is_red(f, parent)) {
        uint32_t grand = node_of(f, parent)->parent; /* a red node is never the root */
        bool parent_left = node_of(f, grand)->left == parent;
        uint32_t uncle = parent_left ? node_of(f, grand)->right : node_of(f, grand)->left;

        if (is_red(f, uncle)) {
            set_red(f, parent, false);
            set_red(f, uncle, false);
            set_red(f, grand, true);
            node = grand;
            parent = node_of(f, node)->parent;
            continue;
        }
        bool node_left = node_of(f, parent)->left == node;
        if (node_left != parent_left) {
            parent = rotate(f, root, parent, parent_left);
        }
        set_red(f, parent, false);
        set_red(f, grand, true);
        rotate(f, root, grand, !parent_left);
        break;
    }
    set_red(f, *root, false);
}

/* The paths through `n`, a child of `parent`, are one black node short. */
static void erase_fix(const struct frames *f, uint32_t *root, uint32_t n, uint32_t parent)
{
    while (parent != FRAME_NIL && !is_red(f, n)) {
        bool left = node_of(f, parent)->left == n;
        uint32_t sib = left ? node_of(f, parent)->right : node_of(f, parent)->left;

        if (is_red(f, sib)) {
            set_red(f, sib, false);
            set_red(f, parent, true);
            rotate(f, root, parent, left);
            sib = left ? node_of(f, parent)->right : node_of(f, parent)->left;
        }
        uint32_t near = left ? node_of(f, sib)->left : node_of(f, sib)->right;
        uint32_t far = left ? node_of(f, sib)->right : node_of(f, sib)->left;
        if (!is_red(f, near) && !is_red(f, far)) {
            set_red(f, sib, true);
            n = parent;
            parent = node_of(f, n)->parent;
            continue;
        }
        if (!is_red(f, far)) {
            set_red(f, near, false);
            set_red(f, sib, true);
            far = sib;
            sib = rotate(f, root, sib, !left);
        }
        set_red(f, sib, is_red(f, parent));
        set_red(f, parent, false);
        set_red(f, far, false);
        rotate(f, root, parent, left);
        return;
    }
    if (n != FRAME_NIL) {
        set_red(f, n, false);
    }
}

/*
 * Splices `node` out. Sets *at and *below to the place that has a node less (its parent and its
 * child there, which may both be FRAME_NIL); returns whether the node missing there was black.
 */
static bool splice(const struct frames *f, uint32_t *root, uint32_t node, uint32_t *at,
                   uint32_t *below)
{
    struct frame *fr = node_of(f, node);

    if (fr->left == FRAME_NIL || fr->right == FRAME_NIL) {
        *below = fr->left == FRAME_NIL ? fr->right : fr->left;
        *at = fr->parent;
        replace_child(f, root, fr->parent, node, *below);
        return !is_red(f, node);
    }

    /* Two children: the successor, which has no left child, takes the node's place and colour. */
    uint32_t next = fr->right;
    while (node_of(f, next)->left != FRAME_NIL) {
        next = node_of(f, next)->left;
    }
    struct frame *nx = node_of(f, next);
    bool black = !is_red(f, next);
    *below = nx->right;
    if (nx->parent == node) {
        *at = next;
    } else {
        *at = nx->parent;
        replace_child(f, root, nx->parent, next, nx->right);
        nx->right = fr->right;
        node_of(f, nx->right)->parent = next;
    }
    nx->left = fr->left;
    node_of(f, nx->left)->parent = next;
    replace_child(f, root, fr->parent, node, next);
    set_red(f, next, is_red(f, node));
    return black;
}

void frame_tree_erase(const struct frames *f, uint32_t *root, uint32_t node)
{
    uint32_t at, below;

    if (splice(f, root, node, &at, &below)) {
        erase_fix(f, root, below, at);
    }
    set_red(f, node, false);
}

void frame_tree_cut(const struct frames *f, uint32_t *root, uint32_t node)
{
    uint32_t at, below;

    splice(f, root, node, &at, &below);
    set_red(f, node, false);
}

uint32_t frame_tree_leaf(const struct frames *f, uint32_t from)
{
    for (;;) {
        const struct frame *fr = node_of(f, from);
        if (fr->left != FRAME_NIL) {
            from = fr->left;
        } else if (fr->right != FRAME_NIL) {
            from = fr->right;
        } else {
            return from;
        }
    }
}
