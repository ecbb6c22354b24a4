/* SPDX-License-Identifier: BSD-2-Clause */
/* Timer queues against a list that is searched whole, and callbacks that change the queue. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/timer.h"

#define N 40

static struct timerq q;

struct model {
    struct timer t;
    bool armed;
    uint64_t deadline, seq;
};

static struct model timers[N];
static unsigned order[4 * N], fired;

static void fire(void *ctx, uint64_t now_ns)
{
    struct model *m = ctx;

    assert_false(m->t.armed);
    assert_true(m->t.deadline_ns <= now_ns);
    order[fired++] = (unsigned)(m - timers);
}

static uint64_t clock_ns(void)
{
    return 0;
}

static int first_due(uint64_t now)
{
    int best = -1;

    for (int i = 0; i < N; i++) {
        const struct model *m = &timers[i], *b = &timers[best < 0 ? 0 : best];

        if (m->armed && m->deadline <= now &&
            (best < 0 || m->deadline < b->deadline ||
             (m->deadline == b->deadline && m->seq < b->seq))) {
            best = i;
        }
    }
    return best;
}

static void test_random(void **state)
{
    uint64_t now = 0, seq = 0;
    (void)state;

    srand(3);
    timerq_init(&q, clock_ns);
    for (int i = 0; i < N; i++) {
        timer_init(&timers[i].t, fire, &timers[i]);
    }
    for (int step = 0; step < 30000; step++) {
        struct model *m = &timers[rand() % N];
        uint64_t next = TIMER_NEVER;

        switch (rand() % 4) {
        case 0:
        case 1:
            m->deadline = rand() % 50 == 0 ? TIMER_NEVER : now + (uint64_t)rand() % 30;
            m->seq = seq++;
            m->armed = true;
            timerq_arm(&q, &m->t, m->deadline);
            break;
        case 2:
            m->armed = false;
            timerq_cancel(&q, &m->t);
            break;
        default:
            now += (uint64_t)rand() % 10;
            fired = 0;
            timerq_run(&q, now);
            for (unsigned i = 0; i < fired; i++) {
                assert_int_equal(order[i], first_due(now));
                timers[order[i]].armed = false;
            }
            assert_int_equal(first_due(now), -1);
            break;
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(timers[i].armed, timers[i].t.armed);
            if (timers[i].armed && timers[i].deadline < next) {
                next = timers[i].deadline;
            }
        }
        assert_true(timerq_next(&q) == next);
    }
}

static struct timer a, b, c;
static unsigned counts[3];

static void fire_again(void *ctx, uint64_t now_ns)
{
    (void)ctx;
    counts[0]++;
    timerq_arm(&q, &a, now_ns - 5); /* already due: must not keep timerq_run for ever */
    timerq_cancel(&q, &b);          /* due in the same run, and cancelled before its turn */
}

static void count(void *ctx, uint64_t now_ns)
{
    (void)now_ns;
    ++*(unsigned *)ctx;
}

static void test_callbacks(void **state)
{
    (void)state;
    timerq_init(&q, clock_ns);
    timer_init(&a, fire_again, NULL);
    timer_init(&b, count, &counts[1]);
    timer_init(&c, count, &counts[2]);
    timerq_arm(&q, &a, 10);
    timerq_arm(&q, &b, 10);
    timerq_arm(&q, &c, 11);
    timerq_run(&q, 9);
    assert_int_equal(counts[0], 0);
    timerq_run(&q, 20);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 0);
    assert_int_equal(counts[2], 1);
    assert_int_equal(timerq_next(&q), 15);
    timerq_run(&q, 20);
    assert_int_equal(counts[0], 2);
    timerq_cancel(&q, &b); /* not armed: no effect */
    timerq_cancel(&q, &a);
    assert_true(timerq_next(&q) == TIMER_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_callbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
