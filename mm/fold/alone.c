/* SPDX-License-Identifier: BSD-2-Clause */
/* Which blocks have come to be the cache's alone, by a part of their hash: see alone.h. */
#include "mm/fold/alone.h"

#include "base/bits.h"
#include "base/string.h"
#include "mm/fold/page.h"

static void note_alone(struct fold_alone *a, const struct frame *fr)
{
    uint16_t tag = fold_alone_tag(frame_hash(fr));

    a->any = true;
    if (fr->flags & FRAME_F_HASHED) {
        a->bits[tag / 64] |= BIT(tag % 64);
    } else {
        a->all = true;
    }
}

void fold_alone_note(void *ctx, mfn_t mfn)
{
    struct fold *f = ctx;
    const struct frame *fr = frame_of(f->frames, mfn);

    if (fr->state == FRAME_CACHE_ONLY && (fr->flags & FRAME_F_STABLE)) {
        note_alone(&f->alone[0], fr);
        note_alone(&f->alone[1], fr);
    }
}

void fold_alone_turn(struct fold *f)
{
    if (f->alone[0].any) {
        f->alone[0] = f->alone[1];
        memset(&f->alone[1], 0, sizeof(f->alone[1]));
    }
}

static bool is_called(const struct fold *f, const struct p2m *p, const struct gpage *page)
{
    const struct fold_alone *a = &f->alone[0];

    /* Where checksums tell what changed, what was remembered may be of other content. */
    return a->all || !(page->flags & GPAGE_F_TAGGED) || !fold_by_dirty(f, p) ||
           (a->bits[page->since / 64] >> page->since % 64 & 1);
}

uint64_t fold_alone_called(const struct fold *f, const struct p2m *p, gfn_t first, uint64_t resting)
{
    uint64_t called = 0;

    if (!f->alone[0].any) {
        return 0;
    }
    for (; resting; resting &= resting - 1) {
        unsigned i = (unsigned)__builtin_ctzll(resting);
        called |= is_called(f, p, p2m_page(p, GFN(first.n + i))) ? BIT(i) : 0;
    }
    return called;
}
