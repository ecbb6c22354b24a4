/* SPDX-License-Identifier: BSD-2-Clause */
/* The maps and groups that take part, and where the scan is among them: see attach.h. */
#include "mm/fold/attach.h"

#include "base/bits.h"
#include "base/log.h"

void fold_know(struct fold *f, struct share_group *g)
{
    struct share_group **at = &f->groups;

    while (*at && *at != g) {
        ASSERT((*at)->id != g->id);
        at = &(*at)->fold_next;
    }
    if (!*at) {
        g->fold_next = NULL;
        *at = g;
    }
}

void fold_again(struct p2m *p, gfn_t gfn)
{
    struct p2m_notes *notes = p2m_notes(p, gfn);
    unsigned i = gfn.n % P2M_REGION_PAGES;

    notes->pending[i / 64] |= BIT(i % 64);
}

void fold_scan_to(struct fold *f, struct p2m *p)
{
    f->in_region = false;
    f->cursor = p;
    f->next = p ? p->runs[0].first : GFN(0);
}

void fold_scan_all(struct p2m *p)
{
    p->fold_due = p->n_notes > 0 ? 0 : p->n_regions;
}

void fold_attach(struct fold *f, struct p2m *p)
{
    struct p2m **end = &f->maps;

    ASSERT(!p->fold_attached);
    fold_know(f, p->group);
    while (*end) {
        end = &(*end)->fold_next;
    }
    *end = p;
    p->fold_next = NULL;
    p->fold_same_slot = f->by_vm[p->vm % FOLD_VM_SLOTS];
    f->by_vm[p->vm % FOLD_VM_SLOTS] = p;
    p->fold_attached = true;
    p->ticks = f->ticks;
    fold_scan_all(p);
    if (f->phase == FOLD_SCAN && !f->cursor) {
        fold_scan_to(f, p);
    }
}

void fold_detach(struct fold *f, struct p2m *p)
{
    struct p2m **at = &f->maps;

    if (!p->fold_attached) {
        return;
    }
    while (*at != p) {
        at = &(*at)->fold_next;
    }
    *at = p->fold_next;
    for (at = &f->by_vm[p->vm % FOLD_VM_SLOTS]; *at != p; at = &(*at)->fold_same_slot) {
    }
    *at = p->fold_same_slot;
    if (f->cursor == p) {
        fold_scan_to(f, p->fold_next);
    }
    p->fold_next = NULL;
    p->fold_attached = false;
    if (!f->maps) {
        f->unshared_last = 0; /* of a pass over memory that is gone */
        f->volatile_last = 0;
    }
}

enum status fold_forget(struct fold *f, struct share_group *g)
{
    struct share_group **at = &f->groups;

    if (g->indexed > 0) {
        return E_BUSY;
    }
    for (const struct p2m *p = f->maps; p; p = p->fold_next) {
        if (p->group == g) {
            return E_BUSY;
        }
    }
    while (*at && *at != g) {
        at = &(*at)->fold_next;
    }
    if (*at) {
        *at = g->fold_next;
    }
    return OK;
}
