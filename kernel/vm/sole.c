/* SPDX-License-Identifier: BSD-2-Clause */
/* Keeps true what a VM with memory.max holds alone: see sole.h. */
#include "kernel/vm/sole.h"

#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "kernel/core/sched.h"
#include "kernel/core/step.h"
#include "kernel/vm/vm.h"
#include "mm/promise.h"

/* From the end of a walk to the next: so long, */
#define EVERY_NS UINT64_C(1000000000)
/* or so many times what the walk has taken. */
#define APART 256u

void vm_sole_begin(struct vm *vm)
{
    vm->sole = (struct vm_sole){.due_ns = clock_now_ns() + EVERY_NS};
}

void vm_sole_look(struct vm *vm, uint64_t now_ns)
{
    const struct p2m *p = &vm->p2m;

    if (vm->sole.on || now_ns < vm->sole.due_ns || !vm_is_up(vm) ||
        p->max_frames == PROMISE_NO_BOUND || p->shared_maps == 0) {
        return;
    }
    vm->sole.on = true;
    sched_work(&vm->sched);
}

bool vm_sole_work(struct vm *vm)
{
    struct deadline d = step_begin();
    uint64_t begun_ns = clock_now_ns();
    bool more = p2m_sole_walk(&vm->p2m, &vm->sole.next, &d);
    uint64_t now_ns = clock_now_ns();

    vm->sole.spent_ns += now_ns - begun_ns;
    if (!more) {
        vm->sole.on = false;
        vm->sole.due_ns = now_ns + MAX(EVERY_NS, APART * vm->sole.spent_ns);
        vm->sole.spent_ns = 0;
    }
    return more;
}
