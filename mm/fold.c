/* SPDX-License-Identifier: BSD-2-Clause */
/* The passes: which page comes next, attaching and detaching, counters. */
#include "mm/fold.h"

#include "base/log.h"
#include "base/string.h"
#include "mm/fold_index.h"
#include "mm/fold_page.h"

/* Tree nodes torn down for one page of the budget: about what comparing two pages costs. */
#define TEARDOWN_NODES 16

void fold_init(struct fold *f, struct frames *frames, uint64_t (*ticks)(void))
{
    memset(f, 0, sizeof(*f));
    f->frames = frames;
    f->ticks = ticks;
    f->run = true;
    f->zero = true;
    f->phase = FOLD_TEARDOWN; /* with nothing to tear down, this starts the first pass */
    frames->unindex = fold_index_remove;
    frames->unindex_ctx = f;
}

/* ---- attaching ----------------------------------------------------------------------------- */

static void set_cursor(struct fold *f, struct p2m *p)
{
    f->cursor = p;
    f->next = p ? p->runs[0].first : GFN(0);
}

void fold_attach(struct fold *f, struct p2m *p)
{
    struct share_group **g = &f->groups;
    struct p2m **end = &f->maps;

    ASSERT(!p->fold_attached);
    while (*g && *g != p->group) {
        ASSERT((*g)->id != p->group->id);
        g = &(*g)->fold_next;
    }
    if (!*g) {
        p->group->fold_next = NULL;
        *g = p->group;
    }
    while (*end) {
        end = &(*end)->fold_next;
    }
    *end = p;
    p->fold_next = NULL;
    p->fold_attached = true;
    if (f->phase == FOLD_SCAN && !f->cursor) {
        set_cursor(f, p);
    }
}

void fold_detach(struct fold *f, struct p2m *p)
{
    struct p2m **at = &f->maps;

    if (!p->fold_attached) {
        return;
    }
    while (*at != p) {
        at = &(*at)->fold_next;
    }
    *at = p->fold_next;
    if (f->cursor == p) {
        set_cursor(f, p->fold_next);
    }
    p->fold_next = NULL;
    p->fold_attached = false;
}

enum status fold_forget(struct fold *f, struct share_group *g)
{
    struct share_group **at = &f->groups;

    if (g->stable_root != FRAME_NIL || g->unstable_root != FRAME_NIL) {
        return E_BUSY;
    }
    for (const struct p2m *p = f->maps; p; p = p->fold_next) {
        if (p->group == g) {
            return E_BUSY;
        }
    }
    while (*at && *at != g) {
        at = &(*at)->fold_next;
    }
    if (*at) {
        *at = g->fold_next;
    }
    return OK;
}

/* ---- passes -------------------------------------------------------------------------------- */

static void begin_pass(struct fold *f)
{
    f->phase = FOLD_SCAN;
    f->volatile_now = 0;
    set_cursor(f, f->maps);
}

static void end_pass(struct fold *f)
{
    f->full_scans++;
    f->volatile_last = f->volatile_now;
    f->unshared_last = f->unstable;
    f->phase = FOLD_TEARDOWN;
}

/* The next page of this pass, if there is one. Moves the cursor past it. */
static struct p2m *advance(struct fold *f, gfn_t *gfn, mfn_t *mfn)
{
    while (f->cursor) {
        struct p2m *p = f->cursor;
        const struct p2m_run *last = &p->runs[p->n_runs - 1];
        gfn_t end = GFN(last->first.n + last->pages);
        struct p2m_entry e;

        if (p->ops->next(p->ctx, f->next, end, gfn, &e) == OK) {
            f->next = GFN(gfn->n + 1);
            *mfn = e.mfn;
            return p;
        }
        set_cursor(f, p->fold_next);
    }
    return NULL;
}

unsigned fold_step(struct fold *f, unsigned budget)
{
    unsigned done = 0;

    if (!f->run || !f->maps) {
        return 0;
    }
    uint64_t start = f->ticks ? f->ticks() : 0;
    while (done < budget && f->phase == FOLD_TEARDOWN) {
        if (fold_index_teardown(f, TEARDOWN_NODES)) {
            begin_pass(f);
        }
        done++;
    }
    while (done < budget) {
        gfn_t gfn;
        mfn_t mfn;
        struct p2m *p = advance(f, &gfn, &mfn);
        if (!p) {
            end_pass(f);
            break;
        }
        fold_page(f, p, gfn, mfn);
        done++;
    }
    if (f->ticks) {
        f->scan_ticks += f->ticks() - start;
    }
    return done;
}

void fold_read(const struct fold *f, struct fold_counters *out)
{
    uint64_t shared_maps = 0;

    *out = (struct fold_counters){
        .pages_shared = f->stable,
        .pages_unshared = f->unshared_last,
        .pages_volatile = f->volatile_last,
        .full_scans = f->full_scans,
        .pages_scanned = f->pages_scanned,
        .pages_skipped = f->pages_skipped,
        .compares = f->compares,
        .hashes = f->hashes,
        .scan_ticks = f->scan_ticks,
    };
    for (const struct share_group *g = f->groups; g; g = g->fold_next) {
        shared_maps += g->shared_maps;
        out->pages_zero += g->zero_maps;
        out->merges += g->merges;
        out->zero_merges += g->zero_merges;
        out->cow_breaks += g->cow_breaks;
        out->zero_breaks += g->zero_breaks;
    }
    out->pages_sharing = shared_maps - f->stable;
}
