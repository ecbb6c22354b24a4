/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which page comes next: all of them where checksums tell what changed, else those that the dirty
 * bits and the notes name.
 */
#include "mm/fold/scan.h"

#include "base/bits.h"
#include "base/string.h"
#include "mm/fold/alone.h"
#include "mm/fold/attach.h"
#include "mm/fold/page.h"
#include "mm/fold/rest.h"

/* Work on the way to the next page that is due: so much of it counts as one page. */
#define WAY_PAGE 512u
/* A look at a region or a resting page that led to nothing, or for a page that is not there; and a
 * region in which nothing was ever touched. */
#define WAY_GLANCE 32u
#define WAY_HOLE 1u
/* Written pages whose marks are taken for the price of one page that is looked at. */
#define SETTLE_PAGES 16u

/* Resting pages are woken once in a while, or when nothing may rest any more. */
static bool wakes(const struct fold *f)
{
    return !f->on.backoff || f->full_scans % FOLD_ROUND == 0;
}

/* Some work on the way. True: with what went before it is a page's worth. */
static bool pay(struct fold *f, unsigned way)
{
    f->way += way;
    if (f->way < WAY_PAGE) {
        return false;
    }
    f->way -= WAY_PAGE;
    return true;
}

/* Makes the pages of the next region due for fold_scan_all. False: none is left. */
static bool make_due(struct fold *f, struct p2m *p)
{
    while (p->fold_due < p->n_regions) {
        struct p2m_notes *notes = p2m_notes(p, GFN((uint64_t)p->fold_due * P2M_REGION_PAGES));

        p->fold_due++;
        if (notes) {
            for (unsigned i = 0; i < P2M_REGION_PAGES; i++) {
                notes->pages[i].rests = 0;
            }
            memset(notes->pending, 0xff, sizeof(notes->pending));
            memset(notes->resting, 0, sizeof(notes->resting));
            memset(notes->skipped, 0, sizeof(notes->skipped));
            return true;
        }
        if (pay(f, WAY_HOLE)) {
            return true;
        }
    }
    return false;
}

/* ---- by checksums -------------------------------------------------------------------------- */

/* Whether this page rests on; else it is awake. */
static bool rests(struct fold *f, struct p2m *p, gfn_t gfn)
{
    struct p2m_notes *notes = p2m_notes(p, gfn);
    unsigned word = (unsigned)(gfn.n % P2M_REGION_PAGES / 64);
    uint64_t bit = BIT(gfn.n % 64);

    if (!(notes->resting[word] & bit)) {
        return false;
    }
    if (!wakes(f)) {
        f->pages_skipped += (notes->skipped[word] & bit) != 0;
        return true;
    }
    notes->resting[word] &= ~bit;
    notes->skipped[word] &= ~bit;
    return false;
}

static bool is_called(const struct fold *f, const struct p2m *p, gfn_t gfn)
{
    return fold_alone_called(f, p, gfn, 1) != 0;
}

/* The next page that is mapped. False: none in this map. */
static bool next_mapped(struct fold *f)
{
    struct p2m *p = f->cursor;
    const struct p2m_slot *last = &p->runs[p->n_runs - 1];
    gfn_t end = GFN(last->first.n + last->pages), gfn;
    struct p2m_entry e;

    while (p->ops->next(p->ctx, f->next, end, &gfn, &e) == OK) {
        f->next = GFN(gfn.n + 1);
        if (!rests(f, p, gfn)) {
            fold_page(f, p, gfn, e.mfn, false);
            return true;
        }
        if (is_called(f, p, gfn)) {
            fold_rest_look(f, p, gfn, e.mfn);
            return true;
        }
        if (pay(f, WAY_GLANCE)) {
            return true;
        }
    }
    return false;
}

/* ---- by dirty bits ------------------------------------------------------------------------- */

/* Takes note of pages of the region that were written, of some at a time: in a region that was just
 * filled it is all of them. False: it is done. */
static bool settle_written(struct fold *f)
{
    unsigned n = 0;

    for (unsigned i = 0; i < P2M_REGION_WORDS && n < SETTLE_PAGES; i++) {
        for (; f->settle[i] && n < SETTLE_PAGES; n++, f->settle[i] &= f->settle[i] - 1) {
            unsigned k = 64 * i + (unsigned)__builtin_ctzll(f->settle[i]);
            fold_page_written(f, f->cursor, GFN(f->next.n + k));
        }
    }
    return n > 0;
}

/*
 * Takes stock of the region at f->next. What was written since the last pass is due in the next
 * one, if it stays clean that long; what was due in this one and is still clean goes to f->todo,
 * and what rests, but is called, to f->called. False: nothing to do here.
 */
static bool enter_region(struct fold *f)
{
    struct p2m *p = f->cursor;
    struct p2m_notes *notes = p2m_notes(p, f->next);
    bool wake = wakes(f), calls = f->alone[0].any;
    uint64_t any = 0;

    for (unsigned i = 0; i < P2M_REGION_WORDS; i++) {
        any |= notes->written[i] | notes->pending[i] | (wake || calls ? notes->resting[i] : 0);
    }
    if (!any) {
        f->pages_skipped += fold_rest_skipped(notes);
        return false;
    }
    for (unsigned i = 0; i < P2M_REGION_WORDS; i++) {
        uint64_t written = notes->written[i], due = notes->pending[i];
        gfn_t first = GFN(f->next.n + 64 * (uint64_t)i);

        if (wake) {
            due |= notes->resting[i];
            notes->resting[i] = 0;
            notes->skipped[i] = 0;
        }
        f->todo[i] = due & ~written;
        f->called[i] = fold_alone_called(f, p, first, notes->resting[i] & ~(due | written));
        notes->pending[i] = written;
        notes->written[i] = 0;
        f->settle[i] = written;
    }
    return true;
}

/* The next page of the region that is due. False: the region is done. */
static bool next_todo(struct fold *f)
{
    struct p2m *p = f->cursor;
    struct p2m_entry e;

    for (unsigned i = 0; i < P2M_REGION_WORDS; i++) {
        while (f->todo[i]) {
            gfn_t gfn = GFN(f->next.n + 64 * (uint64_t)i + (unsigned)__builtin_ctzll(f->todo[i]));

            f->todo[i] &= f->todo[i] - 1;
            if (p->ops->lookup(p->ctx, gfn, &e) == OK) {
                fold_page(f, p, gfn, e.mfn, false);
                return true;
            }
            if (pay(f, WAY_GLANCE)) {
                return true;
            }
        }
    }
    return false;
}

/* The next page of the region that rests, and is called. False: there is none. */
static bool next_called(struct fold *f)
{
    struct p2m *p = f->cursor;
    struct p2m_entry e;

    for (unsigned i = 0; i < P2M_REGION_WORDS; i++) {
        while (f->called[i]) {
            gfn_t gfn = GFN(f->next.n + 64 * (uint64_t)i + (unsigned)__builtin_ctzll(f->called[i]));

            f->called[i] &= f->called[i] - 1;
            if (p->ops->lookup(p->ctx, gfn, &e) == OK) {
                fold_rest_look(f, p, gfn, e.mfn);
                return true;
            }
            if (pay(f, WAY_GLANCE)) {
                return true;
            }
        }
    }
    return false;
}

/* The next page that is due, or a part of the way there. False: none in this map. */
static bool next_due(struct fold *f)
{
    uint64_t end = (uint64_t)f->cursor->n_regions * P2M_REGION_PAGES;

    f->next = GFN(ALIGN_DOWN(f->next.n, P2M_REGION_PAGES));
    while (f->next.n < end) {
        if (f->in_region) {
            if (settle_written(f) || next_todo(f) || next_called(f)) {
                return true;
            }
            f->pages_skipped += fold_rest_skipped(p2m_notes(f->cursor, f->next));
            f->in_region = false;
            f->next = GFN(f->next.n + P2M_REGION_PAGES);
        } else if (!p2m_notes(f->cursor, f->next)) {
            f->next = GFN(f->next.n + P2M_REGION_PAGES);
            if (pay(f, WAY_HOLE)) {
                return true;
            }
        } else {
            bool harvested = p2m_harvest(f->cursor, f->next);

            f->regions_harvested += harvested;
            f->regions_passed += !harvested;
            f->in_region = enter_region(f);
            f->next = GFN(f->next.n + (f->in_region ? 0 : P2M_REGION_PAGES));
            /* Reading 512 dirty bits costs about what looking at a page does. */
            if (f->in_region || harvested || pay(f, WAY_GLANCE)) {
                return true;
            }
        }
    }
    return false;
}

bool fold_scan_one(struct fold *f)
{
    while (f->cursor) {
        if (make_due(f, f->cursor)) {
            return true;
        }
        if (fold_by_dirty(f, f->cursor) ? next_due(f) : next_mapped(f)) {
            return true;
        }
        fold_scan_to(f, f->cursor->fold_next);
    }
    return false;
}

/* ---- how far ------------------------------------------------------------------------------- */

/* Where in its region the scan is. */
static unsigned in_region(const struct fold *f)
{
    for (unsigned i = 0; f->in_region && i < P2M_REGION_WORDS; i++) {
        if (f->todo[i]) {
            return 64 * i + (unsigned)__builtin_ctzll(f->todo[i]);
        }
    }
    return f->in_region ? P2M_REGION_PAGES : 0;
}

uint32_t fold_progress(const struct fold *f, uint32_t whole)
{
    uint64_t all = 0, done = 0;
    bool behind = f->phase == FOLD_SCAN || f->phase == FOLD_CACHED;

    for (const struct p2m *p = f->maps; p; p = p->fold_next) {
        uint64_t pages = (uint64_t)p->n_regions * P2M_REGION_PAGES;
        if (p == f->cursor) {
            done += MIN(f->next.n + in_region(f), pages);
            behind = false;
        }
        done += behind ? pages : 0;
        all += pages;
    }
    return all > 0 ? (uint32_t)(done * whole / all) : 0;
}
