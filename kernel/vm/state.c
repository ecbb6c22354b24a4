/* SPDX-License-Identifier: BSD-2-Clause */
/* What may be asked of a VM at any time: to start, pause, resume, stop. The work of it is in steps
 * afterwards (life.c). */
#include "base/format.h"
#include "base/log.h"
#include "kernel/vm/fold.h"
#include "kernel/vm/internal.h"
#include "kernel/vm/wait_memory.h"

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
    vm_devices_wake(vm);
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
        hvm_request_exit(vm->vcpus[i].hvm);
    }
    sched_work(&vm->sched);
    if (vm_has_memory(vm)) {
        vm_fold_end(vm);
        classes_end(&vm->classes);
    }
}
