/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one loop that everything runs in: host interrupts, timers, works (the monitor's, the disks'),
 * the background job when its time has come, vCPUs in turn, and HLT when there is nothing to do.
 *
 * A turn is a VM's: its timers' expiry, the work of its devices, its starting and stopping and the
 * guest itself are all done in it and charged to the VM (charge.h). kernel/core/turns.h says whose
 * turn it is. A VM's timers wait for its turn, unless it sleeps and is behind the VM that runs.
 *
 * Nothing in the loop blocks and every step is bounded. Host interrupts are taken only in its
 * windows, so handlers may call anything.
 *
 * The scheduler knows of a VM what struct sched_vm says; its owner embeds that, and is told of the
 * rest through struct sched_ops. One CPU has one scheduler.
 */
#ifndef KERNEL_CORE_SCHED_H
#define KERNEL_CORE_SCHED_H

#include "arch/x86_64/hvm/hvm.h"
#include "base/timer.h"
#include "kernel/core/account.h"
#include "kernel/core/turns.h"

#include <bsd/sys/queue.h>

struct sched_vm;
struct sched_vcpu;

/* Whether a VM has work to do outside its guest. */
enum sched_wants {
    SCHED_WANTS_NOTHING,
    SCHED_WANTS_WORK, /* in its turns; without one it is tried now and then */
    SCHED_WANTS_TURN, /* also without one: something has come to do */
};

/* What the scheduler asks of a VM's owner. All but the first are called with the VM's account open,
 * and may call anything below. */
struct sched_ops {
    /* Looked at before each entry of the guest. */
    enum sched_wants (*wants)(const struct sched_vm *vm);
    /* One bounded step of that work, in the VM's turn. True: call again soon. */
    bool (*work)(struct sched_vm *vm);
    /* The vCPU has run, and came back for this reason. A halt has been noted; what else follows
     * from it is up to the owner, who may change the VM's `runs`. */
    void (*exited)(struct sched_vcpu *v, enum hvm_exit why);
};

/* A VM's place in the loop. */
struct sched_vm {
    const struct sched_ops *ops;
    const char *name;
    struct sched_vcpu *first; /* its vCPU 0, in whose turns the VM's work is done */
    /* Its guest may run, and its timers. The owner changes it, and then calls sched_wake or
     * sched_remove for each vCPU. */
    bool runs;
    struct account account;
    struct timerq timers; /* of its devices; they run in its turns */
};

struct sched_vcpu {
    struct sched_vm *vm;
    struct hvm_vcpu *hvm;
    unsigned id;
    bool halted; /* in HLT: only an interrupt makes it runnable */
    struct turn turn;
    /* While it sleeps, when its timers and its VM's work are looked at again. */
    uint64_t later_ns, work_ns;
    STAILQ_ENTRY(sched_vcpu) link;
};

/* Before anything arms a timer. */
void sched_init(void);
/* The loop itself. */
_Noreturn void sched_loop(void);

/* A VM that does not run, and then its vCPUs, from 0 on; once, when its structure is made. The
 * memory stays theirs. */
void sched_add_vm(struct sched_vm *vm, const char *name, const struct sched_ops *ops);
void sched_add_vcpu(struct sched_vcpu *v, struct sched_vm *vm, struct hvm_vcpu *hvm, unsigned id);
/* An interrupt may have become deliverable, or its VM runs again: it wants turns from now on. No
 * effect on one that halted and cannot take the interrupt. */
void sched_wake(struct sched_vcpu *v);
/* The VM has work to do: it wants a turn, whatever its state and its vCPUs'. */
void sched_work(struct sched_vm *vm);
/* It may not run (paused, stopping). */
void sched_remove(struct sched_vcpu *v);
/* Arms a timer of the host's (its disks', the statistics'; a VM's devices have their VM's) and,
 * when a guest is running, brings its next exit forward. It fires on this CPU. */
void sched_arm(struct timer *t, uint64_t deadline_ns);
/* Disarms it; no effect on one that is not armed. */
void sched_disarm(struct timer *t);
/* sched_arm for one of the console's, which go on while the machine stands still (still.h). */
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

/* The background job, which has a share of the CPU of its own beside the guests. `busy`: guests
 * wait for the CPU. */
struct sched_background {
    const char *name;        /* of its steps, for a message */
    struct account *account; /* pays for them */
    /* The moment from which `step` has something to do; TIMER_NEVER when there is nothing. */
    uint64_t (*next_ns)(bool busy);
    void (*step)(bool busy); /* a bounded step, if it is time for one */
};
/* One; it stays the caller's. */
void sched_set_background(const struct sched_background *job);

/* While the machine stands still (still.h): takes the interrupts that are not held, runs the
 * console's timers and its work. */
void sched_serve_console(void);

#endif
