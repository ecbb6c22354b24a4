/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's memory: first touch and copy-on-write. What pages share is in p2m_share.c. */
#include "mm/p2m.h"

#include "base/bits.h"
#include "base/page.h"
#include "mm/p2m_count.h"
#include "mm/p2m_notes.h"

enum status p2m_init(struct p2m *p, const struct p2m_ops *ops, void *ctx, struct frames *frames,
                     struct share_group *group, uint16_t vm, const struct p2m_slot *runs,
                     unsigned n_runs, struct p2m_region *regions)
{
    uint64_t end = 0, ram_pages = 0;

    if (n_runs == 0 || n_runs > P2M_RUNS) {
        return E_INVAL;
    }
    for (unsigned i = 0; i < n_runs; i++) {
        bool touches = i > 0 && runs[i].first.n <= end;
        if (runs[i].pages == 0 || touches ||
            !range_within(runs[i].first.n, runs[i].pages, UINT64_C(1) << 32)) {
            return E_INVAL;
        }
        end = runs[i].first.n + runs[i].pages;
        ram_pages += runs[i].pages;
    }

    *p = (struct p2m){
        .ops = ops,
        .ctx = ctx,
        .frames = frames,
        .group = group,
        .vm = vm,
        .n_runs = n_runs,
        .ram_pages = ram_pages,
        .regions = regions,
        .n_regions = p2m_regions(runs, n_runs),
        .max_frames = PROMISE_NO_BOUND,
    };
    for (unsigned i = 0; i < n_runs; i++) {
        p->runs[i] = runs[i];
    }
    return OK;
}

bool p2m_is_ram(const struct p2m *p, gfn_t gfn)
{
    for (unsigned i = 0; i < p->n_runs; i++) {
        if (gfn.n - p->runs[i].first.n < p->runs[i].pages) {
            return true;
        }
    }
    return false;
}

/* ---- what the entries map ------------------------------------------------------------------ */

void p2m_set_class(struct p2m *p, gfn_t gfn, enum page_class class)
{
    struct gpage *page = p2m_page(p, gfn);
    struct p2m_entry e;

    if (page->class == class) {
        return;
    }
    if (p->ops->lookup(p->ctx, gfn, &e) == OK &&
        (p2m_state_of(p, e.mfn) == FRAME_SHARED || p2m_state_of(p, e.mfn) == FRAME_ZERO)) {
        p->group->class_folded[page->class]--;
        p->group->class_folded[class]++;
    }
    page->class = (uint8_t) class;
}

/* ---- faults -------------------------------------------------------------------------------- */

/* A frame of the guest's own, its bytes not yet set. */
static enum status alloc_private(struct p2m *p, gfn_t gfn, mfn_t *out)
{
    enum status s = frames_alloc(p->frames, FRAME_PRIVATE, out);

    if (s == OK) {
        p2m_set_owner(p, *out, gfn);
    }
    return s;
}

static enum status fill(struct p2m *p, gfn_t gfn, bool write, mfn_t *out)
{
    mfn_t mfn;
    enum status s = p2m_region_make(p, gfn);

    if (s != OK) {
        return s;
    }
    if (write) {
        s = alloc_private(p, gfn, &mfn);
        if (s != OK) {
            return s;
        }
        page_zero(frame_bytes(p->frames, mfn));
    } else {
        mfn = p->group->zero;
        frames_get(p->frames, mfn);
    }
    s = p->ops->map(p->ctx, gfn, mfn, write);
    if (s != OK) {
        frames_put(p->frames, mfn);
        return s;
    }
    p2m_count_gain(p, gfn, write ? FRAME_PRIVATE : FRAME_ZERO);
    if (write) {
        p->demand_zero++;
        p2m_mark_written(p, gfn);
    }
    *out = mfn;
    return OK;
}

static enum status fill_hole(struct p2m *p, gfn_t gfn, bool write, mfn_t *out)
{
    /* A zero page that as many map as can be counted serves no further one. */
    write |= frame_of(p->frames, p->group->zero)->refs == FRAME_REFS_MAX;
    enum status s = promise_begin(p, gfn, write, write);

    if (s == OK) {
        s = fill(p, gfn, write, out);
        promise_end(p);
    }
    return s;
}

/* The last reference, and no device at it: the frame becomes the guest's own where it is. */
static enum status take_over(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    enum status s = p->ops->map(p->ctx, gfn, mfn, true);

    if (s != OK) {
        return s;
    }
    p2m_mark_written(p, gfn);
    if (p2m_state_of(p, mfn) != FRAME_PRIVATE) {
        p2m_count_lose(p, gfn, p2m_state_of(p, mfn));
        p2m_count_gain(p, gfn, FRAME_PRIVATE);
        p2m_note_break(p, gfn);
        p->takeovers++;
        frames_set_state(p->frames, mfn, FRAME_PRIVATE);
        p2m_set_owner(p, mfn, gfn);
    }
    return OK;
}

/* Whether nobody but the guest itself can tell that the frame changes. */
static bool is_last(const struct frame *fr)
{
    if (fr->state != FRAME_SHARED) {
        return fr->state == FRAME_PRIVATE;
    }
    return fr->refs == 1 && fr->pins == 0; /* an entry maps it, so the one reference is that */
}

/* Where only the cache holds it too, the block is given up before the guest goes without. */
static bool take_from_cache(struct p2m *p, mfn_t mfn)
{
    const struct frame *fr = frame_of(p->frames, mfn);

    return (fr->flags & FRAME_F_IN_CACHE) != 0 && fr->refs == 2 && fr->pins == 0 &&
           p->frames->cache.drop(p->frames->cache.ctx, mfn);
}

/* A frame of its own for a page that is mapped read-only. */
static enum status give_own(struct p2m *p, gfn_t gfn, mfn_t old, mfn_t *out)
{
    enum frame_state was = p2m_state_of(p, old);
    bool held = p2m_page(p, gfn)->flags & GPAGE_F_SOLE; /* it counts for the VM already */
    mfn_t mfn;

    if (was == FRAME_PRIVATE) {
        *out = old;
        return take_over(p, gfn, old);
    }
    if (is_last(frame_of(p->frames, old))) {
        if (!held && !promise_may_hold(p, 1)) {
            return E_NOMEM;
        }
        *out = old;
        return take_over(p, gfn, old);
    }
    enum status s = promise_begin(p, gfn, true, !held);
    if (s == OK) {
        s = alloc_private(p, gfn, &mfn);
        promise_end(p);
    }
    if (s == E_NOMEM && p->refused != PROMISE_BOUND && take_from_cache(p, old)) {
        *out = old;
        return take_over(p, gfn, old);
    }
    if (s != OK) {
        return s;
    }
    /* A reclaimer may have dropped other references meanwhile, but never this entry's. */
    if (was == FRAME_ZERO) {
        page_zero(frame_bytes(p->frames, mfn));
    } else {
        page_copy(frame_bytes(p->frames, mfn), frame_bytes(p->frames, old));
    }
    s = p->ops->map(p->ctx, gfn, mfn, true);
    if (s != OK) {
        frames_put(p->frames, mfn);
        return s;
    }
    p->ops->flush(p->ctx);
    p2m_count_lose(p, gfn, was);
    p2m_count_gain(p, gfn, FRAME_PRIVATE);
    p2m_mark_written(p, gfn);
    p2m_note_break(p, gfn);
    if (was == FRAME_ZERO) {
        p->zero_breaks++;
        p->group->zero_breaks++;
    } else {
        p->cow_breaks++;
        p->group->cow_breaks++;
    }
    frames_put(p->frames, old);
    *out = mfn;
    return OK;
}

/* A write to a page that is mapped read-only. What it costs is folding's, unless folding had
 * nothing to do with it: a read of a hole maps the zero page too. */
static enum status break_sharing(struct p2m *p, gfn_t gfn, mfn_t old, mfn_t *out)
{
    bool folds = p2m_state_of(p, old) != FRAME_ZERO || (p2m_page(p, gfn)->flags & GPAGE_F_FOLDED);
    uint64_t start = p->ticks ? p->ticks() : 0;
    enum status s = give_own(p, gfn, old, out);

    if (folds && p->ticks) {
        p->group->cow_ticks += p->ticks() - start;
    }
    return s;
}

enum status p2m_resolve(struct p2m *p, gfn_t gfn, bool write, mfn_t *out)
{
    struct p2m_entry e;

    if (!p2m_is_ram(p, gfn)) {
        return E_FAULT;
    }
    if (p->ops->lookup(p->ctx, gfn, &e) != OK) {
        return fill_hole(p, gfn, write, out);
    }
    if (write && !e.writable) {
        return break_sharing(p, gfn, e.mfn, out);
    }
    *out = e.mfn;
    return OK;
}

enum status p2m_fault(struct p2m *p, gfn_t gfn, bool write)
{
    mfn_t mfn;

    return p2m_resolve(p, gfn, write, &mfn);
}
