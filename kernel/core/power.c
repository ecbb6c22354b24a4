/* SPDX-License-Identifier: BSD-2-Clause */
/* Power-off, step by step, as work of the loop: see power.h. */
#include "kernel/core/power.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/poweroff.h"
#include "base/log.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"

/* A console that nobody reads, or a disk that does not answer, must not keep the machine on. */
#define NS_PER_S UINT64_C(1000000000)
#define PATIENCE_NS UINT64_C(30000000000)
#define LOOK_NS UINT64_C(2000000)
/* So often the disks are flushed, as long as not all is written. */
#define TRIES 3u

/* How often it says what it waits for, and looks. */
#define SAY_NS UINT64_C(10000000000)
#define WAIT_LOOK_NS UINT64_C(50000000)

enum step { STEP_NONE, STEP_WAIT, STEP_STOP, STEP_FLUSH, STEP_REPORT, STEP_DRAIN };

static enum step step;
static bool then_reboot, ends_when_off;
static uint64_t deadline_ns, say_ns;
static struct timer timer;                    /* wakes the loop where nothing else would */
static uint32_t dirty;                        /* blocks of the cache, when last looked */
static unsigned tries, n_stopped, n_reported; /* flushes, VMs and lines so far */

static const struct power_vms *vms;
static const struct power_disks *disks;
static const struct power_stats *stats;
static const struct power_console *console;

void power_set_vms(const struct power_vms *v)
{
    vms = v;
}

void power_set_disks(const struct power_disks *d)
{
    disks = d;
}

void power_set_stats(const struct power_stats *s)
{
    stats = s;
}

void power_set_console(const struct power_console *c)
{
    console = c;
}

static void timer_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns; /* being awake is enough */
}

static void enter(enum step s)
{
    step = s;
    deadline_ns = clock_now_ns() + PATIENCE_NS;
}

/* True while the loop has to come back; keeps it from sleeping for ever. */
static bool wait_ns(uint64_t ns)
{
    if (!timer.armed) {
        sched_arm(&timer, clock_now_ns() + ns);
    }
    return false;
}

static bool wait(void)
{
    return wait_ns(LOOK_NS);
}

static bool impatient(const char *what)
{
    /* Gigabytes may have to be written: as long as that goes on, nothing is stuck. */
    if (machine_cache.dirty < dirty) {
        deadline_ns = clock_now_ns() + PATIENCE_NS;
    }
    dirty = machine_cache.dirty;
    if (clock_now_ns() < deadline_ns) {
        return false;
    }
    log_warn("power-off: %s; not waiting any longer", what);
    return true;
}

static void flush(void)
{
    tries++;
    disks->flush();
}

static bool look_when_off(void)
{
    if (!ends_when_off || !vms->ended()) {
        return false;
    }
    log_info("all VMs are off: the machine follows");
    power_off(false);
    return true;
}

static void say_awaited(void)
{
    uint64_t now = clock_now_ns();
    uint64_t left_s = deadline_ns > now ? (deadline_ns - now + NS_PER_S - 1) / NS_PER_S : 0;

    say_ns = now + SAY_NS;
    log_info("%s: waiting up to %llu s for %s to shut down; `%s now` does not wait",
             then_reboot ? "reboot" : "power-off", (unsigned long long)left_s, vms->list_on(),
             then_reboot ? "reboot" : "poweroff");
}

/* VMs shut down; a guest that restarts instead goes off as well. */
static bool wait_for_vms(void)
{
    if (vms->on() > 0 && clock_now_ns() < deadline_ns) {
        if (clock_now_ns() >= say_ns) {
            say_awaited();
        }
        return wait_ns(WAIT_LOOK_NS);
    }
    vms->say_overdue();
    power_off(then_reboot);
    return true;
}

static bool power_work(void *ctx)
{
    (void)ctx;
    if (step != STEP_NONE) {
        charge(&charge_hypervisor);
    }
    switch (step) {
    case STEP_NONE:
        return look_when_off();
    case STEP_WAIT:
        return wait_for_vms();
    case STEP_STOP:
        if (vms->stop(n_stopped, then_reboot)) {
            n_stopped++;
            return true;
        }
        if (vms->on() > 0 && !impatient("a VM does not stop")) {
            return wait();
        }
        flush();
        enter(STEP_FLUSH);
        return true;
    case STEP_FLUSH:
        if (disks->flushing() > 0 && !impatient("a disk does not answer")) {
            return wait();
        }
        if (disks->flushing() == 0 && machine_cache.dirty > 0 && tries < TRIES) {
            flush();
        } else {
            enter(STEP_REPORT);
        }
        return true;
    case STEP_REPORT:
        if (n_reported == 0) {
            disks->say_lost();
        }
        if (!stats->report(n_reported++)) {
            enter(STEP_DRAIN);
        }
        return true;
    case STEP_DRAIN:
    default:
        if (!console->drained() && clock_now_ns() < deadline_ns) {
            return wait();
        }
        if (then_reboot) {
            machine_reboot();
        }
        machine_exit(vms->failed() ? 1 : 0);
    }
}

void power_shut_down(bool reboot)
{
    uint64_t wait_for_ns = machine_config.host.shutdown_wait_ns;

    if (step > STEP_WAIT) {
        return;
    }
    if (vms->on() == 0 || wait_for_ns == 0) {
        power_off(reboot);
        return;
    }
    then_reboot = reboot;
    if (step == STEP_NONE) {
        stats->note();
        step = STEP_WAIT;
        deadline_ns = clock_now_ns() + wait_for_ns;
        vms->press();
    }
    say_awaited();
    (void)wait_ns(WAIT_LOOK_NS);
}

void power_off(bool reboot)
{
    if (step > STEP_WAIT) {
        return;
    }
    then_reboot = reboot;
    stats->note();
    stats->hush();
    console->release();
    enter(STEP_STOP);
}

bool power_is_coming(void)
{
    return step != STEP_NONE;
}

bool power_is_ending(void)
{
    return step > STEP_WAIT;
}

void power_when_off(bool poweroff)
{
    ends_when_off = poweroff;
}

bool power_ends_when_off(void)
{
    return ends_when_off;
}

void power_init(const struct config *config)
{
    ASSERT(vms && disks && stats && console);
    step = STEP_NONE;
    then_reboot = false;
    dirty = 0;
    tries = n_stopped = n_reported = 0;
    ends_when_off = config->host.when_off == CONFIG_WHEN_OFF_POWEROFF;
    timer_init(&timer, timer_due, NULL);
    sched_add_work(power_work, NULL);
}
