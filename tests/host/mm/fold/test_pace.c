/* SPDX-License-Identifier: BSD-2-Clause */
/* The scanner's pace on a simulated clock: cap, target time, load and idleness, upper rate. */
#include "base/bits.h"
#include "fake_p2m.h"
#include "mm/fold/pace.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define PASSES 400
/* A pass of so many pages in the simulations that never come to a pass's end. */
#define ENDLESS UINT64_MAX

/* A machine: a clock, guests, and memory whose passes need `pages` looks of page_ns each. */
struct sim {
    struct pace pace;
    struct rnd rnd;
    uint64_t now;
    /* What there is to do. */
    uint64_t pages, page_ns;
    bool at_end;    /* all of a pass's work is in the last tenth of memory */
    uint64_t turn;  /* while busy, a guest's turn: the scanner is late by up to this */
    unsigned flags; /* PACE_IDLE or 0 */
    /* What was done. */
    uint64_t done; /* pages of the pass under way */
    uint64_t busy_ns, longest_ns;
    uint64_t all_pages;
    unsigned passes; /* that are over; of each: */
    uint64_t begin[PASSES], end[PASSES], cost[PASSES];
};

static void sim_init(struct sim *s, const struct pace_config *c)
{
    memset(s, 0, sizeof(*s));
    s->rnd.state = 1;
    assert_int_equal(pace_init(&s->pace, c), OK);
    s->pages = ENDLESS;
    s->page_ns = 10000;
}

static uint32_t progress(const struct sim *s)
{
    if (s->pages == ENDLESS) {
        return 0;
    }
    uint32_t part = (uint32_t)(s->done * PACE_WHOLE / MAX(s->pages, (uint64_t)1));

    return s->at_end ? PACE_WHOLE - PACE_WHOLE / 10 + part / 10 : part;
}

static void sim_burst(struct sim *s, uint32_t n)
{
    uint32_t pages = (uint32_t)(s->pages - s->done < n ? s->pages - s->done : n);
    uint64_t cost = pages * s->page_ns;
    bool over = pages < n; /* as fold_step: the end of a pass is found by looking for more */

    if (s->done == 0 && s->passes < PASSES && s->cost[s->passes] == 0) {
        s->begin[s->passes] = s->now;
    }
    s->now += cost;
    s->done += pages;
    s->all_pages += pages;
    s->busy_ns += cost;
    s->longest_ns = s->longest_ns > cost ? s->longest_ns : cost;
    if (s->passes < PASSES) {
        s->cost[s->passes] += cost;
        s->end[s->passes] = s->now;
    }
    const struct pace_burst b = {.start_ns = s->now - cost,
                                 .end_ns = s->now,
                                 .pages = pages,
                                 .flags = s->flags,
                                 .pass_over = over,
                                 .progress = progress(s)};
    pace_done(&s->pace, &b);
    if (over) {
        s->passes++;
        s->done = 0;
    }
}

/* Runs to the moment `until`, or the end of that many passes more. */
static void sim_run(struct sim *s, uint64_t until, unsigned passes)
{
    unsigned last = s->passes + passes;

    while (s->now < until && s->passes < last) {
        uint32_t n = pace_pages(&s->pace, s->now, s->flags);
        if (n == 0) {
            uint64_t next = pace_next(&s->pace, s->flags);
            assert_true(next > s->now);
            s->now = next < until ? next : until;
            s->now += s->turn > 0 && next < until ? rnd_next(&s->rnd) % s->turn : 0;
            continue;
        }
        sim_burst(s, n);
    }
}

static const struct pace_config usual = {1000, 0, 20, MS, SECOND};

/* ---- the cap ------------------------------------------------------------------------------- */

static void test_the_cap_holds_within_a_percent(void **state)
{
    (void)state;
    static const unsigned percents[] = {1, 5, 20, 50, 90, 99};
    static const uint64_t costs[] = {50, 3000, 250000}, turns[] = {0, 2 * MS};

    for (unsigned i = 0; i < 6 * 3 * 2; i++) {
        struct pace_config c = usual;
        struct sim s;
        uint64_t span = 40 * SECOND, turn = turns[i / 18];

        c.cpu_max = percents[i % 6];
        c.pass_ns = (i & 1) ? SECOND : 0;
        sim_init(&s, &c);
        s.page_ns = costs[i / 6 % 3];
        s.turn = turn;
        sim_run(&s, span, 1);
        /* Never more than a late burst's worth above; and the cap is used to the full, where a
         * guest's turn leaves room for it. */
        assert_true(s.busy_ns * 100 <= span * c.cpu_max + span / 100);
        if (turn == 0 || c.cpu_max <= 20) {
            assert_true(s.busy_ns * 100 >= span * c.cpu_max - span);
        }
    }
}

/* In no stretch of time is it more, by a bounded amount: what is late is not saved up. */
static void test_the_cap_holds_at_any_time(void **state)
{
    (void)state;
    struct sim s;
    uint64_t before = 0;

    sim_init(&s, &usual);
    s.pages = 300000;
    s.turn = 30 * MS;
    for (uint64_t at = 100 * MS; at <= 60 * SECOND; at += 100 * MS) {
        s.turn = at % SECOND < 500 * MS ? 30 * MS : 300 * MS; /* some turns are very late */
        sim_run(&s, at, PASSES);
        assert_true(s.busy_ns - before <= (100 + 300 + 10) * MS / 5 + 2 * MS);
        before = s.busy_ns;
    }
}

static void test_bursts_are_bounded(void **state)
{
    (void)state;
    struct pace_config c = usual;
    struct sim s;

    c.pages = 100000;
    c.cpu_max = 50;
    sim_init(&s, &c);
    s.page_ns = 40000;
    sim_run(&s, SECOND, 1); /* learns that pages are dear */
    s.longest_ns = 0;
    sim_run(&s, 2 * SECOND, 1);
    assert_true(s.longest_ns <= MS + MS / 4);
    /* A page that costs more than a burst still gets its turn. */
    s.page_ns = 5 * MS;
    sim_run(&s, 3 * SECOND, 1);
    s.longest_ns = 0;
    uint64_t before = s.all_pages;
    sim_run(&s, 4 * SECOND, 1);
    assert_int_equal(s.longest_ns, 5 * MS);
    assert_in_range(s.all_pages - before, 90, 110);
}

/* ---- the target time ----------------------------------------------------------------------- */

/* Passes i to the last one began `c->pass_ns` apart, 10% more at most, and were over in time. */
static void assert_on_time(const struct sim *s, const struct pace_config *c, unsigned i)
{
    for (; i + 1 < s->passes; i++) {
        assert_in_range(s->begin[i + 1] - s->begin[i], c->pass_ns, c->pass_ns * 11 / 10);
        assert_in_range(s->end[i] - s->begin[i], 0, c->pass_ns * 11 / 10);
    }
}

static void test_a_pass_takes_the_target_time(void **state)
{
    (void)state;
    static const uint64_t targets[] = {200 * MS, SECOND, 30 * SECOND};

    for (unsigned i = 0; i < 3 * 10; i++) {
        struct pace_config c = usual;
        struct sim s;

        c.pass_ns = targets[i / 10];
        sim_init(&s, &c);
        s.turn = 2 * MS;
        /* From next to nothing to 90% of what the cap allows. */
        s.pages = c.pass_ns / 5 * (i % 10) / 10 / s.page_ns + 3;
        sim_run(&s, 41 * c.pass_ns, 40);
        assert_int_equal(s.passes, 40);
        assert_on_time(&s, &c, 0);
        assert_int_equal(pace_why(&s.pace, s.now), PACE_PASS_TIME);
        if (i % 10 >= 2 && i / 10 > 0) {
            /* Spread: neither at once nor at the end. */
            assert_true(s.end[39] - s.begin[39] > c.pass_ns / 2);
        }
    }
}

static void test_passes_of_any_size(void **state)
{
    (void)state;
    struct sim s;

    for (unsigned seed = 1; seed < 30; seed++) {
        sim_init(&s, &usual);
        s.rnd = (struct rnd){.state = seed * UINT64_C(0x9e3779b97f4a7c15)};
        s.turn = 2 * MS;
        for (unsigned i = 0; i < 60; i++) {
            s.pages = 1 + rnd_next(&s.rnd) % (rnd_next(&s.rnd) % 4 ? 500 : 18000);
            s.page_ns = 5000 + rnd_next(&s.rnd) % 5000;
            sim_run(&s, s.now + 10 * SECOND, 1);
        }
        assert_int_equal(s.passes, 60);
        assert_on_time(&s, &usual, 0);
    }
}

/* Nothing tells that there will be so much, until late: it still takes no longer than the cap. */
static void test_work_that_comes_late(void **state)
{
    (void)state;
    struct sim s;

    sim_init(&s, &usual);
    s.pages = 100;
    sim_run(&s, 100 * SECOND, 20);
    s.at_end = true;
    s.pages = 40000; /* 400 ms of work: 2 s at 20% */
    sim_run(&s, 200 * SECOND, 1);
    assert_in_range(s.end[20] - s.begin[20], 1900 * MS, 2100 * MS);
    assert_int_equal(s.pace.why, PACE_CPU_CAP);
    assert_int_equal(pace_why(&s.pace, s.now), PACE_CPU_CAP);
}

static void test_too_much_work_binds_the_cap(void **state)
{
    (void)state;
    struct sim s;

    sim_init(&s, &usual);
    s.pages = 100000; /* 1 s of work: 5 s at 20% */
    assert_int_equal(pace_why(&s.pace, 0), PACE_NONE);
    sim_run(&s, 500 * MS, 5);
    assert_int_equal(pace_why(&s.pace, s.now), PACE_NONE); /* may still be in time */
    sim_run(&s, 1500 * MS, 5);
    assert_int_equal(s.passes, 0);
    assert_int_equal(pace_why(&s.pace, s.now), PACE_CPU_CAP); /* is late already */
    sim_run(&s, 100 * SECOND, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_in_range(s.end[i] - s.begin[i], 4950 * MS, 5050 * MS);
        assert_true(i == 0 || s.begin[i] - s.end[i - 1] < 20 * MS); /* and the next at once */
    }
    assert_int_equal(s.pace.pass_took_ns, s.end[4] - s.begin[4]);
    assert_int_equal(s.pace.pass_spent_ns, s.cost[4]);
    s.pages = 1000;
    sim_run(&s, 200 * SECOND, 20);
    assert_int_equal(pace_why(&s.pace, s.now), PACE_PASS_TIME);
}

static void test_without_a_target_passes_follow_one_another(void **state)
{
    (void)state;
    struct pace_config c = usual;
    struct sim s;

    c.pass_ns = 0;
    sim_init(&s, &c);
    s.pages = 1000; /* 10 ms: 50 ms at 20% */
    sim_run(&s, 100 * SECOND, 50);
    assert_in_range(s.end[49], 2400 * MS, 2600 * MS);
    assert_int_equal(pace_why(&s.pace, s.now), PACE_CPU_CAP);
    /* Nothing at all to do: they still do not spin. */
    s.pages = 0;
    uint64_t start = s.now;
    sim_run(&s, start + SECOND, PASSES);
    assert_true(s.passes - 50 <= 1001);
}

/* ---- load and idleness --------------------------------------------------------------------- */

static void test_idle_catches_up_at_once(void **state)
{
    (void)state;
    struct sim s;

    sim_init(&s, &usual);
    s.flags = PACE_IDLE;
    s.pages = 50000; /* 500 ms */
    sim_run(&s, 100 * SECOND, 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(s.end[i] - s.begin[i], s.cost[i]); /* no pause in it */
        assert_true(i == 0 || s.begin[i] - s.begin[i - 1] == SECOND);
    }
    assert_int_equal(pace_why(&s.pace, s.now), PACE_FREE);
    /* A pass that takes longer than the target time: the next follows. */
    s.pages = 200000;
    sim_run(&s, 100 * SECOND, 2);
    assert_int_equal(s.begin[11], s.end[10]);
}

static void test_a_pass_under_way_is_caught_up_with(void **state)
{
    (void)state;
    struct sim s;

    sim_init(&s, &usual);
    s.pages = 15000; /* 150 ms */
    sim_run(&s, 100 * SECOND, 10);
    sim_run(&s, s.begin[9] + SECOND + 300 * MS, 1);
    assert_int_equal(s.passes, 10);
    assert_in_range(s.done, 3000, 7000); /* spread */
    assert_true(pace_next(&s.pace, 0) > s.now || s.turn == 0);
    s.flags = PACE_IDLE;
    assert_true(pace_next(&s.pace, s.flags) <= s.now);
    uint64_t start = s.now, rest = (s.pages - s.done) * s.page_ns;
    sim_run(&s, 100 * SECOND, 1);
    assert_int_equal(s.now, start + rest);
    /* The next one waits for its time, idle or not; and the guests that come back owe nothing. */
    assert_int_equal(pace_pages(&s.pace, s.now, PACE_IDLE), 0);
    assert_int_equal(pace_next(&s.pace, PACE_IDLE), s.begin[10] + SECOND);
    s.flags = 0;
    s.now = pace_next(&s.pace, 0);
    assert_int_equal(s.now, s.begin[10] + SECOND);
    assert_true(pace_pages(&s.pace, s.now, 0) > 0);
}

static void test_load_comes_and_goes(void **state)
{
    (void)state;
    struct sim s;
    uint64_t busy = 0, span = 0;

    sim_init(&s, &usual);
    s.pages = 400000; /* never done in time: 4 s of work */
    for (unsigned i = 0; i < 400; i++) {
        s.flags = i % 2 ? PACE_IDLE : 0;
        uint64_t before = s.busy_ns, start = s.now;
        sim_run(&s, s.now + 50 * MS, PASSES);
        if (s.flags == 0) {
            busy += s.busy_ns - before;
            span += s.now - start;
        } else {
            assert_true(s.busy_ns - before >= 48 * MS); /* all of it */
        }
    }
    assert_true(busy * 5 <= span + span / 20); /* a burst each time is what differs */
    assert_true(busy * 5 >= span - span / 20);
}

/* ---- urgent work --------------------------------------------------------------------------- */

static void test_urgent_work_does_not_wait_for_a_pass(void **state)
{
    (void)state;
    struct sim s;
    uint64_t spent = 0, start;

    sim_init(&s, &usual);
    s.pages = 100;
    sim_run(&s, 100 * SECOND, 3);
    start = s.now = s.now + 50 * MS;
    assert_int_equal(pace_pages(&s.pace, s.now, 0), 0);
    while (s.now < start + 500 * MS) {
        uint32_t n = pace_pages(&s.pace, s.now, PACE_URGENT);
        if (n == 0) {
            s.now = pace_next(&s.pace, PACE_URGENT);
            continue;
        }
        const struct pace_burst b = {
            .start_ns = s.now, .end_ns = s.now + n * 10000, .pages = n, .flags = PACE_URGENT};
        s.now = b.end_ns;
        spent += n * 10000;
        pace_done(&s.pace, &b);
    }
    assert_in_range(spent, 95 * MS, 105 * MS); /* the cap is for this too */
    assert_int_equal(s.pace.spent_ns, s.cost[2]);
    assert_true(pace_next(&s.pace, 0) >= s.begin[2] + SECOND); /* nor did it begin a pass */
    pace_charge(&s.pace, s.now, s.now + 10 * MS, 0);
    assert_true(pace_next(&s.pace, PACE_URGENT) >= s.now + 40 * MS);
    assert_true(pace_next(&s.pace, PACE_URGENT | PACE_IDLE) <= s.now);
}

/* ---- the upper rate ------------------------------------------------------------------------ */

static void test_pages_and_sleep(void **state)
{
    (void)state;

    for (unsigned flags = 0; flags <= PACE_IDLE; flags++) {
        struct sim s;
        const struct pace_config c = {100, 20 * MS, 100, MS, flags ? SECOND : 0};

        sim_init(&s, &c);
        s.flags = flags;
        /* 100 pages of 10 us, then 20 ms of sleep: 21 ms a round. */
        sim_run(&s, 2100 * MS, 1);
        assert_in_range(s.all_pages, 9900, 10100);
    }
}

static void test_the_upper_rate_binds(void **state)
{
    (void)state;
    const struct pace_config c = {100, 20 * MS, 20, MS, SECOND};
    struct sim s;

    sim_init(&s, &c);
    s.pages = 9000; /* 90 ms of work, but 90 wake-ups */
    sim_run(&s, 100 * SECOND, 5);
    assert_in_range(s.end[4] - s.begin[4], 1850 * MS, 1950 * MS);
    assert_int_equal(pace_why(&s.pace, s.now), PACE_PAGES);
}

static void test_end_of_a_pass_ends_the_wake_up(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_config c = {100, 20 * MS, 100, 100 * MS, 0};
    struct pace_burst b = {.start_ns = 5, .end_ns = 10, .pages = 30, .pass_over = true};

    assert_int_equal(pace_init(&p, &c), OK);
    assert_int_equal(pace_pages(&p, 5, 0), 100);
    pace_done(&p, &b);
    assert_int_equal(pace_next(&p, 0), 10 + 20 * MS);
    b = (struct pace_burst){.start_ns = pace_next(&p, 0), .end_ns = pace_next(&p, 0)};
    pace_done(&p, &b); /* nothing to scan: sleeps, does not spin */
    assert_int_equal(pace_next(&p, 0), 10 + 40 * MS);
    assert_int_equal(pace_pages(&p, pace_next(&p, 0) - 1, 0), 0);
    assert_int_equal(pace_pages(&p, pace_next(&p, 0), 0), 100);
}

static void test_nothing_to_scan_never_spins(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_burst b = {.start_ns = 5, .end_ns = 5, .flags = PACE_IDLE};

    assert_int_equal(pace_init(&p, &usual), OK);
    pace_done(&p, &b);
    assert_int_equal(pace_next(&p, PACE_IDLE), 5 + MS);
}

static void test_a_dropped_pass(void **state)
{
    (void)state;
    struct sim s;

    sim_init(&s, &usual);
    s.pages = 30000;
    sim_run(&s, 700 * MS, 1);
    assert_true(s.pace.in_pass);
    pace_drop(&s.pace, s.now);
    assert_int_equal(pace_next(&s.pace, PACE_IDLE), s.now + SECOND);
    assert_int_equal(pace_why(&s.pace, s.now), PACE_NONE);
}

/* ---- absurd values ------------------------------------------------------------------------- */

static void test_bad_values_change_nothing(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_config good = {100, 20 * MS, 20, MS, SECOND};
    const struct pace_config bad[] = {
        {0, 1, 20, 1, 0}, {1, 1, 0, 1, 0}, {1, 1, 101, 1, 0}, {1, 1, 20, 0, 0}};

    assert_int_equal(pace_init(&p, &good), OK);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pace_set(&p, &bad[i]), E_INVAL);
        assert_int_equal(p.config.pages, 100);
    }
    const struct pace_config small = {5, 0, 1, 1, 0};
    assert_int_equal(pace_set(&p, &small), OK);
    assert_in_range(pace_pages(&p, 0, 0), 1, 5);
}

static uint64_t any(struct rnd *r)
{
    uint64_t v = rnd_next(r);

    switch (rnd_next(r) % 4) {
    case 0:
        return v;
    case 1:
        return UINT64_MAX - v % 1000;
    case 2:
        return v % 1000;
    default:
        return v % (100 * SECOND);
    }
}

/* Nothing wraps: whatever it is told, no burst is due before the last one's end and its sleep, and
 * at the end of time there is still none. (The sanitizers watch the arithmetic.) */
static void test_no_overflow(void **state)
{
    (void)state;

    for (unsigned seed = 1; seed < 3000; seed++) {
        struct rnd r = {.state = seed * UINT64_C(0x9e3779b97f4a7c15)};
        const struct pace_config c = {(uint32_t)any(&r) | 1, any(&r),
                                      1 + (unsigned)(rnd_next(&r) % 100), any(&r) | 1, any(&r)};
        struct pace p;
        uint64_t now = 0;

        assert_int_equal(pace_init(&p, &c), OK);
        for (unsigned i = 0; i < 40; i++) {
            uint64_t start = MAX(now, MIN(any(&r), now + (UINT64_MAX - now) / 4));
            uint64_t end = start + MIN(any(&r), (UINT64_MAX - start) / 4);
            const struct pace_burst b = {.start_ns = start,
                                         .end_ns = end,
                                         .pages = (uint32_t)any(&r),
                                         .flags = (unsigned)(rnd_next(&r) % 4),
                                         .pass_over = rnd_next(&r) % 4 == 0,
                                         .progress = (uint32_t)any(&r)};
            uint64_t cost = end - start;
            pace_done(&p, &b);
            assert_true(p.page_ns >= 1);
            assert_true(b.flags & PACE_IDLE || p.cap_ns >= MIN(start + cost, end) - 10 * MS ||
                        end < 10 * MS);
            assert_true(p.awake_ns >= c.sleep_ns || p.awake_ns == 0);
            assert_true(!p.in_pass || p.due_ns >= b.end_ns || p.due_ns == 0 ||
                        b.flags & PACE_URGENT);
            assert_true(pace_next(&p, 0) >= pace_next(&p, PACE_URGENT));
            (void)pace_pages(&p, end, b.flags);
            assert_non_null(pace_why_name(pace_why(&p, end)));
            now = end;
        }
    }
}

static void test_far_values(void **state)
{
    (void)state;
    struct pace p;
    const struct pace_config far = {UINT32_MAX, UINT64_MAX, 1, UINT64_MAX, UINT64_MAX};
    const struct pace_burst b = {
        .start_ns = 5, .end_ns = UINT64_MAX - 5, .pages = 1, .progress = 1};

    assert_int_equal(pace_init(&p, &far), OK);
    assert_int_equal(pace_pages(&p, 0, 0), UINT32_MAX);
    pace_done(&p, &b);
    assert_int_equal(pace_pages(&p, UINT64_MAX - 5, 0), 0);
    assert_true(pace_next(&p, 0) >= UINT64_MAX - 5); /* no wrap */
}

/* Guests wait for what the scanner may find: no pause between passes, nor in them, but for the
 * share of guests that do run. */
static void test_wanted(void **state)
{
    const struct pace_config c = {
        .pages = 100, .sleep_ns = 50 * MS, .cpu_max = 20, .burst_ns = 1 * MS, .pass_ns = 1000 * MS};
    struct pace p;
    struct pace_burst b = {.start_ns = 0, .end_ns = MS, .pages = 100, .pass_over = true};

    (void)state;
    assert_int_equal(pace_init(&p, &c), OK);
    pace_done(&p, &b);
    assert_int_equal(pace_next(&p, 0), SECOND);
    assert_int_equal(pace_next(&p, PACE_IDLE), SECOND);
    assert_int_equal(pace_next(&p, PACE_IDLE | PACE_WANTED), MS);
    assert_int_equal(pace_next(&p, PACE_WANTED), 51 * MS); /* scan.sleep; the share: 5 ms */
    assert_true(pace_pages(&p, MS, PACE_IDLE | PACE_WANTED) > 0);
    assert_int_equal(pace_pages(&p, MS, PACE_IDLE), 0);
    b = (struct pace_burst){
        .start_ns = 60 * MS, .end_ns = 61 * MS, .pages = 10, .progress = PACE_WHOLE / 2};
    pace_done(&p, &b);
    assert_true(pace_next(&p, 0) > 66 * MS); /* its work is spread */
    assert_int_equal(pace_next(&p, PACE_WANTED), 65 * MS);
    assert_true(pace_next(&p, PACE_IDLE | PACE_WANTED) <= 61 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_cap_holds_within_a_percent),
        cmocka_unit_test(test_the_cap_holds_at_any_time),
        cmocka_unit_test(test_bursts_are_bounded),
        cmocka_unit_test(test_a_pass_takes_the_target_time),
        cmocka_unit_test(test_passes_of_any_size),
        cmocka_unit_test(test_work_that_comes_late),
        cmocka_unit_test(test_too_much_work_binds_the_cap),
        cmocka_unit_test(test_without_a_target_passes_follow_one_another),
        cmocka_unit_test(test_idle_catches_up_at_once),
        cmocka_unit_test(test_a_pass_under_way_is_caught_up_with),
        cmocka_unit_test(test_load_comes_and_goes),
        cmocka_unit_test(test_urgent_work_does_not_wait_for_a_pass),
        cmocka_unit_test(test_pages_and_sleep),
        cmocka_unit_test(test_the_upper_rate_binds),
        cmocka_unit_test(test_end_of_a_pass_ends_the_wake_up),
        cmocka_unit_test(test_nothing_to_scan_never_spins),
        cmocka_unit_test(test_a_dropped_pass),
        cmocka_unit_test(test_bad_values_change_nothing),
        cmocka_unit_test(test_no_overflow),
        cmocka_unit_test(test_far_values),
        cmocka_unit_test(test_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
