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

void report_print(void)
{
    const struct stats_vm *at_peak;
    const struct stats *p = stats_peak(&at_peak);
    uint64_t promised = 0, present = 0;
    struct stats now;

    stats_read(&now);
    for (unsigned i = 0; i < n_vms; i++) {
        promised += vms[i]->boots > 0 ? vms[i]->config->memory_bytes >> PAGE_SHIFT : 0;
        present += at_peak[i].present;
    }
    console_printf("report: the most saved at once was at %llu.%03llu s; %u VMs\n",
                   (unsigned long long)p->t_ms / 1000, (unsigned long long)p->t_ms % 1000, n_vms);
    print_pages("memory_machine", p->host.frames_total - p->host.frames_reserved, "usable memory");
    print_pages("memory_promised", promised, "sum over the VMs that ran");
    print_pages("memory_present", present, "touched by the guests");
    print_pages("memory_used", p->host.frames_private + p->host.frames_shared + p->host.frames_zero,
                "frames behind it");
    print_pages("memory_saved", p->fold.pages_sharing + p->fold.pages_zero,
                "pages_sharing + pages_zero");
    print_count("pages_shared", p->fold.pages_shared, "folded frames");
    print_count("pages_sharing", p->fold.pages_sharing, "pages saved by them");
    print_count("pages_zero", p->fold.pages_zero, "pages that map a zero page");
    print_count("merges", now.fold.merges, "in all");
    print_count("cow_breaks", now.fold.cow_breaks, "in all");
    print_count("full_scans", now.fold.full_scans, "");
    print_count("cache_hits", now.cache.hits, "blocks");
    print_count("cache_misses", now.cache.misses, "blocks");
    for (unsigned i = 0; i < n_vms; i++) {
        print_vm(vms[i], &at_peak[i]);
    }
}
