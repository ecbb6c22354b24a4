/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may take frames when they get short: see ration.h. */
#include "mm/ration.h"

#include "base/bits.h"

static uint64_t need(const struct ration *r)
{
    return r->grows && r->claim > r->held ? r->claim - r->held : 0;
}

void ration_settle(struct ration *r, unsigned n)
{
    uint64_t keep = 0, before = 0; /* frames that the ones before give back at their ends */

    for (unsigned i = 0; i < n; i++) {
        r[i].keep = keep;
        uint64_t want = need(&r[i]);

        keep = MAX(keep, want - MIN(want, before));
        before += r[i].held;
    }
}

uint64_t ration_wanted(const struct ration *r, unsigned n)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++) {
        sum += r[i].busy ? need(&r[i]) : 0;
    }
    return sum;
}

void ration_growth_begin(struct ration_growth *g, uint64_t now_ns)
{
    *g = (struct ration_growth){.since_ns = now_ns};
}

void ration_growth_note(struct ration_growth *g, uint64_t taken, bool waits, uint64_t now_ns)
{
    if (waits || taken >= g->taken + RATION_TAKEN) {
        g->taken = MAX(taken, g->taken);
        g->since_ns = now_ns;
    }
}
