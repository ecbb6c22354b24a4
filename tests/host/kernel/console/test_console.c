/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console from the serial port to the guests' UARTs and back, on a whole kernel: who gets what
 * is typed, what of the guests and of the log comes out, and that nothing is lost where one side
 * is slow.
 */
#include "world_kernel.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "kernel/console/console.h"

#define S (1000 * MS)
#define COM1 0x3f8
#define LSR (COM1 + 5)
#define LSR_DATA 0x01u
#define LSR_EMPTY 0x20u

#define VMS                                                                                        \
    "[vm one]\nmemory = 4M\nkernel = kernel\n[vm two]\nmemory = 4M\nkernel = kernel\nstart = "     \
    "off\n"

/* What each guest has to write, and what it has read. */
static struct terminal {
    const char *text;
    char got[2048];
    size_t n_got;
    bool deaf; /* it reads nothing */
} one, two;

static enum hvm_exit use_terminal(struct hvm_vcpu *v, struct terminal *t)
{
    machine_pass(10 * US);
    uint64_t lsr = v->ops->pio_read(v->ctx, LSR, 1);
    if (!t->deaf && (lsr & LSR_DATA)) {
        t->got[t->n_got++] = (char)v->ops->pio_read(v->ctx, COM1, 1);
    }
    if (t->text && *t->text && (lsr & LSR_EMPTY)) {
        v->ops->pio_write(v->ctx, COM1, 1, (uint8_t)*t->text++);
    }
    return HVM_EXIT_DEADLINE;
}

static enum hvm_exit run_one(struct hvm_vcpu *v)
{
    return use_terminal(v, &one);
}

static enum hvm_exit run_two(struct hvm_vcpu *v)
{
    return use_terminal(v, &two);
}

static void boot(void)
{
    kernel_boot(64, VMS);
    kernel_run_ns(100 * MS);
    vm_find("one")->vcpus[0].hvm->program = run_one;
}

static void start_two(void)
{
    assert_int_equal(vm_start(vm_find("two")), OK);
    kernel_run_ns(100 * MS);
    vm_find("two")->vcpus[0].hvm->program = run_two;
}

static void say_in(struct terminal *t, const char *text)
{
    t->text = text;
    kernel_run_ns(2 * S);
    assert_string_equal(t->text, ""); /* it found room for all */
}

static void type(const char *text)
{
    kernel_type(text);
    kernel_run_ns(2 * S);
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

/* ---- what comes out ------------------------------------------------------------------------ */

static void test_lines_come_out_whole_behind_their_guests_names(void **state)
{
    (void)state;
    boot();
    start_two();
    one.text = "first of one\nsecond of one\n";
    say_in(&two, "first of two\n");
    kernel_run_ns(S);
    assert_said("[one] first of one\r\n");
    assert_said("[one] second of one\r\n");
    assert_said("[two] first of two\r\n");
}

static void test_a_line_left_open_is_ended_when_its_guest_goes_off(void **state)
{
    (void)state;
    boot();
    say_in(&one, "half a line");
    vm_stop(vm_find("one"), false, "the test");
    kernel_run_ns(2 * S);
    assert_said("[one] half a line\r\n");
}

static void test_a_port_that_stalls_loses_nothing_of_a_guest(void **state)
{
    char text[20001], want[64];

    (void)state;
    boot();
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text + 20 * i, sizeof(text) - 20 * i, "this is line %06u\n", i);
    }
    kernel_hush();
    kernel_stall_port(true);
    one.text = text;
    kernel_run_ns(5 * S);
    assert_int_not_equal(*one.text, 0); /* it found no room for more */
    const char *at = one.text;
    uint64_t ran = vm_find("one")->vcpus[0].hvm->ran_ns;
    kernel_run_ns(S);
    assert_ptr_equal(one.text, at);
    assert_true(vm_find("one")->vcpus[0].hvm->ran_ns > ran); /* and runs meanwhile */
    kernel_stall_port(false);
    kernel_run_ns(5 * S);
    assert_string_equal(one.text, "");
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(want, sizeof(want), "this is line %06u", i);
        assert_said(want);
    }
    assert_int_equal(console_counts().lost_lines, 0);
}

/* ---- what is typed ------------------------------------------------------------------------- */

static void test_an_attached_guest_gets_what_is_typed(void **state)
{
    (void)state;
    boot();
    start_two();
    type("console one\r");
    assert_said("[the console of one; Ctrl-] returns to the monitor]");
    type("hello\r");
    assert_string_equal(one.got, "hello\r");
    assert_string_equal(two.got, "");
    kernel_hush();
    say_in(&one, "plain\r\n");
    assert_said("plain\r\n");
    assert_not_said("[one]");
    type("\x1d");
    assert_said("[the monitor]");
    type("vms\r");
    assert_int_equal(one.n_got, 6); /* Ctrl-] and what follows is the monitor's */
    assert_int_equal(console_counts().rx_bytes, 12 + 6 + 1 + 4);
}

static void test_a_guest_that_reads_late_gets_all_in_order(void **state)
{
    static const char text[] = "more than the sixteen bytes that its receiver holds at a time";

    (void)state;
    boot();
    type("console one\r");
    one.deaf = true;
    type(text);
    assert_int_equal(one.n_got, 0);
    one.deaf = false;
    kernel_run_ns(S);
    assert_string_equal(one.got, text);
}

static void test_what_is_typed_at_a_vm_that_is_off_is_void(void **state)
{
    (void)state;
    boot();
    type("console two\r");
    assert_said("two is off");
    type("lost");
    start_two();
    kernel_run_ns(S);
    assert_string_equal(two.got, "");
    type("found");
    assert_string_equal(two.got, "found");
}

/* ---- others meanwhile ---------------------------------------------------------------------- */

static void test_other_guests_and_their_log_are_hidden_while_one_is_attached(void **state)
{
    (void)state;
    boot();
    start_two();
    type("console one\r");
    kernel_hush();
    log_warn("one: a line about it");
    log_warn("two: a line about the other");
    say_in(&two, "not now\n");
    assert_said("one: a line about it");
    assert_not_said("a line about the other");
    assert_not_said("not now");
    type("\x1d");
    assert_said("[the monitor; 1 lines of other guests and 1 of the log were not shown]");
    say_in(&two, "now\n");
    assert_said("[two] now");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_come_out_whole_behind_their_guests_names),
        cmocka_unit_test(test_a_line_left_open_is_ended_when_its_guest_goes_off),
        cmocka_unit_test(test_a_port_that_stalls_loses_nothing_of_a_guest),
        cmocka_unit_test(test_an_attached_guest_gets_what_is_typed),
        cmocka_unit_test(test_a_guest_that_reads_late_gets_all_in_order),
        cmocka_unit_test(test_what_is_typed_at_a_vm_that_is_off_is_void),
        cmocka_unit_test(test_other_guests_and_their_log_are_hidden_while_one_is_attached),
    };

    return kernel_main_of_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
