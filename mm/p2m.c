/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's memory: first touch, copy-on-write, and merging of one entry. */
#include "mm/p2m.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/page.h"
#include "mm/p2m_count.h"
#include "mm/p2m_notes.h"

enum status p2m_init(struct p2m *p, const struct p2m_ops *ops, void *ctx, struct frames *frames,
                     struct share_group *group, uint16_t vm, const struct p2m_run *runs,
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

static inline void set_owner(struct p2m *p, mfn_t mfn, gfn_t gfn)
{
    struct frame *fr = frame_of(p->frames, mfn);

    fr->vm = p->vm;
    fr->gfn = (uint32_t)gfn.n;
}

/* ---- faults -------------------------------------------------------------------------------- */

/* A frame of the guest's own, its bytes not yet set. */
static enum status alloc_private(struct p2m *p, gfn_t gfn, mfn_t *out)
{
    enum status s = frames_alloc(p->frames, FRAME_PRIVATE, out);

    if (s == OK) {
        set_owner(p, *out, gfn);
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

/* A write has ended a fold. */
static void note_break(struct p2m *p, gfn_t gfn)
{
    struct gpage *page = p2m_page(p, gfn);

    if (page->flags & GPAGE_F_FOLDED) {
        page->flags = (uint8_t)((page->flags & ~GPAGE_F_FOLDED) | GPAGE_F_BROKEN);
        p->group->class_breaks[page->class]++;
    }
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
        note_break(p, gfn);
        p->takeovers++;
        frames_set_state(p->frames, mfn, FRAME_PRIVATE);
        set_owner(p, mfn, gfn);
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

    return (fr->flags & FRAME_F_CACHED) != 0 && fr->refs == 2 && fr->pins == 0 &&
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
    /* `reclaim` may have dropped other references meanwhile, but never this entry's. */
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
    note_break(p, gfn);
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

/* ---- disk blocks --------------------------------------------------------------------------- */

bool p2m_may_adopt(const struct frame *fr, uint32_t id)
{
    return fr->group == id || (fr->state == FRAME_CACHE && fr->group != FRAME_COMMON);
}

/* The frame is the group's from now on; what another group's index knew of it is forgotten. */
static void enter_group(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    struct frame *fr = frame_of(p->frames, mfn);

    if (fr->state != FRAME_CACHE) {
        return;
    }
    if (fr->group != p->group->id) {
        frames_leave_index(p->frames, mfn);
        fr->group = (uint16_t)p->group->id;
        p->frames->cache.renew(p->frames->cache.ctx, mfn);
    }
    set_owner(p, mfn, gfn);
}

enum status p2m_adopt(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    const struct frame *fr = frame_of(p->frames, mfn);
    struct p2m_entry old;

    if (!p2m_is_ram(p, gfn)) {
        return E_FAULT;
    }
    bool hole = p->ops->lookup(p->ctx, gfn, &old) != OK;
    if (!hole && old.mfn.n == mfn.n) {
        p2m_mark_written(p, gfn);
        return OK;
    }
    if (fr->refs == FRAME_REFS_MAX || (!hole && p2m_state_of(p, old.mfn) == FRAME_PRIVATE &&
                                       frame_of(p->frames, old.mfn)->pins > 0)) {
        return E_BUSY;
    }
    bool held = !hole && (p2m_state_of(p, old.mfn) == FRAME_PRIVATE ||
                          (p2m_page(p, gfn)->flags & GPAGE_F_SOLE) != 0);
    enum status s = promise_begin(p, gfn, false, fr->state == FRAME_CACHE && !held);
    if (s == OK) {
        s = p2m_region_make(p, gfn);
    }
    if (s == OK) {
        s = p->ops->map(p->ctx, gfn, mfn, false);
    }
    promise_end(p);
    if (s != OK) {
        return s;
    }
    if (fr->state != FRAME_ZERO) {
        ASSERT(fr->pins > 0 && p2m_may_adopt(fr, p->group->id));
        enter_group(p, gfn, mfn);
    }
    frames_get(p->frames, mfn);
    if (!hole) {
        p->ops->flush(p->ctx);
        p2m_count_lose(p, gfn, p2m_state_of(p, old.mfn));
    }
    p2m_count_gain(p, gfn, p2m_state_of(p, mfn));
    p2m_count_sole(p, gfn, p2m_is_sole(fr));
    p2m_mark_written(p, gfn);
    note_break(p, gfn);
    if (!hole) {
        frames_put(p->frames, old.mfn);
    }
    return OK;
}

/* Whether the entry is the guest's own page, with no device at it but the one that asks, and need
 * not stay its own. */
static bool can_freeze(const struct p2m *p, gfn_t gfn, struct p2m_entry *e)
{
    return p->ops->lookup(p->ctx, gfn, e) == OK && p2m_state_of(p, e->mfn) == FRAME_PRIVATE &&
           frame_of(p->frames, e->mfn)->pins == 1 && promise_can_share(p);
}

/* The guest's own frame, write-protected and flushed, is SHARED where it is. */
static void become_shared(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    frames_set_state(p->frames, mfn, FRAME_SHARED);
    p2m_count_lose(p, gfn, FRAME_PRIVATE);
    p2m_count_gain(p, gfn, FRAME_SHARED);
}

void p2m_freeze(struct p2m *p, const gfn_t *gfns, unsigned n)
{
    struct p2m_entry e;
    bool any = false;

    for (unsigned i = 0; i < n; i++) {
        if (can_freeze(p, gfns[i], &e)) {
            p->ops->protect(p->ctx, gfns[i]);
            any = true;
        }
    }
    if (!any) {
        return;
    }
    p->ops->flush(p->ctx);
    for (unsigned i = 0; i < n; i++) {
        if (!can_freeze(p, gfns[i], &e)) {
            continue;
        }
        struct frame *fr = frame_of(p->frames, e.mfn);
        become_shared(p, gfns[i], e.mfn);
        p2m_count_sole(p, gfns[i], true);
        fr->group = (uint16_t)p->group->id;
        fr->flags |= FRAME_F_NEW;   /* mm/fold comes to it by this page, */
        p2m_look_again(p, gfns[i]); /* which may have had its turn */
    }
}

/* ---- merging ------------------------------------------------------------------------------- */

void p2m_make_shared(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    ASSERT(p2m_state_of(p, mfn) == FRAME_PRIVATE && frame_of(p->frames, mfn)->gfn == gfn.n);
    become_shared(p, gfn, mfn);
    p2m_page(p, gfn)->flags |= GPAGE_F_FOLDED;
}

enum status p2m_merge(struct p2m *p, gfn_t gfn, mfn_t old, mfn_t into)
{
    bool zero = p2m_state_of(p, into) == FRAME_ZERO;

    if (!zero) {
        ASSERT(p2m_may_adopt(frame_of(p->frames, into), p->group->id));
    }
    if (frame_of(p->frames, into)->refs == FRAME_REFS_MAX) {
        return E_BUSY;
    }
    if (p->logs) {
        (void)p2m_harvest_page(p, gfn); /* the new entry's dirty bit starts clear */
    }
    enum status s = p->ops->map(p->ctx, gfn, into, false);
    if (s != OK) {
        return s;
    }
    if (!zero) {
        enter_group(p, gfn, into);
    }
    frames_get(p->frames, into);
    p->ops->flush(p->ctx);
    p2m_count_lose(p, gfn, p2m_state_of(p, old));
    p2m_count_gain(p, gfn, zero ? FRAME_ZERO : FRAME_SHARED);
    p2m_count_sole(p, gfn, p2m_is_sole(frame_of(p->frames, into)));
    p2m_page(p, gfn)->flags |= GPAGE_F_FOLDED;
    if (zero) {
        p->zero_merges++;
        p->group->zero_merges++;
    } else {
        p->merges++;
        p->group->merges++;
    }
    frames_put(p->frames, old);
    return OK;
}
