/* SPDX-License-Identifier: BSD-2-Clause */
/* VMs that wait for a frame: vm_wait_for_memory (kernel/vm.h) puts them here. */
#ifndef KERNEL_VM_MEMORY_H
#define KERNEL_VM_MEMORY_H

#include "kernel/vm.h"

/* For the loop: lets waiting VMs go on when there are frames. */
bool vm_memory_work(void *ctx);
/* The VM is about to leave VM_NO_MEMORY for another state than VM_RUN. */
void vm_memory_leave(struct vm *vm);

#endif
