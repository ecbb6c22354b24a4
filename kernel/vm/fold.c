/* SPDX-License-Identifier: BSD-2-Clause */
/* Folding of one VM, on or off, and the undoing of folds: charged steps of its work. */
#include "kernel/vm/fold.h"

#include "base/bits.h"
#include "base/log.h"
#include "kernel/console/console.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/scan/scan.h"
#include "mm/promise.h"

/* Of a step, in pages looked at: about 8 pages copied, or 128 passed. */
#define STEP_BUDGET 128u
/* Frames that undoing leaves to all others: 1 MiB, and a 64th of memory. */
#define RESERVE_MIN 256u
#define RESERVE_SHIFT 6

static uint64_t given_at_all; /* by the walk over all VMs that is under way, or was last */
static bool all_under_way;

static uint64_t reserve(void)
{
    uint64_t usable = machine_frames.count - machine_frames.by_state[FRAME_RESERVED];

    return MAX(usable >> RESERVE_SHIFT, (uint64_t)RESERVE_MIN);
}

static unsigned long long mib(uint64_t frames)
{
    return (frames + 255) >> 8;
}

/* Once no VM's folds are being undone any more. */
static void end_all(void)
{
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->unmerge.on) {
            return;
        }
    }
    all_under_way = false;
    log_info("fold unmerge: done: %llu pages were given frames, %llu MiB",
             (unsigned long long)given_at_all, mib(given_at_all));
}

/* The walk over the VM's memory has ended, at its end or before. */
static void end_walk(struct vm *vm)
{
    vm->unmerge.on = vm->unmerge_rests = false;
    vm->unmerged += vm->unmerge.given;
    given_at_all += vm->unmerge.given;
    if (all_under_way) {
        end_all();
    }
}

static void begin_walk(struct vm *vm)
{
    unmerge_begin(&vm->unmerge, &vm->p2m);
    vm->said_unmerge_waits = vm->unmerge_rests = false;
}

void vm_fold_begin(struct vm *vm)
{
    vm->p2m.fold_off = !vm->folds;
    if (vm->folds) {
        scan_attach(&vm->p2m);
    }
}

void vm_fold_end(struct vm *vm)
{
    if (vm->unmerge.on) {
        end_walk(vm);
    }
    scan_detach(&vm->p2m);
}

void vm_fold_set(struct vm *vm, bool on)
{
    if (vm->folds == on) {
        return;
    }
    vm->folds = on;
    if (!vm_has_memory(vm) || vm->state == VM_STOPPING) {
        return;
    }
    vm->p2m.fold_off = !on;
    if (vm->unmerge.on) {
        end_walk(vm);
    }
    if (on) {
        scan_attach(&vm->p2m);
    } else {
        scan_detach(&vm->p2m);
        begin_walk(vm);
    }
}

void vms_unmerge(void)
{
    struct fold_counters c;
    uint64_t room = unmerge_room(&machine_frames), had;

    fold_read(&machine_fold, &c);
    had = room > reserve() ? room - reserve() : 0;
    if (c.pages_sharing + c.pages_zero > had) {
        console_printf("fold unmerge: refused: that takes up to %llu MiB (%llu pages), and %llu "
                       "MiB can be had; stop a VM first, or turn single VMs' folding off\n",
                       mib(c.pages_sharing + c.pages_zero),
                       (unsigned long long)(c.pages_sharing + c.pages_zero), mib(had));
        return;
    }
    machine_config.host.fold.run = false;
    if (scan_configure(&machine_config.host) != OK) {
        return; /* only the pace can be refused, and that is what it was */
    }
    given_at_all = 0;
    all_under_way = true;
    for (unsigned i = 0; i < n_vms; i++) {
        if (vm_is_up(vms[i]) && vms[i]->folds) {
            begin_walk(vms[i]);
        }
    }
    console_printf(
        "fold unmerge: fold.run is off; up to %llu MiB (%llu pages) are wanted, %llu MiB "
        "can be had\n",
        mib(c.pages_sharing + c.pages_zero), (unsigned long long)(c.pages_sharing + c.pages_zero),
        mib(had));
    end_all(); /* if no VM runs */
}

/* Whether the machine has frames for undoing folds. */
static bool has_room(void)
{
    return unmerge_room(&machine_frames) > reserve();
}

static void say_it_waits(struct vm *vm)
{
    if (vm->said_unmerge_waits) {
        return;
    }
    vm->said_unmerge_waits = true;
    unsigned long long left = vm->p2m.shared_maps + vm->p2m.zero_maps;
    if (vm->p2m.refused == PROMISE_BOUND && has_room()) {
        log_warn("%s: its folds are not all undone: %llu more pages are shared, and it holds %llu "
                 "MiB to itself, which is its memory.max; it goes on when that is less, or `fold "
                 "vm %s on`",
                 vm->config->name, left, mib(promise_held(&vm->p2m) + vm->p2m.aside),
                 vm->config->name);
        return;
    }
    log_warn("%s: its folds are not all undone: there are no frames for %llu more pages (%llu of "
             "%llu are free); it goes on when there are: stop a VM, or `fold vm %s on`",
             vm->config->name, left, (unsigned long long)machine_frames.by_state[FRAME_FREE],
             (unsigned long long)machine_frames.count, vm->config->name);
}

void vm_fold_look(struct vm *vm, uint64_t now_ns)
{
    bool ends = vm->folds && machine_fold.on.run; /* see vm_fold_work */

    (void)now_ns;
    if (vm->unmerge_rests && (ends || (has_room() && promise_may_take(&vm->p2m, 1)))) {
        vm->unmerge_rests = false;
        sched_work(&vm->sched);
    }
}

bool vm_fold_work(struct vm *vm)
{
    if (vm->folds && machine_fold.on.run) {
        end_walk(vm); /* folding was turned on again meanwhile: what is left stays */
        return false;
    }
    switch (unmerge_step(&vm->unmerge, &machine_fold, &vm->p2m, STEP_BUDGET, reserve())) {
    case UNMERGE_MORE:
        return true;
    case UNMERGE_SHORT:
        say_it_waits(vm);
        vm->unmerge_rests = true;
        return false;
    default:
        if (!vm->folds) {
            log_info("%s: nothing of it is folded any more; %llu pages were given frames",
                     vm->config->name, (unsigned long long)vm->unmerge.given);
        }
        end_walk(vm);
        return false;
    }
}
