/* SPDX-License-Identifier: BSD-2-Clause */
/* The scanner's pacing: mm/pace says when and how much, mm/fold does it. */
#include "kernel/scan.h"

#include "arch/x86_64/clock.h"
#include "base/log.h"
#include "base/timer.h"
#include "kernel/machine.h"
#include "mm/pace.h"

/* The longest that a guest waits behind the scanner. */
#define BURST_NS UINT64_C(1000000)

static struct pace pace;
static unsigned attached;

static struct pace_config pace_of(const struct config_host *host)
{
    return (struct pace_config){
        .pages = host->scan_pages,
        .sleep_ns = host->scan_sleep_ns,
        .cpu_max = host->scan_cpu_max,
        .burst_ns = BURST_NS,
    };
}

static void set_switches(const struct config_host *host)
{
    machine_fold.run = host->fold_run;
    machine_fold.zero = host->fold_zero;
}

void scan_init(const struct config_host *host)
{
    const struct pace_config c = pace_of(host);
    enum status s = pace_init(&pace, &c);

    ASSERT(s == OK); /* the configuration's bounds are pace's */
    set_switches(host);
}

void scan_attach(struct p2m *p)
{
    fold_attach(&machine_fold, p);
    attached++;
}

void scan_detach(struct p2m *p)
{
    fold_detach(&machine_fold, p);
    attached--;
}

uint64_t scan_next_ns(void)
{
    return attached > 0 && machine_fold.run ? pace_next(&pace) : TIMER_NEVER;
}

uint64_t scan_step(bool busy)
{
    uint64_t start = clock_now_ns();
    uint32_t n = pace_pages(&pace, start);

    if (n == 0) {
        return 0;
    }
    unsigned done = fold_step(&machine_fold, n);
    uint64_t end = clock_now_ns();
    pace_done(&pace, end, done, end - start, !busy);
    return end - start;
}

enum status scan_configure(const struct config_host *host)
{
    const struct pace_config c = pace_of(host);

    set_switches(host);
    return pace_set(&pace, &c);
}
