/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `classes`: what guests use their pages for, as counts and page by page. */
#include "base/format.h"
#include "base/string.h"
#include "kernel/console.h"
#include "kernel/monitor.h"
#include "kernel/vm.h"

#define LINE 400u
#define RUNS_A_LINE 16u

static bool is_on(const struct vm *vm)
{
    return vm->state != VM_OFF && vm->state != VM_STOPPING;
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

/* As many runs as fit on a line, from gfn up to `end`; returns where the next line begins. */
static uint64_t print_runs(struct guest_pages *g, uint64_t gfn, uint64_t end)
{
    static const char letters[PAGE_CLASSES] = {
        [PAGE_UNKNOWN] = 'u', [PAGE_FREE] = 'f',   [PAGE_KERNEL] = 'k',
        [PAGE_ANON] = 'a',    [PAGE_MAPPED] = 'm', [PAGE_CACHE] = 'c',
    };
    char line[LINE];
    size_t n = format(line, sizeof(line), "map %llx:", (unsigned long long)gfn);

    for (unsigned i = 0; i < RUNS_A_LINE && gfn < end; i++) {
        enum page_class c = guest_pages_class(g, GFN(gfn), false);
        uint64_t first = gfn++;
        while (gfn < end && guest_pages_class(g, GFN(gfn), false) == c) {
            gfn++;
        }
        n += format(line + n, sizeof(line) - n, " %c%llu", letters[c],
                    (unsigned long long)(gfn - first));
    }
    console_printf("%s\n", line);
    return gfn;
}

static void print_map(struct vm *vm)
{
    struct guest_pages *g = &vm->classes.pages;

    for (unsigned r = 0; r < vm->p2m.n_runs; r++) {
        uint64_t gfn = vm->p2m.runs[r].first.n, end = gfn + vm->p2m.runs[r].pages;
        while (gfn < end) {
            if (console_room() < 2 * (size_t)LINE) {
                console_printf("map: the rest does not fit into the console's buffer\n");
                return;
            }
            gfn = print_runs(g, gfn, end);
        }
    }
    console_printf("map: end of %s\n", vm->config->name);
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
        print_map(vm);
    } else {
        print_head();
        for (unsigned i = 0; i < n_vms; i++) {
            if (vm ? vms[i] == vm : is_on(vms[i])) {
                print_vm(vms[i]);
            }
        }
    }
}
