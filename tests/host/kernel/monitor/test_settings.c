/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/monitor/settings: a key that is set at run time leaves every part as if it had been set at
 * boot, and only parts whose keys changed are called. The parts are stand-ins that note what they
 * are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "kernel/core/machine.h"
#include "kernel/core/power.h"
#include "kernel/monitor/settings.h"
#include "kernel/scan/scan.h"
#include "kernel/stats/stats.h"
#include "kernel/storage/disks.h"
#include "kernel/storage/overlays.h"

#define MEMORY (UINT64_C(512) << 20)

/* What the parts follow. Compared as bytes: to be cleared first. */
static struct parts {
    uint32_t scan_pages;
    uint64_t scan_sleep_ns, scan_pass_ns, scan_cpu_max;
    uint64_t run, zero, lookahead, backoff, index, volatility, pagecache, skip;
    uint64_t mode, max, readahead;
    uint64_t write, give, dirty_max, dirty_age_ns;
    uint64_t snapshot_max, poweroff, interval_ns;
    uint64_t order, shutdown_wait_ns; /* read where they are used */
} parts;
static unsigned n_calls;

enum status scan_configure(const struct config_host *h)
{
    n_calls++;
    parts.scan_pages = h->scan_pages;
    parts.scan_sleep_ns = h->scan_sleep_ns;
    parts.scan_pass_ns = h->scan_pass_ns;
    parts.scan_cpu_max = h->scan_cpu_max;
    parts.run = h->fold.run;
    parts.zero = h->fold.zero;
    parts.lookahead = h->fold.lookahead;
    parts.backoff = h->fold.backoff;
    parts.index = h->fold.index;
    parts.volatility = h->fold.volatility;
    parts.pagecache = h->fold.pagecache;
    parts.skip = h->fold.skip;
    return OK;
}

void cache_set_mode_yield(struct cache *c, enum cache_mode mode, struct yield *y)
{
    (void)y;
    n_calls++;
    c->mode = mode;
    parts.mode = mode;
}

void cache_set_max_yield(struct cache *c, uint64_t max, struct yield *y)
{
    (void)y;
    n_calls++;
    c->max = (uint32_t)MIN(max, (uint64_t)c->n_max);
    parts.max = c->max;
}

void disks_set_readahead(uint64_t bytes)
{
    n_calls++;
    parts.readahead = bytes;
}

void disks_configure(const struct config_host *h)
{
    n_calls++;
    parts.write = h->cache_write;
    parts.give = h->cache_give;
    parts.dirty_max = config_dirty_bytes(h, (uint64_t)machine_cache.max << PAGE_SHIFT);
    parts.dirty_age_ns = h->cache_dirty_age_ns;
}

void aside_configure(const struct config_host *h)
{
    n_calls++;
    parts.snapshot_max = config_snapshot_bytes(h, machine_memory_bytes());
}

void power_when_off(bool poweroff)
{
    n_calls++;
    parts.poweroff = poweroff;
}

void stats_set_interval(uint64_t ns)
{
    n_calls++;
    parts.interval_ns = ns;
}

/* For each key another value than its default, and the calls that it may cost. A key of
 * kernel/config/keys.c that can be set at run time and is not here fails the test. */
static const struct {
    const char *key, *value;
    unsigned calls;
    bool still;
} others[] = {
    {"host.when_off", "poweroff", 1, false},
    {"host.shutdown_wait", "7s", 0, false},
    {"stats.interval", "3s", 1, false},
    {"scan.pages", "77", 1, false},
    {"scan.sleep", "5ms", 1, false},
    {"scan.cpu_max", "33%", 1, false},
    {"scan.pass", "9s", 1, false},
    {"memory.order", "off", 0, false},
    {"fold.run", "off", 1, false},
    {"fold.zero", "off", 1, false},
    {"fold.lookahead", "off", 1, false},
    {"fold.backoff", "off", 1, false},
    {"fold.index", "tree", 1, false},
    {"fold.volatility", "checksum", 1, false},
    {"fold.skip", "kernel,mapped", 1, false},
    {"fold.pagecache", "once", 1, false},
    {"cache.mode", "scrub", 1, true},
    {"cache.max", "13%", 2, true}, /* cache.dirty_max is a part of it */
    {"cache.readahead", "64K", 1, false},
    {"cache.write", "back", 1, false},
    {"cache.dirty_max", "31%", 1, false},
    {"cache.dirty_age", "2s", 1, false},
    {"cache.give", "off", 1, false},
    {"snapshot.max", "11M", 1, false},
};

static void boot(const struct config_host *h)
{
    memset(&parts, 0, sizeof(parts));
    machine_cache.n_max = (uint32_t)(MEMORY >> PAGE_SHIFT);
    machine_cache.max = machine_cache.n_max;
    settings_apply(NULL, h, NULL);
    parts.order = h->memory_order;
    parts.shutdown_wait_ns = h->shutdown_wait_ns;
}

static void try_key(const char *key)
{
    static struct config_host def, now;
    struct parts at_defaults, at_boot;
    char why[200];
    unsigned i = 0;

    config_host_defaults(&def);
    now = def;
    if (config_host_set(&now, key, "", why, sizeof(why)) == E_UNSUPPORTED) {
        return; /* at boot only */
    }
    while (i < ARRAY_LEN(others) && strcmp(others[i].key, key) != 0) {
        i++;
    }
    if (i == ARRAY_LEN(others)) {
        fail_msg("no other value for %s is known here", key);
    }
    now = def;
    assert_int_equal(config_host_set(&now, key, others[i].value, why, sizeof(why)), OK);
    boot(&now);
    at_boot = parts;
    boot(&def);
    at_defaults = parts;
    if (memcmp(&at_boot, &at_defaults, sizeof(parts)) == 0) {
        fail_msg("%s = %s takes no effect at boot", key, others[i].value);
    }
    n_calls = 0;
    assert_int_equal(settings_check(&def, &now, why, sizeof(why)), OK);
    assert_int_equal(settings_need_still(&def, &now), others[i].still);
    settings_apply(&def, &now, NULL);
    parts.order = now.memory_order;
    parts.shutdown_wait_ns = now.shutdown_wait_ns;
    if (memcmp(&parts, &at_boot, sizeof(parts)) != 0) {
        fail_msg("%s = %s: at run time another effect than at boot", key, others[i].value);
    }
    assert_int_equal(n_calls, others[i].calls);
    settings_apply(&now, &def, NULL); /* and back */
    parts.order = def.memory_order;
    parts.shutdown_wait_ns = def.shutdown_wait_ns;
    assert_memory_equal(&parts, &at_defaults, sizeof(parts));
}

static void test_run_time_is_as_boot(void **state)
{
    static const struct phys_range ram[] = {{0, MEMORY}};
    static struct config_host h;
    const char *key;
    char value[CONFIG_VALUE];
    unsigned n = 0;

    (void)state;
    machine_set_memory(ram, 1);
    config_host_defaults(&h);
    for (unsigned i = 0; config_host_get(&h, i, &key, value, sizeof(value)); i++) {
        try_key(key);
        n++;
    }
    assert_true(n > ARRAY_LEN(others)); /* and those of the boot */
}

static void test_nothing_new_costs_nothing(void **state)
{
    static struct config_host h;

    (void)state;
    config_host_defaults(&h);
    boot(&h);
    n_calls = 0;
    settings_apply(&h, &h, NULL);
    assert_int_equal(n_calls, 0);
    assert_false(settings_need_still(&h, &h));
}

static void test_no_room_is_refused(void **state)
{
    static struct config_host def, now;
    char why[200] = "";

    (void)state;
    config_host_defaults(&def);
    now = def;
    boot(&def);
    assert_int_equal(config_host_set(&now, "cache.max", "513M", why, sizeof(why)), OK);
    assert_int_equal(settings_check(&def, &now, why, sizeof(why)), E_RANGE);
    assert_non_null(strstr(why, "524288 KiB"));
    assert_int_equal(config_host_set(&now, "cache.max", "512M", why, sizeof(why)), OK);
    assert_int_equal(settings_check(&def, &now, why, sizeof(why)), OK);
    assert_int_equal(settings_check(&now, &now, why, sizeof(why)), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_time_is_as_boot),
        cmocka_unit_test(test_nothing_new_costs_nothing),
        cmocka_unit_test(test_no_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
