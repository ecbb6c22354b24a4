/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes the structures of all VMs, at boot. */
#include "base/bits.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/still.h"
#include "kernel/vm/internal.h"
#include "kernel/vm/power.h"
#include "kernel/vm/wait_memory.h"

static uint64_t guest_cr3(void *ctx)
{
    const struct vm *vm = ctx;

    return hvm_guest_cr3(vm->vcpus[0].hvm);
}

void vms_init(const struct config *config)
{
    struct p2m_slot runs[2];
    struct account **accounts;
    struct classes_client **clients;
    size_t n = MAX(config->n_vms, 1u);

    vms = boot_alloc(sizeof(*vms) * n, sizeof(void *));
    accounts = boot_alloc(sizeof(*accounts) * n, sizeof(void *));
    charge_set_vms(accounts, config->n_vms);
    clients = boot_alloc(sizeof(*clients) * n, sizeof(void *));
    classes_set_clients(clients, config->n_vms);
    still_init(vm_clocks_hold);
    for (unsigned i = 0; i < config->n_vms; i++) {
        struct vm *vm = boot_alloc(sizeof(*vm), 64);
        vm->config = &config->vms[i];
        vms[i] = vm;
        n_vms = i + 1;
        vm->log.name = vm->config->name;
        log_add_subject(&vm->log);
        vm->number = (uint16_t)(i + 1);
        vm->folds = vm->config->fold;
        vm_life_init(vm);
        accounts[i] = &vm->sched.account;
        vm->classes.name = vm->config->name;
        vm->classes.cr3 = guest_cr3;
        vm->classes.ctx = vm;
        clients[i] = &vm->classes;
        vm->group = &groups[group_number(vm->config->share)];
        vm->space = boot_alloc(hvm_space_bytes(), 64);
        vm->regions = boot_alloc(
            sizeof(*vm->regions) * p2m_regions(runs, vm_memory_runs(vm->config, runs)), 64);
        vm->n_vcpus = VM_VCPUS;
        for (unsigned c = 0; c < vm->n_vcpus; c++) {
            struct vcpu *v = &vm->vcpus[c];
            v->vm = vm;
            v->hvm = boot_alloc(hvm_vcpu_bytes(), 64);
            sched_add_vcpu(&v->sched, &vm->sched, v->hvm, c);
        }
        vm_serial_make(vm);
    }
    vm_memory_init();
    vm_power_init();
}
