/* SPDX-License-Identifier: BSD-2-Clause */
/* The switches of mm/fold that can be turned while it runs. */
#include "base/bits.h"
#include "base/string.h"
#include "mm/fold.h"
#include "mm/fold_scan.h"

struct fold_switches fold_switches(const struct fold *f)
{
    return (struct fold_switches){
        .run = f->run,
        .zero = f->zero,
        .lookahead = f->lookahead,
        .backoff = f->backoff,
        .index = f->index,
        .volatility = f->volatility,
        .pagecache = f->pagecache,
        .skip = f->skip,
    };
}

/* What the pass under way and the unstable indexes stand for has changed: all begins anew. */
static void restart(struct fold *f)
{
    fold_scan_to(f, NULL);
    for (struct p2m *p = f->maps; p; p = p->fold_next) {
        fold_scan_all(p);
    }
    f->phase = FOLD_TEARDOWN;
}

void fold_switch(struct fold *f, const struct fold_switches *to)
{
    bool other_index = f->index != to->index,
         other_pages = f->skip != to->skip || f->pagecache != to->pagecache || f->zero != to->zero;

    f->run = to->run;
    f->zero = to->zero;
    f->lookahead = to->lookahead;
    f->backoff = to->backoff;
    f->pagecache = to->pagecache;
    f->skip = to->skip;
    if (other_index || f->volatility != to->volatility) {
        f->reindex |= other_index;
        f->index = to->index;
        f->volatility = to->volatility;
        restart(f);
    } else if (other_pages) {
        for (struct p2m *p = f->maps; p; p = p->fold_next) {
            fold_scan_all(p); /* what was left alone so far may be wanted now */
        }
    }
}
