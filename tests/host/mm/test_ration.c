/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may take frames when they get short: nobody stands still for ever, whatever the order of
 * wishes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bits.h"
#include "fake_p2m.h"
#include "mm/ration.h"

#define SECOND UINT64_C(1000000000)
#define VMS 16u

static void test_first_has_no_bound(void **state)
{
    struct ration r[] = {{.claim = 100, .held = 10, .grows = true, .busy = true},
                         {.claim = 300, .held = 50, .grows = true},
                         {.claim = 40, .held = 40, .grows = true, .busy = true},
                         {.claim = 500, .held = 0, .grows = false},
                         {.claim = 10, .held = 0, .grows = true, .busy = true}};

    (void)state;
    ration_settle(r, 5);
    assert_int_equal(r[0].keep, 0);
    assert_int_equal(r[1].keep, 90);
    assert_int_equal(r[2].keep, 240); /* 250, of which the first gives back 10 */
    assert_int_equal(r[3].keep, 240);
    assert_int_equal(r[4].keep, 240); /* the one that has settled wants nothing */
    assert_int_equal(ration_wanted(r, 5), 90 + 10);
    assert_int_equal(ration_wanted(r, 1), 90);
}

/*
 * VMs that want frames in any order, each more than its part, and end when they have had all of
 * their memory: all come to their end, though the machine has not half of what they want, and
 * nothing is ever folded.
 */
static void all_end(uint64_t machine, uint64_t seed)
{
    struct ration r[VMS];
    bool ended[VMS] = {false};
    struct rnd rnd = {.state = seed};
    uint64_t free = machine;
    unsigned left = VMS, rounds = 0;

    for (unsigned i = 0; i < VMS; i++) {
        r[i] = (struct ration){.claim = 1 + rnd_below(&rnd, (uint32_t)machine), .grows = true};
    }
    while (left > 0) {
        unsigned i = rnd_below(&rnd, VMS);

        assert_true(rounds++ < 4000000);
        ration_settle(r, VMS);
        for (unsigned k = 0; k < 8 && !ended[i]; k++) {
            if (r[i].held == r[i].claim) {
                free += r[i].held;
                r[i] = (struct ration){0};
                ended[i] = true;
                left--;
            } else if (free > r[i].keep) {
                free--;
                r[i].held++;
            }
        }
    }
    assert_int_equal(free, machine);
}

static void test_all_come_to_their_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        all_end(50 + seed * 7, seed);
    }
}

static void test_growth(void **state)
{
    struct ration_growth g;

    (void)state;
    ration_growth_begin(&g, SECOND);
    ration_growth_note(&g, RATION_TAKEN - 1, false, 2 * SECOND);
    assert_int_equal(g.since_ns, SECOND);
    ration_growth_note(&g, RATION_TAKEN, false, 3 * SECOND);
    assert_int_equal(g.since_ns, 3 * SECOND);
    ration_growth_note(&g, 2 * RATION_TAKEN - 1, false, 5 * SECOND);
    assert_int_equal(g.since_ns, 3 * SECOND);
    ration_growth_note(&g, 2 * RATION_TAKEN - 1, true, 60 * SECOND); /* it waits */
    assert_int_equal(g.since_ns, 60 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_has_no_bound),
        cmocka_unit_test(test_all_come_to_their_end),
        cmocka_unit_test(test_growth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
