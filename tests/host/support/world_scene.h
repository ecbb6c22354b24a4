/* SPDX-License-Identifier: BSD-2-Clause */
/* Small scenes in the world of world.h: a few VMs, and one thing at a time. */
#ifndef TESTS_HOST_SUPPORT_WORLD_SCENE_H
#define TESTS_HOST_SUPPORT_WORLD_SCENE_H

#include "world.h"

#define SCENE_DISK 5u /* the world's */

/* Brings all VMs up by one read each, on plenty of frames. VM 2 has no dirty bits, VM 3 is of
 * another group. */
void scene_init(struct world *w);
/* Likewise, with this kind of index and volatility. */
void scene_init_with(struct world *w, enum fold_index index, enum fold_volatility volatility);
/* Fills a page, as a device does it, or writes a byte of it, as the guest does; and the oracle. */
void scene_fill(struct world *w, unsigned vm, uint64_t gfn, uint8_t value);
void scene_poke(struct world *w, unsigned vm, uint64_t gfn, unsigned offset, uint8_t value);
/* A block of the world's disk comes to the cache, with that byte all over, for a guest of the group
 * or for nobody (FRAME_NO_GROUP). The frame that it came in. */
mfn_t scene_put(struct world *w, unsigned block, uint8_t value, unsigned group);
/* The frame that the block is in now; that of no number for zeroes, which need none. */
mfn_t scene_frame_of(const struct world *w, unsigned block);
/* Maps the block's frame, as a read does it. */
void scene_adopt(struct world *w, unsigned vm, uint64_t gfn, unsigned block);
mfn_t scene_frame_at(const struct world *w, unsigned vm, uint64_t gfn);
struct frame *scene_frame(struct world *w, mfn_t mfn);
/* So many passes end. */
void scene_passes(struct world *w, unsigned n);
/* All is as it should be, now and when no pass finds any more to do; and the world ends. */
void scene_end(struct world *w);
struct fold_counters scene_counters(const struct world *w);
/* Runs the test with each combination. */
void scene_each(void (*test)(enum fold_index index, enum fold_volatility volatility));

#endif
