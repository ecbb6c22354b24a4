/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `fold`, `cache` and `when-off`: the [host] keys of the configuration at run time.
 */
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/aside.h"
#include "kernel/config/guess.h"
#include "kernel/console.h"
#include "kernel/disks.h"
#include "kernel/machine.h"
#include "kernel/monitor.h"
#include "kernel/power.h"
#include "kernel/scan.h"
#include "kernel/stats.h"
#include "kernel/vm_fold.h"

#define HOST (&machine_config.host)
/* What a trace leaves free in the console's buffer. */
#define TRACE_ROOM (64u << 10)

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Makes the parts follow what the configuration says now. */
static void apply(void)
{
    uint64_t memory = 0;

    if (scan_configure(HOST) != OK) {
        log_error("monitor: the scanner refuses its settings");
    }
    for (unsigned s = 0; s < FRAME_STATES; s++) {
        memory += s == FRAME_RESERVED ? 0 : machine_frames.by_state[s];
    }
    if (machine_cache.mode != HOST->cache_mode) {
        cache_set_mode(&machine_cache, HOST->cache_mode);
    }
    disks_set_readahead(HOST->cache_readahead);
    aside_configure(HOST);
    cache_set_max(&machine_cache, config_cache_bytes(HOST, memory << PAGE_SHIFT) >> PAGE_SHIFT);
    disks_configure(HOST);
}

static void print_keys(const char *prefix)
{
    const char *key;
    char value[CONFIG_VALUE];

    for (unsigned i = 0; config_host_get(HOST, i, &key, value, sizeof(value)); i++) {
        if (begins(key, prefix)) {
            console_printf("%-23s = %-10s  %s\n", key, value, config_host_help(i));
        }
    }
}

/* A command's keys, and the words that stand where a key could. */
struct group {
    const char *command;
    const char *const *prefixes; /* of the keys' names, each with its dot */
    const char *const *words;
};

/* The full name of the key, which was typed in full or without its prefix; false: there is none. */
static bool find_key(const struct group *g, const char *typed, char *name, size_t size)
{
    const char *key;
    char value[CONFIG_VALUE];

    for (unsigned p = 0; g->prefixes[p]; p++) {
        format(name, size, "%s%s", begins(typed, g->prefixes[p]) ? "" : g->prefixes[p], typed);
        for (unsigned i = 0; config_host_get(HOST, i, &key, value, sizeof(value)); i++) {
            if (strcmp(key, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void say_unknown(const struct group *g, const char *typed)
{
    struct guess guess;
    const char *key;
    char value[CONFIG_VALUE];

    guess_init(&guess, typed);
    for (unsigned i = 0; config_host_get(HOST, i, &key, value, sizeof(value)); i++) {
        for (unsigned p = 0; g->prefixes[p]; p++) {
            if (begins(key, g->prefixes[p])) {
                guess_try(&guess, key);
                guess_try(&guess, key + strlen(g->prefixes[p]));
            }
        }
    }
    for (unsigned i = 0; g->words[i]; i++) {
        guess_try(&guess, g->words[i]);
    }
    if (guess.best) {
        console_printf("unknown key '%.40s' of %s; did you mean '%s'?\n", typed, g->command,
                       guess.best);
    } else {
        console_printf("unknown key '%.40s' of %s, which shows its keys\n", typed, g->command);
    }
}

static void keys(const struct group *g, unsigned argc, char *const *argv)
{
    char why[200], name[CONFIG_NAME];

    if (argc == 1) {
        for (unsigned i = 0; g->prefixes[i]; i++) {
            print_keys(g->prefixes[i]);
        }
    } else if (!find_key(g, argv[1], name, sizeof(name))) {
        say_unknown(g, argv[1]);
    } else if (argc == 2) {
        print_keys(name);
    } else if (config_host_set(HOST, name, argv[2], why, sizeof(why)) != OK) {
        console_printf("%s\n", why);
    } else {
        apply();
        print_keys(name);
    }
}

void monitor_fold(void *ctx, unsigned argc, char *const *argv)
{
    static const char *const prefixes[] = {"fold.", "scan.", NULL};
    static const char *const words[] = {"pass", "vm", "unmerge", "classes", "runs", NULL};
    static const struct group group = {"fold", prefixes, words};

    if (argc > 1 && strcmp(argv[1], "pass") == 0) {
        monitor_pass(ctx, argc - 1, argv + 1);
    } else if (argc > 1 && strcmp(argv[1], "vm") == 0) {
        monitor_fold_vm(argc - 1, argv + 1);
    } else if (argc == 2 && strcmp(argv[1], "unmerge") == 0) {
        vms_unmerge();
    } else if (argc == 2 && strcmp(argv[1], "classes") == 0) {
        monitor_fold_classes();
    } else if (argc == 2 && strcmp(argv[1], "runs") == 0) {
        monitor_fold_runs();
    } else if (argc > 3) {
        console_printf("usage: fold KEY VALUE, or fold vm NAME on|off\n");
    } else {
        keys(&group, argc, argv);
    }
    if (argc == 1) {
        monitor_fold_figures();
    }
}

/* Prints what was traced and forgets it; what does not fit into the console's buffer stays. */
static void print_trace(void)
{
    struct blktrace_record r;
    char line[BLKTRACE_TEXT];

    if (machine_trace.n_max == 0) {
        console_printf("nothing is traced: set cache.trace, the room for requests, at boot\n");
        return;
    }
    while (console_room() > TRACE_ROOM && blktrace_take(&machine_trace, &r)) {
        (void)blktrace_text(&r, line, sizeof(line));
        console_printf("trace: %s\n", line);
    }
    console_printf("trace: # %u more are kept, %llu found no room\n", machine_trace.n,
                   (unsigned long long)machine_trace.lost);
}

static void print_curve(void)
{
    struct mrc_point points[MRC_POINTS];

    mrc_curve(&machine_curve, points);
    console_printf("an LRU cache of BLOCKS would have missed (from 1 block in %llu, %u now):\n",
                   (unsigned long long)mrc_one_in(&machine_curve), machine_curve.tracked);
    for (unsigned i = 0; i < MRC_POINTS; i++) {
        uint32_t permille = points[i].miss_ppm / (MRC_PPM / 1000);
        console_printf("%10llu %3u.%u%%%s", (unsigned long long)points[i].blocks, permille / 10,
                       permille % 10, i % 4 == 3 ? "\n" : "");
    }
}

static void print_vms(void)
{
    struct stats_vm s;

    for (unsigned i = 0; i < n_vms; i++) {
        stats_read_vm(vms[i], &s);
        uint64_t all = s.cache_hits + s.cache_misses;
        if (all > 0) {
            uint64_t permille = s.cache_hits * 1000 / all;
            console_printf("%-16s hits %llu, misses %llu: %llu.%llu%%\n", vms[i]->config->name,
                           (unsigned long long)s.cache_hits, (unsigned long long)s.cache_misses,
                           (unsigned long long)permille / 10, (unsigned long long)permille % 10);
        }
    }
}

void monitor_cache(void *ctx, unsigned argc, char *const *argv)
{
    static const char *const prefixes[] = {"cache.", "snapshot.", NULL};
    static const char *const words[] = {"trace", NULL};
    static const struct group group = {"cache", prefixes, words};
    const struct cache *c = &machine_cache;

    (void)ctx;
    if (argc == 2 && strcmp(argv[1], "trace") == 0) {
        print_trace();
        return;
    }
    keys(&group, argc, argv);
    console_printf("%u of at most %u blocks held (the table has room for %u), %u dirty; hits %llu, "
                   "misses %llu; of what guests let go of, the %s stay\n",
                   c->used, c->max, c->n_max, c->dirty, (unsigned long long)c->stats.hits,
                   (unsigned long long)c->stats.misses, c->oldest_stay ? "oldest" : "newest");
    if (argc == 1) {
        print_vms();
        print_curve();
    }
}

void monitor_when_off(void *ctx, unsigned argc, char *const *argv)
{
    char why[200];

    (void)ctx;
    if (argc == 2) {
        if (config_host_set(HOST, "host.when_off", argv[1], why, sizeof(why)) != OK) {
            console_printf("%s\n", why);
            return;
        }
        power_when_off(HOST->when_off == CONFIG_WHEN_OFF_POWEROFF);
    }
    console_printf("when every VM is off: %s\n", power_ends_when_off() ? "poweroff" : "stay");
}
