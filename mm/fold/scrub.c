/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scrubbing (paper, section 9): at the end of a pass, each block of the cache whose content stands
 * in the stable or the unstable index, of whatever share group, is dropped; zero pages count as
 * indexed. Blocks of disks that several groups read (FRAME_COMMON) stay: that one is gone would
 * tell a group what another one holds. What the cache alone holds is clean, so it may always go; it
 * is compared in full so that no other does.
 */
#include "base/bits.h"
#include "mm/cache/store.h"
#include "mm/fold/block.h"
#include "mm/fold/bracket.h"
#include "mm/fold/index.h"
#include "mm/fold/page.h"

/* Entries that are none, or need no look: so many count as one page. */
#define SCRUB_ENTRIES 64u

static const void *bytes(const struct fold *f, mfn_t mfn)
{
    return frame_bytes(f->frames, mfn);
}

/* Whether that frame of an index has the block's content, and is not itself a block of the cache's
 * alone. */
static bool is_copy(struct fold *f, uint32_t n, mfn_t mfn)
{
    if (n == FRAME_NIL || frame_of(f->frames, MFN(n))->state == FRAME_CACHE_ONLY) {
        return false;
    }
    f->compares++;
    return f->unit->ops->compare(bytes(f, MFN(n)), bytes(f, mfn)) == 0;
}

static bool is_in_index(struct fold *f, const struct share_group *g, mfn_t mfn)
{
    if (f->on.index == FOLD_HASH) {
        uint64_t hash = fold_index_block_hash(f, g->id, mfn);
        const void *page = bytes(f, mfn);
        return is_copy(f, fold_index_find_hash(f, g, hash, FRAME_F_STABLE, page), mfn) ||
               is_copy(f, fold_index_find_hash(f, g, hash, FRAME_F_UNSTABLE, page), mfn);
    }
    return is_copy(f, fold_index_find(f, g->stable_root, bytes(f, mfn)).match, mfn) ||
           is_copy(f, fold_index_find(f, g->unstable_root, bytes(f, mfn)).match, mfn);
}

static bool is_held_by_guests(struct fold *f, mfn_t mfn)
{
    bool zero = f->unit->ops->is_zero(bytes(f, mfn));

    for (const struct share_group *g = f->groups; g; g = g->fold_next) {
        if ((zero && g->zero_maps > 0) || is_in_index(f, g, mfn)) {
            return true;
        }
    }
    return false;
}

/* Whether the entry's block is the cache's alone, and at rest. */
static bool is_candidate(const struct fold *f, uint32_t e)
{
    if (!cache_is_clean(f->cache, e)) {
        return false;
    }
    const struct frame *fr = frame_of(f->frames, cache_frame(f->cache, e));
    return fr->state == FRAME_CACHE_ONLY && !(fr->flags & FRAME_F_INDEXED) && fr->pins == 0 &&
           fr->group != FRAME_COMMON;
}

void fold_scrub_step(struct fold *f)
{
    uint64_t start = f->ticks ? f->ticks() : 0;

    f->cached_left = MIN(f->cached_left, f->cache->n_max);
    for (unsigned i = 0; i < SCRUB_ENTRIES && f->cached_left > 0; i++) {
        uint32_t e = --f->cached_left;

        if (!is_candidate(f, e)) {
            continue;
        }
        fold_bracket(f);
        f->blocks_scanned++;
        if (is_held_by_guests(f, cache_frame(f->cache, e))) {
            cache_scrub(f->cache, e);
        }
        break;
    }
    if (f->ticks) {
        f->scrub_ticks += f->ticks() - start;
    }
}
