/* SPDX-License-Identifier: BSD-2-Clause */
/* Share groups: their zero pages, lent and borrowed. */
#include "base/log.h"
#include "base/page.h"
#include "mm/p2m.h"

enum status share_group_init(struct share_group *g, struct frames *frames, const char *name,
                             uint32_t id)
{
    mfn_t zero;

    if (id >= FRAME_COMMON) {
        return E_RANGE;
    }
    enum status s = frames_alloc(frames, FRAME_ZERO, &zero);
    if (s != OK) {
        return s;
    }
    page_zero(frame_bytes(frames, zero));
    frames_put(frames, zero); /* refs count the entries that map it, and there are none yet */
    *g = (struct share_group){
        .name = name,
        .zero = zero,
        .stable_root = FRAME_NIL,
        .unstable_root = FRAME_NIL,
        .id = id,
    };
    return OK;
}

/* The zero page goes free. No entry maps it. */
static void free_zero(struct frames *frames, mfn_t zero)
{
    frames_set_state(frames, zero, FRAME_HYP);
    frames_free(frames, zero);
}

void share_group_join_zero(struct share_group *g, struct frames *frames, struct share_group *lender)
{
    ASSERT(g != lender && !g->zero_lender && !lender->zero_lender);
    ASSERT(g->zero_maps == 0 && g->zero_borrowers == 0);
    free_zero(frames, g->zero);
    g->zero = lender->zero;
    g->zero_lender = lender;
    lender->zero_borrowers++;
}

enum status share_group_fini(struct share_group *g, struct frames *frames)
{
    if (g->zero_maps > 0 || g->zero_borrowers > 0 || g->indexed > 0) {
        return E_BUSY;
    }
    if (g->zero_lender) {
        g->zero_lender->zero_borrowers--;
        return OK;
    }
    free_zero(frames, g->zero);
    return OK;
}
