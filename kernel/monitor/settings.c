/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the machine that follow [host] keys: see settings.h. */
#include "kernel/monitor/settings.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/core/machine.h"
#include "kernel/core/power.h"
#include "kernel/scan/scan.h"
#include "kernel/stats/stats.h"
#include "kernel/storage/disks.h"
#include "kernel/storage/overlays.h"

typedef const struct config_host host;

static uint64_t cache_blocks(host *h)
{
    return MAX(config_cache_bytes(h, machine_memory_bytes()) >> PAGE_SHIFT, 1u);
}

static bool scan_differs(host *a, host *b)
{
    return a->scan_pages != b->scan_pages || a->scan_sleep_ns != b->scan_sleep_ns ||
           a->scan_cpu_max != b->scan_cpu_max || a->scan_pass_ns != b->scan_pass_ns ||
           a->fold.run != b->fold.run || a->fold.zero != b->fold.zero ||
           a->fold.lookahead != b->fold.lookahead || a->fold.backoff != b->fold.backoff ||
           a->fold.index != b->fold.index || a->fold.volatility != b->fold.volatility ||
           a->fold.pagecache != b->fold.pagecache || a->fold.skip != b->fold.skip;
}

static void scan_follow(host *h, struct yield *y)
{
    (void)y;
    if (scan_configure(h) != OK) {
        log_error("settings: the scanner refuses its settings");
    }
}

static bool mode_differs(host *a, host *b)
{
    return a->cache_mode != b->cache_mode;
}

static void mode_follow(host *h, struct yield *y)
{
    cache_set_mode_yield(&machine_cache, h->cache_mode, y);
}

static bool max_differs(host *a, host *b)
{
    return cache_blocks(a) != cache_blocks(b);
}

static void max_follow(host *h, struct yield *y)
{
    cache_set_max_yield(&machine_cache, cache_blocks(h), y);
}

static bool readahead_differs(host *a, host *b)
{
    return a->cache_readahead != b->cache_readahead;
}

static void readahead_follow(host *h, struct yield *y)
{
    (void)y;
    disks_set_readahead(h->cache_readahead);
}

/* cache.dirty_max may be a part of cache.max. */
static bool writing_differs(host *a, host *b)
{
    return max_differs(a, b) || a->cache_write != b->cache_write ||
           a->cache_give != b->cache_give || a->cache_dirty_percent != b->cache_dirty_percent ||
           a->cache_dirty_bytes != b->cache_dirty_bytes ||
           a->cache_dirty_age_ns != b->cache_dirty_age_ns;
}

static void writing_follow(host *h, struct yield *y)
{
    (void)y;
    disks_configure(h);
}

static bool aside_differs(host *a, host *b)
{
    return a->snapshot_max_percent != b->snapshot_max_percent ||
           a->snapshot_max_bytes != b->snapshot_max_bytes;
}

static void aside_follow(host *h, struct yield *y)
{
    (void)y;
    aside_configure(h);
}

static bool when_off_differs(host *a, host *b)
{
    return a->when_off != b->when_off;
}

static void when_off_follow(host *h, struct yield *y)
{
    (void)y;
    power_when_off(h->when_off == CONFIG_WHEN_OFF_POWEROFF);
}

static bool interval_differs(host *a, host *b)
{
    return a->stats_interval_ns != b->stats_interval_ns;
}

static void interval_follow(host *h, struct yield *y)
{
    (void)y;
    stats_set_interval(h->stats_interval_ns);
}

/* In this order: what is dirty is bounded by the cache's bound. */
static const struct part {
    bool (*differs)(host *a, host *b);
    void (*follow)(host *h, struct yield *y);
    bool still; /* it changes what the cache holds */
} parts[] = {
    {scan_differs, scan_follow, false},
    {mode_differs, mode_follow, true},
    {max_differs, max_follow, true},
    {readahead_differs, readahead_follow, false},
    {writing_differs, writing_follow, false},
    {aside_differs, aside_follow, false},
    {when_off_differs, when_off_follow, false},
    {interval_differs, interval_follow, false},
};

void settings_apply(host *was, host *now, struct yield *y)
{
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        if (!was || parts[i].differs(was, now)) {
            parts[i].follow(now, y);
        }
    }
}

bool settings_need_still(host *was, host *now)
{
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].still && parts[i].differs(was, now)) {
            return true;
        }
    }
    return false;
}

enum status settings_check(host *was, host *now, char *why, size_t why_size)
{
    if (max_differs(was, now) && cache_blocks(now) > machine_cache.n_max) {
        (void)format(why, why_size,
                     "cache.max: the cache's table has room for %llu KiB since boot; to have more, "
                     "set it in the configuration's [host]",
                     (unsigned long long)machine_cache.n_max << (PAGE_SHIFT - 10));
        return E_RANGE;
    }
    return OK;
}
