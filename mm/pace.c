/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast the scanner goes. */
#include "mm/pace.h"

#include "base/bits.h"

/* Weight of the newest burst in the running mean: 1/8. */
#define MEAN_SHIFT 3
/* What a page is taken to cost until one has been measured. */
#define FIRST_PAGE_NS 8000

static bool is_valid(const struct pace_config *c)
{
    return c->pages > 0 && c->cpu_max >= 1 && c->cpu_max <= 100 && c->burst_ns > 0;
}

static uint64_t add_clamped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The pause after cost_ns of work that keeps the work's share of the time at cpu_max percent. */
static uint64_t pause_for(const struct pace_config *c, uint64_t cost_ns)
{
    uint64_t rest = 100 - c->cpu_max, whole = cost_ns / c->cpu_max, part = cost_ns % c->cpu_max;

    /* Divided first, so that no cost overflows; cut off at the centuries. */
    whole = MIN(whole, UINT64_MAX / 200);
    return whole * rest + (part * rest + c->cpu_max - 1) / c->cpu_max;
}

enum status pace_init(struct pace *p, const struct pace_config *config)
{
    if (!is_valid(config)) {
        return E_INVAL;
    }
    *p = (struct pace){
        .config = *config,
        .left = config->pages,
        .page_ns = FIRST_PAGE_NS,
    };
    return OK;
}

enum status pace_set(struct pace *p, const struct pace_config *config)
{
    if (!is_valid(config)) {
        return E_INVAL;
    }
    p->config = *config;
    p->left = MIN(p->left, config->pages);
    return OK;
}

uint32_t pace_pages(const struct pace *p, uint64_t now_ns)
{
    if (now_ns < p->next_ns) {
        return 0;
    }
    uint64_t burst = MAX(p->config.burst_ns / p->page_ns, (uint64_t)1);

    return (uint32_t)MIN((uint64_t)p->left, burst);
}

void pace_done(struct pace *p, uint64_t now_ns, uint32_t done, uint64_t cost_ns, bool idle)
{
    uint64_t pause = idle ? 0 : pause_for(&p->config, cost_ns);
    uint32_t allowed = pace_pages(p, now_ns);

    if (done > 0) {
        uint64_t each = MAX(cost_ns / done, (uint64_t)1);
        uint64_t mean = p->page_ns - (p->page_ns >> MEAN_SHIFT) + (each >> MEAN_SHIFT);
        p->page_ns = MAX(mean, (uint64_t)1);
    }
    if (done < allowed || done >= p->left) {
        /* The end of this wake-up: its pages are done, or a pass is. */
        p->left = p->config.pages;
        pause = MAX(pause, p->config.sleep_ns);
    } else {
        p->left -= done;
    }
    p->next_ns = add_clamped(now_ns, pause);
}

uint64_t pace_next(const struct pace *p)
{
    return p->next_ns;
}
