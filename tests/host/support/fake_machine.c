/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine for the scheduler on the host: see fake_machine.h. */
#include "fake_machine.h"

#include <setjmp.h>
#include <string.h>

#include "arch/x86_64/clock.h"
#include "arch/x86_64/irq.h"
#include "arch/x86_64/ksyms.h"
#include "arch/x86_64/tsc.h"
#include "base/bits.h"
#include "base/log.h"
#include "kernel/core/charge.h"

#define TICKS_PER_NS 2u
#define EVENTS 8
#define LINES 16u

struct machine machine;
struct test_vm test_vms[TEST_VMS];
static struct account *accounts[TEST_VMS];
static unsigned n_vms;

static struct event {
    uint64_t at_ns;
    void (*fn)(void);
} events[EVENTS];
static unsigned n_events;

static struct line {
    void (*fn)(void *ctx);
    void *ctx;
    bool raised;
} lines[LINES];

static jmp_buf over;
static bool ending;
static struct timer end_timer;

/* ---- the clock ------------------------------------------------------------------------------ */

uint64_t clock_now_ns(void)
{
    return machine.now_ns;
}

uint64_t rdtsc(void)
{
    return machine.now_ns * TICKS_PER_NS;
}

uint64_t clock_ns_to_ticks(uint64_t ns)
{
    return ns > UINT64_MAX / TICKS_PER_NS ? UINT64_MAX : ns * TICKS_PER_NS;
}

uint64_t clock_ticks_to_ns(uint64_t ticks)
{
    return ticks / TICKS_PER_NS;
}

uint64_t clock_ns_to_tsc(uint64_t ns)
{
    return clock_ns_to_ticks(ns);
}

void clock_arm(uint64_t deadline_ns)
{
    machine.armed_ns = deadline_ns;
}

void machine_pass(uint64_t ns)
{
    machine.now_ns += ns;
}

const char *ksyms_find(uint64_t addr, uint64_t *offset)
{
    (void)addr;
    *offset = 0;
    return "a work";
}

/* ---- interrupts ----------------------------------------------------------------------------- */

void machine_interrupt(uint64_t at_ns, void (*fn)(void))
{
    ASSERT(n_events < EVENTS);
    events[n_events++] = (struct event){at_ns, fn};
}

/* Weak: a test of interrupts may have its own. */
__attribute__((weak)) enum status irq_register_line(unsigned line, void (*fn)(void *ctx), void *ctx)
{
    lines[line].fn = fn;
    lines[line].ctx = ctx;
    return OK;
}

void machine_raise(unsigned line)
{
    lines[line].raised = true;
}

static bool is_due(unsigned line)
{
    bool held = machine.held >= 0 && machine.held != (int)(IRQ_FIRST_VECTOR + line);

    return lines[line].raised && lines[line].fn && !held;
}

static uint64_t next_interrupt_ns(void)
{
    uint64_t next = TIMER_NEVER;

    for (unsigned i = 0; i < LINES; i++) {
        if (is_due(i)) {
            return machine.now_ns;
        }
    }
    for (unsigned i = 0; machine.held < 0 && i < n_events; i++) {
        next = MIN(next, events[i].at_ns);
    }
    return next;
}

static void take_interrupts(void)
{
    for (unsigned i = 0; i < LINES; i++) {
        if (is_due(i)) {
            lines[i].raised = false;
            lines[i].fn(lines[i].ctx);
        }
    }
    for (unsigned i = 0; machine.held < 0 && i < n_events;) {
        struct event e = events[i];
        if (e.at_ns > machine.now_ns) {
            i++;
            continue;
        }
        events[i] = events[--n_events];
        e.fn();
    }
    if (machine.armed_ns <= machine.now_ns) {
        machine.armed_ns = TIMER_NEVER;
    }
}

void irq_window(void)
{
    take_interrupts();
    machine.now_ns += MACHINE_WINDOW_NS;
}

void irq_idle(void)
{
    uint64_t at = MIN(machine.armed_ns, next_interrupt_ns());

    ASSERT(at != TIMER_NEVER);
    machine.idles++;
    machine.idle_armed_ns = machine.armed_ns;
    machine.now_ns = MAX(machine.now_ns, at);
    take_interrupts();
}

enum status irq_route(unsigned line, unsigned *vector)
{
    *vector = IRQ_FIRST_VECTOR + line;
    return OK;
}

void irq_hold(unsigned vector)
{
    ASSERT(machine.held < 0);
    machine.held = (int)vector;
}

void irq_release(void)
{
    ASSERT(machine.held >= 0);
    machine.held = -1;
}

/* ---- guests --------------------------------------------------------------------------------- */

static enum hvm_exit run_program(struct hvm_vcpu *v, const volatile uint64_t *deadline_tsc)
{
    for (;;) {
        enum hvm_exit why = v->program(v);

        if (why != HVM_EXIT_DEADLINE) {
            return why;
        }
        if (v->yield) {
            v->yield = false;
            return HVM_EXIT_WORK;
        }
        if (machine.now_ns >= MIN(*deadline_tsc / TICKS_PER_NS, next_interrupt_ns())) {
            return HVM_EXIT_DEADLINE;
        }
    }
}

static enum hvm_exit run(struct hvm_vcpu *v, const volatile uint64_t *deadline_tsc)
{
    if (v->program) {
        return run_program(v, deadline_tsc);
    }
    for (;;) {
        uint64_t now = machine.now_ns, done = TIMER_NEVER;
        uint64_t call = v->call ? MAX(v->call_ns, now) : TIMER_NEVER;
        /* As the door promises: not before it, and shortly after. */
        uint64_t end = MIN(*deadline_tsc / TICKS_PER_NS, next_interrupt_ns());

        if (v->left_ns != UINT64_MAX) {
            done = now + v->left_ns;
        }
        uint64_t to = MAX(MIN(MIN(end, done), call), now);
        v->left_ns -= v->left_ns != UINT64_MAX ? to - now : 0;
        machine.now_ns = to;
        if (to == call) {
            void (*fn)(void) = v->call;
            v->call = NULL;
            fn();
        } else if (to == done) {
            return v->then;
        } else {
            return HVM_EXIT_DEADLINE;
        }
        if (v->yield) {
            v->yield = false;
            return HVM_EXIT_WORK;
        }
    }
}

enum hvm_exit hvm_run(struct hvm_vcpu *v, const volatile uint64_t *deadline_tsc)
{
    uint64_t start = machine.now_ns;

    if (v->irq) {
        v->irq = false;
        v->left_ns = v->wake_ns;
    }
    if (v->first_ns == 0) {
        v->first_ns = start;
    }
    enum hvm_exit why = run(v, deadline_tsc);
    uint64_t ns = machine.now_ns - start;
    v->runs++;
    v->ran_ns += ns;
    if (why == HVM_EXIT_DEADLINE && next_interrupt_ns() > machine.now_ns) {
        v->least_ns = MIN(v->least_ns, ns);
    }
    return why;
}

void hvm_request_exit(struct hvm_vcpu *v)
{
    v->yield = true;
}

bool hvm_can_wake(const struct hvm_vcpu *v)
{
    return v->irq && !v->deaf;
}

bool hvm_hears_irqs(const struct hvm_vcpu *v)
{
    return !v->deaf;
}

uint64_t hvm_longest_exit(const struct hvm_vcpu *v)
{
    return v->longest_ticks;
}

const char *hvm_longest_exit_name(const struct hvm_vcpu *v)
{
    (void)v;
    return "an exit";
}

/* ---- VMs ------------------------------------------------------------------------------------ */

static enum sched_wants vm_wants(const struct sched_vm *svm)
{
    return container_of(svm, struct test_vm, sched)->wants;
}

static bool vm_work(struct sched_vm *svm)
{
    struct test_vm *vm = container_of(svm, struct test_vm, sched);

    vm->works++;
    vm->worked_ns = machine.now_ns;
    if (vm->work) {
        return vm->work(vm);
    }
    vm->wants = SCHED_WANTS_NOTHING;
    return false;
}

static void vm_exited(struct sched_vcpu *v, enum hvm_exit why)
{
    struct test_vm *vm = container_of(v, struct test_vm, vcpu);

    vm->exits++;
    vm->why = why;
    if (vm->stops) {
        vm->sched.runs = false;
        sched_remove(v);
    }
}

static const struct sched_ops ops = {.wants = vm_wants, .work = vm_work, .exited = vm_exited};

void machine_wake(struct test_vm *vm)
{
    vm->guest.irq = true;
    sched_wake(&vm->vcpu);
}

void machine_arm(struct test_vm *vm, uint64_t at_ns)
{
    timerq_arm(&vm->sched.timers, &vm->timer, at_ns);
    sched_timers_changed();
}

static void fire(void *ctx, uint64_t now_ns)
{
    struct test_vm *vm = ctx;

    vm->fired++;
    if (vm->every_ns > 0) {
        machine_arm(vm, now_ns + vm->every_ns);
    }
    if (vm->wakes) {
        machine_wake(vm);
    }
}

struct test_vm *machine_add_asleep(void)
{
    ASSERT(n_vms < TEST_VMS);
    struct test_vm *vm = &test_vms[n_vms];

    sched_add_vm(&vm->sched, "vm", &ops);
    accounts[n_vms++] = &vm->sched.account;
    sched_add_vcpu(&vm->vcpu, &vm->sched, &vm->guest, 0);
    timer_init(&vm->timer, fire, vm);
    vm->guest.then = HVM_EXIT_HALT;
    vm->guest.least_ns = UINT64_MAX;
    vm->sched.runs = true;
    vm->vcpu.halted = true;
    return vm;
}

struct test_vm *machine_add_busy(void)
{
    struct test_vm *vm = machine_add_asleep();

    vm->guest.left_ns = UINT64_MAX;
    vm->vcpu.halted = false;
    sched_wake(&vm->vcpu);
    return vm;
}

/* ---- the loop ------------------------------------------------------------------------------- */

static bool work(void *ctx)
{
    (void)ctx;
    if (ending) {
        longjmp(over, 1); /* between two turns */
    }
    machine.works++;
    return machine.work && machine.work();
}

static bool console_work(void *ctx)
{
    (void)ctx;
    machine.console_works++;
    return machine.console_work && machine.console_work();
}

static void timer_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns; /* the works are looked at after a timer */
}

void machine_init_bare(void)
{
    machine = (struct machine){.now_ns = machine.now_ns, .armed_ns = TIMER_NEVER, .held = -1};
    memset(test_vms, 0, sizeof(test_vms));
    n_vms = n_events = 0;
    ending = false;
    timer_init(&end_timer, timer_due, NULL);
}

void machine_join_loop(void)
{
    sched_add_work(work, NULL);
}

void machine_init(void)
{
    static bool added;

    machine_init_bare();
    charge_hypervisor = charge_console = charge_scanner = charge_idle = (struct account){0};
    charge_init();
    charge_set_vms(accounts, TEST_VMS);
    sched_init();
    if (!added) {
        added = true;
        machine_join_loop();
        sched_set_console_work(console_work, NULL);
    }
}

static void end(void)
{
    ending = true;
    sched_arm(&end_timer, machine.now_ns);
}

void machine_run(uint64_t until_ns)
{
    machine_interrupt(until_ns, end);
    if (setjmp(over) == 0) {
        sched_loop();
    }
    ending = false;
}

void machine_leave(void)
{
    longjmp(over, 1);
}
