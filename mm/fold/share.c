/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames that enter the stable index before any guest maps them: see share.h. */
#include "mm/fold/share.h"

#include "mm/fold/attach.h"
#include "mm/fold/bracket.h"
#include "mm/fold/index.h"
#include "mm/fold/page.h"

static bool equal(struct fold *f, mfn_t a, mfn_t b)
{
    f->compares++;
    return f->unit->ops->compare(frame_bytes(f->frames, a), frame_bytes(f->frames, b)) == 0;
}

/* A frame can take another reference; a count that is full leaves the copy to itself. */
static bool has_room(const struct fold *f, uint32_t n)
{
    return f->frames->table[n].refs < FRAME_REFS_MAX;
}

static mfn_t by_hash(struct fold *f, struct share_group *g, mfn_t mfn)
{
    uint64_t hash = fold_index_hash(f, g, mfn);
    uint32_t n = fold_index_find_hash(f, g, hash, FRAME_F_STABLE, frame_bytes(f->frames, mfn));

    f->hashes++;
    if (n != FRAME_NIL && has_room(f, n) && equal(f, MFN(n), mfn)) {
        return MFN(n);
    }
    fold_index_hash_stable(f, g, mfn, hash);
    return mfn;
}

static mfn_t by_tree(struct fold *f, struct share_group *g, mfn_t mfn)
{
    struct fold_place at = fold_index_find(f, g->stable_root, frame_bytes(f->frames, mfn));

    if (at.match == FRAME_NIL) {
        fold_index_add_stable(f, g, mfn, &at);
        return mfn;
    }
    if (has_room(f, at.match)) {
        return MFN(at.match);
    }
    fold_index_leave_out(f, g, mfn);
    return mfn;
}

mfn_t fold_share(struct fold *f, struct share_group *g, mfn_t mfn)
{
    fold_know(f, g);
    fold_bracket(f);
    frame_of(f->frames, mfn)->group = (uint16_t)g->id;
    if (f->unit->ops->is_zero(frame_bytes(f->frames, mfn))) {
        return g->zero;
    }
    return f->on.index == FOLD_HASH ? by_hash(f, g, mfn) : by_tree(f, g, mfn);
}

void fold_share_end(struct fold *f)
{
    fold_bracket_end(f);
}
