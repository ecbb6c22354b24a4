/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast the scanner goes. Its advisor holds two things at once: a pass begins every
 * `scan.pass`, and while guests want the CPU the scanner takes at most `scan.cpu_max` of it. Beside
 * them stands an upper rate, `scan.pages` pages and then a sleep of `scan.sleep`.
 *
 *     n = pace_pages(&pace, now, flags);
 *     if n > 0: fold_step(f, n, &burst_end); pace_done(&pace, &what_it_did);
 *     come back at pace_next(&pace, flags)
 *
 * The work of a pass, as far as it can be told from the last ones and from how this one goes, is
 * spread over most of the target time, in bursts of at most burst_ns by the measured cost of a
 * page; a pass that turns out longer goes as fast as cpu_max allows. The next one does not begin
 * before the target time is over, however little there was to do: what is clean at its second look
 * has been so for about that long. Where no guest wants the CPU, the work of the pass under way is
 * done at once.
 *
 * Pure arithmetic: no clock, no state but the struct.
 */
#ifndef MM_FOLD_PACE_H
#define MM_FOLD_PACE_H

#include "base/status.h"
#include "base/types.h"

struct pace_config {
    uint32_t pages;    /* per wake-up, at least 1 */
    uint64_t sleep_ns; /* between the end of one wake-up's pages and the next wake-up */
    unsigned cpu_max;  /* percent, 1 to 100 */
    uint64_t burst_ns; /* the longest stretch, at least 1 */
    uint64_t pass_ns;  /* from one pass's begin to the next's; 0: they follow one another */
};

/* How the caller stands. */
#define PACE_IDLE 1u   /* no guest wants the CPU: cpu_max does not bind, and work is not put off */
#define PACE_URGENT 2u /* there is work that no pass should wait for */
/* Guests wait for the frames that folding may find: passes follow one another, as fast as cpu_max
 * lets them, and with PACE_IDLE without any pause. */
#define PACE_WANTED 4u

/* What kept the last pass from being quicker; of one that is late already, what keeps it. */
enum pace_why {
    PACE_NONE,      /* there was no pass yet */
    PACE_PASS_TIME, /* the target time: it could have been quicker */
    PACE_CPU_CAP,   /* cpu_max: it took longer than the target time */
    PACE_PAGES,     /* likewise, by pages and sleep */
    PACE_FREE,      /* nothing: no guest wanted the CPU, so it was done at once */
};

/* How far a pass has come, of struct pace_burst. */
#define PACE_WHOLE 65536u

struct pace_burst {
    uint64_t start_ns, end_ns;
    uint32_t pages;
    unsigned flags;    /* as for pace_pages; with PACE_URGENT it was no part of a pass */
    bool pass_over;    /* it came to the end of the pass */
    uint32_t progress; /* the part of memory that the pass has behind it, of PACE_WHOLE */
};

struct pace {
    struct pace_config config;
    uint64_t page_ns;  /* what a page costs: a running mean, at least 1 */
    uint32_t left;     /* pages of this wake-up not scanned yet */
    uint64_t awake_ns; /* not before this moment: scan.sleep */
    uint64_t cap_ns;   /* likewise, unless idle: scan.cpu_max */
    uint64_t due_ns;   /* likewise, within a pass: its work is spread */
    /* The pass under way, or the last one. */
    bool begun, in_pass;
    uint64_t begin_ns, spent_ns;
    uint64_t capped_ns, slept_ns; /* what cpu_max and scan.sleep made it wait */
    uint32_t progress;
    bool was_busy;        /* some burst of it ended while a guest wanted the CPU */
    uint64_t expected_ns; /* what a pass costs: a running mean; 0: not known */
    /* Of the last pass that is over. */
    enum pace_why why;
    uint64_t pass_took_ns, pass_spent_ns;
};

/* The first pass is due at once. E_INVAL for a value outside the bounds above. */
enum status pace_init(struct pace *p, const struct pace_config *config) MUST_CHECK;
/* Takes effect from the next burst; an error leaves everything as it was. */
enum status pace_set(struct pace *p, const struct pace_config *config) MUST_CHECK;

/* How many pages may be scanned now: 0 before pace_next. */
uint32_t pace_pages(const struct pace *p, uint64_t now_ns, unsigned flags);
/* After a burst. One of no pages that did not end a pass found nothing to scan. */
void pace_done(struct pace *p, const struct pace_burst *b);
/* Other work of the scanner, from start_ns to end_ns, that cpu_max covers too. */
void pace_charge(struct pace *p, uint64_t start_ns, uint64_t end_ns, unsigned flags);
/* When to come back (ns); in the past when a burst is due. */
uint64_t pace_next(const struct pace *p, unsigned flags);
/* The pass under way is not this pace's any more; the next begins a target time from now. */
void pace_drop(struct pace *p, uint64_t now_ns);

enum pace_why pace_why(const struct pace *p, uint64_t now_ns);
/* "none", "pass-time", "cpu-cap", "pages", "idle". */
const char *pace_why_name(enum pace_why why);

#endif
