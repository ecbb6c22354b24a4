/* SPDX-License-Identifier: BSD-2-Clause */
/* Beside the loop: what is charged to which account, the machine that stands still, long steps. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/irq.h"
#include "base/deadline.h"
#include "fake_log.h"
#include "fake_machine.h"
#include "kernel/core/charge.h"
#include "kernel/core/step.h"
#include "kernel/core/still.h"

#define HELD_VECTOR ((int)IRQ_FIRST_VECTOR + 4) /* of the console's line: COM1 */

static uint64_t start_ns;

static int begin(void **state)
{
    (void)state;
    machine_pass(MS);
    machine_init();
    start_ns = machine.now_ns;
    return 0;
}

static void run(uint64_t ns)
{
    machine_run(machine.now_ns + ns);
}

/* ---- accounts ------------------------------------------------------------------------------- */

static struct timer host_timer;

static void host_timer_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    machine_pass(7 * US);
    sched_arm(&host_timer, now_ns + 300 * US);
}

static bool some_work(void)
{
    struct account *before = charge(&charge_console);

    machine_pass(3 * US);
    (void)charge(before);
    return false;
}

static struct account job_account;

static uint64_t job_next_ns(bool busy)
{
    return machine.now_ns + (busy ? 900 * US : 0);
}

static void job_step(bool busy)
{
    (void)busy;
    machine_pass(50 * US);
}

/* Every nanosecond is charged, once, whatever goes on. */
static void test_accounts_add_up_to_the_clock(void **state)
{
    static const struct sched_background job = {
        .name = "a job", .account = &job_account, .next_ns = job_next_ns, .step = job_step};
    struct test_vm *busy, *sleeper, *worker;

    (void)state;
    job_account = (struct account){0};
    busy = machine_add_busy();
    sleeper = machine_add_asleep();
    worker = machine_add_asleep();
    sleeper->wakes = true;
    sleeper->every_ns = 2 * MS;
    sleeper->guest.wake_ns = 40 * US;
    machine_arm(sleeper, start_ns + MS);
    timer_init(&host_timer, host_timer_due, NULL);
    sched_arm(&host_timer, start_ns);
    machine.work = some_work;
    sched_set_background(&job);
    for (unsigned i = 0; i < 20; i++) {
        if (i == 10) {
            busy->guest.left_ns = 0; /* the machine is idle now and then */
        }
        worker->wants = SCHED_WANTS_TURN;
        sched_work(&worker->sched);
        run(3 * MS);
        uint64_t sum = charged_ns(&charge_hypervisor) + charged_ns(&charge_console) +
                       charged_ns(&charge_idle) + charged_ns(&job_account);
        for (unsigned v = 0; v < 3; v++) {
            sum += charged_ns(&test_vms[v].sched.account);
        }
        assert_int_equal(sum, machine.now_ns);
    }
    assert_int_equal(worker->works, 20);
    assert_true(charged_ns(&busy->sched.account) >= busy->guest.ran_ns);
    assert_true(charged_ns(&sleeper->sched.account) >= sleeper->guest.ran_ns);
    assert_true(sleeper->guest.ran_ns >= 20 * 40 * US);
    assert_true(charged_ns(&charge_console) >= machine.works * 3 * US);
    assert_int_equal(charged_ns(&job_account) % (50 * US), 0);
}

static void test_numbers_of_vms(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_asleep(), *b = machine_add_asleep();

    (void)charge_vm_number(2);
    machine_pass(5 * US);
    assert_ptr_equal(charge_vm_number(1), &b->sched.account);
    machine_pass(7 * US);
    assert_ptr_equal(charge_vm_number(0), &a->sched.account);
    machine_pass(11 * US);
    assert_int_equal(charged_ns(&a->sched.account), 7 * US);
    assert_int_equal(charged_ns(&b->sched.account), 5 * US);
    assert_int_equal(charged_ns(&charge_hypervisor), start_ns + 11 * US);
}

static bool console_finds(void)
{
    (void)charge(&charge_console); /* and leaves it open */
    machine_pass(3 * US);
    return false;
}

static bool only_looks(void)
{
    machine_pass(2 * US);
    return false;
}

/* What a work finds is charged as it says, and a look that finds nothing to the VM that gave up its
 * turn; without one to the hypervisor. */
static void test_looks_of_works_are_charged(void **state)
{
    (void)state;
    machine.console_work = console_finds;
    machine.work = only_looks;
    run(5 * MS);
    assert_int_equal(charged_ns(&charge_console), machine.console_works * 3 * US);
    assert_true(charged_ns(&charge_hypervisor) - start_ns >= machine.works * 2 * US);
    struct test_vm *a = machine_add_busy();
    uint64_t hypervisor_ns = charged_ns(&charge_hypervisor);
    a->guest.left_ns = 50 * US;
    run(1 * MS);
    assert_in_range(charged_ns(&a->sched.account), 52 * US, 54 * US);
    assert_true(charged_ns(&charge_hypervisor) - hypervisor_ns <= 20 * US);
}

/* ---- the machine stands still --------------------------------------------------------------- */

/* What happened, in order: clocks stopped, work begun and ended, clocks on again; and the rest. */
static char happened[16];
static unsigned said, interrupts;
static bool end_it;

static void note(const char *what)
{
    strncat(happened, what, sizeof(happened) - strlen(happened) - 1);
}

static void clocks(bool stop, struct yield *y)
{
    assert_int_equal(machine.held, HELD_VECTOR);
    note(stop ? "[" : "]");
    for (unsigned i = 0; i < 8; i++) {
        machine_pass(60 * US);
        assert_true(yield_go_on(y)); /* it may not be left half done */
    }
}

static struct timer console_timer;

static void console_timer_due(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    (void)now_ns;
    note("t");
}

static void disk_interrupt(void)
{
    interrupts++;
    assert_int_equal(machine.held, -1);
}

static void long_work(struct yield *y)
{
    assert_int_equal(machine.held, HELD_VECTOR);
    note("b");
    sched_arm_console(&console_timer, machine.now_ns + MS);
    machine_interrupt(machine.now_ns + 100 * US, disk_interrupt);
    for (unsigned i = 0; i < 100; i++) {
        machine_pass(50 * US);
        if (end_it && i == 50) {
            still_end();
        }
        if (!yield_go_on(y)) {
            note("x");
            return;
        }
    }
    note("e");
    assert_int_equal(interrupts, 0);
}

static void begin_still(void)
{
    happened[0] = '\0';
    interrupts = 0;
    end_it = false;
    timer_init(&console_timer, console_timer_due, NULL);
    still_init(clocks);
}

static void test_still(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    begin_still();
    run(5 * MS);
    uint64_t ran_ns = a->guest.ran_ns, console_ns = charged_ns(&charge_console);
    uint64_t vm_ns = charged_ns(&a->sched.account);
    unsigned works = machine.works, console_works = machine.console_works;
    assert_false(still_is_asked());
    still_ask(long_work);
    assert_true(still_is_asked());
    assert_true(still_run());
    assert_false(still_is_asked());
    assert_string_equal(happened, "[bte]");
    assert_int_equal(machine.held, -1);
    /* 5 ms of work in steps of 0.2 ms, and one of the clocks; the console's work between two. */
    assert_in_range(machine.console_works - console_works, 20, 31);
    assert_int_equal(machine.works, works);
    assert_in_range(charged_ns(&charge_console) - console_ns, 5 * MS + 900 * US, 6 * MS);
    assert_int_equal(charged_ns(&a->sched.account), vm_ns);
    assert_int_equal(a->guest.ran_ns, ran_ns);
    assert_int_equal(interrupts, 0); /* it waits for the loop */
    run(5 * MS);
    assert_int_equal(interrupts, 1);
    assert_true(a->guest.ran_ns > ran_ns);
    assert_false(still_run());
}

/* The loop does it between two turns, without waiting for the end of a guest's. */
static bool ask_for_it(void)
{
    if (said++ == 0) {
        still_ask(long_work);
    }
    return false;
}

static void test_loop_runs_it(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    begin_still();
    said = 0;
    machine.work = ask_for_it;
    run(10 * MS);
    assert_string_equal(happened, "[bte]");
    assert_false(still_is_asked());
    assert_int_equal(interrupts, 1);
    assert_in_range(a->guest.ran_ns, 3 * MS, 5 * MS);
}

/* Ctrl-C, while it goes on: the clocks go on all the same. */
static void test_still_ended(void **state)
{
    (void)state;
    begin_still();
    end_it = true;
    still_ask(long_work);
    assert_true(still_run());
    assert_string_equal(happened, "[btx]");
    assert_false(still_is_asked());
    assert_int_equal(machine.held, -1);
}

/* And before it began. */
static void test_still_taken_back(void **state)
{
    (void)state;
    begin_still();
    still_ask(long_work);
    still_end();
    assert_true(still_run());
    assert_string_equal(happened, "");
    assert_false(still_is_asked());
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void test_step_deadline(void **state)
{
    (void)state;
    struct deadline d = step_begin();

    machine_pass(STEP_NS - 1);
    assert_false(deadline_passed(&d));
    machine_pass(1);
    assert_true(deadline_passed(&d));
}

static bool slow_work(void)
{
    machine_pass(said);
    return false;
}

/* The longest step is known, whatever it was: an exit, a work, timers; and it is in the log once,
 * and again when there is one twice as long. */
static void test_long_steps_are_noted(void **state)
{
    (void)state;
    struct test_vm *a = machine_add_busy();

    run(12 * MS);
    assert_true(step_max_ns() < STEP_BOUND_NS);
    said = STEP_BOUND_NS;
    machine.work = slow_work;
    run(12 * MS);
    assert_int_equal(step_max_ns(), STEP_BOUND_NS);
    assert_null(strstr(log_last_line(), "took")); /* that is the bound */
    said = STEP_BOUND_NS + 500 * US;
    run(12 * MS);
    assert_int_equal(step_max_ns(), STEP_BOUND_NS + 500 * US);
    assert_string_equal(log_last_line(), "a step took 1500 us: a work");
    machine.work = NULL;
    a->guest.longest_ticks = 2 * 2000 * US; /* two ticks to a nanosecond */
    run(12 * MS);
    assert_int_equal(step_max_ns(), 2000 * US);
    assert_string_equal(log_last_line(), "a step took 1500 us: a work"); /* a few lines in all */
    a->guest.longest_ticks = 2 * 4000 * US;
    run(12 * MS);
    assert_string_equal(log_last_line(), "a step took 4000 us: an exit of vm");
    assert_int_equal(step_max_ns(), 4000 * US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_accounts_add_up_to_the_clock, begin),
        cmocka_unit_test_setup(test_numbers_of_vms, begin),
        cmocka_unit_test_setup(test_looks_of_works_are_charged, begin),
        cmocka_unit_test_setup(test_still, begin),
        cmocka_unit_test_setup(test_loop_runs_it, begin),
        cmocka_unit_test_setup(test_still_ended, begin),
        cmocka_unit_test_setup(test_still_taken_back, begin),
        cmocka_unit_test_setup(test_step_deadline, begin),
        cmocka_unit_test_setup(test_long_steps_are_noted, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
