/* SPDX-License-Identifier: BSD-2-Clause */
/* The merges: write-protect, flush, compare, map. See merge.h. */
#include "mm/fold/merge.h"

#include "base/bits.h"
#include "mm/fold/attach.h"
#include "mm/fold/index.h"
#include "mm/fold/page.h"
#include "mm/promise.h"

static const void *bytes(const struct fold *f, mfn_t mfn)
{
    return frame_bytes(f->frames, mfn);
}

static bool equal(struct fold *f, mfn_t a, mfn_t b)
{
    f->compares++;
    return f->unit->ops->compare(bytes(f, a), bytes(f, b)) == 0;
}

/* When it returns, the guest cannot write to the page without a fault on any of its CPUs. */
static void freeze(struct p2m *p, gfn_t gfn)
{
    p->ops->protect(p->ctx, gfn);
    p->ops->flush(p->ctx);
}

static void note_folded(const struct fold *f, struct p2m *p, gfn_t gfn)
{
    struct gpage *page = p2m_page(p, gfn);

    page->since = (uint16_t)f->full_scans;
    page->flags &= (uint8_t)~GPAGE_F_TAGGED;
}

static bool merge(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, mfn_t into)
{
    if (p2m_merge(p, gfn, mfn, into) != OK) {
        fold_again(p, gfn);
        return false;
    }
    note_folded(f, p, gfn);
    return true;
}

bool fold_merge_zero(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    freeze(p, gfn);
    return f->unit->ops->is_zero(bytes(f, mfn)) && merge(f, p, gfn, mfn, p->group->zero);
}

/* The place that a stable frame remembers serves lookahead; one that left it gets another. */
static void refresh_place(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t into)
{
    struct frame *fr = frame_of(f->frames, into);
    const struct p2m *v = fold_map_of(f, fr->vm);
    struct p2m_entry e;

    if (!v || v->ops->lookup(v->ctx, GFN(fr->gfn), &e) != OK || e.mfn.n != into.n) {
        fr->vm = p->vm;
        fr->gfn = (uint32_t)gfn.n;
    }
}

bool fold_merge_stable(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, mfn_t into)
{
    if (frame_of(f->frames, into)->refs == FRAME_REFS_MAX) {
        return false;
    }
    freeze(p, gfn);
    if (!equal(f, mfn, into) || !merge(f, p, gfn, mfn, into)) {
        return false;
    }
    if (f->on.lookahead) {
        refresh_place(f, p, gfn, into);
    }
    return true;
}

bool fold_merge_twin_of_block(struct fold *f, struct p2m *owner, mfn_t twin, mfn_t block)
{
    const struct frame *fr = frame_of(f->frames, twin);
    gfn_t gfn = GFN(fr->gfn);

    if (frame_of(f->frames, block)->refs == FRAME_REFS_MAX) {
        return false;
    }
    freeze(owner, gfn);
    if (!equal(f, twin, block)) {
        return false;
    }
    if (fr->flags & FRAME_F_UNSTABLE) {
        if (fold_by_dirty(f, owner)) { /* else the unstable tree goes after this pass anyway */
            f->misplaced |= fold_has_changed(f, owner, gfn, twin, 0);
        }
        fold_index_remove(f, twin);
    }
    return merge(f, owner, gfn, twin, block);
}

bool fold_merge_block(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t block, mfn_t into)
{
    if (frame_of(f->frames, into)->refs == FRAME_REFS_MAX || !merge(f, p, gfn, block, into)) {
        return false;
    }
    if (f->on.lookahead && frame_of(f->frames, into)->state == FRAME_SHARED) {
        refresh_place(f, p, gfn, into);
    }
    return true;
}

bool fold_has_changed(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, uint64_t hash)
{
    if (!fold_by_dirty(f, p)) {
        f->hashes++;
        return fold_index_hash(f, p->group, mfn) != hash;
    }
    const struct p2m_notes *notes = p2m_notes(p, gfn);
    unsigned i = gfn.n % P2M_REGION_PAGES;

    (void)p2m_harvest_page(p, gfn);
    return notes->written[i / 64] & BIT(i % 64);
}

/* The hash of a frozen page that may be in the unstable index. */
static uint64_t frozen_hash(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    const struct frame *fr = frame_of(f->frames, mfn);

    if ((fr->flags & FRAME_F_HASHED) && fold_by_dirty(f, p) &&
        !fold_has_changed(f, p, gfn, mfn, frame_hash(fr))) {
        return frame_hash(fr);
    }
    f->hashes++;
    return fold_index_hash(f, p->group, mfn);
}

/* The frozen content's SHARED frame, if there is one by now; else its place in the index. */
static uint32_t find_stable(struct fold *f, struct p2m *owner, gfn_t gfn, mfn_t twin,
                            struct fold_place *at, uint64_t *hash)
{
    const struct share_group *g = owner->group;

    if (f->on.index == FOLD_HASH) {
        *hash = frozen_hash(f, owner, gfn, twin);
        return fold_index_find_hash(f, g, *hash, FRAME_F_STABLE, bytes(f, twin));
    }
    if (fold_by_dirty(f, owner)) { /* else the unstable tree goes after this pass anyway */
        f->misplaced |= fold_has_changed(f, owner, gfn, twin, 0);
    }
    *at = fold_index_find(f, g->stable_root, bytes(f, twin));
    return at->match;
}

bool fold_merge_twins(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, struct p2m *owner,
                      mfn_t twin)
{
    struct share_group *g = p->group;
    gfn_t twin_gfn = GFN(frame_of(f->frames, twin)->gfn);
    struct fold_place at;
    uint64_t hash = 0;

    if (owner != p) {
        freeze(owner, twin_gfn);
    } else {
        p->ops->protect(p->ctx, twin_gfn); /* one flush, below, serves both */
    }
    freeze(p, gfn);
    if (!equal(f, mfn, twin)) {
        return false;
    }

    /* The bytes are fixed only now, so only now is their place in the stable index certain. */
    uint32_t found = find_stable(f, owner, twin_gfn, twin, &at, &hash);
    if (found != FRAME_NIL && fold_merge_stable(f, p, gfn, mfn, MFN(found))) {
        return true;
    }
    if (found != FRAME_NIL && f->on.index == FOLD_TREE) {
        return false;
    }
    if (!promise_can_share(owner)) {
        fold_again(p, gfn); /* there may be a frame to spare later */
        return false;
    }
    p2m_make_shared(owner, twin_gfn, twin);
    note_folded(f, owner, twin_gfn);
    if (f->on.index == FOLD_HASH) {
        fold_index_hash_stable(f, g, twin, hash);
    } else {
        fold_index_add_stable(f, g, twin, &at);
    }
    return merge(f, p, gfn, mfn, twin);
}
