/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's life: see the states in vm.h. */
#include "kernel/vm.h"

#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/format.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/bootmem.h"
#include "kernel/charge.h"
#include "kernel/console.h"
#include "kernel/loader.h"
#include "kernel/machine.h"
#include "kernel/scan.h"
#include "kernel/sched.h"
#include "kernel/vm_fold.h"
#include "kernel/vm_memory.h"

struct vm **vms;
unsigned n_vms;

/* Pages given back in one step of stopping: a few hundred microseconds at most. */
#define DROP_PAGES 512u
/* From one start to the next of a VM that resets: making and loading it is one long step. */
#define RESTART_APART_NS UINT64_C(1000000000)

static void restart_due(void *ctx, uint64_t now_ns)
{
    (void)now_ns;
    sched_work(ctx);
}

/* Where a VM's memory lies: below the devices' hole, and what does not fit there above 4 GiB. */
static unsigned memory_runs(const struct config_vm *config, struct p2m_run runs[2])
{
    uint64_t pages = config->memory_bytes >> PAGE_SHIFT;
    uint64_t low = MIN(pages, LOADER_LOW_RAM_MAX >> PAGE_SHIFT);

    runs[0] = (struct p2m_run){GFN(0), low};
    runs[1] = (struct p2m_run){GFN(LOADER_HIGH_RAM >> PAGE_SHIFT), pages - low};
    return pages > low ? 2 : 1;
}

void vms_init(const struct config *config)
{
    struct p2m_run runs[2];

    vms = boot_alloc(sizeof(*vms) * MAX(config->n_vms, 1u), sizeof(void *));
    for (unsigned i = 0; i < config->n_vms; i++) {
        struct vm *vm = boot_alloc(sizeof(*vm), 64);
        vm->config = &config->vms[i];
        vms[i] = vm;
        n_vms = i + 1; /* the log looks VMs up */
        vm->number = (uint16_t)(i + 1);
        vm->folds = vm->config->fold;
        timer_init(&vm->restart_timer, restart_due, vm);
        timerq_init(&vm->timers, clock_now_ns);
        vm->group = &groups[group_number(vm->config->share)];
        vm->space = boot_alloc(hvm_space_bytes(), 64);
        vm->regions =
            boot_alloc(sizeof(*vm->regions) * p2m_regions(runs, memory_runs(vm->config, runs)), 64);
        vm->n_vcpus = VM_VCPUS;
        for (unsigned c = 0; c < vm->n_vcpus; c++) {
            vm->vcpus[c].vm = vm;
            vm->vcpus[c].id = c;
            sched_add_vcpu(&vm->vcpus[c]);
            vm->vcpus[c].hvm = boot_alloc(hvm_vcpu_bytes(), 64);
        }
        vm->console = console_port_new(vm);
    }
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
        [VM_OFF] = "off",           [VM_RUN] = "running",
        [VM_PAUSED] = "paused",     [VM_NO_MEMORY] = "no-memory",
        [VM_STOPPING] = "stopping",
    };
    static const char *const ends[] = {[VM_HALTED] = "halted", [VM_PANICKED] = "panicked"};

    return vm->state == VM_RUN && vm->end.dead != VM_ALIVE ? ends[vm->end.dead] : names[vm->state];
}

bool vm_has_ended(const struct vm *vm)
{
    return vm->state == VM_OFF || (vm->state == VM_RUN && vm->end.dead != VM_ALIVE);
}

static enum status init_memory(struct vm *vm)
{
    struct p2m_run runs[2];
    unsigned n_runs = memory_runs(vm->config, runs);
    enum status s = hvm_space_init(vm->space, &machine_frames);

    if (s != OK) {
        return s;
    }
    s = p2m_init(&vm->p2m, hvm_space_ops(), vm->space, &machine_frames, vm->group, vm->number, runs,
                 n_runs, vm->regions);
    if (s != OK) {
        hvm_space_fini(vm->space);
    }
    return s;
}

static void fini_memory(struct vm *vm)
{
    p2m_drop_all(&vm->p2m); /* what vm_work left, if anything */
    hvm_space_fini(vm->space);
}

static void fini_vcpus(struct vm *vm, unsigned n)
{
    while (n > 0) {
        hvm_vcpu_fini(vm->vcpus[--n].hvm);
    }
}

static enum status init_vcpus(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        struct vcpu *v = &vm->vcpus[i];
        enum status s = hvm_vcpu_init(v->hvm, vm->space, &vm->p2m, &vm_hvm_ops, v, i);
        if (s != OK) {
            fini_vcpus(vm, i);
            return s;
        }
        v->halted = i > 0;
    }
    return OK;
}

static enum status start(struct vm *vm)
{
    enum status s;

    if (vm->state != VM_OFF) {
        return E_BUSY;
    }
    vm->restart = false;
    vm->stop_reason[0] = '\0';
    s = init_memory(vm);
    if (s != OK) {
        goto fail;
    }
    s = init_vcpus(vm);
    if (s != OK) {
        goto fail_memory;
    }
    s = vm_devices_init(vm);
    if (s != OK) {
        goto fail_vcpus;
    }
    s = vm_load(vm);
    if (s != OK) {
        goto fail_devices;
    }
    classes_begin(vm);
    vm_fold_begin(vm);
    vm->state = VM_RUN;
    vm->boots++;
    vm->started_ns = clock_now_ns();
    sched_wake(&vm->vcpus[0]);
    log_info("%s: started, %llu MiB, %u disk%s", vm->config->name,
             (unsigned long long)vm->config->memory_bytes >> 20, vm->n_disks,
             vm->n_disks == 1 ? "" : "s");
    return OK;

fail_devices:
    vm_devices_fini(vm);
fail_vcpus:
    fini_vcpus(vm, vm->n_vcpus);
fail_memory:
    fini_memory(vm);
fail:
    if (s == E_NOMEM) {
        log_error("%s: not started: out of memory (%llu frames free)", vm->config->name,
                  (unsigned long long)machine_frames.by_state[FRAME_FREE]);
    }
    while (vm_disks_drop_some(vm)) {
    }
    format(vm->stop_reason, sizeof(vm->stop_reason), "could not be started: %s", status_name(s));
    return s;
}

enum status vm_start(struct vm *vm)
{
    struct account *before = charge_vm(vm);
    enum status s = start(vm);

    charge(before);
    return s;
}

enum status vm_pause(struct vm *vm)
{
    if (vm->state != VM_RUN && vm->state != VM_NO_MEMORY) {
        return E_INVAL;
    }
    vm_memory_leave(vm);
    vm_clock_stop(vm);
    vm->state = VM_PAUSED;
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        sched_remove(&vm->vcpus[i]);
    }
    return OK;
}

enum status vm_resume(struct vm *vm)
{
    if (vm->state != VM_PAUSED) {
        return E_INVAL;
    }
    vm->state = VM_RUN;
    vm_clock_go(vm);
    vm_disks_wake(vm);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        if (!vm->vcpus[i].halted) {
            sched_wake(&vm->vcpus[i]);
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
    vm->state = VM_STOPPING;
    format(vm->stop_reason, sizeof(vm->stop_reason), "%s", why);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        sched_remove(&vm->vcpus[i]);
        hvm_yield(vm->vcpus[i].hvm);
    }
    sched_work(vm);
    vm_fold_end(vm);
    classes_end(vm);
}

/* A step of stopping; true while there is more to do at once. */
static bool stop_step(struct vm *vm)
{
    if (!vm_disks_stop(vm)) {
        return vm->disk_work; /* if not, a disk's completion tells the scheduler */
    }
    if (p2m_drop_some(&vm->p2m, DROP_PAGES)) {
        return true;
    }
    /* A restart is no stop: what was written aside is there when it comes up again. */
    if (!vm->restart && vm_disks_drop_some(vm)) {
        return true;
    }
    uint64_t again_ns = vm->started_ns + RESTART_APART_NS;
    if (vm->restart && clock_now_ns() < again_ns) {
        if (!vm->restart_timer.armed) {
            sched_arm(&vm->restart_timer, again_ns);
        }
        return false;
    }
    timerq_cancel(&sched_timers, &vm->restart_timer);
    vm_devices_fini(vm);
    fini_vcpus(vm, vm->n_vcpus);
    fini_memory(vm);
    vm->state = VM_OFF;
    console_port_end(vm->console);
    log_info("%s: off (%s)", vm->config->name, vm->stop_reason);
    if (vm->restart) {
        enum status s = vm_start(vm);
        if (s != OK) {
            log_error("%s: not restarted: %s", vm->config->name, status_name(s));
        }
    }
    return false;
}

static bool disk_step(struct vm *vm)
{
    vm_disks_work(vm);
    return vm->disk_work;
}

bool vm_wants_work(const struct vm *vm)
{
    return vm->state == VM_STOPPING || (vm->disk_work && vm->state != VM_OFF) ||
           vm_fold_wants_work(vm) || (vm->state == VM_RUN && vm->clock.pv.owed);
}

bool vm_work(struct vm *vm)
{
    bool more = false;

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
    return more;
}
