/* SPDX-License-Identifier: BSD-2-Clause */
/* The clocks of a VM that is stopped for a while: see clock.h. */
#include "kernel/vm/clock.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/hvm/hvm.h"
#include "base/bits.h"
#include "kernel/core/sched.h"
#include "kernel/vm/vm.h"

#define NS_PER_S UINT64_C(1000000000)
/* The most by which a TSC jumps. Linux may sleep for 440 s without reading it, and its conversion
 * overflows at 600 s to 880 s. */
#define JUMP_NS (UINT64_C(150) * NS_PER_S)
/* Between two jumps, so that the guest's tick takes note of the first. */
#define JUMP_APART_NS UINT64_C(100000000)
/* Stops shorter than this, in sum, are not worth telling: no watchdog is that quick. */
#define TELL_NS NS_PER_S

static void move_tscs(struct vm *vm, uint64_t by_ns, bool back)
{
    uint64_t ticks = clock_ns_to_ticks(by_ns);

    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        hvm_tsc_skip(vm->vcpus[i].hvm, back ? -ticks : ticks);
        vlapic_tsc_moved(&vm->vcpus[i].lapic);
    }
}

static void catch_up(struct vm *vm)
{
    uint64_t step = MIN(vm->clock.behind_ns, JUMP_NS);

    vm->clock.behind_ns -= step;
    pvclock_guest_stopped(&vm->clock.pv);
    move_tscs(vm, step, false);
    if (vm->clock.behind_ns > 0) {
        sched_arm(&vm->clock.timer, clock_now_ns() + JUMP_APART_NS);
    }
}

static void catch_up_due(void *ctx, uint64_t now_ns)
{
    struct vm *vm = ctx;

    (void)now_ns;
    if (!vm->clock.stopped) {
        catch_up(vm);
    } /* else vm_clock_go does */
}

void vm_clock_init(struct vm *vm, uint64_t wall_s)
{
    struct vm_clock *c = &vm->clock;

    *c = (struct vm_clock){.stopped = false};
    timer_init(&c->timer, catch_up_due, vm);
    pvclock_init(&c->pv, &vm->p2m, clock_tsc_khz() * 1000, 0);
    c->pv.wall_ns = wall_s * NS_PER_S - pvclock_ns(&c->pv, hvm_guest_tsc(vm->vcpus[0].hvm));
}

void vm_clock_fini(struct vm *vm)
{
    sched_disarm(&vm->clock.timer);
}

void vm_clock_stop(struct vm *vm)
{
    struct vm_clock *c = &vm->clock;

    if (c->stopped) {
        return;
    }
    c->stopped = true;
    c->stopped_ns = clock_now_ns();
    c->frozen = !pvclock_is_on(&c->pv);
    if (c->frozen) {
        vpit_stop(&vm->pit);
        vacpi_pm_freeze(&vm->pm);
        for (unsigned i = 0; i < vm->n_vcpus; i++) {
            vlapic_stop(&vm->vcpus[i].lapic);
        }
    }
}

/* As if the stop had not been. */
static void thaw(struct vm *vm, uint64_t ns)
{
    move_tscs(vm, ns, true);
    vpit_skip(&vm->pit, ns);
    vacpi_pm_thaw(&vm->pm);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        vlapic_skip(&vm->vcpus[i].lapic, ns);
    }
}

void vm_clock_go(struct vm *vm)
{
    struct vm_clock *c = &vm->clock;

    if (!c->stopped) {
        return;
    }
    uint64_t ns = clock_now_ns() - c->stopped_ns;
    c->stopped = false;
    if (c->frozen) {
        thaw(vm, ns);
        return;
    }
    c->untold_ns += ns;
    if (c->untold_ns < TELL_NS && c->behind_ns == 0) {
        return;
    }
    c->untold_ns = 0;
    /* What has been caught up so far is c->behind_ns short of the real time; the stop adds to it.
     */
    move_tscs(vm, ns, true);
    c->behind_ns += ns;
    catch_up(vm);
}

void vm_clocks_hold(bool stop, struct yield *y)
{
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->state == VM_RUN && stop) {
            vm_clock_stop(vms[i]);
        } else if (vms[i]->state == VM_RUN) {
            vm_clock_go(vms[i]);
        }
        (void)yield_go_on(y);
    }
}

bool vm_clock_work(struct vm *vm)
{
    if (vm->clock.pv.owed) {
        pvclock_settle(&vm->clock.pv);
    }
    return !vm->clock.pv.owed;
}
