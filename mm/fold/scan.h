/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of a pass: which page comes next. Private to mm/. */
#ifndef MM_FOLD_SCAN_H
#define MM_FOLD_SCAN_H

#include "mm/fold/fold.h"

/* Looks at the next page that is due, or does about as much work in finding it. False: there is
 * none left in this pass. */
bool fold_scan_one(struct fold *f);

#endif
