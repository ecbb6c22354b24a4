/* SPDX-License-Identifier: BSD-2-Clause */
/* How long the runs are of folded pages that follow one another elsewhere too. */
#include "mm/fold/fold.h"

/* A run as it grows: the next page of it would be folded with (vm, gfn). */
struct run {
    uint64_t length;
    uint64_t next_here, next_there;
    uint16_t vm;
};

static void end_run(struct run *r, uint64_t runs[FOLD_RUNS])
{
    if (r->length > 0) {
        unsigned k = 63 - (unsigned)__builtin_clzll(r->length);
        runs[k < FOLD_RUNS ? k : FOLD_RUNS - 1]++;
    }
    r->length = 0;
}

static void runs_of(const struct fold *f, const struct p2m *p, struct yield *y,
                    uint64_t runs[FOLD_RUNS])
{
    gfn_t at = GFN(0);
    struct run r = {0};
    struct p2m_entry e;

    for (; p2m_walk(p, y, &at, &e); at.n++) {
        const struct frame *fr = frame_of(f->frames, e.mfn);

        if (fr->state != FRAME_SHARED || (fr->vm == p->vm && fr->gfn == at.n)) {
            continue; /* not folded, or itself what others are folded with */
        }
        if (r.length == 0 || at.n != r.next_here || fr->vm != r.vm || fr->gfn != r.next_there) {
            end_run(&r, runs);
        }
        r.length++;
        r.vm = fr->vm;
        r.next_here = at.n + 1;
        r.next_there = (uint64_t)fr->gfn + 1;
    }
    end_run(&r, runs);
}

void fold_sequences(const struct fold *f, struct yield *y, uint64_t runs[FOLD_RUNS])
{
    for (unsigned k = 0; k < FOLD_RUNS; k++) {
        runs[k] = 0;
    }
    for (const struct p2m *p = f->maps; p; p = p->fold_next) {
        runs_of(f, p, y, runs);
    }
}
