/* SPDX-License-Identifier: BSD-2-Clause */
/* What mm/fold does with one page of a pass. Private to mm/. */
#ifndef MM_FOLD_PAGE_H
#define MM_FOLD_PAGE_H

#include "mm/fold.h"

/* Visits the page that gfn maps to `mfn`: the body of the loop of the paper's section 4.1. */
void fold_page(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn);

#endif
