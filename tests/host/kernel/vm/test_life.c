/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM's life on a whole kernel: starting, running, pausing, stopping and restarting; starts that
 * fail; waiting for memory. After each the frames are all back and `check` finds nothing.
 */
#include "world_kernel.h"

#include <string.h>

#include "arch/x86_64/clock.h"
#include "drivers/guest/pvpanic.h"
#include "drivers/guest/vacpi_pm.h"
#include "kernel/core/machine.h"
#include "kernel/vm/images.h"
#include "kernel/vm/wait_memory.h"

#define S (1000 * MS)

/* Any VM may take the frames that there are. */
#define NO_ORDER "[host]\nmemory.order = off\n"
#define ONE "[vm one]\nmemory = 4M\nkernel = kernel\nstart = off\n"
#define TWO "[vm two]\nmemory = 4M\nkernel = kernel\nstart = off\n"

static uint64_t free_frames(void)
{
    return machine_frames.by_state[FRAME_FREE];
}

static struct vm *vm(const char *name)
{
    struct vm *v = vm_find(name);

    assert_non_null(v);
    return v;
}

static struct hvm_vcpu *guest(const char *name)
{
    return vm(name)->vcpus[0].hvm;
}

static void assert_said(const char *text)
{
    if (!strstr(kernel_said(), text)) {
        fail_msg("not said: %s\nbut:\n%s", text, kernel_said());
    }
}

static void assert_not_said(const char *text)
{
    if (strstr(kernel_said(), text)) {
        fail_msg("said: %s\nin:\n%s", text, kernel_said());
    }
}

static void assert_state(const char *name, const char *state)
{
    if (strcmp(vm_state_name(vm(name)), state) != 0) {
        fail_msg("%s is %s and not %s\n%s", name, vm_state_name(vm(name)), state, kernel_said());
    }
}

static void check(void)
{
    kernel_hush();
    kernel_type("check\r");
    kernel_run_ns(2 * S);
    assert_said("check: OK");
}

static void start(const char *name)
{
    assert_int_equal(vm_start(vm(name)), OK);
}

/* ---- programs of guests -------------------------------------------------------------------- */

/* Writes to one page after the other, from 2 MiB on. */
static uint64_t next_page;
static unsigned retries;

static enum hvm_exit fills_memory(struct hvm_vcpu *v)
{
    uint64_t word = next_page + 1;

    machine_pass(10 * US);
    if (next_page == 256) {
        return HVM_EXIT_DEADLINE;
    }
    enum status s = p2m_write(v->p2m, GPA((2 << 20) + (next_page << PAGE_SHIFT)), &word, 8);
    if (s == E_NOMEM) {
        retries++;
        return HVM_EXIT_NO_MEMORY;
    }
    assert_int_equal(s, OK);
    next_page++;
    return HVM_EXIT_DEADLINE;
}

static enum hvm_exit turns_off(struct hvm_vcpu *v)
{
    machine_pass(10 * US);
    v->ops->pio_write(v->ctx, VACPI_PM_CNT_PORT, 2, VACPI_PM_SLP_TYP_S5 << 10 | 1u << 13);
    return HVM_EXIT_DEADLINE;
}

static enum hvm_exit resets(struct hvm_vcpu *v)
{
    machine_pass(10 * US);
    v->ops->pio_write(v->ctx, VACPI_PM_RESET_PORT, 1, VACPI_PM_RESET_VALUE);
    return HVM_EXIT_DEADLINE;
}

static enum hvm_exit panics(struct hvm_vcpu *v)
{
    machine_pass(10 * US);
    v->ops->pio_write(v->ctx, PVPANIC_PORT, 1, PVPANIC_PANICKED);
    return HVM_EXIT_DEADLINE;
}

static enum hvm_exit breaks(struct hvm_vcpu *v)
{
    (void)v;
    machine_pass(10 * US);
    return HVM_EXIT_CRASH;
}

static enum hvm_exit halts_for_good(struct hvm_vcpu *v)
{
    machine_pass(10 * US);
    v->deaf = true;
    return HVM_EXIT_HALT;
}

/* ---- start and stop ------------------------------------------------------------------------ */

static void test_a_start_loads_and_enters_the_kernel(void **state)
{
    uint8_t byte = 0;

    (void)state;
    kernel_boot(64, ONE);
    uint64_t before = free_frames();
    start("one");
    assert_state("one", "starting");
    assert_int_equal(vm_start(vm("one")), E_BUSY);
    kernel_run_ns(50 * MS);
    assert_state("one", "running");
    assert_int_equal(vm("one")->boots, 1);
    assert_int_equal(guest("one")->rip, 1 << 20);
    assert_int_equal(p2m_read(&vm("one")->p2m, GPA(1 << 20), &byte, 1), OK);
    assert_int_equal(byte, 1);
    assert_true(guest("one")->ran_ns > 30 * MS);
    assert_true(free_frames() < before);
    check();

    vm_stop(vm("one"), false, "for the test");
    kernel_run_ns(50 * MS);
    assert_state("one", "off");
    assert_string_equal(vm("one")->stop_reason, "for the test");
    uint64_t ran = guest("one")->ran_ns;
    kernel_run_ns(50 * MS);
    assert_int_equal(guest("one")->ran_ns, ran);
    check();
    (void)cache_reclaim(&machine_cache, UINT64_MAX);
    (void)images_reclaim(NULL, UINT64_MAX);
    assert_int_equal(free_frames(), before);
}

/* ---- pause --------------------------------------------------------------------------------- */

static void test_a_paused_guest_does_not_run_and_misses_no_time(void **state)
{
    (void)state;
    kernel_boot(64, ONE);
    assert_int_equal(vm_pause(vm("one")), E_INVAL);
    start("one");
    kernel_run_ns(50 * MS);
    uint64_t tsc = hvm_guest_tsc(guest("one"));
    assert_int_equal(vm_pause(vm("one")), OK);
    assert_int_equal(vm_pause(vm("one")), E_INVAL);
    uint64_t ran = guest("one")->ran_ns;
    kernel_run_ns(3 * S);
    assert_state("one", "paused");
    assert_int_equal(guest("one")->ran_ns, ran);
    assert_int_equal(vm_resume(vm("one")), OK);
    assert_int_equal(vm_resume(vm("one")), E_INVAL);
    assert_int_equal(hvm_guest_tsc(guest("one")), tsc); /* it listens to no clock page */
    kernel_run_ns(50 * MS);
    assert_state("one", "running");
    assert_true(guest("one")->ran_ns > ran + 30 * MS);
    check();
}

static void test_a_pause_while_it_starts_comes_before_the_first_instruction(void **state)
{
    (void)state;
    kernel_boot(64, ONE);
    start("one");
    assert_int_equal(vm_pause(vm("one")), OK);
    kernel_run_ns(100 * MS);
    assert_state("one", "paused");
    assert_int_equal(vm("one")->boots, 1);
    assert_int_equal(guest("one")->runs, 0);
    assert_int_equal(vm_resume(vm("one")), OK);
    kernel_run_ns(50 * MS);
    assert_true(guest("one")->runs > 0);

    vm_stop(vm("one"), true, "again");
    kernel_run_ns(1); /* the pause was of that life */
    kernel_run_ns(2 * S);
    assert_state("one", "running");
}

static void test_a_pause_taken_back_while_it_starts_is_none(void **state)
{
    (void)state;
    kernel_boot(64, ONE);
    start("one");
    assert_int_equal(vm_pause(vm("one")), OK);
    assert_int_equal(vm_resume(vm("one")), OK);
    kernel_run_ns(100 * MS);
    assert_state("one", "running");
}

static void test_a_paused_vm_can_be_stopped(void **state)
{
    (void)state;
    kernel_boot(64, ONE);
    start("one");
    kernel_run_ns(50 * MS);
    assert_int_equal(vm_pause(vm("one")), OK);
    vm_stop(vm("one"), false, "in its pause");
    kernel_run_ns(100 * MS);
    assert_state("one", "off");
    check();
}

/* ---- ends that the guest makes ------------------------------------------------------------- */

static void run_program(enum hvm_exit (*program)(struct hvm_vcpu *), uint64_t ns)
{
    start("one");
    assert_int_equal(vm_pause(vm("one")), OK);
    kernel_run_ns(100 * MS);
    guest("one")->program = program;
    assert_int_equal(vm_resume(vm("one")), OK);
    kernel_run_ns(ns);
}

static void test_a_guest_turns_itself_off(void **state)
{
    (void)state;
    kernel_boot(64, ONE);
    run_program(turns_off, 100 * MS);
    assert_state("one", "off");
    assert_string_equal(vm("one")->stop_reason, "powered off by the guest");
    assert_int_equal(vm("one")->boots, 1);
    kernel_run_ns(3 * S);
    assert_state("one", "off");
}

static void test_a_guest_that_resets_has_another_life(void **state)
{
    (void)state;
    kernel_boot(64, ONE);
    run_program(resets, 100 * MS);
    assert_int_equal(vm("one")->boots, 1); /* a second after the last start at the soonest */
    assert_state("one", "stopping");
    kernel_run_ns(1200 * MS);
    assert_state("one", "running");
    assert_int_equal(vm("one")->boots, 2);
    check();
}

/* Each life resets at once: a life a second, and no more log than that. */
static void resets_in_each_life(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        if (vm("one")->state == VM_RUN && vm("one")->built == VM_WHOLE) {
            guest("one")->program = resets;
        }
        kernel_run_ns(10 * MS);
    }
}

static void test_a_storm_of_resets_is_a_life_a_second(void **state)
{
    (void)state;
    kernel_boot(64, ONE TWO);
    start("two");
    run_program(resets, 10 * MS);
    uint64_t ran = guest("two")->ran_ns;
    resets_in_each_life();
    assert_in_range(vm("one")->boots, 9, 12);
    assert_true(guest("two")->ran_ns - ran > 9 * S); /* the other one has the CPU meanwhile */
    check();
}

static void test_a_stop_while_it_waits_for_its_next_life_is_the_end(void **state)
{
    (void)state;
    kernel_boot(64, ONE);
    run_program(resets, 100 * MS);
    assert_state("one", "stopping");
    vm_stop(vm("one"), false, "the user");
    vm("one")->restart = false;
    kernel_run_ns(3 * S);
    assert_state("one", "off");
    assert_int_equal(vm("one")->boots, 1);
    assert_int_equal(vm("one")->p2m.promise.pages, 0);
    check();
}

static void test_a_broken_guest_ends_alone(void **state)
{
    (void)state;
    kernel_boot(64, ONE TWO);
    start("two");
    run_program(breaks, 100 * MS);
    assert_state("one", "off");
    assert_string_equal(vm("one")->stop_reason, "the test broke it");
    assert_said("one: stopped: the test broke it");
    assert_state("two", "running");
    check();
}

static void test_a_panic_is_what_the_configuration_says(void **state)
{
    (void)state;
    kernel_boot(64, ONE "on_panic = stay\n" TWO);
    run_program(panics, 2 * S);
    assert_state("one", "panicked");
    assert_true(vm_has_ended(vm("one")));
    assert_int_equal(vm("one")->boots, 1);
    assert_said("one: the guest panicked: it stays as it is");
    vm_stop(vm("one"), true, "restarted");
    kernel_run_ns(2 * S);
    assert_state("one", "running"); /* its next life has not panicked */
}

static void test_a_panic_may_restart_it(void **state)
{
    (void)state;
    kernel_boot(64, ONE "on_panic = restart\n");
    run_program(panics, 2 * S);
    assert_state("one", "running");
    assert_int_equal(vm("one")->boots, 2);
}

static void test_a_halt_for_good_is_found_after_half_a_second(void **state)
{
    (void)state;
    kernel_boot(64, ONE "on_halt = stop\n");
    run_program(halts_for_good, 400 * MS);
    assert_state("one", "running");
    kernel_run_ns(400 * MS);
    assert_state("one", "off");
    assert_string_equal(vm("one")->stop_reason, "halted with interrupts off");
}

static void test_a_halt_behind_a_pause_stays_the_users(void **state)
{
    (void)state;
    kernel_boot(64, ONE "on_halt = stop\n");
    run_program(halts_for_good, 100 * MS);
    assert_int_equal(vm_pause(vm("one")), OK);
    kernel_run_ns(3 * S);
    assert_state("one", "paused");
    assert_int_equal(vm_resume(vm("one")), OK);
    kernel_run_ns(2 * S);
    assert_state("one", "off");
}

/* ---- starts that fail ---------------------------------------------------------------------- */

/* No other VM holds memory, so that waiting would not help: with each number of frames that is too
 * small the start ends, says so and leaves nothing behind. */
static void test_a_start_without_memory_fails_at_each_frame(void **state)
{
    unsigned failures = 0;

    (void)state;
    kernel_boot(64, ONE);
    for (uint64_t left = 0;; left++) {
        kernel_take_frames(left);
        kernel_hush();
        start("one");
        kernel_run_ns(50 * MS);
        if (vm("one")->state == VM_RUN) {
            break;
        }
        assert_state("one", "off");
        assert_said("one: not started: out of memory");
        assert_string_equal(vm("one")->stop_reason, "could not be started: out of memory");
        assert_int_equal(vm("one")->built, VM_NOTHING);
        assert_int_equal(free_frames(), left);
        assert_int_equal(vm("one")->boots, 0);
        failures++;
        kernel_give_frames(UINT64_MAX);
    }
    /* The root of its map, its vCPU's frames, and the pages that it begins with. */
    assert_true(failures >= 1 + hvm_vcpu_frames() + 5);
    check();
}

static void test_a_start_without_its_kernel_says_what_to_do(void **state)
{
    (void)state;
    kernel_boot(64, "[vm one]\nmemory = 4M\nkernel = nothing\nstart = off\n");
    uint64_t before = free_frames();
    start("one");
    kernel_run_ns(100 * MS);
    assert_state("one", "off");
    assert_said("one: there is no boot module 'nothing' (its kernel)");
    assert_string_equal(vm("one")->stop_reason, "could not be started: not found");
    assert_int_equal(free_frames(), before);
}

static void test_a_start_without_its_disk_says_which_there_are(void **state)
{
    static const uint8_t disk[8 * PAGE_SIZE] = {1};

    (void)state;
    kernel_add_module("there", disk, sizeof(disk));
    kernel_boot(64, ONE "disk = module:there\ndisk = module:missing\n");
    uint64_t before = free_frames();
    start("one");
    kernel_run_ns(100 * MS);
    assert_state("one", "off");
    assert_said("one: there is no disk 'module:missing'; this machine has: module:there");
    assert_int_equal(free_frames(), before); /* the disk before it was taken down, too */
    assert_int_equal(vm("one")->n_devices, 0);
    check();
}

static void test_a_promise_that_cannot_be_kept_is_refused(void **state)
{
    (void)state;
    kernel_boot(64, NO_ORDER ONE "memory.min = 4M\n" TWO "memory.min = 4M\n");
    start("one");
    kernel_run_ns(100 * MS);
    assert_state("one", "running");
    kernel_take_frames(machine_frames.kept + 512);
    start("two");
    kernel_run_ns(100 * MS);
    assert_state("two", "off");
    assert_said("two: its memory.min of 4 MiB takes");
    assert_state("one", "running");
    kernel_give_frames(UINT64_MAX);
    start("two");
    kernel_run_ns(100 * MS);
    assert_state("two", "running");
    check();
}

/* ---- waiting for memory -------------------------------------------------------------------- */

static void test_a_guest_without_a_frame_waits_and_loses_nothing(void **state)
{
    (void)state;
    kernel_boot(64, NO_ORDER ONE TWO);
    start("two");
    run_program(fills_memory, 1);
    kernel_take_frames(100);
    kernel_run_ns(100 * MS);
    assert_state("one", "no-memory");
    assert_string_equal(vm_memory_reason(vm("one")), "waits for memory");
    assert_said("one: paused: the machine is out of memory");
    assert_true(next_page > 0 && next_page < 256);
    uint64_t page = next_page, ran = guest("two")->ran_ns;
    unsigned tries = retries;
    kernel_run_ns(S);
    assert_int_equal(next_page, page);
    assert_int_equal(retries, tries); /* it is not entered in vain */
    assert_true(guest("two")->ran_ns - ran > 900 * MS);

    kernel_give_frames(400);
    kernel_run_ns(S);
    assert_state("one", "running");
    assert_said("one: goes on: memory is free again");
    assert_int_equal(next_page, 256);
    for (uint64_t i = 0; i < 256; i++) {
        uint64_t word = 0;
        assert_int_equal(p2m_read(&vm("one")->p2m, GPA((2 << 20) + (i << PAGE_SHIFT)), &word, 8),
                         OK);
        assert_int_equal(word, i + 1);
    }
    check();
}

static void test_a_guest_that_waits_can_be_paused_and_stopped(void **state)
{
    (void)state;
    kernel_boot(64, NO_ORDER ONE TWO);
    start("two");
    run_program(fills_memory, 1);
    kernel_take_frames(100);
    kernel_run_ns(100 * MS);
    assert_state("one", "no-memory");
    assert_int_equal(vm_pause(vm("one")), OK);
    assert_string_equal(vm_memory_reason(vm("one")), "");
    kernel_give_frames(UINT64_MAX);
    uint64_t page = next_page;
    kernel_run_ns(100 * MS);
    assert_state("one", "paused"); /* frames do not end a pause */
    assert_int_equal(next_page, page);
    vm_stop(vm("one"), false, "enough");
    kernel_run_ns(100 * MS);
    assert_state("one", "off");
    check();
}

static void test_a_start_waits_while_another_holds_memory(void **state)
{
    (void)state;
    kernel_boot(64, ONE TWO);
    start("two");
    kernel_run_ns(100 * MS);
    kernel_take_frames(4);
    start("one");
    kernel_run_ns(500 * MS);
    assert_state("one", "starting");
    assert_string_not_equal(vm_memory_reason(vm("one")), "");
    assert_not_said("one: not started");
    kernel_give_frames(UINT64_MAX);
    kernel_run_ns(500 * MS);
    assert_state("one", "running");
    check();
}

static void test_a_start_that_waits_can_be_stopped(void **state)
{
    (void)state;
    kernel_boot(64, ONE TWO);
    start("two");
    kernel_run_ns(100 * MS);
    kernel_take_frames(4);
    start("one");
    kernel_run_ns(100 * MS);
    vm_stop(vm("one"), false, "not any more");
    kernel_run_ns(100 * MS);
    assert_state("one", "off");
    assert_true(free_frames() >= 4);
    kernel_give_frames(UINT64_MAX);
    check();
}

/* ---- the machine's end --------------------------------------------------------------------- */

static void test_the_machine_goes_off_with_its_last_vm(void **state)
{
    (void)state;
    kernel_boot(64, "[host]\nhost.when_off = poweroff\n" ONE TWO);
    start("two");
    run_program(turns_off, 500 * MS);
    assert_int_equal(kernel_off, 0); /* one runs still */
    guest("two")->program = turns_off;
    kernel_run_ns(5 * S);
    assert_int_not_equal(kernel_off, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_start_loads_and_enters_the_kernel),
        cmocka_unit_test(test_a_paused_guest_does_not_run_and_misses_no_time),
        cmocka_unit_test(test_a_pause_while_it_starts_comes_before_the_first_instruction),
        cmocka_unit_test(test_a_pause_taken_back_while_it_starts_is_none),
        cmocka_unit_test(test_a_paused_vm_can_be_stopped),
        cmocka_unit_test(test_a_guest_turns_itself_off),
        cmocka_unit_test(test_a_guest_that_resets_has_another_life),
        cmocka_unit_test(test_a_storm_of_resets_is_a_life_a_second),
        cmocka_unit_test(test_a_stop_while_it_waits_for_its_next_life_is_the_end),
        cmocka_unit_test(test_a_broken_guest_ends_alone),
        cmocka_unit_test(test_a_panic_is_what_the_configuration_says),
        cmocka_unit_test(test_a_panic_may_restart_it),
        cmocka_unit_test(test_a_halt_for_good_is_found_after_half_a_second),
        cmocka_unit_test(test_a_halt_behind_a_pause_stays_the_users),
        cmocka_unit_test(test_a_start_without_memory_fails_at_each_frame),
        cmocka_unit_test(test_a_start_without_its_kernel_says_what_to_do),
        cmocka_unit_test(test_a_start_without_its_disk_says_which_there_are),
        cmocka_unit_test(test_a_promise_that_cannot_be_kept_is_refused),
        cmocka_unit_test(test_a_guest_without_a_frame_waits_and_loses_nothing),
        cmocka_unit_test(test_a_guest_that_waits_can_be_paused_and_stopped),
        cmocka_unit_test(test_a_start_waits_while_another_holds_memory),
        cmocka_unit_test(test_a_start_that_waits_can_be_stopped),
        cmocka_unit_test(test_the_machine_goes_off_with_its_last_vm),
    };

    return kernel_main_of_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
