/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMs that wait for a frame.
 *
 * By the time a VM gets here the cache has given its clean frames (frames.reclaim). It waits until
 * enough are free again (folding, or another VM's end), then goes on with the access that failed:
 * nothing of the guest is lost. It also tries again whenever blocks have been written to their
 * disks or a device has let go of a frame: where the cache alone kept a page from being written to,
 * the guest has it to itself then, and no frame need come free. The console hears of the first
 * wait, and of the end.
 */
#include "kernel/vm_memory.h"

#include "arch/x86_64/clock.h"
#include "base/log.h"
#include "kernel/aside.h"
#include "kernel/machine.h"
#include "kernel/sched.h"
#include "kernel/vm.h"

/* Enough for the page, its tables, and some progress, so that it does not come straight back. */
#define WAKE_FREE 32u
/* So often at most it tries again because some frame, of whomever, was let go of. */
#define TRY_EVERY_NS UINT64_C(1000000)
/* A VM that keeps running dry says so this often at most. */
#define SAY_EVERY_NS UINT64_C(5000000000)

static unsigned waiting;

void vm_wait_for_memory(struct vm *vm)
{
    if (vm->waits || (vm->state != VM_RUN && vm->state != VM_STARTING)) {
        return;
    }
    vm->waits = true;
    if (vm->state == VM_RUN) {
        vm->state = VM_NO_MEMORY;
        vm_clock_stop(vm);
    }
    vm->waits_cleaned = machine_cache.n_cleaned;
    vm->waits_pinned = machine_frames.pinned;
    vm->waits_unpinned = machine_frames.n_unpinned;
    vm->waits_since_ns = clock_now_ns();
    waiting++;
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        sched_remove(&vm->vcpus[i]);
    }
    uint64_t now = clock_now_ns();
    if (!vm->said_no_memory_ns || now - vm->said_no_memory_ns >= SAY_EVERY_NS) {
        vm->said_no_memory_ns = now;
        vm->say_memory_back = true;
        if (vm_disks_wait_for_pool(vm)) {
            log_warn("%s: paused: the `,snapshot` disks hold %llu MiB, which is all that "
                     "snapshot.max allows; it goes on when that is raised, or a VM with a snapshot "
                     "is stopped",
                     vm->config->name, (unsigned long long)(aside_pool.used + 255) >> 8);
            return;
        }
        log_warn("%s: paused: the machine is out of memory (%llu of %llu frames free); it goes on "
                 "when frames are free again: stop a VM, or wait for folding",
                 vm->config->name, (unsigned long long)machine_frames.by_state[FRAME_FREE],
                 (unsigned long long)machine_frames.count);
    }
}

void vm_memory_leave(struct vm *vm)
{
    if (vm->waits) {
        vm->waits = false;
        waiting--;
    }
}

bool vm_memory_may_come(const struct vm *vm)
{
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i] != vm && vms[i]->state != VM_OFF) {
            return true;
        }
    }
    return false;
}

/* Whether some device has done since what may be all that the VM waits for. Where others' requests
 * come and go, the number of pinned frames need not fall when the one that matters is let go of. */
static bool may_try_again(const struct vm *vm)
{
    return machine_cache.n_cleaned != vm->waits_cleaned ||
           machine_frames.pinned < vm->waits_pinned ||
           (machine_frames.n_unpinned != vm->waits_unpinned &&
            clock_now_ns() - vm->waits_since_ns >= TRY_EVERY_NS);
}

static void wake(struct vm *vm, const char *why)
{
    waiting--;
    vm->waits = false;
    if (vm->state == VM_NO_MEMORY) {
        vm->state = VM_RUN;
        vm_clock_go(vm);
        vm_disks_wake(vm); /* a disk may be what wanted the frame */
    }
    sched_work(vm);
    if (vm->say_memory_back) {
        vm->say_memory_back = false;
        log_info("%s: goes on: %s", vm->config->name, why);
    }
    for (unsigned c = 0; c < vm->n_vcpus; c++) {
        if (vm->state == VM_RUN && !vm->vcpus[c].halted) {
            sched_wake(&vm->vcpus[c]);
        }
    }
}

bool vm_memory_work(void *ctx)
{
    bool woke = false;

    (void)ctx;
    if (waiting > 0 && machine_frames.by_state[FRAME_FREE] < WAKE_FREE) {
        /* Blocks that were dirty when the frame was wanted may have been written out since. */
        (void)cache_reclaim(&machine_cache, WAKE_FREE - machine_frames.by_state[FRAME_FREE]);
    }
    bool enough = machine_frames.by_state[FRAME_FREE] >= WAKE_FREE;
    for (unsigned i = 0; i < n_vms && waiting > 0; i++) {
        struct vm *vm = vms[i];
        if (vm->waits && !vm_disks_wait_for_pool(vm) && (enough || may_try_again(vm))) {
            woke = true;
            wake(vm, enough ? "memory is free again" : "its disk has what it waited for");
        }
    }
    return woke;
}
