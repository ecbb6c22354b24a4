/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `classes`: what guests use their pages for, as counts and page by page. */
#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "kernel/console/console.h"
#include "kernel/monitor/monitor.h"
#include "kernel/vm/vm.h"

#define LINE 400u
#define RUNS_A_LINE 16u
#define PAGES_A_LINE 256u /* longer runs go on in the next */
#define PAGES_A_STEP 16u

static bool is_on(const struct vm *vm)
{
    return vm_is_up(vm);
}

static void print_head(void)
{
    console_printf("%-16s %8s %8s %8s %8s %8s %8s %6s  %s\n", "NAME", "FREE", "KERNEL", "ANON",
                   "MAPPED", "CACHE", "UNKNOWN", "LOOKS", "LINUX");
}

static void print_vm(const struct vm *vm)
{
    static const enum page_class order[] = {PAGE_FREE,   PAGE_KERNEL, PAGE_ANON,
                                            PAGE_MAPPED, PAGE_CACHE,  PAGE_UNKNOWN};
    const struct guest_pages *g = &vm->classes.pages;
    char counts[PAGE_CLASSES * 24];
    size_t n = 0;

    for (unsigned i = 0; i < PAGE_CLASSES; i++) {
        n += format(counts + n, sizeof(counts) - n, " %8llu",
                    (unsigned long long)g->counts[order[i]]);
    }
    console_printf("%-16s%s %6llu  %s\n", vm->config->name, counts, (unsigned long long)g->sweeps,
                   g->known ? g->info.release : "-");
}

/* The map of a VM, and the line that is being made: some of its pages in each step, as telling the
 * class of one may take a walk through the guest's tables. */
static struct {
    struct vm *vm;
    unsigned run; /* of its memory */
    uint64_t gfn; /* the next, from the run's start on */
    char line[LINE];
    size_t n;        /* of the line; 0: not begun */
    unsigned pages;  /* on the line, those of the last run included, */
    unsigned runs;   /* and runs, without the last */
    unsigned length; /* of the last run, */
    enum page_class class;
} map;

static void begin_line(uint64_t gfn)
{
    map.n = format(map.line, sizeof(map.line), "map %llx:", (unsigned long long)gfn);
    map.pages = map.runs = map.length = 0;
}

static void end_run(void)
{
    static const char letters[PAGE_CLASSES] = {
        [PAGE_UNKNOWN] = 'u', [PAGE_FREE] = 'f',   [PAGE_KERNEL] = 'k',
        [PAGE_ANON] = 'a',    [PAGE_MAPPED] = 'm', [PAGE_CACHE] = 'c',
    };

    map.n +=
        format(map.line + map.n, sizeof(map.line) - map.n, " %c%u", letters[map.class], map.length);
    map.runs++;
    map.length = 0;
}

/* Takes one more page to the line. False: it is not on it, as all of its runs are there. */
static bool add_page(gfn_t gfn)
{
    enum page_class c = guest_pages_class(&map.vm->classes.pages, gfn, false);

    if (map.length > 0 && c != map.class) {
        end_run();
    }
    if (map.runs == RUNS_A_LINE) {
        return false;
    }
    map.class = c;
    map.length++;
    map.pages++;
    return true;
}

static void end_line(void)
{
    if (map.length > 0) {
        end_run();
    }
    console_printf("%s\n", map.line);
    map.n = 0;
}

static bool map_job(void)
{
    struct p2m *p = &map.vm->p2m;

    if (!is_on(map.vm)) {
        console_printf("map: %s is off\n", map.vm->config->name);
        return false;
    }
    if (map.run == p->n_runs) {
        console_printf("map: end of %s\n", map.vm->config->name);
        return false;
    }
    uint64_t first = p->runs[map.run].first.n, pages = p->runs[map.run].pages;
    if (map.n == 0) {
        begin_line(first + map.gfn);
    }
    for (unsigned i = 0; i < PAGES_A_STEP; i++) {
        if (map.gfn == pages || map.pages == PAGES_A_LINE || !add_page(GFN(first + map.gfn))) {
            end_line();
            break;
        }
        map.gfn++;
    }
    if (map.gfn >= pages && map.n == 0) {
        map.run++;
        map.gfn = 0;
    }
    return true;
}

static const struct vm *only; /* NULL: all that are on */

static bool counts_line(unsigned n)
{
    if (n < n_vms && (only ? vms[n] == only : is_on(vms[n]))) {
        print_vm(vms[n]);
    }
    return n < n_vms;
}

void monitor_classes(void *ctx, unsigned argc, char *const *argv)
{
    struct vm *vm = argc > 1 ? vm_find(argv[1]) : NULL;

    (void)ctx;
    if (argc > 1 && !vm) {
        console_printf("there is no VM '%.40s'; `vms` lists them\n", argv[1]);
    } else if (argc > 2 && strcmp(argv[2], "map") != 0) {
        console_printf("usage: classes [NAME [map]]\n");
    } else if (vm && !is_on(vm)) {
        console_printf("%s is %s\n", vm->config->name, vm_state_name(vm));
    } else if (argc > 2) {
        map.vm = vm;
        map.run = 0;
        map.gfn = 0;
        map.n = 0;
        monitor_job(map_job);
    } else {
        only = vm;
        print_head();
        monitor_lines(counts_line);
    }
}
