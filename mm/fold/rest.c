/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that are left alone for a while: see rest.h. */
#include "mm/fold/rest.h"

#include "base/bits.h"
#include "mm/cache/store.h"
#include "mm/fold/alone.h"
#include "mm/fold/attach.h"
#include "mm/fold/bracket.h"
#include "mm/fold/index.h"
#include "mm/fold/join.h"
#include "mm/fold/page.h"

void fold_rest_for(struct p2m *p, gfn_t gfn, uint8_t rounds, enum fold_rest_why why)
{
    struct p2m_notes *notes = p2m_notes(p, gfn);
    unsigned i = gfn.n % P2M_REGION_PAGES;
    struct gpage *page = &notes->pages[i];

    notes->resting[i / 64] |= BIT(i % 64);
    page->rests = rounds;
    if (why == FOLD_REST_CLASS) {
        notes->skipped[i / 64] &= ~BIT(i % 64);
        page->flags |= GPAGE_F_BY_CLASS;
    } else {
        notes->skipped[i / 64] |= BIT(i % 64);
        page->flags &= (uint8_t)~GPAGE_F_BY_CLASS;
    }
}

enum fold_rest_why fold_rest_why(const struct gpage *page)
{
    return page->flags & GPAGE_F_BY_CLASS ? FOLD_REST_CLASS : FOLD_REST_HISTORY;
}

void fold_rest_break(struct p2m *p, gfn_t gfn)
{
    unsigned i = gfn.n % P2M_REGION_PAGES;

    p2m_notes(p, gfn)->skipped[i / 64] &= ~BIT(i % 64);
}

unsigned fold_rest_skipped(const struct p2m_notes *notes)
{
    unsigned n = 0;

    for (unsigned i = 0; i < P2M_REGION_WORDS; i++) {
        n += bits_count(notes->skipped[i]);
    }
    return n;
}

/* ---- where they go -------------------------------------------------------------------------- */

/* Whether a page that is left alone may still be what a block of the cache is: one that rests, or
 * is free and so of no use to anybody. What somebody wants to be left alone is not touched at all.
 */
static bool may_join(const struct fold *f, const struct gpage *page)
{
    bool cached = page->class == PAGE_CACHE && f->on.pagecache != FOLD_PAGECACHE_SCAN;

    return page->class == PAGE_FREE || (!(f->on.skip >> page->class & 1) && !cached);
}

/* The page's hash, remembered; not while `since` is still wanted for what it says of the last fold.
 */
static uint64_t take_tag(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    struct gpage *page = p2m_page(p, gfn);
    uint64_t hash = fold_index_hash(f, p->group, mfn);

    f->hashes++;
    if (!(page->flags & GPAGE_F_BROKEN)) {
        page->since = fold_alone_tag(hash);
        page->flags |= GPAGE_F_TAGGED;
    }
    return hash;
}

void fold_rest_join(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    struct gpage *page = p2m_page(p, gfn);

    page->flags &= (uint8_t)~GPAGE_F_TAGGED;
    if (!may_join(f, page) || !f->cache || f->cache->mode != CACHE_FOLD ||
        f->frames->by_state[FRAME_CACHE_ONLY] == 0) {
        return;
    }
    fold_bracket(f);
    uint64_t hash = f->on.index == FOLD_HASH ? take_tag(f, p, gfn, mfn) : 0;
    (void)fold_join(f, p, gfn, mfn, hash);
}

void fold_rest_look(struct fold *f, struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    const struct frame *fr = frame_of(f->frames, mfn);

    f->pages_scanned++;
    if ((fr->state != FRAME_PRIVATE && !fold_is_new_block(f, mfn)) ||
        (fr->flags & FRAME_F_UNSTABLE)) {
        return; /* folded, or where a block that comes finds it */
    }
    if (fr->pins > 0) {
        fold_again(p, gfn);
        return;
    }
    fold_rest_join(f, p, gfn, mfn);
}
