/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMs of the configuration: which there are, and what is said of each. */
#include "base/string.h"
#include "kernel/vm/vm.h"

struct vm **vms;
unsigned n_vms;

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
