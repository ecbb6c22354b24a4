/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `set`, `fold`, `cache` and `when-off`: the [host] keys of the configuration at run
 * time.
 */
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/config/guess.h"
#include "kernel/console/console.h"
#include "kernel/core/machine.h"
#include "kernel/core/power.h"
#include "kernel/core/still.h"
#include "kernel/monitor/monitor.h"
#include "kernel/monitor/settings.h"
#include "kernel/stats/stats.h"
#include "kernel/vm/fold.h"

#define HOST (&machine_config.host)
/* Requests of a trace that one command shows. */
#define TRACE_LINES 1000u

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* What the parts followed before the change that the machine stands still for. */
static struct config_host was;

static void apply(struct yield *y)
{
    settings_apply(&was, HOST, y);
}

bool monitor_set_key(const char *key, const char *value)
{
    static struct config_host now;
    char why[200];

    now = *HOST;
    enum status s = config_host_set(&now, key, value, why, sizeof(why));
    if (s == OK) {
        s = settings_check(HOST, &now, why, sizeof(why));
    }
    if (s != OK) {
        console_printf("%s\n", why);
        return false;
    }
    was = *HOST;
    *HOST = now;
    if (settings_need_still(&was, HOST)) {
        still_ask(apply);
    } else {
        settings_apply(&was, HOST, NULL);
    }
    return true;
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

/* What is listed: the keys that begin with each of the prefixes, and then other lines. Or, for a
 * key that was typed and is none, no line for each, but one with the nearest at the end. */
static struct {
    const struct group *group;
    const char *const *prefix; /* the next one */
    unsigned key, words;       /* likewise */
    unsigned first;            /* line of what follows */
    monitor_line_fn *then;     /* or NULL */
    bool unknown;
    struct guess guess;
    char typed[CONFIG_NAME];
} listing;

static bool unknown_end(void)
{
    const struct group *g = listing.group;

    if (g->words[listing.words]) {
        guess_try(&listing.guess, g->words[listing.words++]);
        return true;
    }
    if (listing.guess.best) {
        console_printf("unknown key '%.40s' of %s; did you mean '%s'?\n", listing.typed, g->command,
                       listing.guess.best);
    } else {
        console_printf("unknown key '%.40s' of %s, which shows its keys\n", listing.typed,
                       g->command);
    }
    return false;
}

/* Looks at one key. */
static bool listing_line(unsigned n)
{
    const char *key;
    char value[CONFIG_VALUE];

    if (!*listing.prefix) {
        bool more = listing.unknown && unknown_end();
        listing.first = more ? n + 1 : listing.first;
        listing.unknown = more;
        return more || (listing.then && listing.then(n - listing.first));
    }
    listing.first = n + 1;
    if (!config_host_get(HOST, listing.key, &key, value, sizeof(value))) {
        listing.prefix++;
        listing.key = 0;
        return true;
    }
    if (begins(key, *listing.prefix) && listing.unknown) {
        guess_try(&listing.guess, key);
        guess_try(&listing.guess, key + strlen(*listing.prefix));
    } else if (begins(key, *listing.prefix)) {
        console_printf("%-23s = %-10s  %s\n", key, value, config_host_help(listing.key));
    }
    listing.key++;
    return true;
}

static void list(const struct group *g, const char *const *prefixes, monitor_line_fn *then)
{
    listing.group = g;
    listing.prefix = prefixes;
    listing.key = listing.words = listing.first = 0;
    listing.then = then;
    listing.unknown = false;
    monitor_lines(listing_line);
}

static void list_nearest(const struct group *g, const char *typed, monitor_line_fn *then)
{
    list(g, g->prefixes, then);
    listing.unknown = true;
    format(listing.typed, sizeof(listing.typed), "%s", typed);
    guess_init(&listing.guess, listing.typed);
}

/* `then` writes the lines behind those of the keys; NULL: there are none. */
static void keys(const struct group *g, unsigned argc, char *const *argv, monitor_line_fn *then)
{
    static char name[CONFIG_NAME];
    static const char *const one[] = {name, NULL};

    if (argc == 1) {
        list(g, g->prefixes, then);
    } else if (!find_key(g, argv[1], name, sizeof(name))) {
        list_nearest(g, argv[1], then);
    } else if (argc == 2) {
        list(g, one, then);
    } else if (!monitor_set_key(name, argv[2])) {
        list(g, one + 1, then);
    } else {
        list(g, one, then);
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
        keys(&group, argc, argv, argc == 1 ? monitor_fold_figures : NULL);
    }
}

/* What was traced, which is forgotten then. */
static bool trace_line(unsigned n)
{
    struct blktrace_record r;
    char line[BLKTRACE_TEXT];

    if (machine_trace.n_max == 0) {
        console_printf("nothing is traced: set cache.trace, the room for requests, at boot\n");
        return false;
    }
    if (n < TRACE_LINES && blktrace_take(&machine_trace, &r)) {
        (void)blktrace_text(&r, line, sizeof(line));
        console_printf("trace: %s\n", line);
        return true;
    }
    console_printf("trace: # %u more are kept, %llu found no room\n", machine_trace.n,
                   (unsigned long long)machine_trace.lost);
    return false;
}

/* The curve, a line for each four points. */
static bool curve_line(unsigned n)
{
    static struct mrc_point points[MRC_POINTS];

    if (n == 0) {
        mrc_curve(&machine_curve, points);
        console_printf("an LRU cache of BLOCKS would have missed (from 1 block in %llu, %u now):\n",
                       (unsigned long long)mrc_one_in(&machine_curve), machine_curve.tracked);
        return true;
    }
    for (unsigned i = (n - 1) * 4; i < n * 4 && i < MRC_POINTS; i++) {
        uint32_t permille = points[i].miss_ppm / (MRC_PPM / 1000);
        console_printf("%10llu %3u.%u%%%s", (unsigned long long)points[i].blocks, permille / 10,
                       permille % 10, i % 4 == 3 ? "\n" : "");
    }
    return n * 4 < MRC_POINTS;
}

static void print_vm(const struct vm *vm)
{
    struct stats_vm s;

    stats_read_vm(vm, &s);
    uint64_t all = s.cache_hits + s.cache_misses;
    if (all > 0) {
        uint64_t permille = s.cache_hits * 1000 / all;
        console_printf("%-16s hits %llu, misses %llu: %llu.%llu%%\n", vm->config->name,
                       (unsigned long long)s.cache_hits, (unsigned long long)s.cache_misses,
                       (unsigned long long)permille / 10, (unsigned long long)permille % 10);
    }
}

static bool cache_held_line(unsigned n)
{
    const struct cache *c = &machine_cache;

    (void)n;
    console_printf("%u of at most %u blocks held (the table has room for %u), %u dirty; hits %llu, "
                   "misses %llu; of what guests let go of, the %s stay\n",
                   c->used, c->max, c->n_max, c->dirty, (unsigned long long)c->stats.hits,
                   (unsigned long long)c->stats.misses, c->oldest_stay ? "oldest" : "newest");
    return false;
}

static bool cache_lines(unsigned n)
{
    if (n == 0) {
        (void)cache_held_line(0);
        return true;
    }
    n--;
    if (n < n_vms) {
        print_vm(vms[n]);
        return true;
    }
    return curve_line(n - n_vms);
}

void monitor_cache(void *ctx, unsigned argc, char *const *argv)
{
    static const char *const prefixes[] = {"cache.", "snapshot.", NULL};
    static const char *const words[] = {"trace", NULL};
    static const struct group group = {"cache", prefixes, words};

    (void)ctx;
    if (argc == 2 && strcmp(argv[1], "trace") == 0) {
        monitor_lines(trace_line);
        return;
    }
    keys(&group, argc, argv, argc == 1 ? cache_lines : cache_held_line);
}

void monitor_set(void *ctx, unsigned argc, char *const *argv)
{
    static const char *const prefixes[] = {"", NULL};
    static const char *const words[] = {NULL};
    static const struct group group = {"set", prefixes, words};

    (void)ctx;
    keys(&group, argc, argv, NULL);
}

void monitor_when_off(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    if (argc == 2 && !monitor_set_key("host.when_off", argv[1])) {
        return;
    }
    console_printf("when every VM is off: %s\n", power_ends_when_off() ? "poweroff" : "stay");
}
