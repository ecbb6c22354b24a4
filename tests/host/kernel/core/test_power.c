/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel/core/power: the order of a run's end, how long each step is waited for, and how it comes
 * out. The loop, the clock and what the rooms above do are the test's; the loop sleeps until the
 * timer that was armed, so that a step that forgot to arm one never ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/clock.h"
#include "arch/x86_64/poweroff.h"
#include "base/bits.h"
#include "base/log.h"
#include "fake_log.h"
#include "kernel/core/charge.h"
#include "kernel/core/machine.h"
#include "kernel/core/power.h"
#include "kernel/core/sched.h"

#define S UINT64_C(1000000000)
#define MS UINT64_C(1000000)
#define NEVER UINT64_MAX
#define REBOOTED 99

/* ---- the machine ---------------------------------------------------------------------------- */

static uint64_t now_ns;
static struct timer *armed;
static sched_work_fn *work;
static jmp_buf over;

struct account charge_hypervisor;

struct account *charge(struct account *to)
{
    return to;
}

uint64_t clock_now_ns(void)
{
    return now_ns;
}

void sched_arm(struct timer *t, uint64_t deadline_ns)
{
    assert_false(t->armed);
    t->armed = true;
    t->deadline_ns = deadline_ns;
    armed = t;
}

void sched_add_work(sched_work_fn *fn, void *ctx)
{
    (void)ctx;
    work = fn;
}

_Noreturn void machine_exit(int code)
{
    longjmp(over, 1 + code);
}

_Noreturn void machine_reboot(void)
{
    longjmp(over, REBOOTED);
}

/* ---- the rooms above ------------------------------------------------------------------------ */

static struct {
    char said[512]; /* what was done, a word each */
    unsigned n_vms, n_on;
    uint64_t presses_take_ns, stops_take_ns; /* from the one to being off */
    uint64_t off_at_ns;
    bool ended, failed;
    uint64_t flushes_take_ns, flushed_ns;
    unsigned n_flushes;
    uint32_t cleans; /* blocks that a flush writes */
    uint64_t drained_ns;
} w;

static void say(const char *word)
{
    size_t n = strlen(w.said);

    assert_true(n + strlen(word) + 2 < sizeof(w.said));
    snprintf(w.said + n, sizeof(w.said) - n, "%s%s", n > 0 ? " " : "", word);
}

static uint64_t after(uint64_t ns)
{
    return ns == NEVER ? NEVER : now_ns + ns;
}

static void press(void)
{
    say("press");
    w.off_at_ns = after(w.presses_take_ns);
}

static unsigned on(void)
{
    return now_ns >= w.off_at_ns ? 0 : w.n_on;
}

static const char *list_on(void)
{
    return "one, two";
}

static void say_overdue(void)
{
    if (on() > 0) {
        say("overdue");
    }
}

static bool stop(unsigned n, bool reboot)
{
    if (n >= w.n_vms) {
        return false;
    }
    say(reboot ? "stop-for-reboot" : "stop");
    w.off_at_ns = MIN(w.off_at_ns, after(w.stops_take_ns));
    return true;
}

static bool ended(void)
{
    return w.ended;
}

static bool failed(void)
{
    return w.failed;
}

static void flush(void)
{
    say("flush");
    w.n_flushes++;
    w.flushed_ns = after(w.flushes_take_ns);
    machine_cache.dirty -= MIN(w.cleans, machine_cache.dirty);
}

static unsigned flushing(void)
{
    return now_ns < w.flushed_ns ? 1 : 0;
}

static void say_lost(void)
{
    say("lost");
}

static void note(void)
{
    say("note");
}

static void hush(void)
{
    say("hush");
}

static bool report(unsigned n)
{
    say("line");
    return n < 1;
}

static void release(void)
{
    say("release");
}

static bool drained(void)
{
    return now_ns >= w.drained_ns;
}

static const struct power_vms vms = {.press = press,
                                     .on = on,
                                     .list_on = list_on,
                                     .say_overdue = say_overdue,
                                     .stop = stop,
                                     .ended = ended,
                                     .failed = failed};
static const struct power_disks disks = {
    .flush = flush, .flushing = flushing, .say_lost = say_lost};
static const struct power_stats stats = {.note = note, .hush = hush, .report = report};
static const struct power_console console = {.release = release, .drained = drained};

/* ---- the loop ------------------------------------------------------------------------------- */

static struct config config;

static int begin(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    w.n_vms = 2;
    w.n_on = 2;
    w.off_at_ns = NEVER;
    armed = NULL;
    now_ns = 1000 * S;
    machine_cache.dirty = 0;
    machine_config.host.shutdown_wait_ns = 60 * S;
    power_init(&config);
    return 0;
}

/* Goes on until the machine is off: 1 + its exit code, or REBOOTED; 0: it is still on after so
 * long. */
static int run(uint64_t ns)
{
    static uint64_t until;
    int how;

    until = now_ns + ns;
    how = setjmp(over);
    while (how == 0 && now_ns < until) {
        if (work(NULL)) {
            continue;
        }
        if (!armed) {
            now_ns = until; /* HLT, for ever */
            break;
        }
        struct timer *t = armed;
        armed = NULL;
        now_ns = MAX(now_ns, t->deadline_ns);
        t->armed = false;
        t->fire(t->ctx, now_ns);
    }
    return how;
}

/* Whether it went off about so long after `since`. */
#define assert_took(since, ns) assert_in_range(now_ns - (since), (ns), (ns) + 100 * MS)

static void test_at_once(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.n_vms = 2;
    assert_false(power_is_coming());
    power_off(false);
    assert_true(power_is_coming() && power_is_ending());
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said, "note hush release stop stop flush lost line line");
    assert_took(t0, 0);
}

static void test_again_has_no_effect(void **state)
{
    (void)state;
    power_off(false);
    power_off(true);
    power_shut_down(true);
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said, "note hush release stop stop flush lost line line");
}

static void test_gentle(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.presses_take_ns = 7 * S;
    power_shut_down(false);
    assert_string_equal(log_last_line(), "power-off: waiting up to 60 s for one, two to shut down; "
                                         "`poweroff now` does not wait");
    assert_string_equal(w.said, "note press");
    assert_true(power_is_coming());
    assert_false(power_is_ending());
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said, "note press note hush release stop stop flush lost line line");
    assert_took(t0, 7 * S);
}

static void test_says_what_it_waits_for(void **state)
{
    (void)state;
    w.presses_take_ns = NEVER;
    power_shut_down(false);
    assert_int_equal(run(21 * S), 0);
    assert_string_equal(log_last_line(), "power-off: waiting up to 40 s for one, two to shut down; "
                                         "`poweroff now` does not wait");
}

static void test_overdue_vms_are_stopped(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.presses_take_ns = NEVER;
    power_shut_down(false);
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said,
                        "note press overdue note hush release stop stop flush lost line line");
    assert_took(t0, 60 * S);
}

static void test_now_ends_the_wait(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.presses_take_ns = NEVER;
    power_shut_down(false);
    assert_int_equal(run(5 * S), 0);
    power_off(false);
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said, "note press note hush release stop stop flush lost line line");
    assert_took(t0, 5 * S);
}

static void test_asked_again_what_follows_may_change(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.presses_take_ns = 20 * S;
    power_shut_down(false);
    assert_int_equal(run(5 * S), 0);
    power_shut_down(true);
    assert_int_equal(run(100 * S), REBOOTED);
    assert_string_equal(w.said, "note press note hush release stop-for-reboot stop-for-reboot "
                                "flush lost line line");
    assert_took(t0, 20 * S); /* the buttons were pressed once, and the time goes on */
}

static void test_without_wait_or_vms_it_is_at_once(void **state)
{
    (void)state;
    machine_config.host.shutdown_wait_ns = 0;
    power_shut_down(false);
    assert_true(power_is_ending());
    assert_int_equal(run(100 * S), 1);

    (void)begin(state);
    w.n_on = 0;
    power_shut_down(true);
    assert_true(power_is_ending());
    assert_int_equal(run(100 * S), REBOOTED);
}

static void test_a_vm_that_does_not_stop(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.stops_take_ns = NEVER;
    power_off(false);
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said, "note hush release stop stop flush lost line line");
    assert_string_equal(log_last_line(), "power-off: a VM does not stop; not waiting any longer");
    assert_took(t0, 30 * S);
}

static void test_a_disk_that_does_not_answer(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.flushes_take_ns = NEVER;
    machine_cache.dirty = 5;
    power_off(false);
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said, "note hush release stop stop flush lost line line");
    assert_string_equal(log_last_line(),
                        "power-off: a disk does not answer; not waiting any longer");
    assert_took(t0, 30 * S);
}

/* A write back that goes on is waited for, however long it takes. */
static void test_progress_is_waited_for(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.flushes_take_ns = 100 * S;
    machine_cache.dirty = 5;
    power_off(false);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(run(25 * S), 0);
        machine_cache.dirty--;
    }
    machine_cache.dirty = 0;
    assert_int_equal(run(100 * S), 1);
    assert_took(t0, 100 * S);
}

static void test_flushes_again_what_is_left(void **state)
{
    (void)state;
    machine_cache.dirty = 5;
    w.cleans = 3;
    power_off(false);
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said, "note hush release stop stop flush flush lost line line");

    (void)begin(state);
    machine_cache.dirty = 5; /* no flush helps */
    power_off(false);
    assert_int_equal(run(100 * S), 1);
    assert_string_equal(w.said, "note hush release stop stop flush flush flush lost line line");
}

static void test_a_console_that_is_not_read(void **state)
{
    uint64_t t0 = now_ns;

    (void)state;
    w.drained_ns = now_ns + 3 * S;
    power_off(false);
    assert_int_equal(run(100 * S), 1);
    assert_took(t0, 3 * S);

    (void)begin(state);
    w.drained_ns = NEVER;
    power_off(true);
    t0 = now_ns;
    assert_int_equal(run(100 * S), REBOOTED);
    assert_took(t0, 30 * S);
}

static void test_a_vm_that_never_started_is_a_failure(void **state)
{
    (void)state;
    w.failed = true;
    power_off(false);
    assert_int_equal(run(100 * S), 2);
}

static void test_when_off(void **state)
{
    (void)state;
    assert_false(power_ends_when_off());
    w.ended = true;
    assert_int_equal(run(10 * S), 0);
    power_when_off(true);
    assert_true(power_ends_when_off());
    w.ended = false;
    assert_int_equal(run(10 * S), 0);
    assert_false(power_is_coming());
    w.ended = true;
    w.n_on = 0;
    assert_int_equal(run(10 * S), 1);

    config.host.when_off = CONFIG_WHEN_OFF_POWEROFF;
    (void)begin(state);
    config.host.when_off = CONFIG_WHEN_OFF_STAY;
    assert_true(power_ends_when_off());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_at_once, begin),
        cmocka_unit_test_setup(test_again_has_no_effect, begin),
        cmocka_unit_test_setup(test_gentle, begin),
        cmocka_unit_test_setup(test_says_what_it_waits_for, begin),
        cmocka_unit_test_setup(test_overdue_vms_are_stopped, begin),
        cmocka_unit_test_setup(test_now_ends_the_wait, begin),
        cmocka_unit_test_setup(test_asked_again_what_follows_may_change, begin),
        cmocka_unit_test_setup(test_without_wait_or_vms_it_is_at_once, begin),
        cmocka_unit_test_setup(test_a_vm_that_does_not_stop, begin),
        cmocka_unit_test_setup(test_a_disk_that_does_not_answer, begin),
        cmocka_unit_test_setup(test_progress_is_waited_for, begin),
        cmocka_unit_test_setup(test_flushes_again_what_is_left, begin),
        cmocka_unit_test_setup(test_a_console_that_is_not_read, begin),
        cmocka_unit_test_setup(test_a_vm_that_never_started_is_a_failure, begin),
        cmocka_unit_test_setup(test_when_off, begin),
    };

    power_set_vms(&vms);
    power_set_disks(&disks);
    power_set_stats(&stats);
    power_set_console(&console);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
