/* SPDX-License-Identifier: BSD-2-Clause */
/* One page of a pass: zero page, stable index, volatility, unstable index, and the merges. */
#include "mm/fold_page.h"

#include "mm/content.h"
#include "mm/fold_index.h"

static const void *bytes(const struct fold *f, mfn_t mfn)
{
    return frame_bytes(f->frames, mfn);
}

static bool equal(struct fold *f, mfn_t a, mfn_t b)
{
    f->compares++;
    return content_compare(bytes(f, a), bytes(f, b)) == 0;
}

/* When it returns, the guest cannot write to the page without a fault on any of its CPUs. */
static void freeze(struct p2m *p, gfn_t gfn)
{
    p->ops->protect(p->ctx, gfn);
    p->ops->flush(p->ctx);
}

/*
 * The merges. All freeze, then look at the bytes again, and return whether the entry now maps the
 * common frame. A page that turns out to differ stays read-only: its next write fault gives the
 * right back without a copy.
 */
static bool merge_zero(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    freeze(p, gfn);
    return content_is_zero(frame_bytes(p->frames, mfn)) &&
           p2m_merge(p, gfn, mfn, p->group->zero) == OK;
}

static bool merge_stable(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, mfn_t into)
{
    if (frame_of(f->frames, into)->refs == UINT32_MAX) {
        return false;
    }
    freeze(p, gfn);
    return equal(f, mfn, into) && p2m_merge(p, gfn, mfn, into) == OK;
}

static struct p2m *map_of(const struct fold *f, uint16_t vm)
{
    struct p2m *p = f->maps;

    while (p && p->vm != vm) {
        p = p->fold_next;
    }
    return p;
}

/* Both frames are PRIVATE; `twin`, the one from the unstable index, becomes the SHARED one. */
static bool merge_unstable(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, struct p2m *owner,
                           mfn_t twin)
{
    struct share_group *g = p->group;
    gfn_t twin_gfn = GFN(frame_of(f->frames, twin)->gfn);

    if (owner != p) {
        freeze(owner, twin_gfn);
    } else {
        p->ops->protect(p->ctx, twin_gfn); /* one flush, below, serves both */
    }
    freeze(p, gfn);
    if (!equal(f, mfn, twin)) {
        return false;
    }

    /* The bytes are fixed only now, so only now is its place in the stable index certain. */
    struct fold_place at = fold_index_find(f, g->stable_root, bytes(f, twin));
    if (at.match != FRAME_NIL) {
        return merge_stable(f, p, gfn, mfn, MFN(at.match));
    }
    p2m_make_shared(owner, twin_gfn, twin);
    fold_index_add_stable(f, g, twin, &at);
    return p2m_merge(p, gfn, mfn, twin) == OK;
}

/* The checksum's verdict; remembers the new sum for the next pass. */
static bool is_volatile(struct fold *f, mfn_t mfn)
{
    static const struct content_key plain; /* the checksum steers nothing: it needs no key */
    struct frame *fr = frame_of(f->frames, mfn);
    uint32_t sum = (uint32_t)content_scalar.hash(bytes(f, mfn), &plain);
    bool same = (fr->flags & FRAME_F_SUMMED) && fr->checksum == sum;

    f->hashes++;
    fr->checksum = sum;
    fr->flags |= FRAME_F_SUMMED;
    return !same;
}

static void fold_with_unstable(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    struct share_group *g = p->group;

    for (;;) {
        struct fold_place at = fold_index_find(f, g->unstable_root, bytes(f, mfn));
        if (at.match == FRAME_NIL) {
            fold_index_add_unstable(f, g, mfn, &at);
            return;
        }

        mfn_t twin = MFN(at.match);
        const struct frame *fr = frame_of(f->frames, twin);
        struct p2m *owner = map_of(f, fr->vm);
        if (owner && fr->pins == 0) {
            if (!merge_unstable(f, p, gfn, mfn, owner, twin)) {
                f->volatile_now++;
            }
            return;
        }
        /* Its VM was detached, or a device has got hold of it, since it was entered: out with it,
         * and another try. The index is a node smaller each time round. */
        fold_index_remove(f, twin);
    }
}

void fold_page(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    const struct frame *fr = frame_of(f->frames, mfn);

    f->pages_scanned++;
    if (fr->state == FRAME_SHARED || fr->state == FRAME_ZERO) {
        return; /* folded already */
    }
    if (fr->state != FRAME_PRIVATE || fr->pins > 0) {
        f->pages_skipped++;
        return;
    }
    if (fr->flags & FRAME_F_UNSTABLE) {
        fold_index_remove(f, mfn); /* its VM left and came back within this pass */
    }

    if (f->zero && content_is_zero(bytes(f, mfn)) && merge_zero(p, gfn, mfn)) {
        return;
    }
    struct fold_place at = fold_index_find(f, p->group->stable_root, bytes(f, mfn));
    if (at.match != FRAME_NIL && merge_stable(f, p, gfn, mfn, MFN(at.match))) {
        return;
    }
    if (is_volatile(f, mfn)) {
        f->volatile_now++;
        return;
    }
    fold_with_unstable(f, p, gfn, mfn);
}
