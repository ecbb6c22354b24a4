/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM's clocks do while the VM is kept from running: paused by hand, waiting for memory,
 * or while the whole machine stands still (kernel/core/still.h).
 *
 * A guest that has registered KVM's clock page is told that it was stopped, and its TSC goes on. So
 * its date stays right, and its watchdogs do not count the time. Its PIT, APIC and PM timers go on
 * too. A TSC that jumps too far at once makes Linux's conversion to nanoseconds overflow (before
 * 6.10, at some 10 minutes). After a longer stop the TSC therefore catches up in steps, while the
 * guest runs.
 *
 * For any other guest the stop is no time at all: the TSC and all its timers stand still. Only the
 * RTC goes on. In both cases the TSC never goes back.
 */
#ifndef KERNEL_VM_CLOCK_H
#define KERNEL_VM_CLOCK_H

#include "base/status.h"
#include "base/timer.h"
#include "base/types.h"
#include "base/yield.h"
#include "drivers/guest/pvclock.h"

struct vm;

struct vm_clock {
    struct pvclock pv;
    bool stopped, frozen; /* frozen: its timers are off the queue */
    uint64_t stopped_ns;  /* since when */
    uint64_t untold_ns;   /* stops that the guest was not told of yet */
    uint64_t behind_ns;   /* what its TSC still has to catch up */
    struct timer timer;   /* the next step of that */
};

/* For a VM that is being built, whose vCPUs are there; the date is wall_s (since 1970) now. */
void vm_clock_init(struct vm *vm, uint64_t wall_s);
void vm_clock_fini(struct vm *vm);
/* The VM is kept from running from now on (again: no effect), and runs again. */
void vm_clock_stop(struct vm *vm);
void vm_clock_go(struct vm *vm);
/* The same for all that run, while the machine stands still: see still_clocks_fn. */
void vm_clocks_hold(bool stop, struct yield *y);
/* Writes the guest's clock page if there was no memory for that earlier. False: there is none
 * still. */
bool vm_clock_work(struct vm *vm);

#endif
