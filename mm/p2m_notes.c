/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is remembered about guest pages, and who is told of writes.
 *
 * A page's dirty bit is read and cleared in one place, here, and handed to everybody who wants to
 * know: mm/fold's bitmap in the notes, and each log that has joined. Writes that set no dirty bit
 * (devices, new frames) come in by p2m_mark_written.
 */
#include "mm/p2m_notes.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/page.h"
#include "mm/promise.h"

uint32_t p2m_regions(const struct p2m_slot *runs, unsigned n_runs)
{
    const struct p2m_slot *last = &runs[n_runs - 1];

    return (uint32_t)((last->first.n + last->pages + P2M_REGION_PAGES - 1) / P2M_REGION_PAGES);
}

enum status p2m_region_make(struct p2m *p, gfn_t gfn)
{
    struct p2m_region *r = &p->regions[gfn.n / P2M_REGION_PAGES];
    mfn_t mfn;

    if (r->notes != 0) {
        return OK;
    }
    enum status s = frames_alloc(p->frames, FRAME_HYP, &mfn);
    if (s != OK) {
        return s;
    }
    page_zero(frame_bytes(p->frames, mfn));
    r->notes = (uint32_t)mfn.n + 1;
    p->n_notes++;
    promise_settle(p);
    return OK;
}

void p2m_region_drop(struct p2m *p, uint32_t region)
{
    frames_free(p->frames, MFN(p->regions[region].notes - 1u));
    p->regions[region].notes = 0;
    p->n_notes--;
    promise_settle(p);
}

/* ---- writes -------------------------------------------------------------------------------- */

void p2m_mark_written(struct p2m *p, gfn_t gfn)
{
    struct p2m_notes *notes = p2m_notes(p, gfn);
    unsigned i = gfn.n % P2M_REGION_PAGES;

    ASSERT(notes);
    notes->written[i / 64] |= BIT(i % 64);
    notes->pages[i].flags &= (uint8_t)~GPAGE_F_FROM_DISK;
    p2m_log_written(p, gfn);
}

void p2m_no_look(struct p2m *p, gfn_t gfn)
{
    struct p2m_notes *notes = p2m_notes(p, gfn);
    unsigned i = gfn.n % P2M_REGION_PAGES;

    notes->written[i / 64] &= ~BIT(i % 64);
}

void p2m_look_again(struct p2m *p, gfn_t gfn)
{
    struct p2m_notes *notes = p2m_notes(p, gfn);
    unsigned i = gfn.n % P2M_REGION_PAGES;

    notes->pending[i / 64] |= BIT(i % 64) & ~notes->resting[i / 64];
}

bool p2m_harvest(struct p2m *p, gfn_t gfn)
{
    gfn_t first = GFN(ALIGN_DOWN(gfn.n, P2M_REGION_PAGES));
    struct p2m_notes *notes = p2m_notes(p, first);
    uint64_t bits[P2M_REGION_WORDS] = {0};

    if (!notes || !p->ops->harvest(p->ctx, first, bits)) {
        return false;
    }
    p->ops->flush(p->ctx); /* before anybody takes a cleared bit for "not written" */
    for (unsigned i = 0; i < P2M_REGION_WORDS; i++) {
        notes->written[i] |= bits[i];
        for (struct p2m_log *log = p->logs; log; log = log->next) {
            log->bits[first.n / 64 + i] |= bits[i];
        }
    }
    return true;
}

bool p2m_harvest_page(struct p2m *p, gfn_t gfn)
{
    if (!p->ops->has_dirty || !p->ops->test_clear_dirty(p->ctx, gfn)) {
        return false;
    }
    p->ops->flush(p->ctx);
    p2m_mark_written(p, gfn);
    return true;
}
