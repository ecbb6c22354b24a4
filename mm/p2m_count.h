/* SPDX-License-Identifier: BSD-2-Clause */
/* What a map's entries lead to, counted as they come and go. Private to mm/p2m. */
#ifndef MM_P2M_COUNT_H
#define MM_P2M_COUNT_H

#include "mm/promise.h"

static inline enum frame_state p2m_state_of(const struct p2m *p, mfn_t mfn)
{
    return (enum frame_state)frame_of(p->frames, mfn)->state;
}

/* Whether a guest's page maps the frame, and only one: what else holds it is the cache. */
static inline bool p2m_is_sole(const struct frame *fr)
{
    return fr->state == FRAME_SHARED && fr->refs == 1 + ((fr->flags & FRAME_F_IN_CACHE) != 0);
}

static inline void p2m_count_sole(struct p2m *p, gfn_t gfn, bool sole)
{
    struct gpage *page = p2m_page(p, gfn);

    if (sole != ((page->flags & GPAGE_F_SOLE) != 0)) {
        page->flags ^= GPAGE_F_SOLE;
        p->sole_maps += sole ? 1 : -UINT64_C(1);
    }
}

/* gfn, a hole until now, maps a frame of this state. */
static inline void p2m_count_gain(struct p2m *p, gfn_t gfn, enum frame_state state)
{
    p->present++;
    if (state == FRAME_ZERO) {
        p->zero_maps++;
        p->group->zero_maps++;
    } else if (state == FRAME_SHARED) {
        p->shared_maps++;
        p->group->shared_maps++;
    }
    if (state == FRAME_ZERO || state == FRAME_SHARED) {
        p->group->class_folded[p2m_page(p, gfn)->class]++;
    }
    if (p->promise.pages > 0) {
        promise_settle(p);
    }
}

/* gfn, which mapped a frame of this state, is a hole. */
static inline void p2m_count_lose(struct p2m *p, gfn_t gfn, enum frame_state state)
{
    p->present--;
    if (state == FRAME_ZERO) {
        p->zero_maps--;
        p->group->zero_maps--;
    } else if (state == FRAME_SHARED) {
        p->shared_maps--;
        p->group->shared_maps--;
        p2m_count_sole(p, gfn, false);
    }
    if (state == FRAME_ZERO || state == FRAME_SHARED) {
        p->group->class_folded[p2m_page(p, gfn)->class]--;
    }
    if (p->promise.pages > 0) {
        promise_settle(p);
    }
}

static inline void p2m_set_owner(struct p2m *p, mfn_t mfn, gfn_t gfn)
{
    struct frame *fr = frame_of(p->frames, mfn);

    fr->vm = p->vm;
    fr->gfn = (uint32_t)gfn.n;
}

/* A write has ended a fold. */
static inline void p2m_note_break(struct p2m *p, gfn_t gfn)
{
    struct gpage *page = p2m_page(p, gfn);

    if (page->flags & GPAGE_F_FOLDED) {
        page->flags = (uint8_t)((page->flags & ~GPAGE_F_FOLDED) | GPAGE_F_BROKEN);
        p->group->class_breaks[page->class]++;
    }
}

#endif
