/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's loop on a machine whose guests, timers and interrupts come as the test says. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "fake_machine.h"
#include "kernel/core/charge.h"

#define FLOOR_NS (100 * US)
#define WORK_NS (10 * MS)

static uint64_t start_ns;

static int begin(void **state)
{
    (void)state;
    machine_pass(MS); /* apart from the test before */
    machine_init();
    start_ns = machine.now_ns;
    return 0;
}

static void run(uint64_t ns)
{
    machine_run(machine.now_ns + ns);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void test_turns_go_by_use(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy(), *b = machine_add_busy(), *c = machine_add_busy();

    run(300 * MS);
    assert_in_range(a->guest.ran_ns, 90 * MS, 110 * MS);
    assert_in_range(b->guest.ran_ns, 90 * MS, 110 * MS);
    assert_in_range(c->guest.ran_ns, 90 * MS, 110 * MS);
}

/* What was done for a VM outside its turns it pays back by waiting. */
static void test_use_outside_a_turn_counts(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy(), *b = machine_add_busy();
    struct account *before = charge_vm_number(1);

    machine_pass(50 * MS);
    assert_ptr_equal(charge(before), &a->sched.account);
    run(50 * MS);
    assert_in_range(a->guest.ran_ns, 0, 12 * MS); /* at most the turn that had been its by then */
    assert_in_range(b->guest.ran_ns, 38 * MS, 50 * MS);
}

static void test_one_that_spins_lets_another_go_first(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy(), *b = machine_add_busy();

    a->guest.left_ns = 50 * US;
    a->guest.then = HVM_EXIT_PAUSE;
    run(300 * US);
    assert_int_equal(a->why, HVM_EXIT_PAUSE);
    assert_in_range(b->guest.first_ns, start_ns, start_ns + 60 * US);
}

/* ---- exits ---------------------------------------------------------------------------------- */

static void test_owner_hears_of_exits(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    a->guest.left_ns = 50 * US;
    run(10 * MS);
    assert_int_equal(a->exits, 1); /* it halted, and was not entered again */
    assert_int_equal(a->why, HVM_EXIT_HALT);
    assert_true(a->vcpu.halted);
    assert_int_equal(a->guest.ran_ns, 50 * US);

    a->guest.wake_ns = 70 * US;
    a->guest.then = HVM_EXIT_SHUTDOWN;
    a->stops = true;
    machine_wake(a);
    run(10 * MS);
    assert_int_equal(a->exits, 2);
    assert_int_equal(a->why, HVM_EXIT_SHUTDOWN);
    assert_false(a->vcpu.halted);
    assert_int_equal(a->guest.ran_ns, 120 * US); /* its owner said that it may not run */
    sched_wake(&a->vcpu);
    run(10 * MS);
    assert_int_equal(a->exits, 2);
}

static void remove_second(void)
{
    test_vms[1].sched.runs = false;
    sched_remove(&test_vms[1].vcpu);
}

static void test_removed_runs_no_more(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy(), *b = machine_add_busy();

    machine_interrupt(start_ns + 25 * MS, remove_second);
    run(25 * MS);
    uint64_t had_ns = b->guest.ran_ns;
    assert_true(had_ns > 0);
    run(100 * MS);
    assert_int_equal(b->guest.ran_ns, had_ns);
    b->sched.runs = true;
    sched_wake(&b->vcpu);
    run(100 * MS);
    assert_true(b->guest.ran_ns > had_ns);
    assert_true(a->guest.ran_ns > 100 * MS);
}

/* ---- sleepers ------------------------------------------------------------------------------- */

static void wake_second(void)
{
    machine_wake(&test_vms[1]);
}

/* It is behind the one that runs, and goes first after a millisecond of that one's turn. */
static void test_sleeper_wakes_soon(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy(), *b = machine_add_asleep();

    b->guest.wake_ns = 20 * US;
    machine_interrupt(start_ns + 200 * US, wake_second);
    run(3 * MS);
    assert_in_range(b->guest.first_ns - start_ns, MS, MS + 20 * US);
    assert_true(b->vcpu.halted);
    b->guest.first_ns = 0;
    machine_interrupt(start_ns + 35 * MS, wake_second);
    run(40 * MS);
    assert_in_range(b->guest.first_ns - start_ns, 35 * MS, 36 * MS + 20 * US);
    assert_true(a->guest.ran_ns > 40 * MS);
}

static void test_sleepers_own_timer_wakes_it(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy(), *b = machine_add_asleep();

    b->guest.wake_ns = 20 * US;
    b->wakes = true;
    machine_arm(b, start_ns + 5 * MS);
    run(9 * MS);
    assert_int_equal(b->fired, 1);
    assert_in_range(b->guest.first_ns - start_ns, 5 * MS, 5 * MS + FLOOR_NS + 20 * US);
    assert_true(a->guest.runs > 0);
}

/* Beside one that runs, timers that do not wake a sleeper are looked at once a millisecond; those
 * of one that halted with interrupts off, once in ten. */
static void test_timers_of_a_sleeper_leave_others_alone(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy(), *b = machine_add_asleep(), *c = machine_add_asleep();

    c->guest.deaf = true;
    b->every_ns = c->every_ns = 50 * US;
    machine_arm(b, start_ns);
    machine_arm(c, start_ns);
    run(100 * MS);
    assert_in_range(b->fired, 50, 101);
    assert_in_range(c->fired, 5, 11);
    assert_true(a->guest.ran_ns > 98 * MS);
    assert_int_equal(b->guest.runs + c->guest.runs, 0);
}

/* The machine has nothing else to do: they are punctual. */
static void test_timers_of_a_sleeper_on_an_idle_machine(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_asleep();

    a->every_ns = 500 * US;
    machine_arm(a, start_ns + 500 * US);
    run(20 * MS + 100 * US);
    assert_in_range(a->fired, 39, 40);
}

static void test_timers_wait_while_a_vm_may_not_run(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_asleep(), *b = machine_add_busy();

    a->sched.runs = false;
    machine_arm(a, start_ns + MS);
    run(50 * MS);
    assert_int_equal(a->fired, 0);
    a->sched.runs = true;
    sched_wake(&a->vcpu);
    run(10 * MS);
    assert_int_equal(a->fired, 1);
    assert_true(b->guest.runs > 0);
}

static void arm_first(void)
{
    machine_arm(&test_vms[0], machine.now_ns + 30 * US);
}

/* A device model arms a timer during an exit: the guest is out again in time for it. */
static void test_timer_armed_by_the_running_guest(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    a->guest.call = arm_first;
    a->guest.call_ns = start_ns + 200 * US;
    run(240 * US);
    assert_int_equal(a->fired, 1);
    assert_in_range(a->guest.least_ns, 225 * US, 230 * US);
}

/* ---- works ---------------------------------------------------------------------------------- */

static unsigned host_fired;
static uint64_t host_every_ns, host_fired_ns;
static struct timer host_timer;

static void host_timer_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    host_fired++;
    host_fired_ns = now_ns;
    if (host_every_ns > 0) {
        sched_arm(&host_timer, now_ns + host_every_ns);
    }
}

static bool has_more(void)
{
    machine_pass(10 * US);
    return true;
}

/* However often the host's timers are due and whatever the works want, the guest has 100 us between
 * two rounds of them. */
static void test_floor_between_works(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    host_fired = 0;
    host_every_ns = 10 * US;
    timer_init(&host_timer, host_timer_due, NULL);
    machine.work = has_more;
    sched_arm(&host_timer, start_ns);
    machine_pass(FLOOR_NS);
    run(20 * MS);
    assert_in_range(a->guest.least_ns, FLOOR_NS, FLOOR_NS + US);
    assert_in_range(machine.works, 150, 200);
    assert_in_range(host_fired, 150, 200);
    assert_true(a->guest.ran_ns > 16 * MS);
    host_every_ns = 0;
}

/* The machine may not sleep while a work has more. */
static void test_no_idle_while_a_work_has_more(void **state)
{
    (void)state;
    machine.work = has_more;
    machine_add_asleep();
    run(MS);
    assert_int_equal(machine.idles, 0);
    assert_true(machine.works > 80);
}

static void poke(void)
{
    sched_poke();
}

/* The running guest is left when the floor has passed. */
static void test_poke_in_a_turn(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    run(300 * US);
    unsigned works = machine.works;
    a->guest.call = poke;
    a->guest.call_ns = machine.now_ns + 50 * US;
    run(130 * US);
    assert_int_equal(machine.works, works + 1);
}

/*
 * A poke between two turns, of which no guest's deadline could tell: the works were looked at a
 * moment ago, and the next turn is to be a long one. They are looked at all the same.
 */
static void test_poke_between_turns_is_not_lost(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy(), *b = machine_add_busy();

    a->guest.left_ns = 50 * US;
    machine_interrupt(start_ns + MACHINE_WINDOW_NS + 50 * US, poke); /* just as it halts */
    run(120 * US);
    assert_true(a->vcpu.halted);
    assert_int_equal(machine.works, 2); /* the first look, and for the poke */
    assert_in_range(b->guest.ran_ns, 1, 100 * US);
}

/* ---- a VM's own work ------------------------------------------------------------------------ */

static bool three_steps(struct test_vm *vm)
{
    machine_pass(20 * US);
    if (vm->works % 3 == 0) {
        vm->wants = SCHED_WANTS_NOTHING;
        return false;
    }
    return true;
}

/* It may not run, as it starts or stops: it has turns for its work all the same, and pays. */
static void test_work_of_a_vm_that_may_not_run(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_asleep(), *b = machine_add_busy();

    a->sched.runs = false;
    run(30 * MS);
    assert_int_equal(a->works, 0);
    uint64_t asked_ns = machine.now_ns;
    a->work = three_steps;
    a->wants = SCHED_WANTS_WORK;
    sched_work(&a->sched);
    run(20 * MS);
    assert_int_equal(a->works, 3);
    assert_in_range(a->worked_ns - asked_ns, 0, 2 * MS);
    assert_in_range(charged_ns(&a->sched.account), 60 * US, 70 * US);
    assert_int_equal(a->guest.runs, 0);
    assert_true(b->guest.ran_ns > 45 * MS);
}

/* Nothing has told the scheduler of it. */
static void test_work_that_has_come_by_itself(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_asleep(), *b = machine_add_busy();

    a->wants = SCHED_WANTS_TURN;
    run(12 * MS);
    assert_int_equal(a->works, 1);
    assert_true(b->guest.runs > 0);
}

static bool cannot_go_on(struct test_vm *vm)
{
    (void)vm;
    machine_pass(5 * US);
    return false;
}

static void ask_for_work(void)
{
    sched_work(&test_vms[0].sched);
}

/* It waits for something: it is tried again now and then, on a machine that is idle or not, and at
 * once when the scheduler is told that it may go on. */
static void test_work_that_cannot_go_on(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_asleep();

    a->work = cannot_go_on;
    a->wants = SCHED_WANTS_WORK;
    sched_work(&a->sched);
    run(MS);
    assert_int_equal(a->works, 1);
    machine_interrupt(start_ns + 2 * MS, ask_for_work);
    run(5 * MS);
    assert_int_equal(a->works, 2);
    assert_in_range(a->worked_ns - start_ns, 2 * MS, 2 * MS + 5 * US);
    run(100 * MS);
    assert_in_range(a->works, 10, 12);
    unsigned had = a->works;
    struct test_vm *b = machine_add_busy();
    run(100 * MS);
    assert_in_range(a->works - had, 4, 11); /* it waits for the other's turn to end */
    assert_true(b->guest.ran_ns > 95 * MS);
}

static bool endless(struct test_vm *vm)
{
    (void)vm;
    machine_pass(20 * US);
    return true;
}

/* Work without end leaves the VM's guest 100 us to a millisecond of it. */
static void test_work_leaves_the_guest_its_time(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    a->work = endless;
    a->wants = SCHED_WANTS_TURN;
    run(50 * MS);
    assert_true(a->guest.least_ns >= FLOOR_NS);
    assert_in_range(a->guest.ran_ns, 4 * MS, 6 * MS);
}

/* ---- the background job --------------------------------------------------------------------- */

static struct account job_account;
static unsigned job_steps;
static uint64_t job_at_ns, job_every_ns;

static uint64_t job_next_ns(bool busy)
{
    (void)busy;
    return job_at_ns;
}

static void job_step(bool busy)
{
    (void)busy;
    job_steps++;
    machine_pass(100 * US);
    job_at_ns = job_every_ns == TIMER_NEVER ? TIMER_NEVER : machine.now_ns + job_every_ns;
}

static const struct sched_background job = {
    .name = "a job", .account = &job_account, .next_ns = job_next_ns, .step = job_step};

static void begin_job(uint64_t at_ns, uint64_t every_ns)
{
    job_account = (struct account){0};
    job_steps = 0;
    job_at_ns = at_ns;
    job_every_ns = every_ns;
    sched_set_background(&job);
}

static void test_background_job(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    begin_job(start_ns + 5 * MS, TIMER_NEVER);
    run(9 * MS);
    assert_int_equal(job_steps, 1);
    assert_int_equal(charged_ns(&job_account), 100 * US);
    assert_in_range(a->guest.ran_ns, 8 * MS, 9 * MS);

    begin_job(machine.now_ns, 0); /* it would always have something to do */
    a->guest.ran_ns = 0;
    run(100 * MS);
    assert_in_range(job_steps, 80, 101); /* a millisecond for the guest after each, or its turn */
    assert_true(a->guest.ran_ns > 88 * MS);
}

/* ---- when nothing is to be done ------------------------------------------------------------- */

static uint64_t console_fired_ns;

static void console_timer_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    console_fired_ns = now_ns;
}

/* The host halts until the nearest of: its timers, the console's, the job's time, a VM's timer. */
static void test_idle_arms_the_clock(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_asleep();
    struct timer console;

    machine_arm(a, start_ns + 2 * MS);
    timer_init(&console, console_timer_due, NULL);
    sched_arm_console(&console, start_ns + 4 * MS);
    timer_init(&host_timer, host_timer_due, NULL);
    host_fired = 0;
    sched_arm(&host_timer, start_ns + 6 * MS);
    begin_job(start_ns + 8 * MS, TIMER_NEVER);
    for (uint64_t ms = 2; ms <= 8; ms += 2) {
        machine_run(start_ns + ms * MS - 500 * US);
        assert_int_equal(machine.idle_armed_ns, start_ns + ms * MS);
        assert_int_equal(a->fired, ms > 2);
        assert_int_equal(host_fired, ms > 6);
    }
    assert_in_range(console_fired_ns - start_ns, 4 * MS, 4 * MS + 2 * MACHINE_WINDOW_NS);
    run(2 * MS);
    assert_int_equal(job_steps, 1);
    assert_int_equal(machine.idle_armed_ns, TIMER_NEVER);
    assert_int_equal(a->guest.runs, 0);
    assert_in_range(machine.idles, 4, 14); /* none of them a loop that waits awake */
}

/* A timer of the host's that is armed while a guest runs brings the guest's exit forward. */
static void arm_host(void)
{
    sched_arm(&host_timer, machine.now_ns + 300 * US);
}

static void test_host_timer_beside_a_guest(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    timer_init(&host_timer, host_timer_due, NULL);
    host_fired = 0;
    a->guest.call = arm_host;
    a->guest.call_ns = start_ns + 500 * US;
    run(5 * MS);
    assert_int_equal(host_fired, 1);
    assert_in_range(host_fired_ns - start_ns, 800 * US, 802 * US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_turns_go_by_use, begin),
        cmocka_unit_test_setup(test_use_outside_a_turn_counts, begin),
        cmocka_unit_test_setup(test_one_that_spins_lets_another_go_first, begin),
        cmocka_unit_test_setup(test_owner_hears_of_exits, begin),
        cmocka_unit_test_setup(test_removed_runs_no_more, begin),
        cmocka_unit_test_setup(test_sleeper_wakes_soon, begin),
        cmocka_unit_test_setup(test_sleepers_own_timer_wakes_it, begin),
        cmocka_unit_test_setup(test_timers_of_a_sleeper_leave_others_alone, begin),
        cmocka_unit_test_setup(test_timers_of_a_sleeper_on_an_idle_machine, begin),
        cmocka_unit_test_setup(test_timers_wait_while_a_vm_may_not_run, begin),
        cmocka_unit_test_setup(test_timer_armed_by_the_running_guest, begin),
        cmocka_unit_test_setup(test_floor_between_works, begin),
        cmocka_unit_test_setup(test_no_idle_while_a_work_has_more, begin),
        cmocka_unit_test_setup(test_poke_in_a_turn, begin),
        cmocka_unit_test_setup(test_poke_between_turns_is_not_lost, begin),
        cmocka_unit_test_setup(test_work_of_a_vm_that_may_not_run, begin),
        cmocka_unit_test_setup(test_work_that_has_come_by_itself, begin),
        cmocka_unit_test_setup(test_work_that_cannot_go_on, begin),
        cmocka_unit_test_setup(test_work_leaves_the_guest_its_time, begin),
        cmocka_unit_test_setup(test_background_job, begin),
        cmocka_unit_test_setup(test_idle_arms_the_clock, begin),
        cmocka_unit_test_setup(test_host_timer_beside_a_guest, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
