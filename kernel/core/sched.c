/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's loop: see sched.h. Who runs next is kernel/core/turns.h's to say. */
#include "kernel/core/sched.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/irq.h"
#include "arch/x86_64/percpu.h"
#include "base/bits.h"
#include "kernel/core/charge.h"
#include "kernel/core/step.h"
#include "kernel/core/still.h"
#include "kernel/core/works.h"

/* The loop of a CPU, and the vCPUs that have their turns on it. */
static PERCPU struct sched_cpu {
    struct timerq timers, console_timers; /* the host's that were armed on it */
    struct turns turns;
    STAILQ_HEAD(, sched_vcpu) vcpus; /* all, in the order in which they were added */
    bool poked;
    /* The vCPU that `turn` has in its hands. Between two calls for the same turn it is NULL, though
     * the turn goes on: turns.running. */
    struct sched_vcpu *in_turn;
    /* Something else is due then: another timer, the background job, the end of the turn. */
    uint64_t outer_ns;
    /* But the guest is left alone until then. */
    uint64_t floor_ns;
    volatile uint64_t deadline_tsc; /* read by hvm_run at each entry */
    uint64_t deadline_arms;         /* how many of its VM's timers were armed when it was set */
    uint64_t looked_ns;             /* at the works */
} sched_cpu;

static const struct sched_background *background; /* the machine's */

/* A VM's work goes on for so long before its guest has the CPU for FLOOR_NS. */
#define WORK_RUN_NS UINT64_C(1000000)
/* A guest runs at least this long between two rounds of works and others' timers. */
#define FLOOR_NS UINT64_C(100000)
/* A guest's turn is at least this, whatever the background job wants. */
#define GUEST_MIN_NS UINT64_C(1000000)
/* From one look at the works to the next, unless somebody asks for it or the CPU is free. */
#define LOOK_NS UINT64_C(200000)
/* A vCPU whose timers ran and did not wake it is not looked at sooner, while another one runs. */
#define ASLEEP_NS UINT64_C(1000000)
/* Likewise, always, of one that halted with interrupts off. Its timers can have an effect, as an
 * NMI, but a guest that asks for that has no claim to precision. */
#define DEAF_NS UINT64_C(10000000)
/* Work that could not go on is tried again, in case nothing tells of what it waits for. */
#define WORK_NS UINT64_C(10000000)

void sched_init(void)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    turns_init(&cpu->turns);
    STAILQ_INIT(&cpu->vcpus);
    background = NULL;
    cpu->poked = false;
    cpu->in_turn = NULL;
    timerq_init(&cpu->timers, clock_now_ns);
    timerq_init(&cpu->console_timers, clock_now_ns);
}

void sched_add_vm(struct sched_vm *vm, const char *name, const struct sched_ops *ops)
{
    *vm = (struct sched_vm){.ops = ops, .name = name};
    timerq_init(&vm->timers, clock_now_ns);
}

void sched_add_vcpu(struct sched_vcpu *v, struct sched_vm *vm, struct hvm_vcpu *hvm, unsigned id)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    *v = (struct sched_vcpu){.vm = vm, .hvm = hvm, .id = id};
    if (id == 0) {
        vm->first = v;
    }
    turn_init(&cpu->turns, &v->turn, &vm->account);
    STAILQ_INSERT_TAIL(&cpu->vcpus, v, link);
}

void sched_set_background(const struct sched_background *job)
{
    background = job;
}

static uint64_t background_next_ns(bool busy)
{
    return background ? background->next_ns(busy) : TIMER_NEVER;
}

static enum sched_wants vm_wants(const struct sched_vm *vm)
{
    return vm->ops->wants(vm);
}

/* Charges what has been done since *now_ns to the open account, opens another, and moves *now_ns
 * on. What was done was a step. */
static void end_step(const char *what, const struct sched_vm *vm, struct account *to,
                     uint64_t *now_ns)
{
    uint64_t begin = *now_ns;

    *now_ns = charge_at(to);
    step_note(what, vm ? vm->name : NULL, *now_ns - begin);
}

/* ---- when the running guest comes back ------------------------------------------------------- */

static void set_deadline(void)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);
    const struct timerq *own = &cpu->in_turn->vm->timers;

    cpu->deadline_arms = own->seq;
    bool soon = cpu->poked || vm_wants(cpu->in_turn->vm);
    uint64_t others = soon ? cpu->floor_ns : MAX(cpu->outer_ns, cpu->floor_ns);
    /* One tick more than the conversion, which rounds down: at the deadline, not before it. */
    uint64_t at = clock_ns_to_tsc(MIN(others, timerq_next(own)));
    cpu->deadline_tsc = at < UINT64_MAX ? at + 1 : at;
}

static void bring_forward(uint64_t ns)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    if (cpu->in_turn && ns < cpu->outer_ns) {
        cpu->outer_ns = ns;
        set_deadline();
    }
}

void sched_timers_changed(void)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    /* A timer that was only cancelled makes the deadline come too early, which harms nothing. */
    if (cpu->in_turn && cpu->in_turn->vm->timers.seq != cpu->deadline_arms) {
        set_deadline();
    }
}

void sched_arm(struct timer *t, uint64_t deadline_ns)
{
    timerq_arm(&this_cpu(sched_cpu)->timers, t, deadline_ns);
    bring_forward(deadline_ns);
}

void sched_disarm(struct timer *t)
{
    timerq_cancel(&this_cpu(sched_cpu)->timers, t);
}

void sched_arm_console(struct timer *t, uint64_t deadline_ns)
{
    timerq_arm(&this_cpu(sched_cpu)->console_timers, t, deadline_ns);
    bring_forward(deadline_ns);
}

static uint64_t host_timers_next(void)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    return MIN(timerq_next(&cpu->timers), timerq_next(&cpu->console_timers));
}

void sched_poke(void)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    cpu->poked = true; /* also between two turns, where the next look would else be left out */
    if (cpu->in_turn) {
        set_deadline();
    }
}

/* ---- who wants the CPU ------------------------------------------------------------------------
 */

static void want(struct sched_vcpu *v)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    if (cpu->in_turn) {
        charge_up(); /* how far the running one is counts */
    }
    turns_wake(&cpu->turns, &v->turn, clock_now_ns());
    if (cpu->turns.running) {
        bring_forward(turns_end_ns(&cpu->turns));
    }
}

void sched_wake(struct sched_vcpu *v)
{
    if (v->halted && !hvm_can_wake(v->hvm)) {
        return;
    }
    v->halted = false;
    if (v->vm->runs) {
        want(v);
    }
}

void sched_work(struct sched_vm *vm)
{
    want(vm->first);
}

void sched_remove(struct sched_vcpu *v)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    turns_sleep(&cpu->turns, &v->turn);
    if (cpu->turns.running == &v->turn &&
        cpu->in_turn != v) { /* if it is, `turn` looks at the VM's state */
        turns_put(&cpu->turns, false);
    }
}

/* From when on the timers of a vCPU that sleeps have something to do. */
static uint64_t timers_due_ns(const struct sched_vcpu *v)
{
    if (!v->vm->runs) {
        return TIMER_NEVER; /* its clocks show the time when it goes on */
    }
    uint64_t next = timerq_next(&v->vm->timers);
    bool wait = this_cpu(sched_cpu)->turns.running || !hvm_hears_irqs(v->hvm);
    return wait ? MAX(next, v->later_ns) : next;
}

/* Whether a VM that has no turn wants one for its own work. */
static bool work_due(const struct sched_vcpu *v, uint64_t now_ns)
{
    enum sched_wants wants = v->id == 0 ? vm_wants(v->vm) : SCHED_WANTS_NOTHING;

    return wants == SCHED_WANTS_TURN || (wants == SCHED_WANTS_WORK && now_ns >= v->work_ns);
}

/*
 * Has the due timers of a vCPU run that sleeps, unless the running one is to be left alone; and
 * puts it among those that want the CPU if it has reason to. Returns when it is to be looked at.
 */
static uint64_t look_at(struct sched_vcpu *v, uint64_t now_ns)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    if (v->turn.waits || cpu->turns.running == &v->turn) {
        return TIMER_NEVER;
    }
    if (work_due(v, now_ns)) {
        want(v);
        return TIMER_NEVER;
    }
    uint64_t at = timers_due_ns(v);
    if (at != TIMER_NEVER) {
        at = turns_alarm_ns(&cpu->turns, &v->turn, at, now_ns);
    }
    if (at <= now_ns) {
        struct account *before = charge(&v->vm->account);
        uint64_t begin = clock_now_ns();
        v->later_ns = now_ns + (hvm_hears_irqs(v->hvm) ? ASLEEP_NS : DEAF_NS);
        timerq_run(&v->vm->timers, now_ns);
        end_step("timers", v->vm, before, &begin);
        at = v->turn.waits ? TIMER_NEVER : timers_due_ns(v);
    }
    return v->id == 0 && vm_wants(v->vm) ? MIN(at, v->work_ns) : at;
}

/* Likewise, all of them. */
static uint64_t look_at_sleepers(uint64_t now_ns)
{
    uint64_t next = TIMER_NEVER;
    struct sched_vcpu *v;

    STAILQ_FOREACH(v, &this_cpu(sched_cpu)->vcpus, link)
    {
        next = MIN(next, look_at(v, now_ns));
    }
    return next;
}

/* ---- a turn ------------------------------------------------------------------------------------
 */

static bool can_run(const struct sched_vcpu *v)
{
    return v->vm->runs && !v->halted;
}

/* Runs the guest until something is due; *now_ns is moved on. */
static enum hvm_exit enter(struct sched_vcpu *v, uint64_t *now_ns)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    cpu->floor_ns = *now_ns + FLOOR_NS;
    set_deadline();
    enum hvm_exit why = hvm_run(v->hvm, &cpu->deadline_tsc);
    *now_ns = charge_at(&v->vm->account);
    uint64_t longest = clock_ticks_to_ns(hvm_longest_exit(v->hvm));
    if (longest > step_max_ns()) {
        step_note(hvm_longest_exit_name(v->hvm), v->vm->name, longest);
    }
    v->halted = why == HVM_EXIT_HALT;
    v->vm->ops->exited(v, why);
    return why;
}

static void take_interrupts(struct sched_vm *vm, uint64_t *now_ns)
{
    irq_window();
    end_step("host interrupts", NULL, &vm->account, now_ns);
}

/*
 * Whether the host may have an interrupt to take, though nothing else is due. A guest that does
 * nothing but exit, or whose every PAUSE exits, may never be in long enough to be interrupted. One
 * that came back before its deadline was, or is to let the host have a look (hvm_run).
 */
static bool may_have_interrupts(const struct sched_vm *vm, enum hvm_exit why, uint64_t now_ns)
{
    return why == HVM_EXIT_WORK || why == HVM_EXIT_PAUSE ||
           (why == HVM_EXIT_DEADLINE && now_ns < this_cpu(sched_cpu)->outer_ns &&
            now_ns < timerq_next(&vm->timers));
}

/* A step of the VM's own work. Interrupts that came during it are taken before the guest is
 * entered: else it would come back at once. */
static bool work(struct sched_vm *vm, uint64_t *now_ns)
{
    bool more = vm->ops->work(vm);

    end_step("work", vm, &charge_hypervisor, now_ns);
    take_interrupts(vm, now_ns);
    return more;
}

/* Steps of it: its guest mostly waits for them, so it does not come in between each two. */
static bool work_some(struct sched_vm *vm, uint64_t *now_ns)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);
    uint64_t end = MIN(*now_ns + WORK_RUN_NS, cpu->outer_ns);
    bool more;

    do {
        more = work(vm, now_ns);
    } while (more && *now_ns < end && !cpu->poked);
    return more;
}

/*
 * The running vCPU's turn, until it is over or something else is due: its VM's timers and work, out
 * of its own time, and the guest. Returns the time.
 */
static uint64_t turn(struct sched_vcpu *v)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);
    struct sched_vm *vm = v->vm;
    uint64_t now = charge_at(&vm->account);

    for (cpu->in_turn = v;;) {
        if (vm->runs && timerq_next(&vm->timers) <= now) {
            timerq_run(&vm->timers, now);
            end_step("timers", vm, &vm->account, &now);
        }
        bool more = v->id == 0 && vm_wants(vm) && work_some(vm, &now);
        if (!can_run(v)) {
            if (!more) {
                v->work_ns = now + WORK_NS;
                turns_put(&cpu->turns, false);
            }
            break;
        }
        enum hvm_exit why = enter(v, &now);
        if (why == HVM_EXIT_PAUSE && turns_yield(&cpu->turns)) {
            turns_put(&cpu->turns, true);
            break;
        }
        if (may_have_interrupts(vm, why, now)) {
            charge(&charge_hypervisor);
            take_interrupts(vm, &now);
        }
        if (cpu->poked || now >= cpu->outer_ns) {
            break;
        }
    }
    cpu->in_turn = NULL;
    return now;
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

static void run_host_timers(struct timerq *q, struct account *account, uint64_t *now_ns)
{
    if (timerq_next(q) <= *now_ns) {
        charge(&charge_hypervisor);
        timerq_run(q, *now_ns);
        this_cpu(sched_cpu)->poked = true; /* most are there for a work */
        end_step("host timers", NULL, account, now_ns);
    }
}

void sched_serve_console(void)
{
    uint64_t now = charge_at(&charge_hypervisor);

    irq_window();
    end_step("host interrupts", NULL, &charge_hypervisor, &now);
    run_host_timers(&this_cpu(sched_cpu)->console_timers, &charge_hypervisor, &now);
    works_do_console(&charge_hypervisor);
}

/*
 * What belongs to no VM: interrupts, timers, works, the background job. True: some work has more.
 *
 * `payer` is the VM that gave up its turn, or NULL: it pays for the way to the next one, so that
 * VMs that do little else than that take nothing from the others. For the same reason the works are
 * left out when they were looked at a moment ago. *now_ns is moved on.
 */
static bool housekeeping(struct sched_vm *payer, uint64_t *now_ns)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);
    struct account *account = payer ? &payer->account : &charge_hypervisor;
    bool busy = cpu->turns.running || cpu->turns.n_waiting > 0, more = true;

    charge_from(&charge_hypervisor, *now_ns);
    irq_window();
    end_step("host interrupts", NULL, account, now_ns);
    run_host_timers(&cpu->console_timers, account, now_ns);
    run_host_timers(&cpu->timers, account, now_ns);
    if (!busy || cpu->poked || *now_ns - cpu->looked_ns >= LOOK_NS) {
        cpu->poked = false;
        cpu->looked_ns = *now_ns;
        more = works_do(account);
        *now_ns = clock_now_ns();
    }
    if (background_next_ns(busy) <= *now_ns) {
        *now_ns = charge_at(background->account);
        background->step(busy);
        end_step(background->name, NULL, account, now_ns);
    }
    return more || cpu->poked;
}

/* Returns the time. */
static uint64_t idle(uint64_t until_ns)
{
    clock_arm(MIN(MIN(host_timers_next(), background_next_ns(false)), until_ns));
    charge(&charge_idle);
    irq_idle();
    return charge_at(&charge_hypervisor);
}

/* Goes on with the present turn, or begins the next; NULL: no vCPU wants one. *alarm_ns is when the
 * others are to be looked at. */
static struct sched_vcpu *choose(uint64_t now_ns, uint64_t *alarm_ns)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);

    if (cpu->turns.running && now_ns >= turns_end_ns(&cpu->turns)) {
        turns_put(&cpu->turns, true);
    }
    *alarm_ns = look_at_sleepers(now_ns);
    if (!cpu->turns.running && turns_pick(&cpu->turns, now_ns)) {
        *alarm_ns = look_at_sleepers(now_ns); /* now beside this one */
    }
    return cpu->turns.running ? container_of(cpu->turns.running, struct sched_vcpu, turn) : NULL;
}

void sched_loop(void)
{
    struct sched_cpu *cpu = this_cpu(sched_cpu);
    uint64_t now = clock_now_ns(), alarm;

    for (struct sched_vm *payer = NULL;;) {
        bool more = housekeeping(payer, &now);
        if (still_run()) {
            more = true;
            now = clock_now_ns();
        }
        struct sched_vcpu *v = choose(now, &alarm);
        payer = NULL;
        if (v) {
            cpu->outer_ns = MIN(MIN(turns_end_ns(&cpu->turns), host_timers_next()),
                                MIN(MAX(background_next_ns(true), now + GUEST_MIN_NS), alarm));
            now = turn(v);
            payer = cpu->turns.running ? NULL : v->vm;
        } else if (!more && background_next_ns(false) > now && host_timers_next() > now) {
            now = idle(alarm);
        }
    }
}
