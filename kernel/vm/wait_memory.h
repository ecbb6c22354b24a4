/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who gets frames: VMs in the order of their starts (mm/ration), the one queue of those that wait,
 * what they are promised and what bounds them (mm/promise).
 */
#ifndef KERNEL_VM_WAIT_MEMORY_H
#define KERNEL_VM_WAIT_MEMORY_H

#include "kernel/vm/vm.h"

/* At boot, before any VM starts. */
void vm_memory_init(void);
/* The VM begins to start: it is the last in the order. And: it is off. */
void vm_memory_join(struct vm *vm);
void vm_memory_part(struct vm *vm);
/* Whether it may be built: the busy VMs before it leave it enough. If not, it waits. */
bool vm_memory_admits(struct vm *vm);
/* Its p2m has been made: promises and bounds it. `overhead`: frames that its vCPUs and devices will
 * take (vm_overhead_frames). E_BUSY: call it again. E_RANGE, logged with the
 * sums: it cannot be promised what the configuration says. */
enum status vm_memory_promise(struct vm *vm, uint64_t overhead,
                              const struct deadline *d) MUST_CHECK;
/* It is promised no memory any more: it is about to go off, or is off. A VM that restarts keeps its
 * promise meanwhile, so that it finds its memory again. */
void vm_memory_release(struct vm *vm);

/* Renews the order's figures, if it is time to; false: it is not. The caller's account is the
 * hypervisor's then. */
bool vm_memory_settle(uint64_t now_ns);
/* After vm_memory_settle: lets the first of the waiting VMs go on when there are frames; true: some
 * do. */
bool vm_memory_wake(uint64_t now_ns);
/* It needs a frame and there is none: waits until there is. No effect when it waits already, or
 * neither runs nor starts. */
void vm_wait_for_memory(struct vm *vm);
/* Whether waiting may help: others hold memory too. */
bool vm_memory_may_come(const struct vm *vm);
/* The VM is about to go, or to be paused: it waits no longer. */
void vm_memory_leave(struct vm *vm);
/* What it waits for, in a few words; "" when it does not. */
const char *vm_memory_reason(const struct vm *vm);

#endif
