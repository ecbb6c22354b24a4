/* SPDX-License-Identifier: BSD-2-Clause */
/* One page: whether to look at it now, then zero page, lookahead, and the indexes. */
#include "mm/fold/page.h"

#include "base/bits.h"
#include "mm/fold/attach.h"
#include "mm/fold/block.h"
#include "mm/fold/bracket.h"
#include "mm/fold/index.h"
#include "mm/fold/merge.h"
#include "mm/fold/rest.h"

/* A fold that breaks within this many passes, doubled with each level, was not worth its price. */
#define LIVED_PASSES 8u
#define LEVEL_MAX 7u
/* Levels below this one cost no rest. */
#define LEVEL_REST 2u
/* Rounds of rest for a page of a class that is left alone: classes change. */
#define CLASS_ROUNDS 2u
/* A page that has stood in the index unchanged is looked at rarely (checksums only). */
#define SETTLED_ROUNDS 1u

/* A page under the engine's eyes. */
struct look {
    struct fold *f;
    struct p2m *p;
    gfn_t gfn;
    mfn_t mfn;
    bool fresh;       /* its content has just arrived: not volatile, whatever it was before */
    bool block;       /* it maps a disk block's frame, which the engine has not seen */
    bool by_dirty;    /* whether it is due tells that it is not volatile */
    bool hashed;      /* the next two are known */
    bool is_volatile; /* by checksum: another than at the last look */
    uint64_t hash;
};

static const void *bytes(const struct fold *f, mfn_t mfn)
{
    return frame_bytes(f->frames, mfn);
}

/* ---- whether to look ----------------------------------------------------------------------- */

/* It was due in this pass, and is skipped. By dirty bits, the end of its region counts that. */
static void rest(struct fold *f, struct p2m *p, gfn_t gfn, uint8_t rounds, enum fold_rest_why why)
{
    fold_rest_for(p, gfn, rounds, why);
    f->pages_skipped += why == FOLD_REST_HISTORY && !fold_by_dirty(f, p);
}

/* Folds of this page break sooner or later: each time sooner than expected doubles its rest. */
static bool backs_off(struct fold *f, struct p2m *p, gfn_t gfn, struct gpage *page)
{
    if (f->on.backoff && page->rests > 1) {
        rest(f, p, gfn, (uint8_t)(page->rests - 1), fold_rest_why(page));
        return true;
    }
    if (page->rests > 0) {
        page->rests = 0;
        fold_rest_break(p, gfn);
    }
    if (!(page->flags & GPAGE_F_BROKEN)) {
        return false;
    }
    uint16_t lived = (uint16_t)((uint16_t)f->full_scans - page->since);

    page->flags &= (uint8_t)~GPAGE_F_BROKEN;
    if (lived < LIVED_PASSES << page->level) {
        page->level = (uint8_t)MIN(page->level + 1u, LEVEL_MAX);
    } else {
        page->level /= 2;
    }
    if (!f->on.backoff || page->level < LEVEL_REST) {
        return false;
    }
    rest(f, p, gfn, (uint8_t)(1u << (page->level - LEVEL_REST)), FOLD_REST_HISTORY);
    f->pages_backed_off++;
    return true;
}

/* Its class, and whether pages of that class are left alone. */
static bool is_class_skipped(struct fold *f, struct p2m *p, gfn_t gfn, const struct gpage *page)
{
    if (f->classify) {
        bool from_disk = page->flags & GPAGE_F_FROM_DISK;

        p2m_set_class(p, gfn, f->classify(f->classify_ctx, p, gfn, from_disk));
    }
    bool skip = f->on.skip >> page->class & 1;

    if (page->class == PAGE_CACHE && f->on.pagecache == FOLD_PAGECACHE_SKIP) {
        skip = true;
    }
    if (skip) {
        f->by_class[page->class].skipped++;
        f->pages_ineligible++;
        fold_rest_for(p, gfn, CLASS_ROUNDS, FOLD_REST_CLASS);
    }
    return skip;
}

/* ---- a first look ------------------------------------------------------------------------- */

#define PROBES 16u

/* Whether a few words spread over the pages are equal: then a full compare is worth freezing for.
 */
static bool alike(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    for (unsigned i = 0; i < PROBES; i++) {
        size_t at = i * (PAGE_SIZE / sizeof(*x) / PROBES) + i % 8;
        if (x[at] != y[at]) {
            return false;
        }
    }
    return true;
}

/* ---- volatility ---------------------------------------------------------------------------- */

/* Whether the sum differs from the last look's; remembers the new one for the next. */
static bool note_sum(struct fold *f, mfn_t mfn, uint64_t sum)
{
    struct frame *fr = frame_of(f->frames, mfn);
    bool same = (fr->flags & FRAME_F_SUMMED) && fr->hash == (uint32_t)sum;

    if (f->on.index == FOLD_TREE) {
        fr->hash = (uint32_t)sum;
    } else {
        same = same && fr->hash_high == (uint32_t)(sum >> 32);
        if ((fr->flags & FRAME_F_UNSTABLE) && !same) {
            fold_index_remove(f, mfn);
        }
        frame_set_hash(fr, sum);
    }
    fr->flags |= FRAME_F_SUMMED;
    return !same;
}

/* The page's hash, read once; with it, its volatility where checksums decide. */
static uint64_t hash_of(struct look *l)
{
    if (!l->hashed) {
        l->f->hashes++;
        l->hash = fold_index_hash(l->f, l->p->group, l->mfn);
        l->is_volatile = !l->by_dirty && note_sum(l->f, l->mfn, l->hash) && !l->fresh;
        l->hashed = true;
    }
    return l->hash;
}

static bool is_volatile(struct look *l)
{
    if (!l->by_dirty) {
        (void)hash_of(l);
    }
    return l->is_volatile;
}

/* It has changed under our eyes. */
static void note_volatile(const struct look *l)
{
    l->f->volatile_now++;
    fold_again(l->p, l->gfn);
}

static bool merge_stable(struct look *l, mfn_t into)
{
    return fold_merge_stable(l->f, l->p, l->gfn, l->mfn, into);
}

/* ---- lookahead ----------------------------------------------------------------------------- */

/* Where to look: the page after the one that our predecessor was folded with. */
static struct p2m *place_ahead(const struct look *l, gfn_t *at)
{
    const struct p2m *p = l->p;
    struct p2m_entry e;

    if (l->gfn.n == 0 || p->ops->lookup(p->ctx, GFN(l->gfn.n - 1), &e) != OK) {
        return NULL;
    }
    const struct frame *before = frame_of(l->f->frames, e.mfn);
    if (before->state != FRAME_SHARED) {
        return NULL;
    }
    struct p2m *owner = fold_map_of(l->f, before->vm);
    *at = GFN((uint64_t)before->gfn + 1);
    if (!owner || owner->group != p->group || (owner == p && at->n == l->gfn.n)) {
        return NULL;
    }
    return owner;
}

/* One compare instead of a search (paper, section 7). */
static bool fold_ahead(struct look *l)
{
    struct fold *f = l->f;
    struct p2m_entry e;
    gfn_t at;
    struct p2m *owner = place_ahead(l, &at);

    if (!owner || owner->ops->lookup(owner->ctx, at, &e) != OK || e.mfn.n == l->mfn.n) {
        return false;
    }
    const struct frame *fr = frame_of(f->frames, e.mfn);
    bool twin = !l->block && (fr->flags & FRAME_F_UNSTABLE) && fr->pins == 0;
    if (!twin && (fr->state != FRAME_SHARED || (fr->flags & FRAME_F_UNSCANNED))) {
        return false;
    }
    if (!alike(bytes(f, l->mfn), bytes(f, e.mfn))) {
        f->compares++;
    } else if (twin && is_volatile(l)) {
        return false;
    } else if (twin ? fold_merge_twins(f, l->p, l->gfn, l->mfn, owner, e.mfn)
                    : merge_stable(l, e.mfn)) {
        f->lookahead_hits++;
        return true;
    }
    f->lookahead_misses++;
    return false;
}

/* ---- the indexes --------------------------------------------------------------------------- */

/* The owner of a node of the unstable index, if a merge with it is possible at all. */
static struct p2m *owner_of(const struct fold *f, mfn_t twin)
{
    const struct frame *fr = frame_of(f->frames, twin);

    return fr->pins == 0 ? fold_map_of(f, fr->vm) : NULL;
}

static bool by_tree(struct look *l)
{
    struct fold *f = l->f;
    struct share_group *g = l->p->group;
    const void *page = bytes(f, l->mfn);
    struct fold_place at = fold_index_find(f, g->stable_root, page);

    if (at.match != FRAME_NIL && merge_stable(l, MFN(at.match))) {
        return true;
    }
    if (is_volatile(l)) {
        f->volatile_now++;
        return false;
    }
    for (;;) {
        at = fold_index_find(f, g->unstable_root, page);
        if (at.match == FRAME_NIL) {
            fold_index_add_unstable(f, g, l->mfn, &at);
            return false;
        }
        struct p2m *owner = owner_of(f, MFN(at.match));
        if (owner) {
            if (fold_merge_twins(f, l->p, l->gfn, l->mfn, owner, MFN(at.match))) {
                return true;
            }
            note_volatile(l);
            return false;
        }
        /* Its VM was detached, or a device has got hold of it, since it was entered: out with it,
         * and another try. The index is a node smaller each time round. */
        fold_index_expel(f, MFN(at.match));
    }
}

/* Of equal hash, and not merged: whether that is because they differ, while this page is still what
 * its hash says. (An equal one comes again, as a map refused it.) */
static bool is_collision(struct look *l, mfn_t other)
{
    struct fold *f = l->f;

    if (fold_has_changed(f, l->p, l->gfn, l->mfn, l->hash)) {
        note_volatile(l);
        return false;
    }
    f->compares++;
    bool differ = f->unit->ops->compare(bytes(f, l->mfn), bytes(f, other)) != 0;
    f->collisions += differ;
    return differ;
}

/* The unstable index has a node of this page's hash. True: merged. False with *enter: the page is
 * to be entered too, beside a node that differs, or in place of one that was not what it should be.
 */
static bool with_twin(struct look *l, mfn_t twin, bool *enter)
{
    struct fold *f = l->f;
    const struct frame *fr = frame_of(f->frames, twin);
    gfn_t gfn = GFN(fr->gfn);
    struct p2m *owner = owner_of(f, twin);

    if (owner && fold_merge_twins(f, l->p, l->gfn, l->mfn, owner, twin)) {
        return true;
    }
    bool stale = !owner || fold_has_changed(f, owner, gfn, twin, l->hash);
    if (stale && fr->flags & FRAME_F_UNSTABLE) {
        fold_index_expel(f, twin);
    }
    *enter = stale || is_collision(l, twin);
    return false;
}

static bool by_hash(struct look *l)
{
    struct fold *f = l->f;
    struct share_group *g = l->p->group;
    const void *page = bytes(f, l->mfn);
    uint64_t hash = hash_of(l);
    bool enter = true;

    if (frame_of(f->frames, l->mfn)->flags & FRAME_F_UNSTABLE) {
        if (f->on.backoff) { /* by checksums: entered before, and still what it was */
            fold_rest_for(l->p, l->gfn, SETTLED_ROUNDS, FOLD_REST_HISTORY);
        }
        return false;
    }
    uint32_t n = fold_index_find_hash(f, g, hash, FRAME_F_STABLE, page);
    if (n != FRAME_NIL) {
        if (merge_stable(l, MFN(n))) {
            return true;
        }
        if (!is_collision(l, MFN(n))) {
            return false;
        }
    }
    if (l->is_volatile) {
        f->volatile_now++;
        return false;
    }
    n = fold_index_find_hash(f, g, hash, FRAME_F_UNSTABLE, page);
    if (n != FRAME_NIL && with_twin(l, MFN(n), &enter)) {
        return true;
    }
    if (enter) { /* where too many have that hash it stays without an index until it is written */
        (void)fold_index_hash_unstable(f, g, l->mfn, hash);
    }
    return false;
}

/* ---- all together -------------------------------------------------------------------------- */

/* Of a class that is compared by lookahead only. */
static bool is_compared_once(const struct look *l)
{
    return l->f->on.pagecache == FOLD_PAGECACHE_ONCE && p2m_page(l->p, l->gfn)->class == PAGE_CACHE;
}

static bool fold_one(struct look *l)
{
    static const uint64_t zeroes[PAGE_SIZE / sizeof(uint64_t)];
    struct fold *f = l->f;

    if (f->on.zero && alike(bytes(f, l->mfn), zeroes) && fold_merge_zero(f, l->p, l->gfn, l->mfn)) {
        return true;
    }
    if (f->on.lookahead && fold_ahead(l)) {
        return true;
    }
    if (is_compared_once(l)) {
        return false;
    }
    return f->on.index == FOLD_HASH ? by_hash(l) : by_tree(l);
}

/* The block is looked for, and the page goes where it is found. */
static bool block_one(struct look *l)
{
    struct fold *f = l->f;
    struct p2m_entry e;

    if (f->on.lookahead && fold_ahead(l)) {
        if (l->p->ops->lookup(l->p->ctx, l->gfn, &e) == OK) {
            fold_block_follow(f, l->mfn, e.mfn);
        }
        return true;
    }
    if (is_compared_once(l)) {
        return false;
    }
    mfn_t into = fold_block(f, l->p->group, l->mfn);
    return into.n != l->mfn.n && fold_merge_block(f, l->p, l->gfn, l->mfn, into);
}

void fold_page(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, bool fresh)
{
    const struct frame *fr = frame_of(f->frames, mfn);
    struct gpage *page = p2m_page(p, gfn);
    bool block = fold_is_new_block(f, mfn);

    f->pages_scanned++;
    if ((fr->state == FRAME_SHARED && !block) || fr->state == FRAME_ZERO) {
        return; /* folded already */
    }
    if ((fr->state != FRAME_PRIVATE && !block) || fr->pins > 0) {
        f->pages_ineligible++;
        fold_again(p, gfn);
        return;
    }
    if (backs_off(f, p, gfn, page) || is_class_skipped(f, p, gfn, page)) {
        fold_index_written(f, mfn); /* nobody is to find it there, or what it was */
        fold_rest_join(f, p, gfn, mfn);
        return;
    }
    if (f->on.index == FOLD_TREE || fold_by_dirty(f, p)) {
        fold_index_written(f, mfn); /* its VM left and came back, or a switch was turned */
    }
    struct look l = {.f = f,
                     .p = p,
                     .gfn = gfn,
                     .mfn = mfn,
                     .fresh = fresh,
                     .block = block,
                     .by_dirty = fold_by_dirty(f, p)};
    struct fold_class_scan *c = &f->by_class[page->class];
    uint64_t start = f->ticks ? f->ticks() : 0;

    fold_bracket(f);
    c->candidates++;
    bool merged = block ? block_one(&l) : fold_one(&l);
    uint64_t spent = f->ticks ? f->ticks() - start : 0;
    c->merges += merged;
    c->ticks += spent;
    f->merge_ticks += merged ? spent : 0;
}

void fold_page_written(struct fold *f, struct p2m *p, gfn_t gfn)
{
    struct p2m_entry e;

    f->volatile_now++;
    p2m_page(p, gfn)->flags &= (uint8_t)~GPAGE_F_FROM_DISK;
    if (p->ops->lookup(p->ctx, gfn, &e) != OK) {
        return;
    }
    fold_index_written(f, e.mfn);
}
