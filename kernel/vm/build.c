/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes a VM's machine and takes it away, a part at a time: see `built` in vm.h. */
#include "base/bits.h"
#include "base/log.h"
#include "kernel/core/machine.h"
#include "kernel/vm/fold.h"
#include "kernel/vm/internal.h"
#include "kernel/vm/wait_memory.h"
#include "mm/promise.h"

unsigned vm_memory_runs(const struct config_vm *config, struct p2m_slot runs[2])
{
    uint64_t pages = config->memory_bytes >> PAGE_SHIFT;
    uint64_t low = MIN(pages, LOADER_LOW_RAM_MAX >> PAGE_SHIFT);

    runs[0] = (struct p2m_slot){GFN(0), low};
    runs[1] = (struct p2m_slot){GFN(LOADER_HIGH_RAM >> PAGE_SHIFT), pages - low};
    return pages > low ? 2 : 1;
}

uint64_t vm_overhead_frames(const struct vm *vm)
{
    uint64_t frames = vm->n_vcpus * hvm_vcpu_frames();

    for (unsigned i = 0; i < vm->config->n_disks; i++) {
        frames += vm_disk_frames(vm, i);
    }
    return frames;
}

static enum status init_memory(struct vm *vm)
{
    struct p2m_slot runs[2];
    unsigned n_runs = vm_memory_runs(vm->config, runs);
    struct promise promise = vm->p2m.promise; /* from its last life, if it is restarted */
    enum status s = p2m_init(&vm->p2m, hvm_space_ops(), vm->space, &machine_frames, vm->group,
                             vm->number, runs, n_runs, vm->regions);

    if (s != OK) {
        return s;
    }
    vm->p2m.promise = promise;
    promise_draw(&vm->p2m);
    s = hvm_space_init(vm->space, &machine_frames);
    promise_end(&vm->p2m);
    promise_settle(&vm->p2m);
    if (s == OK) {
        classes_begin(&vm->classes, &vm->p2m);
        vm_sole_begin(vm);
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
        v->sched.halted = i > 0;
    }
    return OK;
}

static enum status init_disk(struct vm *vm, const struct deadline *d)
{
    uint64_t begun = promise_overhead_begin(&vm->p2m);
    enum status s = vm_disk_init(vm, vm->n_disks, d);

    promise_overhead_end(&vm->p2m, begun);
    vm->n_disks += s == OK;
    return s == E_BUSY ? OK : s;
}

enum status vm_build(struct vm *vm, const struct deadline *d)
{
    bool loaded = false;
    uint64_t begun;
    enum status s;

    switch (vm->built) {
    case VM_NOTHING:
        s = init_memory(vm);
        break;
    case VM_MEMORY:
        s = vm_memory_promise(vm, vm_overhead_frames(vm), d);
        if (s == E_BUSY) {
            return OK;
        }
        break;
    case VM_PROMISED:
        begun = promise_overhead_begin(&vm->p2m);
        s = init_vcpus(vm);
        promise_overhead_end(&vm->p2m, begun);
        break;
    case VM_CPUS:
        s = vm_platform_init(vm);
        break;
    case VM_DEVICES:
        if (vm->n_disks < vm->config->n_disks) {
            return init_disk(vm, d);
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
    uint64_t begun;
    bool more;

    switch (vm->built) {
    case VM_WHOLE:
    case VM_LOADING:
        if (p2m_drop_some(&vm->p2m, UINT64_MAX, d)) {
            return true;
        }
        vm->built = VM_DEVICES;
        return true;
    case VM_DEVICES:
        begun = promise_overhead_begin(&vm->p2m);
        vm_platform_fini(vm);
        promise_overhead_end(&vm->p2m, begun);
        vm->built = VM_CPUS;
        return true;
    case VM_CPUS:
        begun = promise_overhead_begin(&vm->p2m);
        fini_vcpus(vm, vm->n_vcpus);
        promise_overhead_end(&vm->p2m, begun);
        vm->built = VM_PROMISED;
        return true;
    case VM_PROMISED:
        vm->built = VM_MEMORY;
        return true;
    case VM_MEMORY:
        /* Where loading had not begun there may be pages of ACPI tables. */
        more = p2m_drop_some(&vm->p2m, UINT64_MAX, d) || hvm_space_trim(vm->space, d);
        promise_settle(&vm->p2m);
        if (more) {
            return true;
        }
        hvm_space_fini(vm->space);
        promise_settle(&vm->p2m);
        vm->built = VM_NOTHING;
        return true;
    default:
        return false;
    }
}
