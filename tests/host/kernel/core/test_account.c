/* SPDX-License-Identifier: BSD-2-Clause */
/* Accounts of CPU time: every nanosecond is charged once, to the account that was open. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernel/core/account.h"

static void test_switches(void **state)
{
    struct account hyp = {0}, vm = {0};
    struct accounts a;
    (void)state;

    accounts_init(&a, &hyp, 100);
    assert_ptr_equal(account_switch(&a, &vm, 130), &hyp);
    assert_int_equal(hyp.ns, 30);
    assert_int_equal(account_ns(&a, &vm, 150), 20); /* open: what is not charged yet counts */
    assert_int_equal(account_ns(&a, &hyp, 150), 30);
    assert_int_equal(vm.ns, 0);
    /* A nested use, and back. */
    struct account *before = account_switch(&a, &hyp, 170);
    assert_ptr_equal(before, &vm);
    assert_ptr_equal(account_switch(&a, before, 175), &hyp);
    assert_int_equal(hyp.ns, 35);
    assert_int_equal(vm.ns, 40);
    /* To itself: charged, and still open. */
    assert_ptr_equal(account_switch(&a, &vm, 180), &vm);
    assert_int_equal(vm.ns, 45);
}

static void test_clock_goes_back(void **state)
{
    struct account hyp = {0}, vm = {0};
    struct accounts a;
    (void)state;

    accounts_init(&a, &hyp, 100);
    account_switch(&a, &vm, 200);
    account_switch(&a, &hyp, 150);
    assert_int_equal(vm.ns, 0);
    assert_int_equal(account_ns(&a, &hyp, 150), 100);
    account_switch(&a, &vm, 250); /* 150 to 200 was the hypervisor's already */
    assert_int_equal(hyp.ns, 150);
}

#define N 20

static void test_sum_is_the_time(void **state)
{
    struct account all[N] = {{0}};
    uint64_t model[N] = {0}, now = 12345, start = now;
    struct accounts a;
    unsigned open = 0;
    (void)state;

    srand(7);
    accounts_init(&a, &all[0], now);
    for (int step = 0; step < 20000; step++) {
        uint64_t dt = (uint64_t)rand() % 1000, sum = 0;
        unsigned to = (unsigned)rand() % N;

        now += dt;
        model[open] += dt;
        assert_ptr_equal(account_switch(&a, &all[to], now), &all[open]);
        open = to;
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(account_ns(&a, &all[i], now), model[i]);
            sum += all[i].ns;
        }
        assert_int_equal(sum, now - start);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_clock_goes_back),
        cmocka_unit_test(test_sum_is_the_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
