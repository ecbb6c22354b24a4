/* SPDX-License-Identifier: BSD-2-Clause */
/* What mm/fold does with one page, and what its parts use of one another. Private to mm/. */
#ifndef MM_FOLD_PAGE_H
#define MM_FOLD_PAGE_H

#include "mm/fold/fold.h"

/* One round of rest, in passes. */
#define FOLD_ROUND 8u

/* Looks at the page that gfn maps to `mfn`. `fresh`: its content has just arrived whole, so it is
 * not taken for volatile. */
void fold_page(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, bool fresh);
/* The page was found written (dirty bits): what the engine knew of it is void. */
void fold_page_written(struct fold *f, struct p2m *p, gfn_t gfn);

/* Whether the map is scanned by dirty bits. */
static inline bool fold_by_dirty(const struct fold *f, const struct p2m *p)
{
    return f->on.volatility == FOLD_DIRTY && p->ops->has_dirty;
}

/* Whether it is a disk block's frame that guests map, and that is still to be looked at. */
static inline bool fold_is_new_block(const struct fold *f, mfn_t mfn)
{
    const struct frame *fr = frame_of(f->frames, mfn);

    return f->cache && fr->state == FRAME_SHARED && (fr->flags & FRAME_F_UNSCANNED);
}

#endif
