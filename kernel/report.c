/* SPDX-License-Identifier: BSD-2-Clause */
/* The closing table: see report.h. Its lines begin with `report:`, for tools that read them. */
#include "kernel/report.h"

#include "base/bits.h"
#include "kernel/console.h"
#include "kernel/machine.h"
#include "kernel/stats.h"

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

static void print_pages(const char *name, uint64_t pages, const char *what)
{
    console_printf("report: %-16s %9llu.%llu MiB  %s\n", name, MIB(pages), what);
}

static void print_count(const char *name, uint64_t count, const char *what)
{
    console_printf("report: %-16s %9llu        %s\n", name, (unsigned long long)count, what);
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

static bool print_total(unsigned n)
{
    const struct stats_host *host = &read.peak->host;
    const struct stats_fold *fold = &read.peak->fold;

    switch (n) {
    case 0:
        print_pages("memory_machine", host->frames_total - host->frames_reserved, "usable memory");
        break;
    case 1:
        print_pages("memory_promised", read.promised, "sum over the VMs that ran");
        break;
    case 2:
        print_pages("memory_present", read.present, "touched by the guests");
        break;
    case 3:
        print_pages("memory_used", host->frames_private + host->frames_shared + host->frames_zero,
                    "frames behind it");
        break;
    case 4:
        print_pages("memory_saved", fold->pages_sharing + fold->pages_zero,
                    "pages_sharing + pages_zero");
        break;
    case 5:
        print_count("pages_shared", fold->pages_shared, "folded frames");
        break;
    case 6:
        print_count("pages_sharing", fold->pages_sharing, "pages saved by them");
        break;
    case 7:
        print_count("pages_zero", fold->pages_zero, "pages that map a zero page");
        break;
    case 8:
        print_count("merges", read.now.fold.merges, "in all");
        break;
    case 9:
        print_count("cow_breaks", read.now.fold.cow_breaks, "in all");
        break;
    case 10:
        print_count("full_scans", read.now.fold.full_scans, "");
        break;
    case 11:
        print_count("cache_hits", read.now.cache.hits, "blocks");
        break;
    case 12:
        print_count("cache_misses", read.now.cache.misses, "blocks");
        break;
    default:
        return false;
    }
    return true;
}

#define TOTALS 13u

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
    if (n < TOTALS) {
        return print_total(n);
    }
    n -= TOTALS;
    if (n >= n_vms) {
        return false;
    }
    print_vm(vms[n], &read.vms[n]);
    return true;
}
