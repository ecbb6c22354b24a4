/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's figures of folding: `fold`, `fold classes`, `fold runs`; and `fold vm`. */
#include "base/bits.h"
#include "base/string.h"
#include "kernel/console/console.h"
#include "kernel/core/machine.h"
#include "kernel/core/still.h"
#include "kernel/monitor/monitor.h"
#include "kernel/stats/stats.h"
#include "kernel/vm/fold.h"

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

/* Names the VMs whose folding is off, one a call; false: that was the last. */
static bool name_unfolded(unsigned n)
{
    static const char *before;

    if (n == 0) {
        before = "not folded: ";
    }
    if (n == n_vms) {
        console_printf("%s", before[0] == ',' ? "\n" : "");
        return false;
    }
    if (!vms[n]->folds) {
        console_printf("%s%s%s", before, vms[n]->config->name,
                       vms[n]->unmerge.on ? " (its folds are being undone)" : "");
        before = ", ";
    }
    return true;
}

bool monitor_fold_figures(unsigned n)
{
    static struct stats s;
    const struct stats_fold *f = &s.fold;

    switch (n) {
    case 0:
        stats_read(&s);
        console_printf("pages_shared %llu, pages_sharing %llu, pages_zero %llu, full_scans %llu\n",
                       U(f->pages_shared), U(f->pages_sharing), U(f->pages_zero), U(f->full_scans));
        return true;
    case 1:
        console_printf("advisor: %s binds; the last pass took %llu ms, and %llu ms of CPU time\n",
                       f->advisor_binds, U(f->pass_ms), U(f->pass_scan_ms));
        return true;
    case 2:
        print_cost(f);
        return true;
    default:
        return name_unfolded(n - 3);
    }
}

static struct stats_class classes[PAGE_CLASSES];

static bool class_line(unsigned i)
{
    const struct stats_class *c = &classes[i];

    if (i == PAGE_CLASSES) {
        return false;
    }
    console_printf("%-10s %12llu %12llu %12llu %10llu %10llu %16llu %8llu\n",
                   page_class_name((enum page_class)i), U(c->candidates), U(c->skipped),
                   U(c->merges), U(c->folded), U(c->breaks), U(c->ticks),
                   U(c->ticks / MAX(c->candidates, (uint64_t)1)));
    return true;
}

void monitor_fold_classes(void)
{
    struct stats s;

    stats_read(&s);
    memcpy(classes, s.fold.classes, sizeof(classes));
    console_printf("%-10s %12s %12s %12s %10s %10s %16s %8s\n", "CLASS", "CANDIDATES", "SKIPPED",
                   "MERGES", "FOLDED", "BREAKS", "TICKS", "EACH");
    monitor_lines(class_line);
}

static uint64_t runs[FOLD_RUNS];

static void count_runs(struct yield *y)
{
    fold_sequences(&machine_fold, y, runs);
}

static bool run_line(unsigned k)
{
    static bool any;

    any = k > 0 && any;
    if (k == FOLD_RUNS) {
        if (!any) {
            console_printf("nothing is folded with anything but zeroes\n");
        }
        return false;
    }
    if (runs[k] > 0) {
        any = true;
        console_printf("runs of %5u%s pages: %llu\n", 1u << k,
                       k == FOLD_RUNS - 1 ? " and more" : " and up", U(runs[k]));
    }
    return true;
}

void monitor_fold_runs(void)
{
    still_ask(count_runs);
    monitor_lines(run_line);
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
