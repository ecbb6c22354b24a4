/* SPDX-License-Identifier: BSD-2-Clause */
/* The switches of mm/fold that can be turned while it runs. */
#include "mm/fold/attach.h"
#include "mm/fold/fold.h"

void fold_switch(struct fold *f, const struct fold_switches *to)
{
    const struct fold_switches was = f->on;
    bool anew = was.index != to->index || was.volatility != to->volatility;

    f->on = *to;
    f->reindex |= was.index != to->index;
    if (anew) {
        /* What the pass under way and the unstable indexes stand for has changed. */
        fold_scan_to(f, NULL);
        f->phase = FOLD_TEARDOWN;
    }
    if (anew || was.skip != to->skip || was.pagecache != to->pagecache || was.zero != to->zero) {
        for (struct p2m *p = f->maps; p; p = p->fold_next) {
            fold_scan_all(p); /* what was left alone so far may be wanted now */
        }
    }
}
