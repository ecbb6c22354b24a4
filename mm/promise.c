/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM is promised of the machine's memory, and what bounds it: see promise.h. */
#include "mm/promise.h"

#include "base/bits.h"
#include "base/log.h"

/* Levels of tables that a page may want: the notes of its region, and three below the root. */
#define TABLES_A_PAGE 4u
/* Frames that the cache is asked for between two looks at the clock. */
#define RECLAIM_BATCH 16u
/* Calls in a row that bring none before there are none. One ends after 64 evictions, and the blocks
 * of one frame may lie far apart. */
#define FRUITLESS_CALLS 64u

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
    return private_pages(p) + tables(p) + p->sole_maps;
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
    uint64_t have = f->by_state[FRAME_FREE] + f->by_state[FRAME_CACHE_ONLY];

    return have > f->kept ? have - f->kept : 0;
}

/* ---- promises ------------------------------------------------------------------------------ */

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

uint64_t promise_need(const struct p2m *p)
{
    const struct promise *own = &p->promise;

    if (own->pages == 0) {
        return 0;
    }
    return less(own->pages, private_pages(p)) + less(promise_tables_max(p), tables(p)) +
           less(own->overhead_max, own->overhead);
}

void promise_settle(struct p2m *p)
{
    struct promise *own = &p->promise;
    uint64_t need = promise_need(p);

    own->missing = MIN(own->missing, need);
    p->frames->kept += need - own->missing - own->kept;
    own->kept = need - own->missing;
}

/* Keeps frames that are free and kept for none, as many as are missing. */
static void keep_free_ones(struct p2m *p)
{
    struct frames *f = p->frames;
    uint64_t n = MIN(p->promise.missing, less(f->by_state[FRAME_FREE], f->kept));

    p->promise.missing -= n;
    p->promise.kept += n;
    f->kept += n;
}

/* Changes what is promised; what is kept grows only as keep_free_ones finds frames. */
static void begin(struct p2m *p, uint64_t pages)
{
    struct promise *own = &p->promise;

    own->before = own->missing > 0 ? own->before : own->pages;
    own->pages = pages;
    own->fruitless = 0;
    own->missing = less(promise_need(p), own->kept);
    promise_settle(p);
}

enum status promise_make(struct p2m *p, uint64_t pages, const struct deadline *d, uint64_t *wanted)
{
    struct promise *own = &p->promise;
    struct frames *f = p->frames;

    if (pages != own->pages || own->missing == 0) {
        begin(p, pages);
    }
    *wanted = promise_need(p);
    keep_free_ones(p);
    for (bool late = false; own->missing > 0; late = deadline_passed(d)) {
        if (late) {
            return E_BUSY;
        }
        uint64_t want = MIN(own->missing, (uint64_t)RECLAIM_BATCH);
        bool any = frames_reclaim(f, want) > 0;
        own->fruitless = any ? 0 : own->fruitless + 1;
        if (f->n_reclaimers == 0 || own->fruitless >= FRUITLESS_CALLS) {
            own->pages = own->before;
            own->missing = 0;
            promise_settle(p);
            return E_NOMEM;
        }
        keep_free_ones(p);
    }
    return OK;
}

bool promise_is_kept(const struct p2m *p)
{
    return p->promise.pages > 0 && p->promise.missing == 0;
}

bool promise_can_share(const struct p2m *p)
{
    return private_pages(p) > p->promise.pages || p->promise.pages == 0 ||
           p->frames->by_state[FRAME_FREE] > p->frames->kept;
}

/* ---- the frames of the VM's machine -------------------------------------------------------- */

void promise_draw(struct p2m *p)
{
    p->frames->draws = p->promise.kept > 0;
}

uint64_t promise_overhead_begin(struct p2m *p)
{
    promise_draw(p);
    return p->frames->by_state[FRAME_HYP];
}

void promise_overhead_end(struct p2m *p, uint64_t begun)
{
    p->promise.overhead += p->frames->by_state[FRAME_HYP] - begun; /* or less: it wraps */
    promise_end(p);
    promise_settle(p);
}

/* ---- bounds and turns ---------------------------------------------------------------------- */

void promise_bound(struct p2m *p, uint64_t frames)
{
    p->max_frames = frames;
}

static bool bound_allows(const struct p2m *p, uint64_t n)
{
    return p->max_frames == PROMISE_NO_BOUND || promise_held(p) + p->aside + n <= p->max_frames;
}

bool promise_may_hold(struct p2m *p, uint64_t n)
{
    if (bound_allows(p, n)) {
        return true;
    }
    p->refused = PROMISE_BOUND;
    return false;
}

bool promise_may_take(const struct p2m *p, uint64_t n)
{
    return bound_allows(p, n) &&
           (private_pages(p) < p->promise.pages || promise_spare(p->frames) >= p->keep_free + n);
}

static enum status begin_on_terms(struct p2m *p, gfn_t gfn, bool page, bool more)
{
    bool first = p2m_notes(p, gfn) == NULL; /* of its region: tables may be missing too */
    uint64_t tables_wanted = first ? TABLES_A_PAGE : 0u, want = page + tables_wanted;

    if (more + tables_wanted > 0 && !promise_may_hold(p, more + tables_wanted)) {
        return E_NOMEM;
    }
    if (want == 0) {
        return OK;
    }
    bool promised = p->promise.pages > 0 && (!page || private_pages(p) < p->promise.pages);
    if (!promised && p->keep_free > 0 && promise_spare(p->frames) < p->keep_free + want) {
        p->refused = PROMISE_TURN;
        return E_NOMEM;
    }
    p->refused = PROMISE_EMPTY; /* unless it all succeeds */
    p->frames->draws = promised;
    return OK;
}

enum status promise_begin(struct p2m *p, gfn_t gfn, bool page, bool more)
{
    if (p->max_frames != PROMISE_NO_BOUND || p->promise.pages > 0 || p->keep_free > 0) {
        return begin_on_terms(p, gfn, page, more);
    }
    p->refused = PROMISE_EMPTY; /* the only reason that there can be */
    return OK;
}

void promise_end(struct p2m *p)
{
    p->frames->draws = false;
}
