/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Search trees of frames in the order of the 64-bit hash that each frame carries (frame_hash).
 *
 * They are treaps: the hash also gives the node's priority, so the shape of a tree depends on what
 * is in it alone, never on the order of insertions and removals, and it is the shape of a random
 * tree as long as nothing outside knows the key of the hash. Links are struct frame's left and
 * right; there are none upwards.
 *
 * Up to HASH_TREE_CHAIN nodes of a tree may have the same hash. They are in the order of frame
 * numbers, which also decides between their priorities; so each stands right below the one before
 * it, and they form a chain.
 *
 * `root` is FRAME_NIL for an empty tree. A frame is in at most one tree.
 */
#ifndef MM_INDEX_TREAP_H
#define MM_INDEX_TREAP_H

#include "mm/frame.h"

/* Equal hashes of pages that differ are an accident of 1 in 2^63: what is kept here bounds the cost
 * should it happen all the same. */
#define HASH_TREE_CHAIN 8u

/* The first node with that hash, or FRAME_NIL; and the next one with the hash of `node`. */
uint32_t hash_tree_find(const struct frames *f, uint32_t root, uint64_t hash);
uint32_t hash_tree_next(const struct frames *f, uint32_t node);
/* Enters `node`, whose hash has been set. False, and nothing done: the hash's chain is full. */
bool hash_tree_insert(const struct frames *f, uint32_t *root, uint32_t node);
/* Takes out `node`, which is in the tree and still has the hash it was entered with. */
void hash_tree_erase(const struct frames *f, uint32_t *root, uint32_t node);
/* Whether node `upper` may stand above node `lower`, and `left` to the left of `right`: for audits.
 */
bool hash_tree_is_above(const struct frames *f, uint32_t upper, uint32_t lower);
bool hash_tree_is_before(const struct frames *f, uint32_t left, uint32_t right);

#endif
