/* SPDX-License-Identifier: BSD-2-Clause */
/* The logs of written pages: joining, leaving, and what they are told. */
#include "base/bits.h"
#include "base/log.h"
#include "mm/p2m_notes.h"

void p2m_log_written(struct p2m *p, gfn_t gfn)
{
    for (struct p2m_log *log = p->logs; log; log = log->next) {
        log->bits[gfn.n / 64] |= BIT(gfn.n % 64);
    }
}

enum status p2m_log_join(struct p2m *p, struct p2m_log *log)
{
    if (!p->ops->has_dirty) {
        return E_UNSUPPORTED;
    }
    for (uint64_t g = 0; g < (uint64_t)p->n_regions * P2M_REGION_PAGES; g += 64) {
        uint64_t word = 0;

        for (unsigned i = 0; i < 64; i++) {
            word |= p2m_is_ram(p, GFN(g + i)) ? BIT(i) : 0;
        }
        log->bits[g / 64] = word;
    }
    log->next = p->logs;
    p->logs = log;
    return OK;
}

void p2m_log_leave(struct p2m *p, struct p2m_log *log)
{
    struct p2m_log **at = &p->logs;

    while (*at != log) {
        ASSERT(*at);
        at = &(*at)->next;
    }
    *at = log->next;
}

void p2m_log_collect(struct p2m *p)
{
    for (uint32_t r = 0; r < p->n_regions; r++) {
        (void)p2m_harvest(p, GFN((uint64_t)r * P2M_REGION_PAGES));
    }
}
