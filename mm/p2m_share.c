/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames that pages come to share: disk blocks, what a device is to read, and what was folded. */
#include "base/log.h"
#include "mm/p2m_count.h"
#include "mm/p2m_notes.h"

/* ---- disk blocks --------------------------------------------------------------------------- */

bool p2m_may_map_shared(const struct frame *fr, uint32_t id)
{
    return fr->group == id || (fr->state == FRAME_CACHE_ONLY && fr->group != FRAME_COMMON);
}

/* The frame is the group's from now on; what another group's index knew of it is forgotten. */
static void enter_group(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    struct frame *fr = frame_of(p->frames, mfn);

    if (fr->state != FRAME_CACHE_ONLY) {
        return;
    }
    if (fr->group != p->group->id) {
        frames_leave_index(p->frames, mfn);
        fr->group = (uint16_t)p->group->id;
        p->frames->cache.renew(p->frames->cache.ctx, mfn);
    }
    p2m_set_owner(p, mfn, gfn);
}

enum status p2m_map_shared(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    const struct frame *fr = frame_of(p->frames, mfn);
    struct p2m_entry old;

    if (!p2m_is_ram(p, gfn)) {
        return E_FAULT;
    }
    bool hole = p->ops->lookup(p->ctx, gfn, &old) != OK;
    if (!hole && old.mfn.n == mfn.n) {
        p2m_mark_written(p, gfn);
        return OK;
    }
    if (fr->refs == FRAME_REFS_MAX || (!hole && p2m_state_of(p, old.mfn) == FRAME_PRIVATE &&
                                       frame_of(p->frames, old.mfn)->pins > 0)) {
        return E_BUSY;
    }
    bool held = !hole && (p2m_state_of(p, old.mfn) == FRAME_PRIVATE ||
                          (p2m_page(p, gfn)->flags & GPAGE_F_SOLE) != 0);
    enum status s = promise_begin(p, gfn, false, fr->state == FRAME_CACHE_ONLY && !held);
    if (s == OK) {
        s = p2m_region_make(p, gfn);
    }
    if (s == OK) {
        s = p->ops->map(p->ctx, gfn, mfn, false);
    }
    promise_end(p);
    if (s != OK) {
        return s;
    }
    if (fr->state != FRAME_ZERO) {
        ASSERT(fr->pins > 0 && p2m_may_map_shared(fr, p->group->id));
        enter_group(p, gfn, mfn);
    }
    frames_get(p->frames, mfn);
    if (!hole) {
        p->ops->flush(p->ctx);
        p2m_count_lose(p, gfn, p2m_state_of(p, old.mfn));
    }
    p2m_count_gain(p, gfn, p2m_state_of(p, mfn));
    p2m_count_sole(p, gfn, p2m_is_sole(fr));
    p2m_mark_written(p, gfn);
    p2m_note_break(p, gfn);
    if (!hole) {
        frames_put(p->frames, old.mfn);
    }
    return OK;
}

/* Whether the entry is the guest's own page, with no device at it but the one that asks, and need
 * not stay its own. */
static bool can_freeze(const struct p2m *p, gfn_t gfn, struct p2m_entry *e)
{
    return p->ops->lookup(p->ctx, gfn, e) == OK && p2m_state_of(p, e->mfn) == FRAME_PRIVATE &&
           frame_of(p->frames, e->mfn)->pins == 1 && promise_can_share(p);
}

/* The guest's own frame, write-protected and flushed, is SHARED where it is. */
static void become_shared(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    frames_set_state(p->frames, mfn, FRAME_SHARED);
    p2m_count_lose(p, gfn, FRAME_PRIVATE);
    p2m_count_gain(p, gfn, FRAME_SHARED);
}

void p2m_share_for_io(struct p2m *p, const gfn_t *gfns, unsigned n)
{
    struct p2m_entry e;
    bool any = false;

    for (unsigned i = 0; i < n; i++) {
        if (can_freeze(p, gfns[i], &e)) {
            p->ops->protect(p->ctx, gfns[i]);
            any = true;
        }
    }
    if (!any) {
        return;
    }
    p->ops->flush(p->ctx);
    for (unsigned i = 0; i < n; i++) {
        if (!can_freeze(p, gfns[i], &e)) {
            continue;
        }
        struct frame *fr = frame_of(p->frames, e.mfn);
        become_shared(p, gfns[i], e.mfn);
        p2m_count_sole(p, gfns[i], true);
        fr->group = (uint16_t)p->group->id;
        fr->flags |= FRAME_F_UNSCANNED; /* mm/fold comes to it by this page, */
        p2m_look_again(p, gfns[i]);     /* which may have had its turn */
    }
}

/* ---- merging ------------------------------------------------------------------------------- */

void p2m_make_shared(struct p2m *p, gfn_t gfn, mfn_t mfn)
{
    ASSERT(p2m_state_of(p, mfn) == FRAME_PRIVATE && frame_of(p->frames, mfn)->gfn == gfn.n);
    become_shared(p, gfn, mfn);
    p2m_page(p, gfn)->flags |= GPAGE_F_FOLDED;
}

enum status p2m_merge(struct p2m *p, gfn_t gfn, mfn_t old, mfn_t into)
{
    bool zero = p2m_state_of(p, into) == FRAME_ZERO;

    if (!zero) {
        ASSERT(p2m_may_map_shared(frame_of(p->frames, into), p->group->id));
    }
    if (frame_of(p->frames, into)->refs == FRAME_REFS_MAX) {
        return E_BUSY;
    }
    if (p->logs) {
        (void)p2m_harvest_page(p, gfn); /* the new entry's dirty bit starts clear */
    }
    enum status s = p->ops->map(p->ctx, gfn, into, false);
    if (s != OK) {
        return s;
    }
    if (!zero) {
        enter_group(p, gfn, into);
    }
    frames_get(p->frames, into);
    p->ops->flush(p->ctx);
    p2m_count_lose(p, gfn, p2m_state_of(p, old));
    p2m_count_gain(p, gfn, zero ? FRAME_ZERO : FRAME_SHARED);
    p2m_count_sole(p, gfn, p2m_is_sole(frame_of(p->frames, into)));
    p2m_page(p, gfn)->flags |= GPAGE_F_FOLDED;
    if (zero) {
        p->zero_merges++;
        p->group->zero_merges++;
    } else {
        p->merges++;
        p->group->merges++;
    }
    frames_put(p->frames, old);
    return OK;
}
