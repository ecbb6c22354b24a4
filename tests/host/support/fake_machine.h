/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine for the scheduler on the host: a clock, interrupts, the timer, and vCPUs whose guests
 * do what a test says. It stands in for arch/x86_64's clock.h, tsc.h, irq.h, ksyms.h and what the
 * scheduler uses of hvm.h.
 *
 * Time goes by only where it says so: a guest that runs, a HLT of the host, machine_pass, and a
 * microsecond for each window. The TSC counts two ticks to a nanosecond.
 */
#ifndef TESTS_HOST_SUPPORT_FAKE_MACHINE_H
#define TESTS_HOST_SUPPORT_FAKE_MACHINE_H

#include "arch/x86_64/hvm/hvm.h"
#include "base/timer.h"
#include "kernel/core/sched.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

#define MACHINE_WINDOW_NS US

struct machine {
    uint64_t now_ns;
    uint64_t armed_ns; /* the timer; TIMER_NEVER: not armed */
    int held;          /* the vector of irq_hold, or -1 */
    /* What the host's HLTs were for. */
    unsigned idles;
    uint64_t idle_armed_ns; /* armed_ns in the last one */
    unsigned works, console_works;
    /* A step of the loop's work, and of the console's; NULL: none has anything to do. */
    bool (*work)(void);
    bool (*console_work)(void);
};
extern struct machine machine;

/* All of it anew at the present time, with no VM, accounts and scheduler included. First in each
 * test. */
void machine_init(void);
/* The same for a test that starts accounts, scheduler and console itself; and then, once, that the
 * loop can be left. */
void machine_init_bare(void);
void machine_join_loop(void);
/* Time that some code takes. */
void machine_pass(uint64_t ns);
/* An interrupt of a disk's line: fn is its handler. */
void machine_interrupt(uint64_t at_ns, void (*fn)(void));
/* The line is raised: what irq_register was given for it is called at the next window, unless the
 * line is held. */
void machine_raise(unsigned line);
/* The scheduler's loop, up to this moment or shortly after it. */
void machine_run(uint64_t until_ns);
/* Ends machine_run at once, from anywhere in it: the machine is off. */
_Noreturn void machine_leave(void);

/* A guest: computes for left_ns and then does what `then` says, whatever interrupts it between. */
struct hvm_vcpu {
    uint64_t left_ns; /* UINT64_MAX: for ever */
    enum hvm_exit then;
    bool irq;         /* an interrupt is pending; taken at the next entry, */
    uint64_t wake_ns; /* whose handler computes for so long */
    bool deaf;        /* it halts with interrupts off */
    /* In a run, when that moment has come: as a callback of struct hvm_ops would be. */
    uint64_t call_ns;
    void (*call)(void);
    bool yield;
    /* If there is one, it is the guest, and all above but `irq`, `wake_ns` and `deaf` is not:
     * called until it returns an exit other than HVM_EXIT_DEADLINE or the deadline is over. Time
     * goes by only where it says so. */
    enum hvm_exit (*program)(struct hvm_vcpu *v);
    unsigned runs;
    uint64_t ran_ns;        /* in all runs */
    uint64_t least_ns;      /* the shortest run that the deadline ended */
    uint64_t first_ns;      /* when it ran first since this was set to 0 */
    uint64_t longest_ticks; /* hvm_longest_exit */
    /* fake_hvm.c's. */
    const struct hvm_ops *ops;
    void *ctx;
    struct p2m *p2m;
    mfn_t frames[2];
    uint64_t tsc; /* less the host's */
    uint64_t counts[HVM_COUNTS];
    uint64_t rip;
};

/* A VM with one vCPU, whose owner only counts. */
struct test_vm {
    struct sched_vm sched;
    struct sched_vcpu vcpu;
    struct hvm_vcpu guest;
    enum sched_wants wants;
    bool (*work)(struct test_vm *vm); /* NULL: it only counts, and nothing is wanted any more */
    unsigned works, exits;
    uint64_t worked_ns; /* when it did last */
    enum hvm_exit why;  /* of the last one */
    bool stops;         /* it may not run any more after its next exit */
    struct timer timer; /* of its devices */
    unsigned fired;
    uint64_t every_ns; /* the timer is armed again, so long after */
    bool wakes;        /* it is an interrupt for the guest */
};

#define TEST_VMS 4
extern struct test_vm test_vms[TEST_VMS];

/* A VM that runs, with a guest that computes for ever and one that is in HLT. The n-th is
 * test_vms[n]. */
struct test_vm *machine_add_busy(void);
struct test_vm *machine_add_asleep(void);
/* Arms its timer. */
void machine_arm(struct test_vm *vm, uint64_t at_ns);
/* An interrupt for the guest. */
void machine_wake(struct test_vm *vm);

#endif
