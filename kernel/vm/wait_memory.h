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
/* Its p2m has been made: promises and bounds it. E_BUSY: call it again. E_RANGE, logged with the
 * sums: it cannot be promised what the configuration says. */
enum status vm_memory_promise(struct vm *vm, const struct deadline *d) MUST_CHECK;
/* It is promised no memory any more: it is about to go off, or is off. A VM that restarts keeps its
 * promise meanwhile, so that it finds its memory again. */
void vm_memory_release(struct vm *vm);
/* Frames that it holds in `,snapshot` disks. */
uint64_t vm_memory_aside(const struct vm *vm);

/* For the loop: lets the first of the waiting VMs go on when there are frames. */
bool vm_memory_work(void *ctx);
/* Whether waiting may help: others hold memory too. */
bool vm_memory_may_come(const struct vm *vm);
/* The VM is about to go, or to be paused: it waits no longer. */
void vm_memory_leave(struct vm *vm);
/* What it waits for, in a few words; "" when it does not. */
const char *vm_memory_reason(const struct vm *vm);

#endif
