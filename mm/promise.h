/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM is promised of the machine's memory, and what bounds it.
 *
 * A promise is a number of pages that the VM can have to itself at any moment, whatever is folded,
 * cached or started meanwhile. It is kept by frames that stay free: for each VM with a promise, as
 * many as it has fewer private pages than promised, and as many tables as all its memory may want
 * besides (struct frames, kept). Only that VM's own faults take them. The invariant is
 *
 *     frames free >= frames kept = sum over VMs of (promised pages - private pages, if more than 0)
 *                                                + (tables at most - tables now)
 *
 * Giving a page away raises what is kept by one, and frees a frame in return: a merge into a frame
 * that is there, a page that goes. Where no frame comes free (a private page becomes SHARED where
 * it is) promise_can_share says whether there is one to spare; if not, the page is not shared now.
 *
 * A bound is a number of frames that a VM may hold alone: private pages, tables, notes, and what it
 * has written to `,snapshot` disks. What is folded counts for nobody.
 *
 * Neither ever makes anything go away: a VM that may take no frame waits.
 */
#ifndef MM_PROMISE_H
#define MM_PROMISE_H

#include "mm/p2m.h"

/* Why a VM got no frame the last time that it wanted one. */
enum promise_refusal {
    PROMISE_NONE,
    PROMISE_EMPTY, /* the machine has none, but what is kept for others */
    PROMISE_TURN,  /* those that are left are for VMs that go first (keep_free) */
    PROMISE_BOUND, /* memory.max */
};

/*
 * Promises `pages` to the VM, 0 for none; its map is empty or it had a promise before. E_NOMEM:
 * there are not enough frames beyond those kept for others, even after the cache gave what it can;
 * nothing has changed. `wanted`: with its tables, in any case.
 */
enum status promise_make(struct p2m *p, uint64_t pages, uint64_t *wanted) MUST_CHECK;
/* At most so many frames, PROMISE_NO_BOUND for any number. What it holds beyond stays. */
#define PROMISE_NO_BOUND UINT64_MAX
void promise_bound(struct p2m *p, uint64_t frames);

/* What the VM holds alone: private pages, tables and notes; without what it keeps aside. */
uint64_t promise_held(const struct p2m *p);
/* The most tables and notes that the VM's memory can want. */
uint64_t promise_tables_max(const struct p2m *p);
/* Frames that are free, or the cache's to give, beyond what is kept. */
uint64_t promise_spare(const struct frames *f);

/* ---- for mm/p2m ---------------------------------------------------------------------------- */

/*
 * Before a fault that makes a page private, or only wants tables for it: whether the VM may have
 * the frames. E_NOMEM with p->refused set if not. On OK, what is allocated until promise_end may be
 * what is kept for this VM.
 */
enum status promise_begin(struct p2m *p, gfn_t gfn, bool page) MUST_CHECK;
void promise_end(struct p2m *p);
/* Whether its bound lets the VM hold `n` frames more; p->refused is set if not. */
bool promise_may_hold(struct p2m *p, uint64_t n);
/* The VM's pages or tables have changed in number. */
void promise_settle(struct p2m *p);
/* Whether a private page of the VM may become SHARED where it is. */
bool promise_can_share(const struct p2m *p);

#endif
