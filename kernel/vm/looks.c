/* SPDX-License-Identifier: BSD-2-Clause */
/* What is looked after for all VMs, some 50 times a second: work for the loop. */
#include "arch/x86_64/clock.h"
#include "kernel/vm/fold.h"
#include "kernel/vm/sole.h"
#include "kernel/vm/wait_memory.h"

/* In this order, for each VM; what a look finds to do is done in the VM's turns. */
static void (*const looks[])(struct vm *vm, uint64_t now_ns) = {vm_fold_look, vm_sole_look};

bool vms_look(void *ctx)
{
    uint64_t now_ns = clock_now_ns();

    (void)ctx;
    if (!vm_memory_settle(now_ns)) {
        return false;
    }
    for (unsigned i = 0; i < n_vms; i++) {
        for (unsigned k = 0; k < sizeof(looks) / sizeof(looks[0]); k++) {
            looks[k](vms[i], now_ns);
        }
    }
    return vm_memory_wake(now_ns);
}
