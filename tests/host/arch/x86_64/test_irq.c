/* SPDX-License-Identifier: BSD-2-Clause */
/* Dispatch of interrupts by vector: handlers, chips, lines, and what is held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86_64/irq.h"
#include "base/string.h"

/* What happened, in order: h handler, m mask, u unmask, e EOI; each with the vector's last digit.
 */
static char seen[64];

static void note(char what, unsigned n)
{
    size_t at = strlen(seen);

    assert_true(at + 3 < sizeof(seen));
    seen[at] = what;
    seen[at + 1] = (char)('0' + n % 10);
    seen[at + 2] = '\0';
}

static void expect(const char *what)
{
    assert_string_equal(seen, what);
    seen[0] = '\0';
}

static void mask(unsigned vector)
{
    note('m', vector);
}

static void unmask(unsigned vector)
{
    note('u', vector);
}

static void eoi(unsigned vector)
{
    note('e', vector);
}

static bool spurious(unsigned vector)
{
    return vector == 59;
}

/* Lines 0 to 9 are vectors 50 to 59. */
static enum status route(unsigned line, unsigned *vector)
{
    *vector = line < 10 ? 50 + line : 0;
    return line < 10 ? OK : E_RANGE;
}

/* As a PIC, and as a local APIC: its interrupts have no mask. */
static const struct irq_chip with_lines = {
    .mask = mask, .unmask = unmask, .eoi = eoi, .is_spurious = spurious, .route = route};
static const struct irq_chip without = {.eoi = eoi};

static void handler(void *ctx)
{
    note('h', *(unsigned *)ctx);
}

/* irq.c's state is the machine's: one test after the other goes on with it. */
static void test_nothing_without_a_chip(void **state)
{
    unsigned vector = 7;

    (void)state;
    assert_int_equal(irq_route(1, &vector), E_RANGE);
    assert_int_equal(irq_register_line(1, handler, NULL), E_RANGE);
    assert_int_equal(irq_register(50, handler, NULL), E_RANGE);
    irq_dispatch(50);
    expect("");
    irq_add_chip(&without, 40, 100);
    assert_int_equal(irq_route(1, &vector), E_RANGE); /* it has no lines */
    irq_add_chip(&with_lines, 50, 10);
}

static void test_lines_are_vectors(void **state)
{
    static unsigned one = 1, two = 2;
    unsigned vector;

    (void)state;
    assert_int_equal(irq_route(3, &vector), OK);
    assert_int_equal(vector, 53);
    assert_int_equal(irq_register_line(10, handler, &one), E_RANGE);
    assert_int_equal(irq_register_line(3, handler, &one), OK);
    expect("u3");
    assert_int_equal(irq_register(53, handler, &two), OK);
    expect("u3");
    irq_dispatch(53);
    expect("h1h2e3"); /* all that share it, and then its end */
    irq_dispatch(54);
    expect("m4e4"); /* has no handler: nothing could quieten it */
    irq_dispatch(59);
    expect(""); /* there was none */
}

static void test_vectors_that_nothing_comes_by(void **state)
{
    (void)state;
    assert_int_equal(irq_register(14, handler, NULL), E_RANGE); /* an exception's */
    assert_int_equal(irq_register(39, handler, NULL), E_RANGE);
    assert_int_equal(irq_register(140, handler, NULL), E_RANGE);
    assert_int_equal(irq_register(IRQ_VECTORS, handler, NULL), E_RANGE);
    irq_dispatch(39);
    irq_dispatch(140);
    irq_dispatch(255);
    expect(""); /* no EOI */
    irq_dispatch(41);
    expect("e1"); /* the chip wants one, whether there is a handler or not */
}

static void test_handlers_have_an_end(void **state)
{
    static unsigned four = 4;
    unsigned n = 0;

    (void)state;
    while (irq_register(45, handler, &four) == OK) {
        n++;
    }
    assert_int_equal(n, 4);
    assert_int_equal(irq_register(45, handler, &four), E_NOMEM);
    irq_dispatch(45);
    expect("h4h4h4h4e5");
}

static void test_held_ones_come_later(void **state)
{
    static unsigned six = 6, seven = 7, eight = 8;

    (void)state;
    assert_int_equal(irq_register(56, handler, &six), OK);
    assert_int_equal(irq_register(57, handler, &seven), OK);
    assert_int_equal(irq_register(48, handler, &eight), OK);
    expect("u6u7");
    irq_hold(57);
    irq_dispatch(57);
    expect("h7e7");
    irq_dispatch(56);
    expect("m6e6");
    irq_dispatch(56);
    expect("m6e6");
    irq_dispatch(48);
    expect("h8e8"); /* has no mask: the timer */
    irq_release();
    expect("h6u6"); /* once, and then it may come again */
    irq_dispatch(56);
    expect("h6e6");
    irq_hold(57);
    irq_release();
    expect("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_without_a_chip),
        cmocka_unit_test(test_lines_are_vectors),
        cmocka_unit_test(test_vectors_that_nothing_comes_by),
        cmocka_unit_test(test_handlers_have_an_end),
        cmocka_unit_test(test_held_ones_come_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
