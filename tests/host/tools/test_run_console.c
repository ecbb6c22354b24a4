/* SPDX-License-Identifier: BSD-2-Clause */
/* tools/run's side of the console, by its own unit tests: tests/host/tools/run_console.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_forged(void **state)
{
    (void)state;
    assert_int_equal(system("PYTHONPATH=tools python3 -B tests/host/tools/run_console.py 2>&1"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forged)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
