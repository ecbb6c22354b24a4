/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one loop that everything runs in: host interrupts, timers, the monitor, the page scanner when
 * its time has come, vCPUs in turn, and HLT when there is nothing to do.
 *
 * A turn is a VM's: its timers' expiry, the work of its devices, its starting and stopping and the
 * guest itself are all done in it and charged to the VM (charge.h). kernel/turns.h says whose turn
 * it is. A VM's timers wait for its turn, unless it sleeps and is behind the VM that runs.
 *
 * Nothing in the loop blocks and every step is bounded. Host interrupts are taken only in its
 * windows, so handlers may call anything.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "base/timer.h"

struct vcpu;
struct vm;

/* The host's timers: its disks', the statistics'. A VM's devices have their VM's. */
extern struct timerq sched_timers;
/* The console's, which go on while the machine stands still (still.h). */
extern struct timerq sched_console_timers;

/* Before anything arms a timer. */
void sched_init(void);
/* The loop itself. */
_Noreturn void sched_loop(void);

/* A vCPU's place among the others; once, when its structure is made. */
void sched_add_vcpu(struct vcpu *v);
/* An interrupt may have become deliverable, or its VM runs again: it wants turns from now on. No
 * effect on one that halted and cannot take the interrupt. */
void sched_wake(struct vcpu *v);
/* vm_work has something to do: the VM wants a turn, whatever its state and its vCPUs'. */
void sched_work(struct vm *vm);
/* It may not run (paused, stopping). */
void sched_remove(struct vcpu *v);
/* Arms a timer of the host's and, when a guest is running, brings its next exit forward. */
void sched_arm(struct timer *t, uint64_t deadline_ns);
/* Likewise for one of the console's. */
void sched_arm_console(struct timer *t, uint64_t deadline_ns);
/* A device model may have armed a timer of its VM. */
void sched_timers_changed(void);
/* The loop has other things to do: make the running guest come back soon. */
void sched_poke(void);

/*
 * Work for the loop: each registered function is called once a turn, does a bounded step, and
 * returns whether it wants another turn before the machine may sleep. The VM that gave up its turn
 * pays for the call; a function that finds something to do opens the account that is to pay for it.
 */
typedef bool sched_work_fn(void *ctx);
void sched_add_work(sched_work_fn *fn, void *ctx);
/* The console's, which goes on while the machine stands still. One. */
void sched_set_console_work(sched_work_fn *fn, void *ctx);

/* While the machine stands still (still.h): takes the interrupts that are not held, runs the
 * console's timers and its work. */
void sched_serve_console(void);

#endif
