/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast the scanner goes: `scan.pages` pages at each wake-up, `scan.sleep` between two of them,
 * and never more than `scan.cpu_max` of the CPU's time while guests want it.
 *
 *     n = pace_pages(&pace, now); if n > 0: done = fold_step(f, n); pace_done(&pace, now, done,
 * ...)
 *
 * A wake-up's pages are scanned in bursts of at most burst_ns, by the measured cost of a page, so
 * that no guest waits longer than that behind the scanner. After each burst the scanner pauses for
 * as long as cpu_max demands. Pure arithmetic: no clock, no state but the struct.
 */
#ifndef MM_PACE_H
#define MM_PACE_H

#include "base/status.h"
#include "base/types.h"

struct pace_config {
    uint32_t pages;    /* per wake-up, at least 1 */
    uint64_t sleep_ns; /* between the end of one wake-up's pages and the next wake-up */
    unsigned cpu_max;  /* percent, 1 to 100 */
    uint64_t burst_ns; /* the longest stretch, at least 1 */
};

struct pace {
    struct pace_config config;
    uint64_t next_ns; /* not before this moment */
    uint32_t left;    /* pages of this wake-up not scanned yet */
    uint64_t page_ns; /* what a page costs: a running mean, at least 1 */
};

/* The first wake-up is due at once. E_INVAL for a value outside the bounds above. */
enum status pace_init(struct pace *p, const struct pace_config *config) MUST_CHECK;
/* Takes effect from the next burst; an error leaves everything as it was. */
enum status pace_set(struct pace *p, const struct pace_config *config) MUST_CHECK;

/* How many pages may be scanned now: 0 before pace_next. */
uint32_t pace_pages(const struct pace *p, uint64_t now_ns);
/*
 * After a burst of `done` pages that ended at now_ns and took cost_ns. `done` below what pace_pages
 * allowed ends this wake-up. `idle`: no guest wanted the CPU, so cpu_max does not bind.
 */
void pace_done(struct pace *p, uint64_t now_ns, uint32_t done, uint64_t cost_ns, bool idle);
/* When to come back (ns); in the past when a burst is due. */
uint64_t pace_next(const struct pace *p);

#endif
