/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM is promised of the machine's memory, and what bounds it.
 *
 * A promise is a number of pages that the VM can have to itself at any moment, whatever is folded,
 * cached or started meanwhile. It is kept by frames that stay free: for each VM with a promise, as
 * many as it has fewer private pages than promised, and as many tables as all its memory may want
 * besides, and frames for the rest of its machine: vCPUs and disks' buffers (struct frames, kept).
 * Only that VM's own faults, and its start, take them. The invariant is
 *
 *     frames free >= frames kept = sum over VMs of (promised pages - private pages, if more than 0)
 *                                                + (tables at most - tables now)
 *                                                + (overhead at most - overhead now)
 *
 * So a VM that is restarted finds what it gave back meanwhile: its owner carries `struct promise`
 * from the map that ends to the one that begins. In between there is no map, and all is kept.
 *
 * Giving a page away raises what is kept by one, and frees a frame in return: a merge into a frame
 * that is there, a page that goes. Where no frame comes free (a private page becomes SHARED where
 * it is) promise_can_share says whether there is one to spare; if not, the page is not shared now.
 *
 * A bound is a number of frames that a VM may hold alone: private pages, SHARED ones that only one
 * page of it maps (p2m_sole_walk), tables, notes, and what it has written to `,snapshot` disks. A
 * frame that several pages map counts for no VM.
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
 * Promises `pages` to the VM, 0 for none; its map is empty or it had a promise before. Frames are
 * kept as they are found; E_BUSY: the time is over and some are missing: call it again, and until
 * it is OK make nothing of the VM. E_NOMEM: there are not enough frames beyond those kept for
 * others, even after the cache gave what it can; what was promised before is promised again.
 * `wanted`: frames with its tables and its machine's, in any case.
 */
enum status promise_make(struct p2m *p, uint64_t pages, const struct deadline *d,
                         uint64_t *wanted) MUST_CHECK;
/* Whether there is a promise, and all that it takes is kept. */
bool promise_is_kept(const struct p2m *p);
/* What has to be kept for the promise now; without it, and during promise_make, less is. */
uint64_t promise_need(const struct p2m *p);

/*
 * Around the making or the taking away of a part of the VM's machine: HYP frames that come or go
 * until the end are the VM's overhead, and may be what is kept for it. `begun`: what begin
 * returned.
 */
uint64_t promise_overhead_begin(struct p2m *p);
void promise_overhead_end(struct p2m *p, uint64_t begun);
/* What is allocated until promise_end may be what is kept for the VM: for the map's root. */
void promise_draw(struct p2m *p);
/* At most so many frames, PROMISE_NO_BOUND for any number. What it holds beyond stays. */
#define PROMISE_NO_BOUND UINT64_MAX
void promise_bound(struct p2m *p, uint64_t frames);

/* What the VM holds alone: private and sole pages, tables and notes; without what it keeps aside.
 */
uint64_t promise_held(const struct p2m *p);
/* The most tables and notes that the VM's memory can want. */
uint64_t promise_tables_max(const struct p2m *p);
/* Frames that are free, or the cache's to give, beyond what is kept. */
uint64_t promise_spare(const struct frames *f);

/* ---- for mm/p2m ---------------------------------------------------------------------------- */

/*
 * Before a fault or a disk read that gives the VM a frame for gfn, or tables: whether it may have
 * them. `page`: a free frame is wanted, to be private; `more`: the VM holds one more alone then, as
 * what gfn maps now does not count for it. E_NOMEM with p->refused set if not. On OK, what is
 * allocated until promise_end may be what is kept for this VM.
 */
enum status promise_begin(struct p2m *p, gfn_t gfn, bool page, bool more) MUST_CHECK;
void promise_end(struct p2m *p);
/* Whether its bound lets the VM hold `n` frames more; p->refused is set if not. */
bool promise_may_hold(struct p2m *p, uint64_t n);
/* Whether a fault that wants `n` frames would get them, as far as bound and order go. */
bool promise_may_take(const struct p2m *p, uint64_t n);
/* The VM's pages or tables have changed in number. */
void promise_settle(struct p2m *p);
/* Whether a private page of the VM may become SHARED where it is. */
bool promise_can_share(const struct p2m *p);

#endif
