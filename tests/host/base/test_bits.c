/* SPDX-License-Identifier: BSD-2-Clause */
/* Counting bits, against the compiler's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/bits.h"

static void test_bits_count(void **state)
{
    uint64_t x = 1;

    (void)state;
    assert_int_equal(bits_count(0), 0);
    assert_int_equal(bits_count(UINT64_MAX), 64);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(bits_count(BIT(i)), 1);
        assert_int_equal(bits_count(~BIT(i)), 63);
    }
    for (unsigned i = 0; i < 10000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        assert_int_equal(bits_count(x), (unsigned)__builtin_popcountll(x));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
