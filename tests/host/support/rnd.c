/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests' random sequence. */
#include "rnd.h"

uint64_t rnd_next(struct rnd *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

uint32_t rnd_below(struct rnd *r, uint32_t limit)
{
    return (uint32_t)((rnd_next(r) >> 16) % limit);
}

bool rnd_pick(void *ctx, uint32_t limit, uint32_t *out)
{
    *out = rnd_below(ctx, limit);
    return true;
}
