/* SPDX-License-Identifier: BSD-2-Clause */
/* The phases of a pass, hints, and the switches that are turned meanwhile. */
#include "mm/fold/fold.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "mm/cache/store.h"
#include "mm/fold/alone.h"
#include "mm/fold/attach.h"
#include "mm/fold/block.h"
#include "mm/fold/bracket.h"
#include "mm/fold/index.h"
#include "mm/fold/page.h"
#include "mm/fold/scan.h"

/* Tree nodes torn down for one page of the budget: about what comparing two pages costs. */
#define TEARDOWN_NODES 16
/* Frames of the frame table that are gone through for one page of the budget. */
#define REINDEX_FRAMES 16

/* However many hints and blocks come, the pass goes on: so many of each are taken before it, and
 * for each step of it. */
#define HINTS_A_PASS 256u
#define HINTS_A_STEP 3u

/* Frames of the machine for one tree of the index by hash: it is a few levels deep then. */
#define ROOT_FRAMES 32u

static const struct content_unit scalar_unit = {.ops = &content_scalar};

unsigned fold_roots(uint64_t frames)
{
    unsigned n = 2;

    while (n <= frames / ROOT_FRAMES / 2 && n < UINT32_C(1) << 31) {
        n *= 2;
    }
    return n;
}

void fold_init(struct fold *f, struct frames *frames, uint64_t (*ticks)(void),
               struct random *random, uint32_t *roots)
{
    memset(f, 0, sizeof(*f));
    f->frames = frames;
    f->ticks = ticks;
    f->roots = roots;
    f->n_roots = fold_roots(frames->count);
    f->root_shift = (uint8_t)__builtin_clz(f->n_roots) + 33u;
    for (unsigned i = 0; i < f->n_roots; i++) {
        roots[i] = FRAME_NIL;
    }
    f->unit = &scalar_unit;
    content_key_init(&f->key, random);
    f->on = (struct fold_switches){
        .run = true,
        .zero = true,
        .lookahead = true,
        .backoff = true,
        .index = FOLD_HASH,
        .volatility = FOLD_DIRTY,
    };
    f->phase = FOLD_BEGIN;
    f->hint_credit = f->block_credit = HINTS_A_PASS;
    frames->unindex = fold_index_remove;
    frames->alone = fold_alone_note;
    frames->unindex_ctx = f;
}

/* ---- passes -------------------------------------------------------------------------------- */

/* Each pass, the sums of the ones before count for an eighth less. */
#define LATELY_SHIFT 3

static void note_lately(struct fold *f)
{
    uint64_t candidates = 0, merges = 0;

    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        candidates += f->by_class[c].candidates;
        merges += f->by_class[c].merges;
    }
    f->candidates_lately -= f->candidates_lately >> LATELY_SHIFT;
    f->candidates_lately += candidates - f->candidates_then;
    f->merges_lately -= f->merges_lately >> LATELY_SHIFT;
    f->merges_lately += merges - f->merges_then;
    f->candidates_then = candidates;
    f->merges_then = merges;
}

static void end_pass(struct fold *f)
{
    f->full_scans++;
    f->hint_credit = f->block_credit = HINTS_A_PASS;
    fold_alone_turn(f);
    note_lately(f);
    f->volatile_last = f->volatile_now;
    f->unshared_last = f->unstable;
    /* Checksums come too late to take a page out before its place in the order is wrong. */
    bool torn = f->misplaced;
    for (const struct p2m *p = f->maps; p; p = p->fold_next) {
        torn |= !fold_by_dirty(f, p);
    }
    f->phase = f->on.index == FOLD_TREE && torn ? FOLD_TEARDOWN : FOLD_BEGIN;
}

/* One page's worth of what is not scanning. */
static void between_passes(struct fold *f)
{
    switch (f->phase) {
    case FOLD_TEARDOWN:
        if (fold_index_teardown(f, TEARDOWN_NODES)) {
            f->phase = f->reindex ? FOLD_REINDEX : FOLD_BEGIN;
            f->reindex_at = 0;
        }
        break;
    case FOLD_REINDEX:
        if (fold_index_rebuild(f, REINDEX_FRAMES)) {
            f->reindex = false;
            f->phase = FOLD_BEGIN;
        }
        break;
    default:
        f->phase = FOLD_SCAN;
        f->volatile_now = 0;
        fold_scan_to(f, f->maps);
    }
}

/* ---- hints --------------------------------------------------------------------------------- */

void fold_hint(struct fold *f, struct p2m *p, gfn_t gfn)
{
    struct gpage *page = p2m_page(p, gfn);

    if (page) {
        page->flags |= GPAGE_F_FROM_DISK;
    }
    if (!page || !p->fold_attached || f->n_hints == FOLD_HINTS) {
        return;
    }
    f->hints[(f->hint_first + f->n_hints++) % FOLD_HINTS] =
        (struct fold_hint){.vm = p->vm, .gfn = (uint32_t)gfn.n};
}

/* Looks at the page if what arrived is still what is there. */
static void look_at_hint(struct fold *f, struct fold_hint h)
{
    struct p2m *p = fold_map_of(f, h.vm);
    gfn_t gfn = GFN(h.gfn);
    struct p2m_entry e;

    if (!p || p->ops->lookup(p->ctx, gfn, &e) != OK) {
        return;
    }
    const struct frame *fr = frame_of(f->frames, e.mfn);
    bool block = fold_is_new_block(f, e.mfn);
    if ((fr->state != FRAME_PRIVATE && !block) || fr->pins > 0 || p2m_harvest_page(p, gfn)) {
        return;
    }
    struct p2m_notes *notes = p2m_notes(p, gfn);
    unsigned i = gfn.n % P2M_REGION_PAGES;
    uint64_t bit = BIT(i % 64);
    if (fold_by_dirty(f, p) && !((notes->written[i / 64] | notes->pending[i / 64]) & bit)) {
        return; /* looked at since, or about to be */
    }
    notes->written[i / 64] &= ~bit;
    notes->pending[i / 64] &= ~bit;
    f->pages_hinted++;
    fold_page(f, p, gfn, e.mfn, true);
}

static void take_hint(struct fold *f)
{
    struct fold_hint h = f->hints[f->hint_first];

    f->hint_first = (f->hint_first + 1) % FOLD_HINTS;
    f->n_hints--;
    fold_charge(f, h.vm);
    look_at_hint(f, h);
    fold_charge(f, 0);
}

static bool is_between(const struct fold *f)
{
    return f->phase == FOLD_TEARDOWN || f->phase == FOLD_REINDEX;
}

/* Whether a block is taken before the pass goes on. */
static bool has_block(const struct fold *f)
{
    return f->cache && f->cache->n_new > 0 && f->block_credit > 0;
}

/* A page's worth of the pass, and what the cache holds at its end. False: it is over. */
static bool scan_on(struct fold *f)
{
    if (f->phase == FOLD_SCAN) {
        if (fold_scan_one(f)) {
            return true;
        }
        if (!fold_cached_begin(f)) {
            return false;
        }
        f->phase = FOLD_CACHED;
    }
    return f->cached_left > 0 && (fold_cached_step(f), true);
}

unsigned fold_step(struct fold *f, unsigned budget, const struct deadline *until)
{
    unsigned done = 0;

    if (!f->on.run || !f->maps) {
        return 0;
    }
    uint64_t start = f->ticks ? f->ticks() : 0;
    while (done < budget) {
        if (is_between(f)) {
            between_passes(f);
        } else if (f->n_hints > 0 && f->hint_credit > 0) {
            f->hint_credit--;
            take_hint(f);
        } else if (has_block(f)) {
            f->block_credit--;
            (void)fold_block_next(f);
        } else if (f->phase == FOLD_BEGIN) {
            between_passes(f);
            continue;
        } else if (!scan_on(f)) {
            end_pass(f);
            break;
        } else {
            f->hint_credit = MIN(f->hint_credit + HINTS_A_STEP, HINTS_A_PASS);
            f->block_credit = MIN(f->block_credit + HINTS_A_STEP, HINTS_A_PASS);
        }
        done++;
        if (deadline_passed(until)) {
            break;
        }
    }
    fold_bracket_end(f);
    if (f->ticks) {
        f->scan_ticks += f->ticks() - start;
    }
    return done;
}

uint32_t fold_hints(const struct fold *f)
{
    return f->on.run && f->maps && !is_between(f) ? f->n_hints : 0;
}

unsigned fold_step_hints(struct fold *f, unsigned budget, const struct deadline *until)
{
    uint32_t n = MIN(fold_hints(f), budget), done = 0;
    uint64_t start = f->ticks ? f->ticks() : 0;

    while (done < n && (done == 0 || !deadline_passed(until))) {
        take_hint(f);
        done++;
    }
    fold_bracket_end(f);
    if (f->ticks) {
        f->scan_ticks += f->ticks() - start;
    }
    return done;
}

/* ---- switches ------------------------------------------------------------------------------ */

void fold_switch(struct fold *f, const struct fold_switches *to)
{
    const struct fold_switches was = f->on;
    bool anew = was.index != to->index || was.volatility != to->volatility;

    f->on = *to;
    f->reindex |= was.index != to->index;
    if (anew) {
        /* What the pass under way and the unstable indexes stand for has changed. */
        fold_scan_to(f, NULL);
        f->phase = FOLD_TEARDOWN;
    }
    if (anew || was.skip != to->skip || was.pagecache != to->pagecache || was.zero != to->zero) {
        for (struct p2m *p = f->maps; p; p = p->fold_next) {
            fold_scan_all(p); /* what was left alone so far may be wanted now */
        }
    }
}
