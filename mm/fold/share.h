/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of content that is known to be wanted by several guests before any guest maps it: pages of
 * kernels and initrds (mm/fold/image.h). They enter a group's stable index at once, without a
 * search by the scanner.
 */
#ifndef MM_FOLD_SHARE_H
#define MM_FOLD_SHARE_H

#include "mm/fold/fold.h"

/*
 * `mfn` is a SHARED frame in no index, whose content cannot change any more; the caller holds its
 * one reference. Returns the frame that stands for this content in the group: `mfn` itself, which
 * is in the stable index from now on, a stable frame that equals it, or the group's zero page. The
 * caller takes a reference to either of the latter.
 *
 * Opens the bracket for vector registers; fold_share_end closes it, at the end of the caller's
 * step.
 */
mfn_t fold_share(struct fold *f, struct share_group *g, mfn_t mfn);
void fold_share_end(struct fold *f);

#endif
