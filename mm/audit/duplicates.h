/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An exact recount of the blocks that are held twice: by the cache alone, and in a guest's page.
 *
 * A block counts when its frame is in state CACHE, no device is at it, and a page of a guest has
 * the same 4096 bytes. What stands in an index is of one share group, and counts when a guest of
 * that group has such a page: it could be folded with no other's. What stands in none counts
 * whoever has one.
 *
 * Every frame of a guest's or the cache's is hashed, and compared with those of equal hash, at most
 * DUPLICATES_COMPARES of them for each group. So the time is linear in memory, whatever the frames
 * contain. A block that would want more compares is counted as unknown; with the hash of
 * mm/content/content.h that does not happen but to tables that are nearly full. Nothing that
 * mm/fold or mm/cache noted of contents is used, nothing is changed, and a broken frame table
 * cannot make it fault or loop.
 */
#ifndef MM_AUDIT_DUPLICATES_H
#define MM_AUDIT_DUPLICATES_H

#include "base/types.h"
#include "base/yield.h"
#include "mm/content/content.h"
#include "mm/frame.h"
#include "mm/p2m.h"

#define DUPLICATES_COMPARES 4u

struct duplicates {
    const struct frames *frames;
    struct p2m *const *maps; /* every live VM's */
    unsigned n_maps;
    struct share_group *const *groups; /* every group, each once */
    unsigned n_groups;
    const struct content_unit *unit;
    const struct content_key *key;
    uint32_t *scratch;   /* frames->count words; their values do not matter */
    struct yield *yield; /* between two pieces of the work; it changes nothing. NULL: none */

    uint64_t kept; /* the result, unless `yield` ended it: frames that the cache alone holds */
    uint64_t duplicates; /* those of them that guests hold too */
    uint64_t unknown;    /* and those of which that is not known */
};

void duplicates_count(struct duplicates *d);

#endif
