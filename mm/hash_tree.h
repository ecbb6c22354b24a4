/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Search trees of frames in the order of the 64-bit hash that each frame carries (frame_hash).
 *
 * They are treaps: the hash also gives the node's priority, so the shape of a tree depends on what
 * is in it alone, never on the order of insertions and removals, and it is the shape of a random
 * tree as long as nobody outside knows the key of the hash. No two nodes of a tree have the same
 * hash. Links are struct frame's left and right; there are none upwards.
 *
 * `root` is FRAME_NIL for an empty tree. A frame is in at most one tree.
 */
#ifndef MM_HASH_TREE_H
#define MM_HASH_TREE_H

#include "mm/frame.h"

/* The node with that hash, or FRAME_NIL. */
uint32_t hash_tree_find(const struct frames *f, uint32_t root, uint64_t hash);
/* Enters `node`, whose hash has been set. False, and nothing done: the hash is there already. */
bool hash_tree_insert(const struct frames *f, uint32_t *root, uint32_t node);
/* Takes out `node`, which is in the tree and still has the hash it was entered with. */
void hash_tree_erase(const struct frames *f, uint32_t *root, uint32_t node);
/* Whether a node with hash `upper` may stand above one with hash `lower`: for audits. */
bool hash_tree_is_above(uint64_t upper, uint64_t lower);

#endif
