/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests that have come to an end and do not say so by a power-off: a panic, told by the pvpanic
 * port, and a halt that nothing can end (interrupts off, and no NMI to come). What follows is the
 * VM's `on_panic` and `on_halt`: stop it, restart it, or let it stay.
 *
 *     RUN: alive ──panic──> panicked ──(it resets itself, or `restart`)──> alive
 *                ──HLT, IF=0, for half a second──> halted ──(an NMI after all)──> alive
 *
 * A VM that stays is shown as `panicked` or `halted`, and counts as off for host.when_off.
 */
#ifndef KERNEL_VM_DEAD_H
#define KERNEL_VM_DEAD_H

#include "base/timer.h"
#include "base/types.h"

struct vm;

enum vm_dead { VM_ALIVE, VM_HALTED, VM_PANICKED };

struct vm_end {
    enum vm_dead dead;
    struct timer timer; /* looks whether a halt is for good */
};

/* For a VM that is being built; and when it is taken down. */
void vm_dead_init(struct vm *vm);
void vm_dead_fini(struct vm *vm);
/* A vCPU is in a halt with its interrupts off. */
void vm_dead_halted(struct vm *vm);
/* A vCPU has run: a halt was not for good after all. */
void vm_dead_ran(struct vm *vm);
/* The guest has written this event to its pvpanic port. */
void vm_dead_panicked(struct vm *vm, unsigned event);

#endif
