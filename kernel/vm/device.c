/* SPDX-License-Identifier: BSD-2-Clause */
/* The work of a VM's devices: see device.h. */
#include "kernel/vm/device.h"

#include "base/log.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"
#include "kernel/vm/vm.h"

void vm_device_init(struct vm_device *d, struct vm *vm, const struct vm_device_ops *ops)
{
    *d = (struct vm_device){.ops = ops, .vm = vm};
}

void vm_device_wake(struct vm_device *d)
{
    struct vm *vm = d->vm;

    d->work = true;
    if (d->working) {
        return; /* it will see */
    }
    vm->device_work = true;
    sched_work(&vm->sched);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        hvm_request_exit(vm->vcpus[i].hvm);
    }
}

/* True: there is more. */
static bool work(struct vm_device *d, const struct deadline *until)
{
    d->working = true;
    d->ops->work(d, until);
    d->working = false;
    return d->work;
}

void vm_device_kick(struct vm_device *d)
{
    struct deadline until = step_begin();

    if (d->work || d->vm->state != VM_RUN || work(d, &until) || d->wants_memory) {
        vm_device_wake(d);
    }
}

void vm_devices_add(struct vm *vm, struct vm_device *d)
{
    ASSERT(vm->n_devices < VM_DEVICES_MAX);
    vm->devices[vm->n_devices++] = d;
}

void vm_devices_clear(struct vm *vm)
{
    vm->n_devices = 0;
    vm->device_work = false;
}

void vm_devices_wake(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_devices; i++) {
        vm_device_wake(vm->devices[i]);
    }
}

static void note_work(struct vm *vm)
{
    vm->device_work = false;
    for (unsigned i = 0; i < vm->n_devices; i++) {
        vm->device_work |= vm->devices[i]->work;
    }
}

bool vm_devices_work(struct vm *vm)
{
    struct deadline until = step_begin();
    unsigned first = vm->next_device, n = vm->n_devices;
    bool has_memory = true;

    for (unsigned i = 0; i < n && has_memory && (i == 0 || !deadline_passed(&until)); i++) {
        struct vm_device *d = vm->devices[(first + i) % n];
        if (d->work) {
            (void)work(d, &until);
            vm->next_device = (first + i + 1) % n;
            has_memory = !d->wants_memory;
        }
    }
    note_work(vm);
    return has_memory;
}

bool vm_devices_stop(struct vm *vm)
{
    struct deadline until = step_begin();
    bool all = true;

    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct vm_device *d = vm->devices[i];
        if (!d->ops->stop(d)) {
            (void)work(d, &until);
        }
        if (d->ops->stop(d)) {
            d->work = false; /* what is left of it waits for nothing, and must keep nobody busy */
        } else {
            all = false;
        }
    }
    note_work(vm);
    return all;
}
