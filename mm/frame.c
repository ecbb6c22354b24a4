/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame table: states, references and pins of every machine frame, and the free list. */
#include "mm/frame.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"

/* The only two places that touch by_state, so that its sum stays `count`. */
static inline void state_move(struct frames *f, struct frame *fr, enum frame_state to)
{
    f->by_state[fr->state]--;
    f->by_state[to]++;
    fr->state = (uint8_t)to;
}

static void free_push(struct frames *f, mfn_t mfn)
{
    struct frame *fr = frame_of(f, mfn);

    state_move(f, fr, FRAME_FREE);
    fr->flags = 0;
    fr->left = f->free_head;
    f->free_head = (uint32_t)mfn.n;
}

void frames_leave_index(struct frames *f, mfn_t mfn)
{
    if (frame_of(f, mfn)->flags & FRAME_F_INDEXED) {
        f->unindex(f->unindex_ctx, mfn);
    }
}

void frames_init(struct frames *f, struct frame *table, uint64_t count, void *window)
{
    memset(f, 0, sizeof(*f));
    f->table = table;
    /* Links are 32 bits; what a machine has past 16 TiB stays unused. */
    f->count = MIN(count, (uint64_t)FRAME_NIL);
    f->window = window;
    f->free_head = FRAME_NIL;
    f->by_state[FRAME_RESERVED] = f->count;
    memset(table, 0, f->count * sizeof(*table));
}

void frames_add_free(struct frames *f, mfn_t first, uint64_t n)
{
    if (first.n >= f->count) {
        return;
    }
    /* From the last to the first, so that low frames are handed out first. */
    for (uint64_t i = MIN(n, f->count - first.n); i > 0; i--) {
        mfn_t mfn = MFN(first.n + i - 1);
        if (frame_of(f, mfn)->state == FRAME_RESERVED) {
            free_push(f, mfn);
        }
    }
}

void frames_mark_hyp(struct frames *f, mfn_t first, uint64_t n)
{
    if (first.n >= f->count) {
        return;
    }
    n = MIN(n, f->count - first.n);
    for (uint64_t i = 0; i < n; i++) {
        struct frame *fr = frame_of(f, MFN(first.n + i));
        if (fr->state == FRAME_RESERVED) {
            state_move(f, fr, FRAME_HYP);
        }
    }
}

void frames_add_reclaimer(struct frames *f, uint64_t (*give)(void *ctx, uint64_t want), void *ctx)
{
    ASSERT(f->n_reclaimers < FRAMES_RECLAIMERS);
    f->reclaimers[f->n_reclaimers++] = (struct frames_reclaimer){give, ctx};
}

uint64_t frames_reclaim(struct frames *f, uint64_t want)
{
    uint64_t got = 0;

    for (unsigned i = 0; i < f->n_reclaimers && got < want; i++) {
        got += f->reclaimers[i].give(f->reclaimers[i].ctx, want - got);
    }
    return got;
}

/* Whether a frame is free, for this purpose. */
static bool may_take(const struct frames *f)
{
    return f->free_head != FRAME_NIL && (f->draws || f->by_state[FRAME_FREE] > f->kept);
}

enum status frames_alloc(struct frames *f, enum frame_state state, mfn_t *out)
{
    if (!may_take(f)) {
        if (frames_reclaim(f, 1) == 0 || !may_take(f)) {
            return E_NOMEM;
        }
    }

    mfn_t mfn = MFN(f->free_head);
    struct frame *fr = frame_of(f, mfn);
    f->free_head = fr->left;
    state_move(f, fr, state);
    fr->refs = state == FRAME_HYP ? 0 : 1;
    *out = mfn;
    return OK;
}

void frames_free(struct frames *f, mfn_t mfn)
{
    struct frame *fr = frame_of(f, mfn);

    ASSERT(fr->state == FRAME_HYP && fr->refs == 0 && fr->pins == 0);
    free_push(f, mfn);
}

void frames_get(struct frames *f, mfn_t mfn)
{
    struct frame *fr = frame_of(f, mfn);

    ASSERT(fr->refs < FRAME_REFS_MAX);
    fr->refs++;
    if (fr->state == FRAME_CACHE_ONLY && (fr->flags & FRAME_F_IN_CACHE) != 0) {
        state_move(f, fr, FRAME_SHARED);
        f->cache.mapped(f->cache.ctx, mfn, true);
    }
}

void frames_put(struct frames *f, mfn_t mfn)
{
    struct frame *fr = frame_of(f, mfn);

    ASSERT(fr->refs > 0);
    fr->refs--;
    if (fr->refs > 0 || fr->state == FRAME_ZERO) {
        if (fr->refs == 1 && fr->state == FRAME_SHARED && (fr->flags & FRAME_F_IN_CACHE) != 0) {
            state_move(f, fr, FRAME_CACHE_ONLY);
            f->cache.mapped(f->cache.ctx, mfn, false);
        }
        return;
    }
    frames_leave_index(f, mfn);
    if (fr->pins == 0) {
        free_push(f, mfn);
    } else {
        fr->flags &= (uint8_t)~FRAME_F_UNSCANNED;
        f->shared_gone += fr->state == FRAME_SHARED;
    }
}

void frames_pin(struct frames *f, mfn_t mfn)
{
    struct frame *fr = frame_of(f, mfn);

    if (fr->state == FRAME_ZERO) {
        return;
    }
    ASSERT(fr->pins < FRAME_PINS_MAX);
    if (fr->pins == 0) {
        f->pinned++;
    }
    fr->pins++;
}

void frames_unpin(struct frames *f, mfn_t mfn)
{
    struct frame *fr = frame_of(f, mfn);

    if (fr->state == FRAME_ZERO) {
        return;
    }
    ASSERT(fr->pins > 0);
    fr->pins--;
    if (fr->pins > 0) {
        return;
    }
    f->pinned--;
    f->n_unpinned++;
    if (fr->refs == 0 && fr->state != FRAME_HYP) {
        f->shared_gone -= fr->state == FRAME_SHARED;
        free_push(f, mfn);
    }
}

void frames_set_state(struct frames *f, mfn_t mfn, enum frame_state state)
{
    struct frame *fr = frame_of(f, mfn);

    /* The free list is entered and left only by alloc, free, put and unpin. */
    ASSERT(fr->state != FRAME_FREE && state != FRAME_FREE && !(fr->flags & FRAME_F_IN_CACHE));
    frames_leave_index(f, mfn);
    fr->flags &= (uint8_t) ~(FRAME_F_UNSCANNED | FRAME_F_SUMMED);
    state_move(f, fr, state);
}

const char *frame_state_name(enum frame_state s)
{
    static const char *const names[FRAME_STATES] = {
        [FRAME_RESERVED] = "reserved", [FRAME_FREE] = "free",     [FRAME_HYP] = "hypervisor",
        [FRAME_PRIVATE] = "private",   [FRAME_SHARED] = "shared", [FRAME_ZERO] = "zero",
        [FRAME_CACHE_ONLY] = "cache",
    };

    return (unsigned)s < FRAME_STATES ? names[s] : "invalid";
}
