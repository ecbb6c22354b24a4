/* SPDX-License-Identifier: BSD-2-Clause */
/* The scanner's pace: pages per wake-up, sleep, and the share of the CPU. */
#include "mm/pace.h"
#include "support_p2m.h"

#include <setjmp.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

/* Runs the pace for `span_ns` with pages that cost page_ns; returns the time spent on them. */
static uint64_t simulate(struct pace *p, uint64_t span_ns, uint64_t page_ns, bool idle,
                         uint64_t *pages, uint64_t *longest)
{
    uint64_t now = 0, busy = 0;

    *pages = 0;
    *longest = 0;
    while (now < span_ns) {
        uint32_t n = pace_pages(p, now);
        if (n == 0) {
            assert_true(pace_next(p) > now);
            now = pace_next(p);
            continue;
        }
        now += n * page_ns;
        busy += n * page_ns;
        *pages += n;
        *longest = *longest > n * page_ns ? *longest : n * page_ns;
        pace_done(p, now, n, n * page_ns, idle);
    }
    return busy;
}

static void test_pages_and_sleep(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_config c = {100, 20 * MS, 100, MS};
    uint64_t pages, longest;

    assert_int_equal(pace_init(&p, &c), OK);
    /* 100 pages of 10 us, then 20 ms of sleep: 21 ms a round. */
    uint64_t busy = simulate(&p, 2100 * MS, 10000, false, &pages, &longest);
    assert_in_range(pages, 9900, 10100);
    assert_int_equal(busy, pages * 10000);
}

static void test_cpu_max_holds(void **state)
{
    (void)state;
    static const unsigned percents[] = {1, 5, 20, 50, 99};
    static const uint64_t costs[] = {50, 3000, 250000};

    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 3; k++) {
            struct pace p;
            const struct pace_config c = {1000, 0, percents[i], 2 * MS};
            uint64_t pages, longest, span = 20000 * MS;

            assert_int_equal(pace_init(&p, &c), OK);
            uint64_t busy = simulate(&p, span, costs[k], false, &pages, &longest);
            assert_true(busy * 100 <= span * percents[i] + 100 * longest);
            assert_true(busy * 100 >= span * percents[i] * 9 / 10); /* and is made use of */
            /* Bursts are bounded once the cost is known; the first may be off by the guess. */
            busy = simulate(&p, span, costs[k], false, &pages, &longest);
        }
    }
}

static void test_bursts_are_bounded(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_config c = {100000, MS, 50, MS};
    uint64_t pages, longest;

    assert_int_equal(pace_init(&p, &c), OK);
    simulate(&p, 1000 * MS, 40000, false, &pages, &longest); /* learns that pages are dear */
    p.next_ns = 0;
    simulate(&p, 1000 * MS, 40000, false, &pages, &longest);
    assert_true(longest <= MS + MS / 4);
    /* A page that costs more than a burst still gets its turn. */
    p.next_ns = 0;
    simulate(&p, 1000 * MS, 5 * MS, false, &pages, &longest);
    p.next_ns = 0;
    simulate(&p, 1000 * MS, 5 * MS, false, &pages, &longest);
    assert_int_equal(longest, 5 * MS);
    assert_true(pages > 50);
}

static void test_idle_machine_is_used(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_config c = {1000, MS, 1, MS};
    uint64_t pages, longest, busy;

    assert_int_equal(pace_init(&p, &c), OK);
    busy = simulate(&p, 1000 * MS, 10000, true, &pages, &longest);
    assert_true(busy > 800 * MS); /* 10 ms of work to 1 ms of sleep */
}

static void test_end_of_a_pass_ends_the_wake_up(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_config c = {100, 20 * MS, 100, 100 * MS};

    assert_int_equal(pace_init(&p, &c), OK);
    assert_int_equal(pace_pages(&p, 5), 100);
    pace_done(&p, 10, 30, 5, false);
    assert_int_equal(pace_next(&p), 10 + 20 * MS);
    pace_done(&p, pace_next(&p), 0, 0, false); /* nothing to scan: sleeps, does not spin */
    assert_int_equal(pace_next(&p), 10 + 40 * MS);
    assert_int_equal(pace_pages(&p, pace_next(&p) - 1), 0);
    assert_int_equal(pace_pages(&p, pace_next(&p)), 100);
}

static void test_absurd_values(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_config good = {100, 20 * MS, 20, MS};
    const struct pace_config bad[] = {{0, 1, 20, 1}, {1, 1, 0, 1}, {1, 1, 101, 1}, {1, 1, 20, 0}};

    assert_int_equal(pace_init(&p, &good), OK);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pace_set(&p, &bad[i]), E_INVAL);
        assert_int_equal(p.config.pages, 100);
    }
    const struct pace_config small = {5, 0, 1, 1};
    assert_int_equal(pace_set(&p, &small), OK);
    assert_in_range(pace_pages(&p, 0), 1, 5);

    const struct pace_config far = {UINT32_MAX, UINT64_MAX, 1, UINT64_MAX};
    assert_int_equal(pace_init(&p, &far), OK);
    assert_int_equal(pace_pages(&p, 0), UINT32_MAX);
    pace_done(&p, UINT64_MAX - 5, 1, UINT64_MAX, false);
    assert_int_equal(pace_pages(&p, 0), 0);
    assert_true(pace_next(&p) >= UINT64_MAX - 5); /* no wrap */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_and_sleep),
        cmocka_unit_test(test_cpu_max_holds),
        cmocka_unit_test(test_bursts_are_bounded),
        cmocka_unit_test(test_idle_machine_is_used),
        cmocka_unit_test(test_end_of_a_pass_ends_the_wake_up),
        cmocka_unit_test(test_absurd_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
