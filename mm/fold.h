/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Folding: finds pages of equal content among the attached VMs of a share group and maps them all
 * to one frame, read-only.
 *
 * A pass visits every page that is mapped once. A page of zeroes goes to the group's zero page.
 * Another is looked for in the stable index (SHARED frames, which cannot change) and merged on a
 * match. One whose checksum differs from the last pass is volatile and left alone. The others are
 * looked for in the unstable index (PRIVATE frames of this pass, which may change under it): a
 * match is merged and becomes stable, what has no match is entered. Both indexes are red-black
 * trees ordered by content; the unstable one is torn down after each pass. What a search finds is
 * only a hint: both pages are then write-protected and flushed, and compared whole, before any
 * merge.
 *
 *     fold_init -> fold_attach (each VM) -> fold_step, again and again -> fold_detach
 *
 * A VM may be attached and detached at any moment between two steps; its frames stay folded. Pinned
 * frames are skipped. Nothing here allocates, sleeps or keeps time.
 *
 * Locking: as the frame table's.
 */
#ifndef MM_FOLD_H
#define MM_FOLD_H

#include "base/status.h"
#include "base/types.h"
#include "mm/frame.h"
#include "mm/p2m.h"

/* What the engine is doing: a pass, or tearing the last pass's unstable trees down. */
enum fold_phase { FOLD_SCAN, FOLD_TEARDOWN };

struct fold {
    struct frames *frames;
    uint64_t (*ticks)(void); /* may be NULL: scan_ticks stays 0 */
    struct p2m *maps;        /* attached, in the order of attachment */
    struct share_group *groups;
    bool run, zero;

    enum fold_phase phase;
    struct p2m *cursor; /* the map under the scan; NULL at a pass's end */
    gfn_t next;         /* the next guest frame to look at in it */

    uint64_t stable, unstable;             /* nodes in all trees of a kind */
    uint64_t volatile_now;                 /* of this pass so far */
    uint64_t volatile_last, unshared_last; /* of the last complete pass */
    uint64_t full_scans, pages_scanned, pages_skipped;
    uint64_t compares, hashes, scan_ticks;
};

/* A reading of the counters, under KSM's names where KSM has them. */
struct fold_counters {
    uint64_t pages_shared;   /* SHARED frames in use */
    uint64_t pages_sharing;  /* entries that map one, beyond the first for each: frames saved */
    uint64_t pages_unshared; /* in the last complete pass: looked for, and without an equal */
    uint64_t pages_volatile; /* in the last complete pass: changed since the one before */
    uint64_t pages_zero;     /* entries that map a zero page */
    uint64_t full_scans;
    uint64_t pages_scanned; /* entries looked at, whatever they mapped */
    uint64_t pages_skipped; /* of these, pinned, or not the guest's own to fold */
    uint64_t merges, zero_merges;
    uint64_t cow_breaks, zero_breaks;
    uint64_t compares; /* pairs of pages compared, in searches and before merges */
    uint64_t hashes;   /* checksums computed */
    uint64_t scan_ticks;
};

/* Also takes over frames->unindex. Folding is on and the zero page in use. */
void fold_init(struct fold *f, struct frames *frames, uint64_t (*ticks)(void));

/* The map joins the pass under way, last. Its group must have been initialised. */
void fold_attach(struct fold *f, struct p2m *p);
/* The map is not looked at again. No effect when it is not attached. */
void fold_detach(struct fold *f, struct p2m *p);
/* Forgets a group before share_group_fini. E_BUSY while frames of it are indexed or VMs attached.
 */
enum status fold_forget(struct fold *f, struct share_group *g) MUST_CHECK;

/*
 * Does at most `budget` pages' worth of work (a page visited, or a few tree nodes torn down) and
 * returns how much it did: less than `budget` at the end of a pass, 0 when switched off or when
 * there is nothing to scan.
 */
unsigned fold_step(struct fold *f, unsigned budget);

/* The counters as they are now, sums over groups included. */
void fold_read(const struct fold *f, struct fold_counters *out);

/*
 * Run-time switches: `run` and `fold.zero` (on, off), `fold.index` (tree), `fold.volatility`
 * (checksum). E_NOTFOUND for another key and E_INVAL for another value, with the reason in *why
 * (a constant string).
 */
enum status fold_set(struct fold *f, const char *key, const char *value,
                     const char **why) MUST_CHECK;
/* The i-th key and its value; false past the last. */
bool fold_get(const struct fold *f, unsigned i, const char **key, const char **value);

#endif
