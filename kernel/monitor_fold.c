/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's figures of folding: `fold`, `fold classes`, `fold runs`; and `fold vm`. */
#include "base/bits.h"
#include "base/string.h"
#include "kernel/console.h"
#include "kernel/machine.h"
#include "kernel/monitor.h"
#include "kernel/stats.h"
#include "kernel/vm_fold.h"

/* Counters fit; for "%llu". */
#define U(value) ((unsigned long long)(value))

/* The sums of the paper's model (section 6), and what they bought. */
static void print_cost(const struct stats_fold *f)
{
    uint64_t saved = f->pages_sharing + f->pages_zero, bytes = saved << PAGE_SHIFT;
    bool loss = bytes < f->metadata_bytes;

    console_printf("cost: unshared %llu pages (estimated) + scanning %llu ticks + sharing %llu "
                   "ticks (%llu pages) + COW %llu ticks (%llu breaks)\n",
                   U(f->cost_unshared_pages), U(f->cost_scan_ticks), U(f->cost_merge_ticks),
                   U(f->merges + f->zero_merges), U(f->cost_cow_ticks),
                   U(f->cow_breaks + f->zero_breaks));
    console_printf("profit: %s%llu KiB: %llu pages saved, less %llu KiB of metadata\n",
                   loss ? "-" : "",
                   U(loss ? f->metadata_bytes - bytes : bytes - f->metadata_bytes) >> 10, U(saved),
                   U(f->metadata_bytes) >> 10);
}

/* Names the VMs whose folding is off, if there are any. */
static void print_unfolded(void)
{
    const char *before = "not folded: ";

    for (unsigned i = 0; i < n_vms; i++) {
        if (!vms[i]->folds) {
            console_printf("%s%s%s", before, vms[i]->config->name,
                           vms[i]->unmerge.on ? " (its folds are being undone)" : "");
            before = ", ";
        }
    }
    if (before[0] == ',') {
        console_printf("\n");
    }
}

void monitor_fold_figures(void)
{
    struct stats s;

    stats_read(&s);
    const struct stats_fold *f = &s.fold;
    console_printf("pages_shared %llu, pages_sharing %llu, pages_zero %llu, full_scans %llu\n",
                   U(f->pages_shared), U(f->pages_sharing), U(f->pages_zero), U(f->full_scans));
    console_printf("advisor: %s binds; the last pass took %llu ms, and %llu ms of CPU time\n",
                   f->advisor_binds, U(f->pass_ms), U(f->pass_scan_ms));
    print_cost(f);
    print_unfolded();
}

void monitor_fold_classes(void)
{
    struct stats s;

    stats_read(&s);
    console_printf("%-10s %12s %12s %12s %10s %10s %16s %8s\n", "CLASS", "CANDIDATES", "SKIPPED",
                   "MERGES", "FOLDED", "BREAKS", "TICKS", "EACH");
    for (unsigned i = 0; i < PAGE_CLASSES; i++) {
        const struct stats_class *c = &s.fold.classes[i];
        console_printf("%-10s %12llu %12llu %12llu %10llu %10llu %16llu %8llu\n",
                       page_class_name((enum page_class)i), U(c->candidates), U(c->skipped),
                       U(c->merges), U(c->folded), U(c->breaks), U(c->ticks),
                       U(c->ticks / MAX(c->candidates, (uint64_t)1)));
    }
}

void monitor_fold_runs(void)
{
    uint64_t runs[FOLD_RUNS];
    bool any = false;

    fold_runs(&machine_fold, runs);
    for (unsigned k = 0; k < FOLD_RUNS; k++) {
        if (runs[k] > 0) {
            any = true;
            console_printf("runs of %5u%s pages: %llu\n", 1u << k,
                           k == FOLD_RUNS - 1 ? " and more" : " and up", U(runs[k]));
        }
    }
    if (!any) {
        console_printf("nothing is folded with anything but zeroes\n");
    }
}

void monitor_fold_vm(unsigned argc, char *const *argv)
{
    bool on = argc == 3 && strcmp(argv[2], "on") == 0;

    if (argc != 3 || (!on && strcmp(argv[2], "off") != 0)) {
        console_printf("usage: fold vm NAME on|off\n");
        return;
    }
    struct vm *vm = vm_find(argv[1]);
    if (!vm) {
        console_printf("fold vm: there is no VM '%s'; `vms` lists them\n", argv[1]);
        return;
    }
    vm_fold_set(vm, on);
    console_printf("%s: folding is %s%s\n", vm->config->name, on ? "on" : "off",
                   vm->unmerge.on ? "; its folded pages are given frames of their own now" : "");
}
