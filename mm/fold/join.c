/* SPDX-License-Identifier: BSD-2-Clause */
/* A page that is left alone and a block of the cache come to be in one frame: see join.h. */
#include "mm/fold/join.h"

#include "mm/fold/attach.h"
#include "mm/fold/block.h"
#include "mm/fold/index.h"
#include "mm/fold/merge.h"
#include "mm/fold/page.h"

static const void *bytes(const struct fold *f, mfn_t mfn)
{
    return frame_bytes(f->frames, mfn);
}

/* The frame, which guests map and the cache does not hold, takes in the blocks that equal it. */
static void join_mapped(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    if (frame_of(f->frames, mfn)->flags & FRAME_F_IN_CACHE) {
        return; /* it comes by itself */
    }
    mfn_t into = fold_block(f, p->group, mfn);
    if (frame_of(f->frames, into)->state == FRAME_CACHE_ONLY) {
        fold_again(p, gfn); /* somebody is about to map that one */
    }
}

void fold_join(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn, uint64_t hash)
{
    const struct share_group *g = p->group;
    uint32_t n;

    if (fold_is_new_block(f, mfn)) {
        join_mapped(f, p, gfn, mfn);
        return;
    }
    if (f->on.index == FOLD_TREE) {
        n = fold_index_find(f, g->stable_root, bytes(f, mfn)).match;
    } else {
        n = fold_index_find_hash(f, g, hash, FRAME_F_STABLE, bytes(f, mfn));
    }
    if (n != FRAME_NIL && frame_of(f->frames, MFN(n))->state == FRAME_CACHE_ONLY) {
        (void)fold_merge_stable(f, p, gfn, mfn, MFN(n));
    }
}
