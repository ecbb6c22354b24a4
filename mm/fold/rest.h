/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that are left alone for a while. Private to mm/.
 *
 * A page that rests is in no index, as nobody is to be folded with it. But a block that it equals
 * would be held twice when the cache is the only other one to have it. So such a page joins the
 * block when it is looked at, and remembers a part of its hash; and when a block comes to be the
 * cache's alone later on, those of its hash are looked at in the pass under way or the next one.
 */
#ifndef MM_FOLD_REST_H
#define MM_FOLD_REST_H

#include "mm/fold/fold.h"

/* Why a page rests. KSM's pages_skipped counts the one, and not the other. */
enum fold_rest_why { FOLD_REST_HISTORY, FOLD_REST_CLASS };

/* The page is left alone until `rounds` times the engine's resting pages have been woken. */
void fold_rest_for(struct p2m *p, gfn_t gfn, uint8_t rounds, enum fold_rest_why why);
/* Why it rests, or did last. */
enum fold_rest_why fold_rest_why(const struct gpage *page);
/* The page is looked at although it has not been woken, as it was written: it is not skipped. */
void fold_rest_break(struct p2m *p, gfn_t gfn);
/* How many pages of the region their history keeps out of a pass. */
unsigned fold_rest_skipped(const struct p2m_notes *notes);

/* Looks at a page that was called. */
void fold_rest_look(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn);
/* A page that is left alone otherwise goes where the cache has a block that it equals, if it may.
 */
void fold_rest_join(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn);

#endif
