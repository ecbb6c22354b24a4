/* SPDX-License-Identifier: BSD-2-Clause */
/* Which blocks have come to be the cache's alone, and which resting pages they call. Private to
 * mm/.
 */
#ifndef MM_FOLD_ALONE_H
#define MM_FOLD_ALONE_H

#include "base/bits.h"
#include "mm/fold/fold.h"

/* The part of a hash that is remembered of a page (struct gpage's since), and of a block. */
static inline uint16_t fold_alone_tag(uint64_t hash)
{
    return (uint16_t)(hash & (BIT(FOLD_TAG_BITS) - 1));
}

/* The stable frame of a block is the cache's alone: struct frames' alone. `ctx` is the struct fold.
 */
void fold_alone_note(void *ctx, mfn_t mfn);
/* A pass is over. */
void fold_alone_turn(struct fold *f);
/* Of the 64 pages from `first` on, those of `resting` that may be what such a block is. */
uint64_t fold_alone_called(const struct fold *f, const struct p2m *p, gfn_t first,
                           uint64_t resting);

#endif
