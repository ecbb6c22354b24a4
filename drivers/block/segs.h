/* SPDX-License-Identifier: BSD-2-Clause */
/* Parts of a request's segments: cutting a range out of them, copying to and from them. */
#ifndef DRIVERS_BLOCK_SEGS_H
#define DRIVERS_BLOCK_SEGS_H

#include "drivers/block/blk.h"

/* Copies n bytes from `bytes` to byte `off` of r's segments, or from there. window + machine
 * address is the byte there. */
void blk_segs_put(uint8_t *window, const struct blk_req *r, uint64_t off, const void *bytes,
                  size_t n);
void blk_segs_get(const uint8_t *window, const struct blk_req *r, uint64_t off, void *bytes,
                  size_t n);
/* Clears n bytes at byte `off` of r's segments. */
void blk_segs_zero(uint8_t *window, const struct blk_req *r, uint64_t off, size_t n);
/*
 * Appends r's segments from byte `off`, n bytes (both whole sectors), to segs until *n_segs is max;
 * returns the bytes covered, whole sectors.
 */
uint64_t blk_segs_slice(const struct blk_req *r, uint64_t off, uint64_t n, struct blk_seg *segs,
                        unsigned *n_segs, unsigned max);

#endif
