/* SPDX-License-Identifier: BSD-2-Clause */
/* The maps and groups that take part, and where the scan is among them. Private to mm/. */
#ifndef MM_FOLD_ATTACH_H
#define MM_FOLD_ATTACH_H

#include "mm/fold/fold.h"

/* The engine may find frames of the group from now on. */
void fold_know(struct fold *f, struct share_group *g);
/* The attached map of that VM, or NULL: up to three times for each page that is looked at. */
static inline struct p2m *fold_map_of(const struct fold *f, uint16_t vm)
{
    struct p2m *p = f->by_vm[vm % FOLD_VM_SLOTS];

    while (p && p->vm != vm) {
        p = p->fold_same_slot;
    }
    return p;
}

/* The page is to be looked at in the next pass, though nobody writes it. */
void fold_again(struct p2m *p, gfn_t gfn);

/* The scan goes on at the start of `p` (NULL: the pass is at its end). What was still to be looked
 * at where it is now is forgotten: for the end of a map, or one that fold_scan_all is to follow. */
void fold_scan_to(struct fold *f, struct p2m *p);
/* Every page of the map becomes due, a region in each step, when the scan comes to the map next. */
void fold_scan_all(struct p2m *p);

#endif
