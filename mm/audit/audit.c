/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `check`: frames, references, p2ms, groups. The trees are in rbtree.c. */
#include "mm/audit/audit.h"

#include "base/bits.h"
#include "base/string.h"
#include "mm/content/content.h"
#include "mm/promise.h"

#define INDEXED FRAME_F_INDEXED
#define CLEAR_WORDS 1024u /* of the scratch at a time */

static unsigned long long ull(uint64_t n)
{
    return n;
}

static const char *state_of(const struct frame *fr)
{
    return frame_state_name((enum frame_state)fr->state);
}

/* ---- references ---------------------------------------------------------------------------- */

/* What one entry may map, and how. */
static void check_entry(struct audit *a, const struct p2m *p, gfn_t gfn, const struct p2m_entry *e)
{
    const struct frame *fr = frame_of(a->frames, e->mfn);

    if (!p2m_is_ram(p, gfn)) {
        audit_fail(a, "vm %u: gfn %#llx is mapped but is no memory of it", p->vm, ull(gfn.n));
    }
    switch ((enum frame_state)fr->state) {
    case FRAME_PRIVATE:
        if (fr->vm != p->vm || fr->gfn != gfn.n) {
            audit_fail(a, "vm %u: gfn %#llx maps frame %#llx, which vm %u owns at gfn %#x", p->vm,
                       ull(gfn.n), ull(e->mfn.n), fr->vm, fr->gfn);
        }
        if (e->writable && fr->refs != 1) {
            audit_fail(a, "vm %u: gfn %#llx writes to frame %#llx, which has %u references", p->vm,
                       ull(gfn.n), ull(e->mfn.n), fr->refs);
        }
        return;
    case FRAME_SHARED:
        if (fr->group != p->group->id) {
            audit_fail(a, "vm %u: gfn %#llx maps frame %#llx of share group %u", p->vm, ull(gfn.n),
                       ull(e->mfn.n), fr->group);
        }
        break;
    case FRAME_ZERO:
        if (e->mfn.n != p->group->zero.n) {
            audit_fail(a, "vm %u: gfn %#llx maps another group's zero page", p->vm, ull(gfn.n));
        }
        break;
    default:
        audit_fail(a, "vm %u: gfn %#llx maps frame %#llx, which is %s", p->vm, ull(gfn.n),
                   ull(e->mfn.n), state_of(fr));
    }
    if (e->writable) {
        audit_fail(a, "vm %u: gfn %#llx writes to frame %#llx, which is %s", p->vm, ull(gfn.n),
                   ull(e->mfn.n), state_of(fr));
    }
}

/* Whether the page is marked as the only one that maps the frame. */
static bool check_sole(struct audit *a, const struct p2m *p, gfn_t gfn, const struct frame *fr)
{
    const struct gpage *page = p2m_page(p, gfn);
    bool sole = page && (page->flags & GPAGE_F_SOLE);

    if (sole && fr->state != FRAME_SHARED) {
        audit_fail(a, "vm %u: gfn %#llx is marked to share its frame alone, which is %s", p->vm,
                   ull(gfn.n), state_of(fr));
    }
    return sole;
}

static void check_map(struct audit *a, const struct p2m *p)
{
    uint64_t present = 0, zero = 0, shared = 0, sole = 0;
    struct p2m_entry e;
    gfn_t at = GFN(0);

    while (p2m_walk(p, a->yield, &at, &e)) {
        present++;
        if (e.mfn.n >= a->frames->count) {
            audit_fail(a, "vm %u: gfn %#llx maps frame %#llx, which does not exist", p->vm,
                       ull(at.n), ull(e.mfn.n));
        } else {
            check_entry(a, p, at, &e);
            a->scratch[e.mfn.n]++;
            zero += frame_of(a->frames, e.mfn)->state == FRAME_ZERO;
            shared += frame_of(a->frames, e.mfn)->state == FRAME_SHARED;
            sole += check_sole(a, p, at, frame_of(a->frames, e.mfn));
        }
        at.n++;
    }
    if (sole != p->sole_maps) {
        audit_fail(a, "vm %u: counts %llu shared frames that it holds alone, has %llu", p->vm,
                   ull(p->sole_maps), ull(sole));
    }
    if (present != p->present || zero != p->zero_maps || shared != p->shared_maps) {
        audit_fail(a, "vm %u: counts %llu/%llu/%llu present/zero/shared, has %llu/%llu/%llu", p->vm,
                   ull(p->present), ull(p->zero_maps), ull(p->shared_maps), ull(present), ull(zero),
                   ull(shared));
    }
}

static void count_other(void *arg, mfn_t mfn)
{
    struct audit *a = arg;

    if (mfn.n >= a->frames->count) {
        audit_fail(a, "the cache holds frame %#llx, which does not exist", ull(mfn.n));
        return;
    }
    a->scratch[mfn.n]++;
}

/* ---- frames -------------------------------------------------------------------------------- */

/* How many references a frame of this state may have when it lives. */
static bool refs_fit(const struct frame *fr)
{
    switch ((enum frame_state)fr->state) {
    case FRAME_RESERVED:
    case FRAME_HYP:
        return fr->refs == 0;
    case FRAME_FREE:
        return fr->refs == 0 && fr->pins == 0;
    case FRAME_PRIVATE:
        return fr->refs == 1 || (fr->refs == 0 && fr->pins > 0);
    case FRAME_SHARED:
        return fr->refs >= 1 + ((fr->flags & FRAME_F_IN_CACHE) != 0) || fr->pins > 0;
    case FRAME_CACHE_ONLY:
        return fr->refs == ((fr->flags & FRAME_F_IN_CACHE) != 0) && (fr->refs || fr->pins);
    default:
        return true;
    }
}

static void check_frame(struct audit *a, mfn_t mfn)
{
    const struct frame *fr = frame_of(a->frames, mfn);
    unsigned flags = fr->flags & (INDEXED | FRAME_F_UNSCANNED);

    if (fr->refs != a->scratch[mfn.n]) {
        audit_fail(a, "frame %#llx (%s): counts %u references, found %u", ull(mfn.n), state_of(fr),
                   fr->refs, a->scratch[mfn.n]);
    }
    if (!refs_fit(fr)) {
        audit_fail(a, "frame %#llx (%s): has %u references and %u pins", ull(mfn.n), state_of(fr),
                   fr->refs, fr->pins);
    }
    /* A SHARED frame is indexed while it has references, or known to be left out or new; a CACHE
     * one may be; only a PRIVATE one can be unstable. */
    bool content = (fr->state == FRAME_SHARED || fr->state == FRAME_CACHE_ONLY) && fr->refs > 0;
    bool known = flags == FRAME_F_STABLE || flags == FRAME_F_LEFT_OUT || flags == FRAME_F_UNSCANNED;
    bool fits = content ? known || (flags == 0 && fr->state == FRAME_CACHE_ONLY)
                        : flags == 0 || (flags == FRAME_F_UNSTABLE && fr->state == FRAME_PRIVATE &&
                                         fr->refs == 1);
    if (!fits) {
        audit_fail(a, "frame %#llx (%s): its index flags are %#x", ull(mfn.n), state_of(fr), flags);
    }
}

static void check_frames(struct audit *a)
{
    uint64_t states[FRAME_STATES] = {0}, pinned = 0, gone = 0, sum = 0;

    for (uint64_t n = 0; n < a->frames->count && yield_go_on(a->yield); n++) {
        const struct frame *fr = frame_of(a->frames, MFN(n));

        if (fr->state >= FRAME_STATES) {
            audit_fail(a, "frame %#llx: has the state %u", ull(n), fr->state);
            continue;
        }
        states[fr->state]++;
        pinned += fr->pins > 0;
        gone += fr->state == FRAME_SHARED && fr->refs == 0;
        check_frame(a, MFN(n));
    }
    for (unsigned s = 0; s < FRAME_STATES; s++) {
        sum += a->frames->by_state[s];
        if (states[s] != a->frames->by_state[s]) {
            audit_fail(a, "%llu frames are %s, counted %llu", ull(states[s]),
                       frame_state_name((enum frame_state)s), ull(a->frames->by_state[s]));
        }
    }
    if (sum != a->frames->count) {
        audit_fail(a, "the states add up to %llu frames of %llu", ull(sum), ull(a->frames->count));
    }
    if (gone != a->frames->shared_gone) {
        audit_fail(a, "%llu shared frames have only pins left, counted %llu", ull(gone),
                   ull(a->frames->shared_gone));
    }
    if (pinned != a->frames->pinned) {
        audit_fail(a, "%llu frames are pinned, counted %llu", ull(pinned), ull(a->frames->pinned));
    }
}

static void check_free_list(struct audit *a)
{
    uint64_t length = 0;
    uint32_t n = a->frames->free_head;

    /* One more than there can be shows a cycle. */
    while (n != FRAME_NIL && length <= a->frames->count && yield_go_on(a->yield)) {
        if (n >= a->frames->count || a->frames->table[n].state != FRAME_FREE) {
            audit_fail(a, "the free list holds frame %#x, which is not free", n);
            return;
        }
        length++;
        n = a->frames->table[n].left;
    }
    if (length != a->frames->by_state[FRAME_FREE]) {
        audit_fail(a, "the free list holds %llu frames instead of %llu", ull(length),
                   ull(a->frames->by_state[FRAME_FREE]));
    }
}

/* ---- groups -------------------------------------------------------------------------------- */

/* Two groups have the same zero page only where one was told to use the other's. */
static void check_zero_owner(struct audit *a, unsigned i)
{
    const struct share_group *g = a->groups[i];
    uint64_t borrowers = 0;

    if (g->zero_lender && (g->zero.n != g->zero_lender->zero.n || g->zero_lender->zero_lender)) {
        audit_fail(a, "group %s: its zero page is not the one that it uses in common", g->name);
    }
    for (unsigned k = 0; k < a->n_groups; k++) {
        const struct share_group *other = a->groups[k];

        borrowers += other->zero_lender == g;
        if (k < i && other->zero.n == g->zero.n && !other->zero_lender && !g->zero_lender) {
            audit_fail(a, "groups %s and %s have the same zero page", other->name, g->name);
        }
    }
    if (borrowers != g->zero_borrowers) {
        audit_fail(a, "group %s: counts %u groups that use its zero page, there are %llu", g->name,
                   g->zero_borrowers, ull(borrowers));
    }
}

/* The folded entries of the group by class, recounted. */
static void check_classes(struct audit *a, const struct share_group *g)
{
    uint64_t folded[PAGE_CLASSES] = {0};
    struct p2m_entry e;

    for (unsigned m = 0; m < a->n_maps; m++) {
        const struct p2m *p = a->maps[m];
        gfn_t at = GFN(0);

        while (p->group == g && p2m_walk(p, a->yield, &at, &e)) {
            const struct gpage *page = p2m_page(p, at);
            if (page == NULL) {
                audit_fail(a, "vm %u, gfn %llx: is mapped, but there is no note of it", p->vm,
                           ull(at.n));
            } else if (e.mfn.n < a->frames->count &&
                       (frame_of(a->frames, e.mfn)->state == FRAME_SHARED ||
                        frame_of(a->frames, e.mfn)->state == FRAME_ZERO)) {
                folded[page->class % PAGE_CLASSES]++;
            }
            at.n++;
        }
    }
    for (unsigned c = 0; c < PAGE_CLASSES; c++) {
        if (folded[c] != g->class_folded[c]) {
            audit_fail(a, "group %s: counts %llu folded entries of class %u, has %llu", g->name,
                       ull(g->class_folded[c]), c, ull(folded[c]));
        }
    }
}

static void check_groups(struct audit *a)
{
    uint64_t stable = 0, unstable = 0, flagged_stable = 0, flagged_unstable = 0, left_out = 0;
    uint64_t indexed = 0;
    bool balanced = !a->fold || a->fold->phase != FOLD_TEARDOWN;

    for (unsigned i = 0; i < a->n_groups && yield_go_on(a->yield); i++) {
        const struct share_group *g = a->groups[i];
        uint64_t zero = 0, shared = 0;

        stable += audit_tree(a, g, g->stable_root, FRAME_F_STABLE, true, true);
        unstable += audit_tree(a, g, g->unstable_root, FRAME_F_UNSTABLE, balanced, false);
        if (g->zero.n >= a->frames->count || frame_of(a->frames, g->zero)->state != FRAME_ZERO ||
            !content_is_zero(frame_bytes(a->frames, g->zero))) {
            audit_fail(a, "group %s: its zero page is none", g->name);
        }
        check_zero_owner(a, i);
        check_classes(a, g);
        for (unsigned m = 0; m < a->n_maps; m++) {
            if (a->maps[m]->group == g) {
                zero += a->maps[m]->zero_maps;
                shared += a->maps[m]->shared_maps;
            }
        }
        indexed += g->indexed;
        if (zero != g->zero_maps || shared != g->shared_maps) {
            audit_fail(a, "group %s: counts %llu/%llu zero/shared entries, has %llu/%llu", g->name,
                       ull(g->zero_maps), ull(g->shared_maps), ull(zero), ull(shared));
        }
    }
    for (uint64_t n = 0; n < a->frames->count && yield_go_on(a->yield); n++) {
        flagged_stable += (frame_of(a->frames, MFN(n))->flags & FRAME_F_STABLE) != 0;
        flagged_unstable += (frame_of(a->frames, MFN(n))->flags & FRAME_F_UNSTABLE) != 0;
        left_out += (frame_of(a->frames, MFN(n))->flags & FRAME_F_LEFT_OUT) != 0;
    }
    if (a->fold) {
        audit_hash_index(a, &stable, &unstable);
    }
    if (indexed != flagged_stable + flagged_unstable + left_out) {
        audit_fail(a, "the groups count %llu indexed frames, there are %llu", ull(indexed),
                   ull(flagged_stable + flagged_unstable + left_out));
    }
    if (stable != flagged_stable || unstable != flagged_unstable) {
        audit_fail(a, "%llu+%llu frames say that they are indexed, the trees hold %llu+%llu",
                   ull(flagged_stable), ull(flagged_unstable), ull(stable), ull(unstable));
    }
    if (a->fold && (stable != a->fold->stable || unstable != a->fold->unstable ||
                    left_out != a->fold->left_out)) {
        audit_fail(a, "the trees hold %llu+%llu frames and not %llu, counted %llu+%llu and %llu",
                   ull(stable), ull(unstable), ull(left_out), ull(a->fold->stable),
                   ull(a->fold->unstable), ull(a->fold->left_out));
    }
}

/* What is kept for promises is what they need, and is there. */
static void check_promises(struct audit *a)
{
    uint64_t kept = 0;

    for (unsigned i = 0; i < a->n_maps + a->n_unmapped; i++) {
        const struct p2m *p = i < a->n_maps ? a->maps[i] : a->unmapped[i - a->n_maps];
        const struct promise *own = &p->promise;

        kept += own->kept;
        if (own->kept + own->missing != promise_need(p)) {
            audit_fail(a,
                       "vm %u: its promise of %llu pages needs %llu frames; %llu are kept, %llu "
                       "missing",
                       p->vm, ull(own->pages), ull(promise_need(p)), ull(own->kept),
                       ull(own->missing));
        }
    }
    if (kept != a->frames->kept || kept > a->frames->by_state[FRAME_FREE]) {
        audit_fail(a, "%llu frames are kept for promises, counted %llu; %llu are free", ull(kept),
                   ull(a->frames->kept), ull(a->frames->by_state[FRAME_FREE]));
    }
}

static void check_names(struct audit *a)
{
    for (unsigned i = 0; i < a->n_maps; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (a->maps[i]->vm == a->maps[k]->vm) {
                audit_fail(a, "two VMs have the number %u", a->maps[i]->vm);
            }
        }
    }
}

unsigned audit_run(struct audit *a)
{
    a->violations = 0;
    for (uint64_t n = 0; n < a->frames->count && yield_go_on(a->yield); n += CLEAR_WORDS) {
        memset(a->scratch + n, 0,
               MIN(a->frames->count - n, (uint64_t)CLEAR_WORDS) * sizeof(*a->scratch));
    }
    for (unsigned i = 0; i < a->n_maps; i++) {
        check_map(a, a->maps[i]);
    }
    if (a->others) {
        a->others(a->others_ctx, a->yield, count_other, a);
    }
    check_frames(a);
    check_free_list(a);
    check_groups(a);
    check_names(a);
    check_promises(a);
    return a->violations;
}
