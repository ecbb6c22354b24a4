/* SPDX-License-Identifier: BSD-2-Clause */
/* A random sequence that is the same on every run: xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
 */
#ifndef SUPPORT_RND_H
#define SUPPORT_RND_H

#include "base/types.h"

struct rnd {
    uint64_t state; /* the seed at first; never 0 */
};

uint64_t rnd_next(struct rnd *r);
/* Below limit, which is not 0. */
uint32_t rnd_below(struct rnd *r, uint32_t limit);
/* The same as a source of picks (fake_lossy.h): ctx is a struct rnd, and there is always a next. */
bool rnd_pick(void *ctx, uint32_t limit, uint32_t *out);

#endif
