/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `fold pass`: whole passes at once, and what each of them did and cost. */
#include "base/format.h"
#include "kernel/console/console.h"
#include "kernel/monitor/monitor.h"
#include "kernel/scan/scan.h"
#include "kernel/stats/stats.h"
#include "kernel/vm/vm.h"

#define PASSES_MAX 1000u
#define LINE 1000u

static unsigned wanted;
static struct stats_fold last; /* when the pass began */

/* Adds the change of each counter that changed, under its name in the statistics. */
static size_t add_changes(char *buf, size_t size, const struct stats_fold *now)
{
    unsigned n_fields;
    const struct stats_field *f = stats_fields(STATS_FOLD, &n_fields);
    size_t n = 0;

    for (unsigned i = 0; i < n_fields && n < size; i++) {
        uint64_t change = stats_value(now, &f[i]) - stats_value(&last, &f[i]);
        if (change != 0) {
            n += format(buf + n, size - n, " %s %lld", f[i].name, (long long)change);
        }
    }
    return n;
}

static uint64_t present(void)
{
    uint64_t pages = 0;

    for (unsigned i = 0; i < n_vms; i++) {
        pages += vm_has_memory(vms[i]) ? vms[i]->p2m.present : 0;
    }
    return pages;
}

static void on_pass(unsigned pass)
{
    struct stats now;
    char changes[LINE];

    if (pass == SCAN_PASSES_OVER) {
        console_printf("fold pass: nothing is left to scan\n");
        return;
    }
    stats_read(&now);
    if (pass > 0) {
        (void)add_changes(changes, sizeof(changes), &now.fold);
        console_printf("pass %u of %u: present %llu%s\n", pass, wanted,
                       (unsigned long long)present(), changes);
    }
    last = now.fold;
}

/* The number of passes; 0 is a number, and UINT_MAX none. */
static unsigned parse(const char *text)
{
    unsigned n = 0;

    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || n > PASSES_MAX) {
            return UINT_MAX;
        }
        n = n * 10 + (unsigned)(*c - '0');
    }
    return *text ? n : UINT_MAX;
}

void monitor_pass(void *ctx, unsigned argc, char *const *argv)
{
    unsigned n = argc > 1 ? parse(argv[1]) : 1;

    (void)ctx;
    if (n > PASSES_MAX) {
        console_printf("usage: fold pass [N], 1 to %u, or 0 to end them\n", PASSES_MAX);
        return;
    }
    if (n == 0) {
        console_printf(scan_passes_stop() ? "fold pass: ended\n" : "fold pass: none to end\n");
        return;
    }
    switch (scan_passes(n, on_pass)) {
    case OK:
        wanted = n;
        break;
    case E_BUSY:
        console_printf("fold pass: others are under way; `fold pass 0` ends them\n");
        break;
    default:
        console_printf("fold pass: there is no VM to scan\n");
    }
}
