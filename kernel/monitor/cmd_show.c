/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's commands that only show something. */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/console/console.h"
#include "kernel/core/log.h"
#include "kernel/core/machine.h"
#include "kernel/monitor/monitor.h"
#include "kernel/stats/check.h"
#include "kernel/stats/stats.h"
#include "kernel/storage/overlays.h"
#include "kernel/vm/images.h"
#include "kernel/vm/vm.h"
#include "kernel/vm/wait_memory.h"

#ifndef PAGEFOLD_VERSION
#define PAGEFOLD_VERSION "0.1"
#endif

#define LOG_LINES 1000u

/* Pages as MiB with one decimal, for "%llu.%llu". */
#define MIB(pages)                                                                                 \
    (unsigned long long)((pages) / 256), (unsigned long long)((pages) % 256 * 10 / 256)

static unsigned next_vm;

static bool vms_job(void)
{
    struct stats_vm s;

    if (next_vm >= n_vms) {
        return false;
    }
    const struct vm *vm = vms[next_vm++];
    stats_read_vm(vm, &s);
    bool ended = vm->state == VM_OFF || vm->state == VM_STOPPING;
    const char *why = ended ? vm->stop_reason : vm_memory_reason(vm);
    console_printf("%-16s %-10s %6lluM %9llu %9llu %9llu %6llu  %s%s%s%s\n", vm->config->name,
                   vm_state_name(vm), (unsigned long long)s.memory_mib,
                   (unsigned long long)s.present, (unsigned long long)s.shared,
                   (unsigned long long)s.zero, (unsigned long long)s.boots, vm->config->share,
                   why[0] ? "  (" : "", why, why[0] ? ")" : "");
    return true;
}

void monitor_vms(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    console_printf("%-16s %-10s %7s %9s %9s %9s %6s  %s\n", "NAME", "STATE", "MEMORY", "PRESENT",
                   "SHARED", "ZERO", "BOOTS", "GROUP");
    next_vm = 0;
    monitor_job(vms_job);
}

void monitor_stats(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    if (argc == 1) {
        stats_text_begin();
        monitor_job(stats_text_more);
    } else if (argc == 2 && strcmp(argv[1], "json") == 0) {
        stats_json_ask();
        monitor_job(stats_json_asked);
    } else if (argc == 3 && strcmp(argv[1], "every") == 0) {
        (void)monitor_set_key("stats.interval", argv[2]); /* says what is wrong */
    } else {
        console_printf("usage: stats [json | every TIME]\n");
    }
}

/* A row of `mem`. */
struct row {
    const char *name;
    uint64_t frames, bytes; /* of which one is shown: bytes where frames is UINT64_MAX */
    const char *what;
};

static void print_row(const struct row *r)
{
    if (r->frames == UINT64_MAX) {
        console_printf("%-12s %10llu KiB  %s\n", r->name, (unsigned long long)r->bytes >> 10,
                       r->what);
    } else {
        console_printf("%-12s %10llu frames %8llu.%llu MiB  %s\n", r->name,
                       (unsigned long long)r->frames, MIB(r->frames), r->what);
    }
}

/* The sums over VMs, as read at the first line. */
static struct {
    uint64_t tables, promised, present, notes;
    struct images_counts images;
} sums;

static void read_sums(void)
{
    memset(&sums, 0, sizeof(sums));
    sums.images = images_counts();
    for (unsigned i = 0; i < n_vms; i++) {
        if (vm_has_memory(vms[i])) {
            sums.tables += hvm_space_tables(vms[i]->space);
            sums.promised += vms[i]->config->memory_bytes >> PAGE_SHIFT;
            sums.present += vms[i]->p2m.present;
            sums.notes += vms[i]->p2m.n_notes;
        }
    }
}

static void print_state(enum frame_state s)
{
    static const char *const what[FRAME_STATES] = {
        [FRAME_RESERVED] = "firmware, devices, holes",
        [FRAME_FREE] = "",
        [FRAME_HYP] = "the hypervisor, its tables, boot modules",
        [FRAME_PRIVATE] = "one guest page each",
        [FRAME_SHARED] = "folded",
        [FRAME_ZERO] = "zero pages, one a share group or one for all",
        [FRAME_CACHE_ONLY] = "the disk cache",
    };
    const struct row r = {frame_state_name(s), machine_frames.by_state[s], 0, what[s]};

    print_row(&r);
}

static bool mem_line(unsigned n)
{
    const struct frames *f = &machine_frames;
    const uint64_t none = UINT64_MAX;

    if (n == 0) {
        read_sums();
    }
    if (n < FRAME_STATES) {
        print_state((enum frame_state)n);
        return true;
    }
    const struct row rows[] = {
        {"total", f->count, 0, ""},
        {"ept tables", sums.tables, 0, "of the hypervisor's, by VMs that are not off"},
        {"notes", sums.notes, 0, "likewise, folding's notes on guest pages, one frame for 512"},
        {"modules", sums.images.owned, 0, "of the shared ones, boot modules' own that VMs may map"},
        {"images", sums.images.held, 0, "likewise, copies of pages of boot modules"},
        {"snapshots", aside_pool.used, 0, "of the hypervisor's, written to `,snapshot` disks"},
        {"overlays", aside_frames(), 0, "likewise, the maps and buffers of `,overlay` disks"},
        {"pinned", f->pinned, 0, "in use by a device at the moment"},
        {"promised", sums.promised, 0, "to VMs that are not off"},
        {"kept free", f->kept, 0, "of the free ones, for their memory.min"},
        {"present", sums.present, 0, "pages that they have touched"},
        {"frame table", none, f->count * sizeof(struct frame), "32 bytes a frame"},
        {"", none, 0, ""}, /* of the notes */
        {"cache table", none, cache_bytes(machine_cache.n_max),
         "32 bytes a block, its hash and its ghost"},
        {"cache curve", none, MRC_BYTES, "a sample of the blocks read"},
        {"cache trace", none, blktrace_bytes(machine_trace.n_max), "cache.trace requests"},
        {"check", none, check_bytes(), "4 bytes a frame, for `check`"},
    };
    n -= FRAME_STATES;
    if (n < ARRAY_LEN(rows) && rows[n].name[0] != '\0') {
        print_row(&rows[n]);
    } else if (n < ARRAY_LEN(rows)) {
        uint64_t bytes = sums.notes << PAGE_SHIFT, pages = MAX(sums.present, (uint64_t)1);
        console_printf("%-12s %10llu.%llu bytes a present page, in notes\n", "",
                       (unsigned long long)(bytes / pages),
                       (unsigned long long)(bytes * 10 / pages % 10));
    }
    return n < ARRAY_LEN(rows);
}

void monitor_mem(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    monitor_lines(mem_line);
}

static struct log_place log_at;

static bool log_job(void)
{
    char line[LOG_LINE_BYTES];

    if (log_seek(&log_at)) {
        return true;
    }
    if (!log_next(&log_at, line, sizeof(line))) {
        return false;
    }
    console_printf("%s\n", line);
    return true;
}

void monitor_log(void *ctx, unsigned argc, char *const *argv)
{
    unsigned n = 0;

    (void)ctx;
    for (const char *c = argc == 2 ? argv[1] : ""; *c; c++) {
        if (*c < '0' || *c > '9' || n > LOG_LINES) {
            console_printf("usage: log [LINES], 1 to %u\n", LOG_LINES);
            return;
        }
        n = n * 10 + (unsigned)(*c - '0');
    }
    log_at = log_last(n == 0 || n > LOG_LINES ? LOG_LINES : n);
    monitor_job(log_job);
}

void monitor_version(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    console_printf("Pagefold " PAGEFOLD_VERSION "%s\n",
#ifdef PAGEFOLD_DEBUG
                   " (debug build)"
#else
                   ""
#endif
    );
}
