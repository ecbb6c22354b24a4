/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of a pass: which page comes next. Private to mm/. */
#ifndef MM_FOLD_SCAN_H
#define MM_FOLD_SCAN_H

#include "mm/fold/fold.h"

/* The scan goes on at the start of `p` (NULL: the pass is at its end). What was still to be looked
 * at where it is now is forgotten: for the end of a map, or one that fold_scan_all is to follow. */
void fold_scan_to(struct fold *f, struct p2m *p);
/* Looks at the next page that is due, or does about as much work in finding it. False: there is
 * none left in this pass. */
bool fold_scan_one(struct fold *f);
/* Every page of the map becomes due, a region in each step, when the scan comes to the map next. */
void fold_scan_all(struct p2m *p);

#endif
