/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk of the world of world.h, and the cache's part of it. Between its two files. */
#ifndef TESTS_HOST_SUPPORT_WORLD_DISK_H
#define TESTS_HOST_SUPPORT_WORLD_DISK_H

#include "world.h"

/* The next byte of the input, or 0; a page of a guest by it; and why E_NOMEM may be. */
unsigned world_byte(struct world *w);
gfn_t world_pick_gfn(struct world *w);
void world_excuse(const struct world *w, enum status s);

/* A disk whose blocks equal one another, guests' pages and zeroes, and a cache too small for it. */
void world_disk_init(struct world *w);
/* The cache holds nothing any more. */
void world_disk_empty(struct world *w);
/* What is on its way arrives. */
void world_disk_arrive(struct world *w);
/* A VM reads a block into a page, or writes one from a page; the cache is set, emptied, squeezed.
 */
void world_disk_read(struct world *w, unsigned vm);
void world_disk_write(struct world *w, unsigned vm);
void world_disk_turn(struct world *w);
/* The cache's self-audit, and each block against the disk. */
void world_disk_audit(const struct world *w);
/* At rest: no block is held twice, nor beside a guest's page of its content. */
void world_disk_settled(struct world *w);

#endif
