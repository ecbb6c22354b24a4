/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns by virtual time: the rules one by one, then simulated guests of every greedy kind beside
 * one that only computes. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "kernel/core/turns.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

/* ---- the rules ------------------------------------------------------------------------------ */

static struct turns ts;
static struct account acc[4];
static struct turn turn[4];

static void begin(void)
{
    memset(acc, 0, sizeof(acc));
    turns_init(&ts);
    for (unsigned i = 0; i < 4; i++) {
        turn_init(&ts, &turn[i], &acc[i]);
    }
}

/* The running one is charged and goes to the end of those that wait. */
static void use(unsigned i, uint64_t ns)
{
    assert_ptr_equal(ts.running, &turn[i]);
    acc[i].ns += ns;
    turns_put(&ts, true);
}

static void pick(unsigned i, uint64_t now)
{
    assert_ptr_equal(turns_pick(&ts, now), &turn[i]);
}

static void test_least_first(void **state)
{
    (void)state;
    begin();
    assert_null(turns_pick(&ts, 0));
    for (unsigned i = 0; i < 3; i++) {
        turns_wake(&ts, &turn[i], 0);
    }
    pick(0, 0); /* equal: in the order in which they came */
    assert_int_equal(turns_end_ns(&ts), TURNS_ROUND_NS / 3);
    use(0, 10 * MS);
    pick(1, 10 * MS);
    use(1, 25 * MS); /* it overran */
    pick(2, 35 * MS);
    use(2, 10 * MS);
    pick(0, 45 * MS);
    use(0, 10 * MS);
    pick(2, 55 * MS);
    use(2, 10 * MS);
    pick(0, 65 * MS); /* 20 beside 25: the overrun is owed */
    use(0, 10 * MS);
    pick(2, 75 * MS);
    use(2, 10 * MS);
    pick(1, 85 * MS);
}

static void test_charged_outside_its_turn(void **state)
{
    (void)state;
    begin();
    turns_wake(&ts, &turn[0], 0);
    turns_wake(&ts, &turn[1], 0);
    pick(0, 0);
    use(0, 10 * MS);
    acc[1].ns += 11 * MS; /* for instance, its disks' completions */
    pick(0, 10 * MS);
    use(0, 10 * MS);
    pick(1, 20 * MS);
}

static void test_sleeper_cannot_save(void **state)
{
    (void)state;
    begin();
    turns_wake(&ts, &turn[0], 0);
    for (uint64_t now = 0; now < S; now += 10 * MS) {
        pick(0, now);
        use(0, 10 * MS);
    }
    pick(0, S);
    acc[0].ns += 500 * US;
    turns_wake(&ts, &turn[1], S + 500 * US);
    assert_int_equal(turn[1].virtual_ns, S + 500 * US - TURNS_SAVED_NS);
    assert_int_equal(turns_end_ns(&ts), S + TURNS_MIN_NS); /* soon, but not at once */
    acc[0].ns += 500 * US;
    turns_put(&ts, true);
    pick(1, S + MS);
    use(1, 5 * MS);
    pick(1, S + 6 * MS); /* still half a millisecond behind */
    use(1, 5 * MS);
    pick(0, S + 11 * MS);
}

static void test_debt_over_sleep(void **state)
{
    (void)state;
    begin();
    turns_wake(&ts, &turn[0], 0);
    turns_wake(&ts, &turn[1], 0);
    pick(0, 0);
    acc[0].ns += 50 * MS;
    turns_put(&ts, false); /* it sleeps with its debt */
    pick(1, 50 * MS);
    acc[1].ns += MS;
    turns_wake(&ts, &turn[0], 51 * MS);
    assert_int_equal(turn[0].virtual_ns, 50 * MS);
    assert_int_equal(turns_end_ns(&ts), 50 * MS + TURNS_QUANTUM_NS); /* no turn is cut for it */
}

static void test_weight(void **state)
{
    uint64_t now = 0;
    (void)state;

    begin();
    turn[1].weight = 3 * TURNS_WEIGHT;
    turns_wake(&ts, &turn[0], 0);
    turns_wake(&ts, &turn[1], 0);
    while (now < 40 * S) {
        struct turn *t = turns_pick(&ts, now);
        ((struct account *)(uintptr_t)t->account)->ns += 10 * MS;
        now += 10 * MS;
        turns_put(&ts, true);
    }
    assert_in_range(acc[0].ns, 10 * S - 20 * MS, 10 * S + 20 * MS);
}

static void test_alarm(void **state)
{
    (void)state;
    begin();
    assert_int_equal(turns_alarm_ns(&ts, &turn[1], 7, 0), 7); /* nobody to interrupt */
    ts.least_ns = S;
    turns_wake(&ts, &turn[0], 0);
    turn[0].virtual_ns = S; /* as if it had run all the time */
    pick(0, 0);
    /* A full quantum behind: when it is due, but the turn has its least length. */
    assert_int_equal(turns_alarm_ns(&ts, &turn[1], 5 * MS, 0), 5 * MS);
    assert_int_equal(turns_alarm_ns(&ts, &turn[1], 10, 0), TURNS_MIN_NS);
    assert_int_equal(turns_alarm_ns(&ts, &turn[1], 11 * MS, 0), TURNS_NEVER);
    /* On a par: once the running one is ahead. */
    turn[2].virtual_ns = S + 3 * MS;
    assert_int_equal(turns_alarm_ns(&ts, &turn[2], 10, 0), 3 * MS + TURNS_GRAIN_NS);
    turn[2].virtual_ns = S + 30 * MS;
    assert_int_equal(turns_alarm_ns(&ts, &turn[2], 10, 0), TURNS_NEVER);
}

/* ---- simulated guests ----------------------------------------------------------------------- */

#define GUESTS 5
/* What it takes to come from one guest to the next, the loop's work included. */
#define SWITCH_NS (30 * US)
/* In the first round nobody is behind. */
#define WARM_UP_NS (200 * MS)

struct guest {
    /* It works for `work`, then sleeps until the next multiple of `every`, or for `sleep` from now;
     * with neither it never sleeps. */
    uint64_t work, every, sleep;
    uint64_t yields;  /* says PAUSE after so much */
    uint64_t overrun; /* its last exit takes so much longer than its turn */
    uint64_t outside; /* done for it after each turn of another one */
    struct account account;
    struct turn turn;
    uint64_t due_ns; /* asleep: until then */
    uint64_t left;   /* of `work` */
    uint64_t ran_ns, last_ns, gap_ns, late_ns;
};

static uint64_t now;
static struct guest guests[GUESTS];

static void fall_asleep(struct guest *g)
{
    g->left = g->work;
    g->due_ns = g->sleep ? now + g->sleep : (now / g->every + 1) * g->every;
}

/* Wakes those that are due and may interrupt; until when the running one may go on. */
static uint64_t wake_due(void)
{
    uint64_t next = ts.running ? turns_end_ns(&ts) : UINT64_MAX;

    for (unsigned i = 0; i < GUESTS; i++) {
        struct guest *g = &guests[i];
        if (g->work == 0 || g->turn.waits || ts.running == &g->turn) {
            continue;
        }
        uint64_t at = turns_alarm_ns(&ts, &g->turn, g->due_ns, now);
        if (at <= now) {
            g->account.ns += 5 * US; /* what its timer costs */
            turns_wake(&ts, &g->turn, now);
            next = MIN(next, turns_end_ns(&ts));
        } else {
            next = MIN(next, at);
        }
    }
    return next;
}

static void run_piece(struct guest *g, uint64_t until)
{
    uint64_t piece = until - now;
    bool sleeps = false, yields = false;

    if (now - g->last_ns > g->gap_ns) {
        g->gap_ns = now - g->last_ns;
    }
    if (g->left == g->work && g->due_ns > WARM_UP_NS) {
        g->late_ns = MAX(g->late_ns, now - g->due_ns);
    }
    if ((g->every || g->sleep) && g->left <= piece) {
        piece = g->left;
        sleeps = true;
    }
    if (g->yields && g->yields <= piece) {
        piece = g->yields;
        yields = true;
        sleeps = false;
    }
    if (!yields && !sleeps && until == turns_end_ns(&ts)) {
        piece += g->overrun;
    }
    now += piece;
    g->left -= MIN(piece, g->left);
    g->ran_ns += piece;
    g->account.ns += piece;
    g->last_ns = now;
    if (sleeps) {
        turns_put(&ts, false);
        fall_asleep(g);
    } else if (yields) {
        (void)turns_yield(&ts);
        turns_put(&ts, true);
    } else if (now >= turns_end_ns(&ts)) {
        turns_put(&ts, true);
    }
}

static void simulate(uint64_t ns)
{
    struct turn *last = NULL;

    now = 0;
    turns_init(&ts);
    for (unsigned i = 0; i < GUESTS; i++) {
        struct guest *g = &guests[i];
        turn_init(&ts, &g->turn, &g->account);
        g->left = g->work;
        if (g->work) {
            turns_wake(&ts, &g->turn, 0);
        }
    }
    while (now < ns) {
        uint64_t until = wake_due();
        if (!ts.running) {
            struct turn *t = turns_pick(&ts, now);
            if (!t) {
                now = until;
                continue;
            }
            if (t != last) {
                now += SWITCH_NS;
                container_of(t, struct guest, turn)->account.ns += SWITCH_NS;
            }
            last = t;
            until = wake_due();
        }
        struct guest *g = container_of(ts.running, struct guest, turn);
        if (until > now) {
            run_piece(g, until);
        } else {
            turns_put(&ts, true);
        }
        for (unsigned i = 0; i < GUESTS; i++) {
            if (&guests[i] != g && guests[i].work) {
                now += guests[i].outside;
                guests[i].account.ns += guests[i].outside;
            }
        }
    }
}

#define FOREVER (1000 * S)
#define COMPUTES                                                                                   \
    {                                                                                              \
        .work = FOREVER                                                                            \
    }

static const struct kind {
    const char *name;
    struct guest guest;
} kinds[] = {
    {"computes", COMPUTES},
    {"wakes every 200 us", {.work = 20 * US, .every = 200 * US}},
    {"wakes at once", {.work = 10 * US, .sleep = 1}},
    {"sleeps just long enough to be behind", {.work = 9 * MS, .sleep = MS}},
    {"sleeps to save up time", {.work = 200 * MS, .sleep = 200 * MS}},
    {"short and long", {.work = 30 * MS, .every = 31 * MS}},
    {"spins", {.work = FOREVER, .yields = 100 * US}},
    {"overruns its turns", {.work = FOREVER, .overrun = 3 * MS}},
    {"sleeps before its turn ends", {.work = 9900 * US, .sleep = 10}},
    {"is worked for outside its turns", {.work = FOREVER, .outside = 20 * US}},
    {"is worked for and halts", {.work = 100 * US, .every = MS, .outside = 20 * US}},
};

/* Beside n of a kind, the one that computes has its share, and is never away for long. */
static void judge(const struct kind *k, unsigned n, double share, uint64_t gap_ns)
{
    memset(guests, 0, sizeof(guests));
    guests[0].work = FOREVER;
    for (unsigned i = 1; i <= n; i++) {
        guests[i] = k->guest;
    }
    simulate(20 * S);
    if ((double)guests[0].ran_ns < share * 20e9 || guests[0].gap_ns > gap_ns) {
        fail_msg("beside %u that %s: %.3f of the CPU, away for %llu us", n, k->name,
                 (double)guests[0].ran_ns / 20e9, (unsigned long long)(guests[0].gap_ns / US));
    }
}

static void test_beside_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        judge(&kinds[i], 1, 0.45, 14 * MS);
    }
}

static void test_beside_three(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        judge(&kinds[i], 3, 0.9 / 4, 33 * MS);
    }
}

static void test_beside_one_of_each(void **state)
{
    (void)state;
    for (unsigned a = 0; a < ARRAY_LEN(kinds); a++) {
        for (unsigned b = 0; b < ARRAY_LEN(kinds); b++) {
            memset(guests, 0, sizeof(guests));
            guests[0].work = FOREVER;
            guests[1] = kinds[a].guest;
            guests[2] = kinds[b].guest;
            simulate(5 * S);
            if (guests[0].ran_ns < 9 * 5 * S / 30 || guests[0].gap_ns > 33 * MS) {
                fail_msg("beside one that %s and one that %s: %llu ms of 5000, away for %llu us",
                         kinds[a].name, kinds[b].name, (unsigned long long)(guests[0].ran_ns / MS),
                         (unsigned long long)(guests[0].gap_ns / US));
            }
        }
    }
}

/* One that needs little has it soon, beside three of any kind. */
static void test_sleeper_is_soon_awake(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        memset(guests, 0, sizeof(guests));
        guests[0] = (struct guest){.work = 50 * US, .every = 7 * MS};
        for (unsigned k = 1; k <= 3; k++) {
            guests[k] = kinds[i].guest;
        }
        simulate(20 * S);
        uint64_t most = 2 * MS + kinds[i].guest.overrun;
        if (guests[0].late_ns > most || guests[0].ran_ns < 20 * S / 7000 * 49) {
            fail_msg("beside three that %s a sleeper is %llu us late, and had %llu ms",
                     kinds[i].name, (unsigned long long)(guests[0].late_ns / US),
                     (unsigned long long)(guests[0].ran_ns / MS));
        }
    }
}

/* One that spins with PAUSE lets others go first, but has its share in the end. */
static void test_spinner(void **state)
{
    (void)state;
    memset(guests, 0, sizeof(guests));
    guests[0] = (struct guest){.work = FOREVER, .yields = 100 * US};
    guests[1].work = FOREVER;
    simulate(20 * S);
    assert_true(guests[0].ran_ns >= 20 * S * 4 / 10);
    /* Beside one that sleeps most of the time the spinner has the rest. */
    memset(guests, 0, sizeof(guests));
    guests[0] = (struct guest){.work = FOREVER, .yields = 100 * US};
    guests[1] = (struct guest){.work = MS, .every = 5 * MS};
    simulate(20 * S);
    assert_true(guests[0].ran_ns >= 20 * S * 6 / 10);
    assert_true(guests[1].ran_ns >= 20 * S * 19 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_first),
        cmocka_unit_test(test_charged_outside_its_turn),
        cmocka_unit_test(test_sleeper_cannot_save),
        cmocka_unit_test(test_debt_over_sleep),
        cmocka_unit_test(test_weight),
        cmocka_unit_test(test_alarm),
        cmocka_unit_test(test_beside_one),
        cmocka_unit_test(test_beside_three),
        cmocka_unit_test(test_beside_one_of_each),
        cmocka_unit_test(test_sleeper_is_soon_awake),
        cmocka_unit_test(test_spinner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
