/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's life: see the states in vm.h. */
#include "kernel/vm/vm.h"

#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/console/console.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"
#include "kernel/core/still.h"
#include "kernel/scan/scan.h"
#include "kernel/vm/fold.h"
#include "kernel/vm/power.h"
#include "kernel/vm/wait_memory.h"

struct vm **vms;
unsigned n_vms;

/* From one start to the next of a VM that resets: each reset is some lines of log. */
#define RESTART_APART_NS UINT64_C(1000000000)

static void restart_due(void *ctx, uint64_t now_ns)
{
    struct vm *vm = ctx;

    (void)now_ns;
    sched_work(&vm->sched);
}

struct vm *vm_find(const char *name)
{
    for (unsigned i = 0; i < n_vms; i++) {
        if (strcmp(vms[i]->config->name, name) == 0) {
            return vms[i];
        }
    }
    return NULL;
}

const char *vm_state_name(const struct vm *vm)
{
    static const char *const names[] = {
        [VM_OFF] = "off",       [VM_STARTING] = "starting",   [VM_RUN] = "running",
        [VM_PAUSED] = "paused", [VM_NO_MEMORY] = "no-memory", [VM_STOPPING] = "stopping",
    };
    static const char *const ends[] = {[VM_HALTED] = "halted", [VM_PANICKED] = "panicked"};

    return vm->state == VM_RUN && vm->end.dead != VM_ALIVE ? ends[vm->end.dead] : names[vm->state];
}

bool vm_has_ended(const struct vm *vm)
{
    return vm->state == VM_OFF || (vm->state == VM_RUN && vm->end.dead != VM_ALIVE);
}

/* ---- starting ------------------------------------------------------------------------------ */

enum status vm_start(struct vm *vm)
{
    if (vm->state != VM_OFF) {
        return E_BUSY;
    }
    ASSERT(vm->built == VM_NOTHING);
    vm->restart = false;
    vm->pause_first = false;
    vm->stop_reason[0] = '\0';
    vm_set_state(vm, VM_STARTING);
    vm_memory_join(vm);
    sched_work(&vm->sched);
    return OK;
}

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

enum status vm_pause(struct vm *vm)
{
    if (vm->state == VM_STARTING) {
        vm->pause_first = true;
        return OK;
    }
    if (vm->state != VM_RUN && vm->state != VM_NO_MEMORY) {
        return E_INVAL;
    }
    vm_memory_leave(vm);
    vm_clock_stop(vm);
    vm_set_state(vm, VM_PAUSED);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        sched_remove(&vm->vcpus[i].sched);
    }
    return OK;
}

enum status vm_resume(struct vm *vm)
{
    if (vm->state == VM_STARTING && vm->pause_first) {
        vm->pause_first = false;
        return OK;
    }
    if (vm->state != VM_PAUSED) {
        return E_INVAL;
    }
    vm_set_state(vm, VM_RUN);
    vm_clock_go(vm);
    vm_disks_wake(vm);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        if (!vm->vcpus[i].sched.halted) {
            sched_wake(&vm->vcpus[i].sched);
        }
        hvm_irq_kick(vm->vcpus[i].hvm);
    }
    return OK;
}

void vm_stop(struct vm *vm, bool restart, const char *why)
{
    if (vm->state == VM_OFF) {
        return;
    }
    vm->restart |= restart;
    if (vm->state == VM_STOPPING) {
        return;
    }
    vm_memory_leave(vm);
    vm_set_state(vm, VM_STOPPING);
    if (!vm->restart) {
        vm_memory_release(vm);
    }
    format(vm->stop_reason, sizeof(vm->stop_reason), "%s", why);
    for (unsigned i = 0; vm->built >= VM_CPUS && i < vm->n_vcpus; i++) {
        sched_remove(&vm->vcpus[i].sched);
        hvm_yield(vm->vcpus[i].hvm);
    }
    sched_work(&vm->sched);
    if (vm_has_memory(vm)) {
        vm_fold_end(vm);
        classes_end(&vm->classes);
    }
}

/* ---- stopping ------------------------------------------------------------------------------ */

/* A VM that resets at once waits. */
static bool must_wait(struct vm *vm)
{
    uint64_t again_ns = vm->started_ns + RESTART_APART_NS;

    if (!vm->restart || clock_now_ns() >= again_ns) {
        timerq_cancel(&sched_timers, &vm->restart_timer);
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
    if (vm->built >= VM_DEVICES && !vm_disks_stop(vm)) {
        return vm->disk_work; /* if not, a disk's completion tells the scheduler */
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

static bool disk_step(struct vm *vm)
{
    vm_disks_work(vm);
    return vm->disk_work;
}

/* ---- for the scheduler ---------------------------------------------------------------------- */

static bool has_work(const struct vm *vm)
{
    switch (vm->state) {
    case VM_RUN:
        return vm->disk_work || vm->clock.pv.owed || vm->sole.on || vm_fold_wants_work(vm);
    case VM_STARTING:
        return !vm->waits;
    case VM_STOPPING:
        return true;
    default:
        return ((vm->disk_work || vm->sole.on) && vm_is_up(vm)) || vm_fold_wants_work(vm);
    }
}

static enum sched_wants wants(const struct sched_vm *svm)
{
    const struct vm *vm = container_of(svm, struct vm, sched);

    if (!has_work(vm)) {
        return SCHED_WANTS_NOTHING;
    }
    return vm->disk_work ? SCHED_WANTS_TURN : SCHED_WANTS_WORK;
}

/* One bounded step of what the VM has to do outside the guest: disks, starting, stopping, undoing
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
    if (vm->state == VM_RUN) {
        vm_clock_work(vm);
    }
    if (vm->disk_work && vm->state != VM_OFF) {
        more = disk_step(vm);
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

/* ---- for the page classes ------------------------------------------------------------------- */

static uint64_t guest_cr3(void *ctx)
{
    const struct vm *vm = ctx;

    return hvm_guest_cr3(vm->vcpus[0].hvm);
}

/* ---- at boot -------------------------------------------------------------------------------- */

void vms_init(const struct config *config)
{
    struct p2m_run runs[2];
    struct account **accounts;
    struct classes_client **clients;
    size_t n = MAX(config->n_vms, 1u);

    vms = boot_alloc(sizeof(*vms) * n, sizeof(void *));
    accounts = boot_alloc(sizeof(*accounts) * n, sizeof(void *));
    charge_set_vms(accounts, config->n_vms);
    clients = boot_alloc(sizeof(*clients) * n, sizeof(void *));
    classes_set_clients(clients, config->n_vms);
    still_init(vm_clocks_hold);
    for (unsigned i = 0; i < config->n_vms; i++) {
        struct vm *vm = boot_alloc(sizeof(*vm), 64);
        vm->config = &config->vms[i];
        vms[i] = vm;
        n_vms = i + 1;
        vm->log.name = vm->config->name;
        log_add_subject(&vm->log);
        vm->number = (uint16_t)(i + 1);
        vm->folds = vm->config->fold;
        timer_init(&vm->restart_timer, restart_due, vm);
        sched_add_vm(&vm->sched, vm->config->name, &sched_ops);
        accounts[i] = &vm->sched.account;
        vm->classes.name = vm->config->name;
        vm->classes.cr3 = guest_cr3;
        vm->classes.ctx = vm;
        clients[i] = &vm->classes;
        vm->group = &groups[group_number(vm->config->share)];
        vm->space = boot_alloc(hvm_space_bytes(), 64);
        vm->regions = boot_alloc(
            sizeof(*vm->regions) * p2m_regions(runs, vm_memory_runs(vm->config, runs)), 64);
        vm->n_vcpus = VM_VCPUS;
        for (unsigned c = 0; c < vm->n_vcpus; c++) {
            struct vcpu *v = &vm->vcpus[c];
            v->vm = vm;
            v->hvm = boot_alloc(hvm_vcpu_bytes(), 64);
            sched_add_vcpu(&v->sched, &vm->sched, v->hvm, c);
        }
        vm_serial_make(vm);
    }
    vm_power_init();
}
