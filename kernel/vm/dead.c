/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests that panicked, or halted for good: see dead.h. */
#include "kernel/vm/dead.h"

#include "arch/x86_64/clock.h"
#include "base/log.h"
#include "drivers/guest/pvpanic.h"
#include "kernel/core/sched.h"
#include "kernel/vm/vm.h"

/* So long a halt must last; an NMI that is on its way arrives sooner. */
#define HALT_NS UINT64_C(500000000)

/* Whether some interrupt may still come as an NMI: those are set up in the I/O APIC (Linux's old
 * watchdog did so) or in a message of MSI-X. */
static bool nmi_may_come(const struct vm *vm)
{
    return vioapic_sends_nmi(&vm->ioapic) || vpci_msix_sends_nmi(&vm->pci);
}

static bool halted_for_good(const struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        if (!hvm_halt_is_final(vm->vcpus[i].hvm)) {
            return false;
        }
    }
    return !nmi_may_come(vm);
}

/* Says what is the matter, and does what the configuration wants. */
static void act(struct vm *vm, enum config_on on, const char *what)
{
    static const char *const then[] = {[CONFIG_ON_STOP] = "it is stopped",
                                       [CONFIG_ON_RESTART] = "it is restarted",
                                       [CONFIG_ON_STAY] = "it stays as it is"};

    log_warn("%s: %s: %s", vm->config->name, what, then[on]);
    if (on != CONFIG_ON_STAY) {
        vm_stop(vm, on == CONFIG_ON_RESTART, what);
    }
}

static void look(void *ctx, uint64_t now_ns)
{
    struct vm *vm = ctx;

    if (!halted_for_good(vm) || vm->end.dead != VM_ALIVE) {
        return;
    }
    if (vm->state != VM_RUN) { /* paused, say: it may not be stopped behind the user's back */
        sched_arm(&vm->end.timer, now_ns + HALT_NS);
        return;
    }
    vm->end.dead = VM_HALTED;
    act(vm, vm->config->on_halt, "halted with interrupts off");
}

void vm_dead_init(struct vm *vm)
{
    vm->end.dead = VM_ALIVE;
    timer_init(&vm->end.timer, look, vm);
}

void vm_dead_fini(struct vm *vm)
{
    sched_disarm(&vm->end.timer);
}

void vm_dead_halted(struct vm *vm)
{
    if (vm->end.dead == VM_ALIVE && !vm->end.timer.armed && vm->state == VM_RUN) {
        sched_arm(&vm->end.timer, clock_now_ns() + HALT_NS);
    }
}

void vm_dead_ran(struct vm *vm)
{
    if (vm->end.dead == VM_HALTED) {
        vm->end.dead = VM_ALIVE;
    }
}

void vm_dead_panicked(struct vm *vm, unsigned event)
{
    if (event == PVPANIC_CRASH_LOADED) {
        log_warn("%s: the guest panicked, and goes on with its crash kernel", vm->config->name);
    } else if (vm->end.dead != VM_PANICKED) {
        vm->end.dead = VM_PANICKED;
        act(vm, vm->config->on_panic, "the guest panicked");
    }
}
