/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counters of folding, each written down once: name, where it comes from, and what it is. From
 * these lists come struct fold_counters, fold_read, and kernel/stats' struct, table and text;
 * README.md's table says the same words, which tools/lint-docs checks. The order is that of the
 * JSON line. Names are KSM's where KSM has them.
 *
 *     COPIED(name, from, text)   a member of struct fold
 *     SUMMED(name, from, text)   the sum of a member of struct share_group over all groups
 *     DERIVED(name, text)        fold_read computes it
 *     ADDED(name, text)          not the engine's: the reader of the statistics computes it
 *
 * A list takes a macro for each kind. FOLD_NOTHING is the one for a kind that is left out.
 */
#ifndef MM_FOLD_COUNTERS_H
#define MM_FOLD_COUNTERS_H

#include "base/types.h"
#include "mm/pageclass.h"

/*
 * The four `cost_` counters are the terms of the paper's section 6. Unshared pages that could be
 * shared can only be estimated: pages that are neither folded, nor were looked for in vain, nor
 * changed in the last complete pass, times the part of the pages looked at in the last passes that
 * was merged.
 */
#define FOLD_COUNTERS(COPIED, SUMMED, DERIVED, ADDED)                                              \
    DERIVED(pages_shared, "folded frames in use")                                                  \
    DERIVED(pages_sharing, "guest pages that map one, beyond the first of each: frames saved")     \
    COPIED(pages_unshared, unshared_last, "in the last pass: looked for, and without an equal")    \
    COPIED(pages_volatile, volatile_last, "in the last pass: changed since the one before")        \
    SUMMED(pages_zero, zero_maps, "guest pages that map a zero page")                              \
    COPIED(full_scans, full_scans, "passes over all memory")                                       \
    COPIED(pages_scanned, pages_scanned, "guest pages looked at, whatever they mapped")            \
    COPIED(pages_ineligible, pages_ineligible,                                                     \
           "of these, pinned, not the guest's own to fold, or left alone for their class")         \
    COPIED(pages_skipped, pages_skipped,                                                           \
           "pages that their history keeps out of a pass, counted in each such pass")              \
    SUMMED(merges, merges, "pages folded into an equal one")                                       \
    SUMMED(zero_merges, zero_merges, "pages of zeroes folded into the zero page")                  \
    SUMMED(cow_breaks, cow_breaks, "writes to a folded page: a copy was made")                     \
    SUMMED(zero_breaks, zero_breaks, "writes to the zero page: a frame was given")                 \
    COPIED(compares, compares, "pairs of pages compared, in searches and before merges")           \
    COPIED(hashes, hashes, "hashes and checksums computed")                                        \
    COPIED(lookahead_hits, lookahead_hits,                                                         \
           "pages folded by lookahead, for one compare and no search")                             \
    COPIED(lookahead_misses, lookahead_misses, "pages that lookahead compared in vain")            \
    COPIED(collisions, collisions, "pages of equal hash that differed")                            \
    COPIED(pages_backed_off, pages_backed_off,                                                     \
           "times that a page began to rest as its folds keep breaking; goes away, see "           \
           "`pages_skipped`")                                                                      \
    COPIED(pages_hinted, pages_hinted,                                                             \
           "pages looked at before their turn: a disk read has filled them")                       \
    COPIED(regions_harvested, regions_harvested, "2 MiB regions whose dirty bits were read")       \
    COPIED(regions_passed, regions_passed, "2 MiB regions passed over with one look")              \
    COPIED(blocks_scanned, blocks_scanned, "blocks of the disk cache looked at")                   \
    COPIED(scan_ticks, scan_ticks, "TSC ticks spent scanning")                                     \
    ADDED(pass_ms, "the last pass, from its begin to its end")                                     \
    ADDED(pass_scan_ms, "CPU time that it took")                                                   \
    DERIVED(cost_unshared_pages, "pages that could be shared and are not: an estimate")            \
    DERIVED(cost_scan_ticks, "TSC ticks spent looking at pages that were not merged")              \
    COPIED(cost_merge_ticks, merge_ticks,                                                          \
           "searches and compares of pages that were merged, and the merges")                      \
    SUMMED(cost_cow_ticks, cow_ticks,                                                              \
           "giving frames for writes to folded pages, the guest's exit not included")              \
    ADDED(metadata_bytes, "notes on guests' pages, and 32 bytes for each frame they use")          \
    ADDED(general_profit, "bytes saved, less `metadata_bytes`; 0 when that is more")

/* The same for one class of pages: COPIED from the engine's counters of the class, SUMMED over
 * arrays in the groups. */
#define FOLD_CLASS_COUNTERS(COPIED, SUMMED)                                                        \
    COPIED(candidates, candidates, "pages looked at")                                              \
    COPIED(skipped, skipped, "pages due, but left alone for their class")                          \
    COPIED(merges, merges, "pages folded, zeroes included")                                        \
    SUMMED(folded, class_folded, "folded pages now, by their class then")                          \
    SUMMED(breaks, class_breaks, "folds ended by a write")                                         \
    COPIED(ticks, ticks, "TSC ticks spent on the pages looked at")

#define FOLD_NOTHING(...)
/* A member of a struct; the same macro serves all kinds. */
#define FOLD_MEMBER(name, ...) uint64_t name;

/* What the engine counts of a class since the start. */
struct fold_class_scan {
    FOLD_CLASS_COUNTERS(FOLD_MEMBER, FOLD_NOTHING)
};

struct fold_class_counters {
    FOLD_CLASS_COUNTERS(FOLD_MEMBER, FOLD_MEMBER)
};

/* A reading of the counters. */
struct fold_counters {
    FOLD_COUNTERS(FOLD_MEMBER, FOLD_MEMBER, FOLD_MEMBER, FOLD_NOTHING)
    struct fold_class_counters by_class[PAGE_CLASSES];
};

#endif
