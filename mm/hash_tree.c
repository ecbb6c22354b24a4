/* SPDX-License-Identifier: BSD-2-Clause */
/* Treaps of frames, ordered by hash: see hash_tree.h. */
#include "mm/hash_tree.h"

#include "base/log.h"

/* Any odd constant that mixes the low bits into the high ones serves (2^64 / golden ratio). */
#define MIX UINT64_C(0x9e3779b97f4a7c15)

static inline struct frame *node_of(const struct frames *f, uint32_t n)
{
    return &f->table[n];
}

bool hash_tree_is_above(uint64_t upper, uint64_t lower)
{
    return upper * MIX >= lower * MIX;
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

/* Hangs the part of tree n below `hash` at *left, and the part above it at *right. */
static void split(const struct frames *f, uint32_t n, uint64_t hash, uint32_t *left,
                  uint32_t *right)
{
    while (n != FRAME_NIL) {
        struct frame *fr = node_of(f, n);

        if (frame_hash(fr) < hash) {
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

bool hash_tree_insert(const struct frames *f, uint32_t *root, uint32_t node)
{
    struct frame *fr = node_of(f, node);
    uint64_t hash = frame_hash(fr);
    uint32_t *at = root;

    if (hash_tree_find(f, *root, hash) != FRAME_NIL) {
        return false;
    }
    while (*at != FRAME_NIL) {
        struct frame *up = node_of(f, *at);
        uint64_t here = frame_hash(up);

        if (!hash_tree_is_above(here, hash)) {
            break;
        }
        at = hash < here ? &up->left : &up->right;
    }
    split(f, *at, hash, &fr->left, &fr->right);
    *at = node;
    return true;
}

void hash_tree_erase(const struct frames *f, uint32_t *root, uint32_t node)
{
    struct frame *fr = node_of(f, node);
    uint64_t hash = frame_hash(fr);
    uint32_t *at = root, a = fr->left, b = fr->right;

    while (*at != node) {
        ASSERT(*at != FRAME_NIL);
        struct frame *up = node_of(f, *at);
        at = hash < frame_hash(up) ? &up->left : &up->right;
    }
    /* What was below it, every hash in `a` less than every one in `b`, grows together. */
    while (a != FRAME_NIL && b != FRAME_NIL) {
        struct frame *fa = node_of(f, a), *fb = node_of(f, b);

        if (hash_tree_is_above(frame_hash(fa), frame_hash(fb))) {
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
