/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM's devices that have work outside the guest's exits: its disks.
 *
 * A device is woken (by the guest, by a completion), and from then on worked with in its VM's turns
 * until it has nothing to do. All devices of a VM share its steps, each first in its turn. A
 * guest's notification is served in its own exit as far as one step goes: most requests are
 * answered before the guest goes on.
 */
#ifndef KERNEL_VM_DEVICE_H
#define KERNEL_VM_DEVICE_H

#include "base/deadline.h"
#include "base/types.h"

struct vm;
struct vm_device;

struct vm_device_ops {
    /* Goes on with what it has to do, until the deadline: clears `work`, and sets it again where
     * the time was too short. Sets `wants_memory` to whether it stopped for want of a frame. */
    void (*work)(struct vm_device *d, const struct deadline *until);
    /* The VM stops: true once nothing is in flight and what the guest wrote is on its medium. Until
     * then `work` follows, and it is asked again. */
    bool (*stop)(struct vm_device *d);
};

struct vm_device {
    const struct vm_device_ops *ops;
    struct vm *vm;
    bool work;         /* it has something to do */
    bool working;      /* that is being done */
    bool wants_memory; /* it stopped for want of a frame */
};

void vm_device_init(struct vm_device *d, struct vm *vm, const struct vm_device_ops *ops);
/* It may have something to do. From anywhere, also from its own work. */
void vm_device_wake(struct vm_device *d);
/* The guest has notified it, in an exit: a step of its work at once, unless some is left over. */
void vm_device_kick(struct vm_device *d);

/* The device, which has been initialized, is whole: it is the VM's from now on, until the VM has
 * none any more. VM_DEVICES_MAX at most. */
void vm_devices_add(struct vm *vm, struct vm_device *d);
void vm_devices_clear(struct vm *vm);
/* All of them are to look for work. */
void vm_devices_wake(struct vm *vm);
/* A step of their work: each in turn, all together as long as one step may take; vm->device_work
 * says whether there is more. False: one stopped for want of a frame. */
bool vm_devices_work(struct vm *vm);
/* A step of ending them for a VM that stops; an error is in the log then. To be called until true,
 * when vm->device_work says so. */
bool vm_devices_stop(struct vm *vm);

#endif
