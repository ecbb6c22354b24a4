/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes a VM's machine and takes it away, a part at a time: see `built` in vm.h. */
#include "base/bits.h"
#include "base/log.h"
#include "kernel/machine.h"
#include "kernel/vm.h"
#include "kernel/vm_fold.h"
#include "kernel/vm_memory.h"

unsigned vm_memory_runs(const struct config_vm *config, struct p2m_run runs[2])
{
    uint64_t pages = config->memory_bytes >> PAGE_SHIFT;
    uint64_t low = MIN(pages, LOADER_LOW_RAM_MAX >> PAGE_SHIFT);

    runs[0] = (struct p2m_run){GFN(0), low};
    runs[1] = (struct p2m_run){GFN(LOADER_HIGH_RAM >> PAGE_SHIFT), pages - low};
    return pages > low ? 2 : 1;
}

static enum status init_memory(struct vm *vm)
{
    struct p2m_run runs[2];
    unsigned n_runs = vm_memory_runs(vm->config, runs);
    enum status s = hvm_space_init(vm->space, &machine_frames);

    if (s != OK) {
        return s;
    }
    s = p2m_init(&vm->p2m, hvm_space_ops(), vm->space, &machine_frames, vm->group, vm->number, runs,
                 n_runs, vm->regions);
    if (s == OK) {
        s = vm_memory_promise(vm);
    }
    if (s != OK) {
        hvm_space_fini(vm->space);
    }
    if (s == OK) {
        classes_begin(vm);
        vm_fold_begin(vm); /* before there is any page that would have to be noted */
    }
    return s;
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

enum status vm_build(struct vm *vm, const struct deadline *d)
{
    bool loaded = false;
    enum status s;

    switch (vm->built) {
    case VM_NOTHING:
        s = init_memory(vm);
        break;
    case VM_MEMORY:
        s = init_vcpus(vm);
        break;
    case VM_CPUS:
        s = vm_devices_init(vm);
        break;
    case VM_DEVICES:
        if (vm->n_disks < vm->config->n_disks) { /* each has many frames: a step for each */
            s = vm_disk_init(vm, vm->n_disks);
            vm->n_disks += s == OK;
            return s;
        }
        s = vm_load_begin(vm);
        break;
    default:
        s = vm_load_step(vm, d, &loaded);
        if (s != OK || !loaded) {
            return s;
        }
        break;
    }
    vm->built += s == OK;
    return s;
}

bool vm_take_down(struct vm *vm, const struct deadline *d)
{
    switch (vm->built) {
    case VM_WHOLE:
    case VM_LOADING:
        if (p2m_drop_some(&vm->p2m, UINT64_MAX, d)) {
            return true;
        }
        vm_load_end(vm);
        vm->built = VM_DEVICES;
        return true;
    case VM_DEVICES:
        vm_devices_fini(vm);
        vm->built = VM_CPUS;
        return true;
    case VM_CPUS:
        fini_vcpus(vm, vm->n_vcpus);
        vm->built = VM_MEMORY;
        return true;
    case VM_MEMORY:
        /* Where loading had not begun there may be pages of ACPI tables. */
        if (p2m_drop_some(&vm->p2m, UINT64_MAX, d) || hvm_space_trim(vm->space, d)) {
            return true;
        }
        hvm_space_fini(vm->space);
        vm->built = VM_NOTHING;
        return true;
    default:
        return false;
    }
}
