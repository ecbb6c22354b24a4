/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the parts of a VM: its state, its parts, and how it is built and taken down. */
#ifndef KERNEL_VM_INTERNAL_H
#define KERNEL_VM_INTERNAL_H

#include "kernel/vm/vm.h"

/* Every change of its state is one of these. */
static inline void vm_set_state(struct vm *vm, enum vm_state state)
{
    vm->state = state;
    vm->sched.runs = state == VM_RUN;
    vm->classes.runs = vm_is_up(vm);
}

/* build.c: where a VM's memory lies: below the devices' hole, and what does not fit there above
 * 4 GiB. Returns how many runs there are. */
unsigned vm_memory_runs(const struct config_vm *config, struct p2m_slot runs[2]);
/* Makes what comes next, or goes on with it; done when vm->built is VM_WHOLE. E_NOMEM: call it
 * again when there are frames. Other failures have been logged, if there is more to say than their
 * name. */
enum status vm_build(struct vm *vm, const struct deadline *d) MUST_CHECK;
/* Takes away what was made last. Disks must be quiet. True: call it again. */
bool vm_take_down(struct vm *vm, const struct deadline *d);

enum status vm_platform_init(struct vm *vm) MUST_CHECK; /* platform.c */
void vm_platform_fini(struct vm *vm);

/* disk.c: the VM's n-th disk and its PCI device. E_BUSY, E_NOMEM: to be called again, the latter
 * when there are frames. A disk that was begun with, `made`, is to be ended. */
enum status vm_disk_init(struct vm *vm, unsigned n, const struct deadline *until) MUST_CHECK;
void vm_disk_fini(struct vm_disk *d);
/* Frames that the VM's n-th disk takes, however little the guest has written aside. */
unsigned vm_disk_frames(const struct vm *vm, unsigned n);
/* Whether the bound on snapshots, and not the machine's memory, keeps a disk waiting. */
bool vm_disks_wait_for_pool(const struct vm *vm);
/* A step of dropping the snapshots; true: again. Nothing may be in flight. */
bool vm_disks_drop_some(struct vm *vm, const struct deadline *until);

extern const struct hvm_ops vm_hvm_ops;                   /* exits.c; ctx is the struct vcpu */
void vm_exited(struct sched_vcpu *sv, enum hvm_exit why); /* exits.c; for struct sched_ops */
void vm_irq_init(struct vm *vm);                          /* exits.c: its interrupt controllers */

/* serial.c: the UART of a VM that is being built; and at boot its port of the console. */
void vm_serial_init(struct vm *vm);
void vm_serial_make(struct vm *vm);

/* load.c: kernel into memory, and registers, in steps. E_NOMEM from either: call it again when
 * there are frames. The frames of kernel and initrd stay, over a restart too, until the VM is off
 * and vm_load_release is called; that has no effect when there are none. */
enum status vm_load_begin(struct vm *vm) MUST_CHECK;
enum status vm_load_step(struct vm *vm, const struct deadline *d, bool *done) MUST_CHECK;
void vm_load_release(struct vm *vm);

/* life.c: a VM that is off, and its place in the scheduler. */
void vm_life_init(struct vm *vm);

#endif
