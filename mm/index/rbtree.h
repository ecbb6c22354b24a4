/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Red-black trees of frames, linked by frame number through struct frame, so that an index costs no
 * memory of its own. The order is the caller's: it descends, and says where a node goes.
 *
 * A frame is in at most one tree. `root` is FRAME_NIL for an empty tree.
 */
#ifndef MM_INDEX_RBTREE_H
#define MM_INDEX_RBTREE_H

#include "mm/frame.h"

/* Hangs `node` below `parent` (FRAME_NIL: as the root of an empty tree), then rebalances. */
void frame_tree_link(const struct frames *f, uint32_t *root, uint32_t node, uint32_t parent,
                     bool left);
/* Takes `node` out and rebalances. */
void frame_tree_erase(const struct frames *f, uint32_t *root, uint32_t node);
/* Takes `node` out of a tree that is being torn down: keeps the links valid and nothing else. */
void frame_tree_cut(const struct frames *f, uint32_t *root, uint32_t node);
/* The node that a teardown takes next: a leaf at or below `from`. */
uint32_t frame_tree_leaf(const struct frames *f, uint32_t from);

#endif
