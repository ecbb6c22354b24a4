/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/core/log: the ring and the search in it, what the sink gets, and how floods are
 * suppressed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/clock.h"
#include "arch/x86_64/early_uart.h"
#include "kernel/core/log.h"

#define S UINT64_C(1000000000)

static uint64_t now_ns;
static unsigned n_uart, n_lines;
static char line[LOG_LINE_BYTES];
static const struct log_subject *about;
static struct log_subject one = {.name = "one"}, one2 = {.name = "one2"};

uint64_t clock_now_ns(void)
{
    return now_ns;
}

void early_uart_puts(const char *s)
{
    n_uart += strchr(s, '\n') != NULL;
}

static void sink(enum log_level level, const struct log_subject *subject, const char *text)
{
    (void)level;
    n_lines++;
    about = subject;
    snprintf(line, sizeof(line), "%s", text);
}

static int begin(void **state)
{
    (void)state;
    now_ns += 1000 * S; /* no limit is used up by the test before */
    log_set_sink(sink);
    n_lines = n_uart = 0;
    return 0;
}

/* The last lines, each ended by '|', without their time. */
static const char *last(unsigned n)
{
    static char all[8192];
    struct log_place p = log_last(n);
    char text[LOG_LINE_BYTES];

    all[0] = '\0';
    while (log_seek(&p)) {
    }
    while (log_next(&p, text, sizeof(text))) {
        const char *body = strstr(text, "] ");
        assert_non_null(body);
        strcat(all, body + 2);
        strcat(all, "|");
    }
    return all;
}

static void test_a_line(void **state)
{
    (void)state;
    now_ns = 1234 * S + 567890000;
    log_warn("disk %u\nis \r gone", 7);
    assert_string_equal(line, "[1234.567890] warning: disk 7 is   gone");
    assert_null(about);
    assert_int_equal(n_uart, 0);
    log_set_sink(NULL);
    log_info("straight to the port");
    assert_int_equal(n_lines, 1);
    assert_int_equal(n_uart, 1);
    assert_string_equal(last(2), "warning: disk 7 is   gone|straight to the port|");
}

static void test_subjects(void **state)
{
    (void)state;
    log_info("one: started");
    assert_ptr_equal(about, &one);
    log_info("one2: started");
    assert_ptr_equal(about, &one2);
    log_error("one: broken");
    assert_ptr_equal(about, &one);
    log_info("on: nothing");
    assert_null(about);
    log_info("one and no colon");
    assert_null(about);
    log_info(": one");
    assert_null(about);
}

static void test_a_flood_is_suppressed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LOGLIMIT_BURST + 30; i++) {
        log_info("one: line %u", i);
    }
    assert_int_equal(n_lines, LOGLIMIT_BURST);
    log_info("one2: is heard");
    log_info("so is the machine");
    assert_int_equal(n_lines, LOGLIMIT_BURST + 2);
    log_tell_suppressed();
    assert_int_equal(n_lines, LOGLIMIT_BURST + 2); /* not yet */
    now_ns += 10 * S;
    log_tell_suppressed();
    assert_int_equal(n_lines, LOGLIMIT_BURST + 3);
    assert_non_null(strstr(line, "one: 30 log lines suppressed"));
    assert_ptr_equal(about, &one);
    log_tell_suppressed();
    assert_int_equal(n_lines, LOGLIMIT_BURST + 3); /* once */
}

static void test_a_line_after_a_flood_tells_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LOGLIMIT_BURST + 3; i++) {
        log_info("one: line %u", i);
    }
    now_ns += 10 * S;
    log_info("one: again");
    assert_string_equal(last(2), "one: 3 log lines suppressed|one: again|");
}

static void test_seek_is_in_steps_and_bounded(void **state)
{
    struct log_place p;
    unsigned steps = 1, found = 0;
    char text[LOG_LINE_BYTES];

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        log_info("filler %04u", i); /* more than the ring holds */
    }
    p = log_last(10000);
    while (log_seek(&p)) {
        steps++;
    }
    assert_in_range(steps, 60, 70); /* 64 KiB, 1 KiB a step */
    log_info("written since");
    while (log_next(&p, text, sizeof(text))) {
        found++;
        assert_non_null(strstr(text, "] filler "));
    }
    assert_in_range(found, 65536 / 30, 65536 / 20);
    assert_non_null(strstr(text, "filler 4999"));
}

static void test_what_is_overwritten_is_left_out(void **state)
{
    struct log_place p;
    char text[LOG_LINE_BYTES];

    (void)state;
    log_info("the one sought");
    p = log_last(1);
    while (log_seek(&p)) {
    }
    for (unsigned i = 0; i < 5000; i++) {
        log_info("filler %04u", i);
    }
    assert_false(log_next(&p, text, sizeof(text)));
}

static char tail[65536];

static void put(char c)
{
    size_t n = strlen(tail);

    tail[n] = c;
    tail[n + 1] = '\0';
}

static void test_tail_for_a_panic(void **state)
{
    unsigned lines = 0;

    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        log_info("line %u", i);
    }
    log_tail(put);
    for (const char *c = tail; *c; c++) {
        lines += *c == '\n';
    }
    assert_int_equal(lines, 20);
    assert_non_null(strstr(tail, "] line 10\n"));
    assert_null(strstr(tail, "] line 9\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_line, begin),
        cmocka_unit_test_setup(test_subjects, begin),
        cmocka_unit_test_setup(test_a_flood_is_suppressed, begin),
        cmocka_unit_test_setup(test_a_line_after_a_flood_tells_first, begin),
        cmocka_unit_test_setup(test_seek_is_in_steps_and_bounded, begin),
        cmocka_unit_test_setup(test_what_is_overwritten_is_left_out, begin),
        cmocka_unit_test_setup(test_tail_for_a_panic, begin),
    };

    log_add_subject(&one);
    log_add_subject(&one2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
