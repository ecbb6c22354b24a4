/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's loop: see sched.h. */
#include "kernel/sched.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/irq.h"
#include "base/bits.h"
#include "base/log.h"
#include "kernel/charge.h"
#include "kernel/scan.h"
#include "kernel/vm.h"

#define WORKS 12

struct timerq sched_timers;

static TAILQ_HEAD(, vcpu) run_queue;
static struct {
    sched_work_fn *fn;
    void *ctx;
} works[WORKS];
static unsigned n_works;
static struct vcpu *running;
static uint64_t turn_end_ns;

/* A rest of a turn shorter than this is not worth coming back for. */
#define SLICE_MIN_NS UINT64_C(200000)
/* A guest's turn is at least this, whatever the scanner wants. */
#define GUEST_MIN_NS UINT64_C(1000000)
static volatile uint64_t deadline_tsc; /* read by hvm_run at each entry */
static uint64_t deadline_arms;         /* how many timers had been armed when it was set */

void sched_init(void)
{
    TAILQ_INIT(&run_queue);
    timerq_init(&sched_timers, clock_now_ns);
}

void sched_add_work(sched_work_fn *fn, void *ctx)
{
    ASSERT(n_works < WORKS);
    works[n_works].fn = fn;
    works[n_works++].ctx = ctx;
}

void sched_wake(struct vcpu *v)
{
    v->halted = false;
    if (v->vm->state != VM_RUN || v->queued || v == running) {
        return;
    }
    v->queued = true;
    v->slice_ns = SCHED_QUANTUM_NS;
    TAILQ_INSERT_TAIL(&run_queue, v, run_link);
}

/* It was interrupted, by a timer that may be anybody's: it keeps its place for the rest of its
 * turn. Sending it to the end would give most time to whoever's timers fire least. */
static void go_on(struct vcpu *v)
{
    if (v->vm->state != VM_RUN || v->slice_ns < SLICE_MIN_NS) {
        sched_wake(v);
        return;
    }
    v->queued = true;
    TAILQ_INSERT_HEAD(&run_queue, v, run_link);
}

void sched_remove(struct vcpu *v)
{
    if (v->queued) {
        v->queued = false;
        TAILQ_REMOVE(&run_queue, v, run_link);
    }
}

static void set_deadline(void)
{
    uint64_t next = timerq_next(&sched_timers);

    deadline_arms = sched_timers.seq;
    /* One tick more than the conversion, which rounds down: at the deadline, not before it. */
    uint64_t at = clock_ns_to_tsc(MIN(next, turn_end_ns));
    deadline_tsc = at < UINT64_MAX ? at + 1 : at;
}

void sched_timers_changed(void)
{
    /* A timer that was only cancelled makes the deadline come too early, which harms nothing. */
    if (sched_timers.seq != deadline_arms) {
        set_deadline();
    }
}

void sched_arm(struct timer *t, uint64_t deadline_ns)
{
    timerq_arm(&sched_timers, t, deadline_ns);
    sched_timers_changed();
}

void sched_poke(void)
{
    deadline_tsc = 0;
}

/* What became of a vCPU's turn. */
static void after_run(struct vcpu *v, enum hvm_exit why)
{
    struct vm *vm = v->vm;

    switch (why) {
    case HVM_EXIT_DEADLINE:
    case HVM_EXIT_WORK:
        go_on(v);
        break;
    case HVM_EXIT_PAUSE:
        sched_wake(v);
        break;
    case HVM_EXIT_HALT:
        v->halted = true;
        break;
    case HVM_EXIT_NO_MEMORY:
        vm_wait_for_memory(vm);
        break;
    case HVM_EXIT_SHUTDOWN:
        log_warn("%s: triple fault; the VM is reset", vm->config->name);
        vm_stop(vm, true, "triple fault");
        break;
    case HVM_EXIT_BROKEN:
        log_error("%s: stopped: %s", vm->config->name, hvm_broken_reason(v->hvm));
        hvm_dump(v->hvm);
        vm_stop(vm, false, hvm_broken_reason(v->hvm));
        break;
    }
}

/* Runs v until its turn ends or something else is due. */
static void run(struct vcpu *v)
{
    uint64_t start = clock_now_ns();

    sched_remove(v);
    turn_end_ns = MIN(start + v->slice_ns, MAX(scan_next_ns(true), start + GUEST_MIN_NS));
    set_deadline();
    running = v;
    charge_vm(v->vm);
    enum hvm_exit why = hvm_run(v->hvm, &deadline_tsc);
    running = NULL;
    after_run(v, why);
    charge(&charge_hypervisor);
    uint64_t used = clock_now_ns() - start;
    v->slice_ns = used < v->slice_ns ? v->slice_ns - used : 0;
}

static bool do_works(void)
{
    bool more = false;

    for (unsigned i = 0; i < n_works; i++) {
        more |= works[i].fn(works[i].ctx);
    }
    return more;
}

static void idle(void)
{
    clock_arm(MIN(timerq_next(&sched_timers), scan_next_ns(false)));
    charge(&charge_idle);
    irq_idle();
    charge(&charge_hypervisor);
}

void sched_loop(void)
{
    for (;;) {
        charge(&charge_hypervisor);
        irq_window();
        uint64_t now = clock_now_ns();
        if (timerq_next(&sched_timers) <= now) {
            timerq_run(&sched_timers, now);
        }
        bool more = do_works();
        bool busy = !TAILQ_EMPTY(&run_queue);
        if (scan_next_ns(busy) <= now) {
            charge(&charge_scanner);
            (void)scan_step(busy);
        }
        charge(&charge_hypervisor);
        struct vcpu *v = TAILQ_FIRST(&run_queue);
        if (v) {
            run(v);
        } else if (!more && scan_next_ns(false) > clock_now_ns() &&
                   timerq_next(&sched_timers) > clock_now_ns()) {
            idle();
        }
    }
}
