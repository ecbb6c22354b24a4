/* SPDX-License-Identifier: BSD-2-Clause */
/* VMs that wait for a frame: vm_wait_for_memory (kernel/vm.h) puts them here. */
#ifndef KERNEL_VM_MEMORY_H
#define KERNEL_VM_MEMORY_H

#include "kernel/vm.h"

/* For the loop: lets waiting VMs go on when there are frames. */
bool vm_memory_work(void *ctx);
/* Whether waiting may help: others hold memory too. */
bool vm_memory_may_come(const struct vm *vm);
/* The VM is about to go, or to be paused: it waits no longer. */
void vm_memory_leave(struct vm *vm);

#endif
