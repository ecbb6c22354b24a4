/* SPDX-License-Identifier: BSD-2-Clause */
/* Power-off, step by step, as work of the loop: see power.h. */
#include "kernel/power.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/poweroff.h"
#include "base/format.h"
#include "base/log.h"
#include "drivers/block/blk.h"
#include "kernel/aside.h"
#include "kernel/bootmem.h"
#include "kernel/charge.h"
#include "kernel/console.h"
#include "kernel/disks.h"
#include "kernel/machine.h"
#include "kernel/report.h"
#include "kernel/sched.h"
#include "kernel/stats.h"
#include "kernel/vm.h"

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
static struct timer timer;      /* wakes the loop where nothing else would */
static struct blk_req *flushes; /* one for each disk of each VM */
static unsigned n_busy, tries;
static unsigned n_stopped, n_reported; /* VMs and lines so far */

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
    static uint32_t dirty;

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

static unsigned vms_on(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_vms; i++) {
        n += vms[i]->state != VM_OFF;
    }
    return n;
}

static void flushed(struct blk_req *r, enum status s)
{
    const struct blk_dev *d = r->ctx;

    n_busy--;
    if (s != OK && s != E_UNSUPPORTED) {
        log_error("%s: flushing it: %s", d->name, status_name(s));
    }
}

/* Flushes every disk that a VM of the configuration can write to, all at once: one that does not
 * answer keeps no other waiting. */
static void flush_all(void)
{
    struct blk_req *r = flushes;

    tries++;
    for (unsigned i = 0; i < n_vms; i++) {
        const struct config_vm *c = vms[i]->config;
        for (unsigned k = 0; k < c->n_disks; k++, r++) {
            struct blk_dev *d = aside_flushed(&c->disks[k]);
            if (d) {
                *r = (struct blk_req){.op = BLK_FLUSH, .done = flushed, .ctx = d};
                n_busy++;
                blk_submit(d, r);
            }
        }
    }
}

/* A VM that was to start at boot and never did makes the run a failed one. */
static int exit_code(void)
{
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->config->start && vms[i]->boots == 0) {
            return 1;
        }
    }
    return 0;
}

static bool look_when_off(void)
{
    bool any = false;

    if (!ends_when_off) {
        return false;
    }
    for (unsigned i = 0; i < n_vms; i++) {
        if (!vm_has_ended(vms[i])) {
            return false;
        }
        any |= vms[i]->boots > 0 || vms[i]->config->start;
    }
    if (any) {
        log_info("all VMs are off: the machine follows");
        power_off(false);
    }
    return any;
}

/* "a, b and 7 more" */
static const char *list_vms_on(void)
{
    static char list[160];
    unsigned left = vms_on();
    size_t n = 0;

    list[0] = '\0';
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->state == VM_OFF) {
            continue;
        }
        if (n + CONFIG_VM_NAME + 16 > sizeof(list)) {
            format(list + n, sizeof(list) - n, " and %u more", left);
            break;
        }
        n += format(list + n, sizeof(list) - n, "%s%s", n > 0 ? ", " : "", vms[i]->config->name);
        left--;
    }
    return list;
}

static void say_awaited(void)
{
    uint64_t now = clock_now_ns();
    uint64_t left_s = deadline_ns > now ? (deadline_ns - now + NS_PER_S - 1) / NS_PER_S : 0;

    say_ns = now + SAY_NS;
    log_info("%s: waiting up to %llu s for %s to shut down; `%s now` does not wait",
             then_reboot ? "reboot" : "power-off", (unsigned long long)left_s, list_vms_on(),
             then_reboot ? "reboot" : "poweroff");
}

/* VMs shut down; a guest that restarts instead goes off as well. */
static bool wait_for_vms(void)
{
    for (unsigned i = 0; i < n_vms; i++) {
        vms[i]->restart = false;
    }
    if (vms_on() > 0 && clock_now_ns() < deadline_ns) {
        if (clock_now_ns() >= say_ns) {
            say_awaited();
        }
        return wait_ns(WAIT_LOOK_NS);
    }
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->state != VM_OFF) {
            log_warn("%s: did not shut down in time: it is stopped", vms[i]->config->name);
        }
    }
    power_off(then_reboot);
    return true;
}

static void stop(struct vm *vm)
{
    vm_stop(vm, false, then_reboot ? "the machine is restarted" : "the machine is turned off");
    vm->restart = false; /* also where it was resetting already */
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
        if (n_stopped < n_vms) {
            stop(vms[n_stopped++]);
            return true;
        }
        if (vms_on() > 0 && !impatient("a VM does not stop")) {
            return wait();
        }
        flush_all();
        enter(STEP_FLUSH);
        return true;
    case STEP_FLUSH:
        if (n_busy > 0 && !impatient("a disk does not answer")) {
            return wait();
        }
        if (n_busy == 0 && machine_cache.dirty > 0 && tries < TRIES) {
            flush_all();
        } else {
            enter(STEP_REPORT);
        }
        return true;
    case STEP_REPORT:
        if (n_reported == 0) {
            disks_say_lost();
        }
        if (!report_line(n_reported++)) {
            enter(STEP_DRAIN);
        }
        return true;
    case STEP_DRAIN:
    default:
        if (!console_drained() && clock_now_ns() < deadline_ns) {
            return wait();
        }
        if (then_reboot) {
            machine_reboot();
        }
        machine_exit(exit_code());
    }
}

/* Asks one VM to shut down. A paused guest could not: it goes on for that. */
static void press(struct vm *vm)
{
    if (vm->state == VM_PAUSED && vm_resume(vm) == OK) {
        log_info("%s: goes on, to shut down", vm->config->name);
    }
    if (vm->state == VM_STARTING) {
        vm_stop(vm, false, "the machine is about to go off"); /* nothing runs in it yet */
    } else if (vm->state == VM_RUN || vm->state == VM_NO_MEMORY) {
        acpipm_press_power(&vm->pm);
    }
}

void power_shut_down(bool reboot)
{
    uint64_t wait_for_ns = machine_config.host.shutdown_wait_ns;

    if (step > STEP_WAIT) {
        return;
    }
    if (vms_on() == 0 || wait_for_ns == 0) {
        power_off(reboot);
        return;
    }
    then_reboot = reboot;
    if (step == STEP_NONE) {
        stats_note_peak();
        step = STEP_WAIT;
        deadline_ns = clock_now_ns() + wait_for_ns;
        for (unsigned i = 0; i < n_vms; i++) {
            press(vms[i]);
        }
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
    stats_note_peak();
    stats_set_interval(0);
    console_release();
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
    ends_when_off = config->host.when_off == CONFIG_WHEN_OFF_POWEROFF;
    unsigned n = 1;
    for (unsigned i = 0; i < config->n_vms; i++) {
        n += config->vms[i].n_disks;
    }
    flushes = boot_alloc(n * sizeof(*flushes), 64);
    timer_init(&timer, timer_due, NULL);
    sched_add_work(power_work, NULL);
}
