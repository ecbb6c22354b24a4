/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one loop that everything runs in: host interrupts, timers, VMs' work, the monitor, vCPUs in
 * turn, the page scanner when its time has come, and HLT when there is nothing to do.
 *
 * Nothing in it blocks and every step is bounded. Host interrupts are taken only in its windows, so
 * handlers may call anything.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "base/timer.h"

struct vcpu;

#define SCHED_QUANTUM_NS UINT64_C(10000000)

/* Where every timer of this CPU goes: device models', the console's, the statistics'. */
extern struct timerq sched_timers;

/* Before anything arms a timer. */
void sched_init(void);
/* The loop itself. */
_Noreturn void sched_loop(void);

/* The vCPU may run: puts it at the run queue's end, if its VM runs. */
void sched_wake(struct vcpu *v);
/* It may not (paused, stopping): takes it off the queue. */
void sched_remove(struct vcpu *v);
/* Arms a timer and, when a guest is running, brings its next exit forward. */
void sched_arm(struct timer *t, uint64_t deadline_ns);
/* Something was armed behind sched_arm's back (a device model did it). */
void sched_timers_changed(void);
/* Make the running guest come back as soon as it exits. */
void sched_poke(void);

/*
 * Work for the loop: each registered function is called once a turn, does a bounded step, and
 * returns whether it wants another turn before the machine may sleep.
 */
typedef bool sched_work_fn(void *ctx);
void sched_add_work(sched_work_fn *fn, void *ctx);

#endif
