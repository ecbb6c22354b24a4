/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that are left alone and the blocks that they equal. Private to mm/. */
#ifndef MM_FOLD_JOIN_H
#define MM_FOLD_JOIN_H

#include "mm/fold/fold.h"

/* A page that is left alone otherwise, PRIVATE or SHARED and NEW: block and page are in one frame
 * then, if it equals a block that only the cache holds. `hash`: of the page, in the index by hash.
 */
void fold_join(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, uint64_t hash);

#endif
