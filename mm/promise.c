/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM is promised of the machine's memory, and what bounds it: see promise.h. */
#include "mm/promise.h"

#include "base/bits.h"
#include "base/log.h"

/* Levels of tables that a page may want: the notes of its region, and three below the root. */
#define TABLES_A_PAGE 4u

static uint64_t private_pages(const struct p2m *p)
{
    return p->present - p->zero_maps - p->shared_maps;
}

static uint64_t tables(const struct p2m *p)
{
    return p->n_notes + (p->ops->tables ? p->ops->tables(p->ctx) : 0);
}

uint64_t promise_held(const struct p2m *p)
{
    return private_pages(p) + tables(p);
}

uint64_t promise_tables_max(const struct p2m *p)
{
    uint64_t regions = 0, upper = 1;

    for (unsigned i = 0; i < p->n_runs; i++) {
        uint64_t first = p->runs[i].first.n / P2M_REGION_PAGES;
        uint64_t last = (p->runs[i].first.n + p->runs[i].pages - 1) / P2M_REGION_PAGES;

        regions += last - first + 1;
        upper += last / 512 - first / 512 + 1;                 /* directories of 1 GiB, */
        upper += last / (512 * 512) - first / (512 * 512) + 1; /* of 512 GiB */
    }
    return 2 * regions + upper; /* lowest tables, and notes */
}

uint64_t promise_spare(const struct frames *f)
{
    uint64_t have = f->by_state[FRAME_FREE] + f->by_state[FRAME_CACHE];

    return have > f->kept ? have - f->kept : 0;
}

/* ---- promises ------------------------------------------------------------------------------ */

void promise_settle(struct p2m *p)
{
    uint64_t now = 0;

    if (p->min_pages > 0) {
        uint64_t pages = private_pages(p), most = promise_tables_max(p), have = tables(p);

        now = p->min_pages > pages ? p->min_pages - pages : 0;
        now += most > have ? most - have : 0;
    }
    p->frames->kept += now - p->kept;
    p->kept = now;
}

enum status promise_make(struct p2m *p, uint64_t pages, uint64_t *wanted)
{
    struct frames *f = p->frames;
    uint64_t old = p->min_pages, free;

    p->min_pages = pages;
    promise_settle(p);
    *wanted = p->kept;
    free = f->by_state[FRAME_FREE];
    if (f->kept > free && f->reclaim) {
        (void)f->reclaim(f->reclaim_ctx, f->kept - free);
    }
    if (pages == 0 || f->kept <= f->by_state[FRAME_FREE]) {
        return OK;
    }
    p->min_pages = old;
    promise_settle(p);
    return E_NOMEM;
}

bool promise_can_share(const struct p2m *p)
{
    return private_pages(p) > p->min_pages || p->min_pages == 0 ||
           p->frames->by_state[FRAME_FREE] > p->frames->kept;
}

/* ---- bounds and turns ---------------------------------------------------------------------- */

void promise_bound(struct p2m *p, uint64_t frames)
{
    p->max_frames = frames;
}

bool promise_may_hold(struct p2m *p, uint64_t n)
{
    if (promise_held(p) + p->aside + n <= p->max_frames) {
        return true;
    }
    p->refused = PROMISE_BOUND;
    return false;
}

enum status promise_begin(struct p2m *p, gfn_t gfn, bool page)
{
    bool first = p2m_notes(p, gfn) == NULL; /* of its region: tables may be missing too */
    uint64_t want = page + (first ? TABLES_A_PAGE : 0u);

    if (want == 0) {
        return OK;
    }
    if (!promise_may_hold(p, want)) {
        return E_NOMEM;
    }
    bool promised = p->min_pages > 0 && (!page || private_pages(p) < p->min_pages);
    if (!promised && p->keep_free > 0 && promise_spare(p->frames) < p->keep_free + want) {
        p->refused = PROMISE_TURN;
        return E_NOMEM;
    }
    p->refused = PROMISE_EMPTY; /* unless it all succeeds */
    p->frames->draws = promised;
    return OK;
}

void promise_end(struct p2m *p)
{
    p->frames->draws = false;
}
