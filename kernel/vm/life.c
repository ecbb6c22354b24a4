/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's life in steps, in its turns: building and ending it (the states in vm.h), and its work
 * while it runs. */
#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "kernel/console/console.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"
#include "kernel/vm/fold.h"
#include "kernel/vm/internal.h"
#include "kernel/vm/wait_memory.h"

/* From one start to the next of a VM that resets: each reset is some lines of log. */
#define RESTART_APART_NS UINT64_C(1000000000)

static void restart_due(void *ctx, uint64_t now_ns)
{
    struct vm *vm = ctx;

    (void)now_ns;
    sched_work(&vm->sched);
}

/* ---- starting ------------------------------------------------------------------------------ */

/* The machine is whole and its memory is filled. */
static void begin_to_run(struct vm *vm)
{
    vm_set_state(vm, vm->pause_first ? VM_PAUSED : VM_RUN);
    if (vm->pause_first) {
        vm_clock_stop(vm);
    }
    vm->boots++;
    vm->started_ns = clock_now_ns();
    sched_wake(&vm->vcpus[0].sched);
    log_info("%s: started, %llu MiB, %u disk%s", vm->config->name,
             (unsigned long long)vm->config->memory_bytes >> 20, vm->n_disks,
             vm->n_disks == 1 ? "" : "s");
}

/* A disk has said more in the log; here is why in a few words. */
static const char *why_not(enum status s)
{
    return s == E_EXISTS ? "another VM that is on has its disk" : status_name(s);
}

/* A step of starting; true while there is more to do at once. */
static bool start_step(struct vm *vm)
{
    if (vm->built == VM_NOTHING && !vm_memory_admits(vm)) {
        return false;
    }
    struct deadline d = step_begin();
    enum status s = vm_build(vm, &d);

    if (s == OK && vm->built == VM_WHOLE) {
        begin_to_run(vm);
        return false;
    }
    if (s == OK) {
        return true;
    }
    if (s == E_NOMEM && vm_memory_may_come(vm)) {
        vm_wait_for_memory(vm);
        return false;
    }
    if (s == E_NOMEM) {
        log_error("%s: not started: out of memory (%llu frames free)", vm->config->name,
                  (unsigned long long)machine_frames.by_state[FRAME_FREE]);
    } else {
        log_error("%s: not started: %s", vm->config->name, why_not(s));
    }
    char why[64];
    format(why, sizeof(why), "could not be started: %s", why_not(s));
    vm_stop(vm, false, why);
    vm->restart = false;
    return true;
}

/* ---- stopping ------------------------------------------------------------------------------ */

/* A VM that resets at once waits. */
static bool must_wait(struct vm *vm)
{
    uint64_t again_ns = vm->started_ns + RESTART_APART_NS;

    if (!vm->restart || clock_now_ns() >= again_ns) {
        sched_disarm(&vm->restart_timer);
        return false;
    }
    if (!vm->restart_timer.armed) {
        sched_arm(&vm->restart_timer, again_ns);
    }
    return true;
}

/* A step of stopping; true while there is more to do at once. */
static bool stop_step(struct vm *vm)
{
    if (vm->built >= VM_DEVICES && !vm_devices_stop(vm)) {
        return vm->device_work; /* if not, a device's completion tells the scheduler */
    }
    struct deadline d = step_begin();
    if (vm_take_down(vm, &d)) {
        return true;
    }
    /* A restart is no stop: what was written aside is there when it comes up again. But if it was
     * stopped and only then restarted, half of it may be gone: then the rest goes too. */
    vm->drops |= !vm->restart;
    if (vm->drops && vm_disks_drop_some(vm, &d)) {
        return true;
    }
    vm->drops = false;
    if (must_wait(vm)) {
        return false;
    }
    if (!vm->restart) { /* it may have been stopped while it was to be restarted */
        vm_memory_release(vm);
        vm_load_release(vm);
    }
    vm_set_state(vm, VM_OFF);
    vm_memory_part(vm);
    console_port_end(vm->console);
    log_info("%s: off (%s)", vm->config->name, vm->stop_reason);
    if (vm->restart) {
        enum status s = vm_start(vm);
        ASSERT(s == OK);
    }
    return false;
}

static bool device_step(struct vm *vm)
{
    if (!vm_devices_work(vm)) {
        vm_wait_for_memory(vm);
    }
    return vm->device_work;
}

/* ---- for the scheduler ---------------------------------------------------------------------- */

static bool has_work(const struct vm *vm)
{
    switch (vm->state) {
    case VM_RUN:
        return vm->device_work || vm->clock.pv.owed || vm->sole.on || vm_fold_wants_work(vm);
    case VM_STARTING:
        return !vm->waits;
    case VM_STOPPING:
        return true;
    default:
        return ((vm->device_work || vm->sole.on) && vm_is_up(vm)) || vm_fold_wants_work(vm);
    }
}

static enum sched_wants wants(const struct sched_vm *svm)
{
    const struct vm *vm = container_of(svm, struct vm, sched);

    if (!has_work(vm)) {
        return SCHED_WANTS_NOTHING;
    }
    return vm->device_work ? SCHED_WANTS_TURN : SCHED_WANTS_WORK;
}

/* One bounded step of what the VM has to do outside the guest: devices, starting, stopping, undoing
 * folds. */
static bool work(struct sched_vm *svm)
{
    struct vm *vm = container_of(svm, struct vm, sched);
    bool more = false;

    if (vm->state == VM_STARTING) {
        return !vm->waits && start_step(vm);
    }
    if (vm->state == VM_STOPPING) {
        return stop_step(vm);
    }
    if (vm->state == VM_RUN && !vm_clock_work(vm)) {
        vm_wait_for_memory(vm);
    }
    if (vm->device_work && vm->state != VM_OFF) {
        more = device_step(vm);
    }
    if (vm_fold_wants_work(vm)) {
        more |= vm_fold_work(vm);
    }
    if (vm->sole.on && vm_is_up(vm)) {
        more |= vm_sole_work(vm);
    }
    return more;
}

static const struct sched_ops sched_ops = {.wants = wants, .work = work, .exited = vm_exited};

void vm_life_init(struct vm *vm)
{
    timer_init(&vm->restart_timer, restart_due, vm);
    sched_add_vm(&vm->sched, vm->config->name, &sched_ops);
}
