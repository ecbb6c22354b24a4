/* SPDX-License-Identifier: BSD-2-Clause */
/* The closing table: see report.h. Its lines begin with `report:`, for tools that read them. */
#include "kernel/stats/report.h"

#include "base/bits.h"
#include "kernel/console/console.h"
#include "kernel/core/power.h"
#include "kernel/stats/stats.h"

/* Pages as MiB with one decimal, for "%llu.%llu". */
#define MIB(pages)                                                                                 \
    (unsigned long long)((pages) / 256), (unsigned long long)((pages) % 256 * 10 / 256)

static void print_vm(const struct vm *vm, const struct stats_vm *at_peak)
{
    struct stats_vm now;

    stats_read_vm(vm, &now);
    console_printf(
        "report: vm %-16s %5llu MiB  present %5llu.%llu MiB  shared %7llu  zero %7llu"
        "  cow_breaks %6llu  disk read %5llu MiB written %5llu MiB  run %llu ms\n",
        vm->config->name, (unsigned long long)now.memory_mib, MIB(at_peak->present),
        (unsigned long long)at_peak->shared, (unsigned long long)at_peak->zero,
        (unsigned long long)now.cow_breaks, (unsigned long long)now.disk_read_bytes >> 20,
        (unsigned long long)now.disk_written_bytes >> 20, (unsigned long long)now.run_ms);
}

/* What the lines have in common, read at the first one. */
static struct {
    const struct stats *peak;
    const struct stats_vm *vms; /* at the peak */
    struct stats now;
    uint64_t promised, present;
} read;

static void read_all(void)
{
    read.peak = stats_peak(&read.vms);
    stats_read(&read.now);
    read.promised = read.present = 0;
    for (unsigned i = 0; i < n_vms; i++) {
        read.promised += vms[i]->boots > 0 ? vms[i]->config->memory_bytes >> PAGE_SHIFT : 0;
        read.present += read.vms[i].present;
    }
}

/* The n-th line of the whole machine, if there is one. Returns how many there are. */
static unsigned print_total(unsigned n)
{
    const struct stats_host *host = &read.peak->host;
    const struct stats_fold *fold = &read.peak->fold;
    const uint64_t used = host->frames_private + host->frames_shared + host->frames_zero;
    const struct {
        const char *name;
        bool memory; /* the value is in pages, and shown in MiB */
        uint64_t value;
        const char *what;
    } totals[] = {
        {"memory_machine", true, host->frames_total - host->frames_reserved, "usable memory"},
        {"memory_promised", true, read.promised, "sum over the VMs that ran"},
        {"memory_present", true, read.present, "touched by the guests"},
        {"memory_used", true, used, "frames behind it"},
        {"memory_saved", true, fold->pages_sharing + fold->pages_zero,
         "pages_sharing + pages_zero"},
        {"pages_shared", false, fold->pages_shared, "folded frames"},
        {"pages_sharing", false, fold->pages_sharing, "pages saved by them"},
        {"pages_zero", false, fold->pages_zero, "pages that map a zero page"},
        {"merges", false, read.now.fold.merges, "in all"},
        {"cow_breaks", false, read.now.fold.cow_breaks, "in all"},
        {"full_scans", false, read.now.fold.full_scans, ""},
        {"cache_hits", false, read.now.cache.hits, "blocks"},
        {"cache_misses", false, read.now.cache.misses, "blocks"},
    };

    if (n < ARRAY_LEN(totals) && totals[n].memory) {
        console_printf("report: %-16s %9llu.%llu MiB  %s\n", totals[n].name, MIB(totals[n].value),
                       totals[n].what);
    } else if (n < ARRAY_LEN(totals)) {
        console_printf("report: %-16s %9llu        %s\n", totals[n].name,
                       (unsigned long long)totals[n].value, totals[n].what);
    }
    return ARRAY_LEN(totals);
}

bool report_line(unsigned n)
{
    if (n == 0) {
        read_all();
        console_printf("report: the most saved at once was at %llu.%03llu s; %u VMs\n",
                       (unsigned long long)read.peak->t_ms / 1000,
                       (unsigned long long)read.peak->t_ms % 1000, n_vms);
        return true;
    }
    n--;
    unsigned totals = print_total(n);
    if (n < totals) {
        return true;
    }
    n -= totals;
    if (n >= n_vms) {
        return false;
    }
    print_vm(vms[n], &read.vms[n]);
    return true;
}

static void hush(void)
{
    stats_set_interval(0);
}

static const struct power_stats power = {
    .note = stats_note_peak, .hush = hush, .report = report_line};

void report_init(void)
{
    power_set_stats(&power);
}
