/* SPDX-License-Identifier: BSD-2-Clause */
/* Folding's part of the statistics: what it did, what that cost, and by class of page. */
#include "kernel/stats/fold.h"

#include "base/bits.h"
#include "kernel/core/machine.h"
#include "kernel/scan/scan.h"

#define NS_PER_MS UINT64_C(1000000)

static const struct stats_field fold_fields[] = {
    FIELD(fold, pages_shared, "folded frames in use"),
    FIELD(fold, pages_sharing, "guest pages that map one, beyond the first of each: frames saved"),
    FIELD(fold, pages_unshared, "in the last pass: looked for, and without an equal"),
    FIELD(fold, pages_volatile, "in the last pass: changed since the one before"),
    FIELD(fold, pages_zero, "guest pages that map a zero page"),
    FIELD(fold, full_scans, "passes over all memory"),
    FIELD(fold, pages_scanned, "guest pages looked at"),
    FIELD(fold, pages_skipped, "of these, pinned or not the guest's own to fold"),
    FIELD(fold, merges, "pages folded into an equal one"),
    FIELD(fold, zero_merges, "pages of zeroes folded into the zero page"),
    FIELD(fold, cow_breaks, "writes to a folded page: a copy was made"),
    FIELD(fold, zero_breaks, "writes to the zero page: a frame was given"),
    FIELD(fold, compares, "pairs of pages compared"),
    FIELD(fold, hashes, "hashes and checksums computed"),
    FIELD(fold, lookahead_hits, "pages folded by lookahead, for one compare and no search"),
    FIELD(fold, lookahead_misses, "pages that lookahead compared in vain"),
    FIELD(fold, collisions, "pages of equal hash that differed"),
    FIELD(fold, pages_backed_off, "pages due, but left to rest: their folds keep breaking"),
    FIELD(fold, pages_hinted, "pages looked at before their turn: a disk read has filled them"),
    FIELD(fold, regions_harvested, "2 MiB regions whose dirty bits were read"),
    FIELD(fold, regions_passed, "2 MiB regions passed over with one look"),
    FIELD(fold, blocks_scanned, "blocks of the disk cache looked at"),
    FIELD(fold, scan_ticks, "TSC ticks spent scanning"),
    FIELD(fold, pass_ms, "the last pass, from its begin to its end"),
    FIELD(fold, pass_scan_ms, "CPU time that it took"),
    FIELD(fold, cost_unshared_pages, "pages that could be shared and are not: an estimate"),
    FIELD(fold, cost_scan_ticks, "TSC ticks spent looking at pages that were not merged"),
    FIELD(fold, cost_merge_ticks, "finding and merging those that were"),
    FIELD(fold, cost_cow_ticks, "giving frames for writes to folded pages"),
    FIELD(fold, metadata_bytes, "notes on guests' pages, and 32 bytes for each frame they use"),
    FIELD(fold, general_profit, "bytes saved, less metadata_bytes; 0 when that is more"),
};

static const struct stats_field class_fields[] = {
    FIELD(class, candidates, "pages looked at"),
    FIELD(class, skipped, "pages due, but left alone for their class"),
    FIELD(class, merges, "pages folded, zeroes included"),
    FIELD(class, folded, "folded pages now, by their class then"),
    FIELD(class, breaks, "folds ended by a write"),
    FIELD(class, ticks, "TSC ticks spent on the pages looked at"),
};

const struct stats_field *stats_fold_fields(unsigned *n)
{
    *n = ARRAY_LEN(fold_fields);
    return fold_fields;
}

const struct stats_field *stats_class_fields(unsigned *n)
{
    *n = ARRAY_LEN(class_fields);
    return class_fields;
}

/* What is kept for folding's sake, and in the frame table. */
static uint64_t metadata_bytes(void)
{
    const uint64_t *by = machine_frames.by_state;
    uint64_t notes = 0;

    for (unsigned i = 0; i < n_vms; i++) {
        notes += vm_has_memory(vms[i]) ? vms[i]->p2m.n_notes : 0;
    }
    return (notes << PAGE_SHIFT) +
           (by[FRAME_PRIVATE] + by[FRAME_SHARED] + by[FRAME_ZERO]) * sizeof(struct frame);
}

static void read_advisor(struct stats_fold *out)
{
    struct scan_status s;

    scan_status(&s);
    out->advisor_binds = s.binds;
    out->pass_ms = s.pass_ns / NS_PER_MS;
    out->pass_scan_ms = s.pass_scan_ns / NS_PER_MS;
}

void stats_read_fold(struct stats_fold *out)
{
    struct fold_counters c;

    fold_read(&machine_fold, &c);
    *out = (struct stats_fold){
        .pages_shared = c.pages_shared,
        .pages_sharing = c.pages_sharing,
        .pages_unshared = c.pages_unshared,
        .pages_volatile = c.pages_volatile,
        .pages_zero = c.pages_zero,
        .full_scans = c.full_scans,
        .pages_scanned = c.pages_scanned,
        .pages_skipped = c.pages_skipped,
        .merges = c.merges,
        .zero_merges = c.zero_merges,
        .cow_breaks = c.cow_breaks,
        .zero_breaks = c.zero_breaks,
        .compares = c.compares,
        .hashes = c.hashes,
        .lookahead_hits = c.lookahead_hits,
        .lookahead_misses = c.lookahead_misses,
        .collisions = c.collisions,
        .pages_backed_off = c.pages_backed_off,
        .pages_hinted = c.pages_hinted,
        .regions_harvested = c.regions_harvested,
        .regions_passed = c.regions_passed,
        .blocks_scanned = c.blocks_scanned,
        .scan_ticks = c.scan_ticks,
        .cost_unshared_pages = c.unshared_estimate,
        .cost_scan_ticks = c.scan_ticks - c.merge_ticks,
        .cost_merge_ticks = c.merge_ticks,
        .cost_cow_ticks = c.cow_ticks,
        .metadata_bytes = metadata_bytes(),
    };
    uint64_t saved = (c.pages_sharing + c.pages_zero) << PAGE_SHIFT;
    out->general_profit = saved - MIN(saved, out->metadata_bytes);
    read_advisor(out);
    for (unsigned i = 0; i < PAGE_CLASSES; i++) {
        out->classes[i] = (struct stats_class){
            .candidates = c.by_class[i].scan.candidates,
            .skipped = c.by_class[i].scan.skipped,
            .merges = c.by_class[i].scan.merges,
            .folded = c.by_class[i].folded,
            .breaks = c.by_class[i].breaks,
            .ticks = c.by_class[i].scan.ticks,
        };
    }
}
