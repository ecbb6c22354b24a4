/* SPDX-License-Identifier: BSD-2-Clause */
/* Treaps of frames, ordered by hash: see treap.h. */
#include "mm/index/treap.h"

#include "base/log.h"

/* Any odd constant that mixes the low bits into the high ones serves (2^64 / golden ratio). */
#define MIX UINT64_C(0x9e3779b97f4a7c15)

static inline struct frame *node_of(const struct frames *f, uint32_t n)
{
    return &f->table[n];
}

bool hash_tree_is_before(const struct frames *f, uint32_t left, uint32_t right)
{
    uint64_t l = frame_hash(node_of(f, left)), r = frame_hash(node_of(f, right));

    return l != r ? l < r : left < right;
}

bool hash_tree_is_above(const struct frames *f, uint32_t upper, uint32_t lower)
{
    uint64_t u = frame_hash(node_of(f, upper)), l = frame_hash(node_of(f, lower));

    return u != l ? u * MIX > l * MIX : upper < lower;
}

uint32_t hash_tree_find(const struct frames *f, uint32_t root, uint64_t hash)
{
    uint32_t n = root;

    while (n != FRAME_NIL) {
        const struct frame *fr = node_of(f, n);
        uint64_t here = frame_hash(fr);

        if (hash == here) {
            break;
        }
        n = hash < here ? fr->left : fr->right;
    }
    return n;
}

uint32_t hash_tree_next(const struct frames *f, uint32_t node)
{
    uint32_t n = node_of(f, node)->right;

    return n != FRAME_NIL && frame_hash(node_of(f, n)) == frame_hash(node_of(f, node)) ? n
                                                                                       : FRAME_NIL;
}

/* Hangs the part of tree n that comes before `node` at *left, and the part behind it at *right. */
static void split(const struct frames *f, uint32_t n, uint32_t node, uint32_t *left,
                  uint32_t *right)
{
    while (n != FRAME_NIL) {
        struct frame *fr = node_of(f, n);

        if (hash_tree_is_before(f, n, node)) {
            *left = n;
            left = &fr->right;
            n = fr->right;
        } else {
            *right = n;
            right = &fr->left;
            n = fr->left;
        }
    }
    *left = FRAME_NIL;
    *right = FRAME_NIL;
}

static unsigned chain_length(const struct frames *f, uint32_t root, uint64_t hash)
{
    unsigned length = 0;

    for (uint32_t n = hash_tree_find(f, root, hash); n != FRAME_NIL; n = hash_tree_next(f, n)) {
        length++;
    }
    return length;
}

bool hash_tree_insert(const struct frames *f, uint32_t *root, uint32_t node)
{
    struct frame *fr = node_of(f, node);
    uint32_t *at = root;

    if (chain_length(f, *root, frame_hash(fr)) >= HASH_TREE_CHAIN) {
        return false;
    }
    while (*at != FRAME_NIL && hash_tree_is_above(f, *at, node)) {
        struct frame *up = node_of(f, *at);
        at = hash_tree_is_before(f, node, *at) ? &up->left : &up->right;
    }
    split(f, *at, node, &fr->left, &fr->right);
    *at = node;
    return true;
}

void hash_tree_erase(const struct frames *f, uint32_t *root, uint32_t node)
{
    struct frame *fr = node_of(f, node);
    uint32_t *at = root, a = fr->left, b = fr->right;

    while (*at != node) {
        ASSERT(*at != FRAME_NIL);
        struct frame *up = node_of(f, *at);
        at = hash_tree_is_before(f, node, *at) ? &up->left : &up->right;
    }
    /* What was below it, all of `a` before all of `b`, grows together. */
    while (a != FRAME_NIL && b != FRAME_NIL) {
        struct frame *fa = node_of(f, a), *fb = node_of(f, b);

        if (hash_tree_is_above(f, a, b)) {
            *at = a;
            at = &fa->right;
            a = fa->right;
        } else {
            *at = b;
            at = &fb->left;
            b = fb->left;
        }
    }
    *at = a != FRAME_NIL ? a : b;
}
