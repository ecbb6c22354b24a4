/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/core/loglimit: bursts pass, floods do not, and what is missing is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel/core/loglimit.h"

#define SECOND LOGLIMIT_LINE_NS

static void test_burst(void **state)
{
    struct loglimit l = {0};
    uint64_t told = 7;
    (void)state;

    for (unsigned i = 0; i < LOGLIMIT_BURST; i++) {
        assert_true(loglimit_take(&l, 5, &told));
        assert_int_equal(told, 0);
    }
    assert_false(loglimit_take(&l, 5, &told));
    assert_int_equal(loglimit_tell(&l, 5), 0);
    /* One line's time is not enough: it would be lost between two notes. */
    assert_false(loglimit_take(&l, 5 + SECOND, &told));
    assert_true(loglimit_take(&l, 5 + 2 * SECOND, &told));
    assert_int_equal(told, 2);
    assert_int_equal(l.suppressed, 0);
}

/* A flood for a minute: about a line a second, notes included, and each line is accounted for. */
static void test_flood(void **state)
{
    struct loglimit l = {0};
    uint64_t told, suppressed = 0, lines = 0, notes = 0;
    (void)state;

    for (unsigned ms = 0; ms < 60000; ms++) {
        if (loglimit_take(&l, ms * (SECOND / 1000), &told)) {
            lines++;
            notes += told > 0;
            suppressed += told;
        }
    }
    assert_true(lines + notes <= LOGLIMIT_BURST + 60);
    assert_true(lines + notes >= LOGLIMIT_BURST + 55);
    assert_int_equal(lines + suppressed + l.suppressed, 60000);
    /* Then silence: the rest is told once, and a burst is free again later. */
    uint64_t rest = l.suppressed;
    assert_true(rest > 0);
    assert_int_equal(loglimit_tell(&l, 60 * SECOND) + loglimit_tell(&l, 62 * SECOND), rest);
    assert_int_equal(loglimit_tell(&l, 64 * SECOND), 0);
    for (unsigned i = 0; i < LOGLIMIT_BURST; i++) {
        assert_true(loglimit_take(&l, 200 * SECOND, &told));
    }
}

/* A clock that steps back does no harm. */
static void test_clock(void **state)
{
    struct loglimit l = {0};
    uint64_t told;
    (void)state;

    assert_true(loglimit_take(&l, 100 * SECOND, &told));
    assert_true(loglimit_take(&l, 1 * SECOND, &told));
    assert_int_equal(l.last_ns, 100 * SECOND);
    assert_int_equal(l.used_ns, 2 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
