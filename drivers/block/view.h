/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk as one submitter may use it: a filter that puts the submitter's account on each request,
 * and can make the disk read-only for it. Several views of one disk do not know of each other.
 */
#ifndef DRIVERS_BLOCK_VIEW_H
#define DRIVERS_BLOCK_VIEW_H

#include "drivers/block/blk.h"

struct blk_view {
    struct blk_dev dev; /* must be first: submit to this */
    struct blk_dev *lower;
    struct blk_account account;
};

/* Puts v over `lower`, with its name, size and abilities; `account` as it begins. */
void blk_view_init(struct blk_view *v, struct blk_dev *lower, const struct blk_account *account,
                   bool read_only);

#endif
