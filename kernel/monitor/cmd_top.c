/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `top`: a table that draws itself anew each second, until a key is pressed. */
#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"
#include "kernel/console/console.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/monitor/monitor.h"
#include "kernel/stats/stats.h"
#include "kernel/vm/vm.h"

#define EVERY_NS UINT64_C(1000000000)
#define HOME "\033[H"
#define CLEAR "\033[H\033[2J"
#define END_LINE "\033[K\n"
#define CLEAR_BELOW "\033[J"
#define VMS_SHOWN 17u /* what is left of 24 lines */
#define ROW 160u

/* One more reading, to show what happened since. */
static struct stats last;
static struct stats_vm *last_vms;
static bool on;
static struct timer timer;
/* The drawing under way: the readings, and its next row. */
static struct stats fresh;
static unsigned next_row;

#define MIB(pages)                                                                                 \
    (unsigned long long)((pages) / 256), (unsigned long long)((pages) % 256 * 10 / 256)

static void row(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void row(const char *fmt, ...)
{
    char text[ROW];
    va_list ap;

    va_start(ap, fmt);
    format_va(text, sizeof(text), fmt, ap);
    va_end(ap);
    console_printf("%.79s" END_LINE, text);
}

static unsigned long long percent(uint64_t part_ms, uint64_t ms)
{
    return ms > 0 ? MIN(part_ms * 100 / ms, 100u) : 0;
}

static unsigned long long per_second(uint64_t now, uint64_t before, uint64_t ms)
{
    return now > before && ms > 0 ? (now - before) * 1000 / ms : 0;
}

static uint64_t exits(const struct stats_vm *v)
{
    uint64_t n = 0;

    for (unsigned k = 0; k < HVM_COUNTS; k++) {
        n += v->exits[k];
    }
    return n;
}

static void draw_vm(unsigned i, uint64_t ms)
{
    struct stats_vm v;
    const struct stats_vm *b = &last_vms[i];

    stats_read_vm(vms[i], &v);
    row("%-16s %-9s %5lluM %6llu.%lluM %8llu %8llu %4llu%% %9llu", vms[i]->config->name,
        vm_state_name(vms[i]), (unsigned long long)v.memory_mib, MIB(v.present),
        (unsigned long long)v.shared, (unsigned long long)v.zero,
        v.run_ms > b->run_ms ? percent(v.run_ms - b->run_ms, ms) : 0,
        per_second(exits(&v), exits(b), ms));
    last_vms[i] = v;
}

static void draw_host(const struct stats *s, uint64_t ms)
{
    console_printf(HOME);
    row("Pagefold  up %llu.%llu s   CPU: guests %llu%%  scanner %llu%%  hypervisor %llu%%  idle "
        "%llu%%",
        (unsigned long long)s->t_ms / 1000, (unsigned long long)s->t_ms % 1000 / 100,
        percent(s->host.guest_ms - last.host.guest_ms, ms),
        percent(s->host.scan_ms - last.host.scan_ms, ms),
        percent(s->host.hypervisor_ms - last.host.hypervisor_ms, ms),
        percent(s->host.idle_ms - last.host.idle_ms, ms));
    row("memory  free %llu.%llu M  private %llu.%llu M  folded %llu.%llu M  cache %llu.%llu M",
        MIB(s->host.frames_free), MIB(s->host.frames_private), MIB(s->host.frames_shared),
        MIB(s->host.frames_cache));
}

static void draw_fold(const struct stats *s, uint64_t ms)
{
    row("fold    shared %llu  sharing %llu  zero %llu  saved %llu.%llu M  passes %llu",
        (unsigned long long)s->fold.pages_shared, (unsigned long long)s->fold.pages_sharing,
        (unsigned long long)s->fold.pages_zero, MIB(s->fold.pages_sharing + s->fold.pages_zero),
        (unsigned long long)s->fold.full_scans);
    row("        scanned %llu/s  merges %llu/s  cow_breaks %llu/s",
        per_second(s->fold.pages_scanned, last.fold.pages_scanned, ms),
        per_second(s->fold.merges, last.fold.merges, ms),
        per_second(s->fold.cow_breaks, last.fold.cow_breaks, ms));
}

static void draw_cache(const struct stats *s, uint64_t ms)
{
    row("cache   %s  blocks %llu of %llu  hits %llu/s  misses %llu/s",
        cache_mode_name(machine_cache.mode), (unsigned long long)s->cache.blocks_used,
        (unsigned long long)s->cache.blocks_max, per_second(s->cache.hits, last.cache.hits, ms),
        per_second(s->cache.misses, last.cache.misses, ms));
    row("%-16s %-9s %6s %9s %8s %8s %5s %9s", "NAME", "STATE", "MEM", "PRESENT", "SHARED", "ZERO",
        "CPU", "EXITS/s");
}

bool monitor_top_more(void)
{
    static void (*const parts[])(const struct stats *s, uint64_t ms) = {draw_host, draw_fold,
                                                                        draw_cache};
    const unsigned n_shown = MIN(n_vms, VMS_SHOWN), n = next_row;
    uint64_t ms = fresh.t_ms - last.t_ms;

    if (n > ARRAY_LEN(parts) + n_shown) {
        return false;
    }
    next_row++;
    if (n < ARRAY_LEN(parts)) {
        parts[n](&fresh, ms);
    } else if (n < ARRAY_LEN(parts) + n_shown) {
        draw_vm(n - (unsigned)ARRAY_LEN(parts), ms);
    } else {
        console_printf(CLEAR_BELOW);
        last = fresh;
    }
    return true;
}

/* Begins to draw it anew; monitor_top_more goes on. */
static void draw(void)
{
    stats_read(&fresh);
    next_row = 0;
    (void)monitor_top_more();
}

static void due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    if (on) {
        draw();
        sched_arm(&timer, now_ns + EVERY_NS);
    }
}

void monitor_top_init(void)
{
    last_vms = boot_alloc(sizeof(*last_vms) * MAX(n_vms, 1u), 8);
    timer_init(&timer, due, NULL);
}

bool monitor_top_is_on(void)
{
    return on;
}

void monitor_top(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    memset(&last, 0, sizeof(last));
    memset(last_vms, 0, sizeof(*last_vms) * n_vms);
    on = true;
    console_screen(true);
    console_printf(CLEAR);
    draw();
    sched_arm(&timer, clock_now_ns() + EVERY_NS);
}

void monitor_top_end(void)
{
    on = false;
    sched_disarm(&timer);
    console_screen(false);
}
