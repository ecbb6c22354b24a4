/* SPDX-License-Identifier: BSD-2-Clause */
/* The RTC against the C library's calendar, and its three interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/string.h"
#include "drivers/guest/ticks.h"
#include "drivers/guest/vrtc.h"
#include "drivers/guest/vrtc_time.h"
#include "rnd.h"
#include "world_platform.h"

static struct vrtc r;
static struct iobus ports;
static struct timerq q;
static struct fake_irqs irqs;

static void start(uint64_t epoch)
{
    struct irq_sink sink = fake_sink(&irqs);

    fake_ns = 987654321;
    memset(&irqs, 0, sizeof(irqs));
    timerq_init(&q, fake_now);
    iobus_init(&ports);
    vrtc_init(&r, &q, &sink, epoch);
    assert_int_equal(vrtc_attach(&r, &ports), OK);
}

static unsigned get(unsigned reg)
{
    iobus_write(&ports, 0x70, 1, reg | 0x80);
    return (unsigned)iobus_read(&ports, 0x71, 1);
}

static void put(unsigned reg, unsigned v)
{
    iobus_write(&ports, 0x70, 2, reg | v << 8); /* one word: index, then data */
}

static unsigned bcd(int v)
{
    return (unsigned)(v / 10 << 4 | v % 10);
}

static void test_calendar(void **state)
{
    struct rnd seed = {4711};

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        time_t t = (time_t)(rnd_next(&seed) % 8000000000u);
        struct tm tm;
        gmtime_r(&t, &tm);
        start((uint64_t)t);
        assert_int_equal(get(VRTC_SECONDS), bcd(tm.tm_sec));
        assert_int_equal(get(VRTC_MINUTES), bcd(tm.tm_min));
        assert_int_equal(get(VRTC_HOURS), bcd(tm.tm_hour));
        assert_int_equal(get(VRTC_WEEKDAY), tm.tm_wday + 1);
        assert_int_equal(get(VRTC_DAY), bcd(tm.tm_mday));
        assert_int_equal(get(VRTC_MONTH), bcd(tm.tm_mon + 1));
        assert_int_equal(get(VRTC_YEAR), bcd(tm.tm_year % 100));
        assert_int_equal(get(VRTC_CENTURY), bcd(19 + tm.tm_year / 100));
        /* binary, 12 hours */
        put(VRTC_REG_B, VRTC_B_BINARY);
        assert_int_equal(get(VRTC_HOURS), (tm.tm_hour % 12 == 0 ? 12 : tm.tm_hour % 12) |
                                              (tm.tm_hour >= 12 ? 0x80 : 0));
        assert_int_equal(get(VRTC_DAY), tm.tm_mday);
        assert_int_equal(vrtc_time_decode(r.cmos), VRTC_EPOCH_1970 + (uint64_t)t);
    }
}

/* As Linux sets the clock: SET, divider reset, registers, back. */
static void test_set(void **state)
{
    unsigned a, b;

    (void)state;
    start(0);
    a = get(VRTC_REG_A);
    b = get(VRTC_REG_B);
    put(VRTC_REG_B, b | 0x80);
    put(VRTC_REG_A, a | 0x70);
    put(VRTC_YEAR, 0x24);
    put(VRTC_CENTURY, 0x20);
    put(VRTC_MONTH, 0x02);
    put(VRTC_DAY, 0x28);
    put(VRTC_HOURS, 0x23);
    put(VRTC_MINUTES, 0x59);
    put(VRTC_SECONDS, 0x59);
    fake_advance(&q, 5 * NS_PER_S);
    assert_int_equal(get(VRTC_SECONDS), 0x59); /* stands still */
    put(VRTC_REG_B, b);
    put(VRTC_REG_A, a);
    assert_int_equal(get(VRTC_SECONDS), 0x59);
    fake_advance(&q, NS_PER_S / 2 - 100000);
    assert_int_equal(get(VRTC_REG_A) & 0x80, 0x80); /* update in progress */
    fake_advance(&q, 100000);
    assert_int_equal(get(VRTC_REG_A) & 0x80, 0);
    assert_int_equal(get(VRTC_SECONDS), 0);
    assert_int_equal(get(VRTC_HOURS), 0);
    assert_int_equal(get(VRTC_DAY), 0x29); /* a leap year */
    fake_advance(&q, 86400 * NS_PER_S);
    assert_int_equal(get(VRTC_DAY), 0x01);
    assert_int_equal(get(VRTC_MONTH), 0x03);
    /* What is no date is brought to one, and runs on. */
    for (unsigned i = 0; i < 10; i++) {
        put(i, 0xff);
    }
    put(VRTC_REG_A, a);
    put(VRTC_REG_B, b);
    assert_true(get(VRTC_MONTH) <= 0x12 && get(VRTC_DAY) >= 1 && get(VRTC_SECONDS) <= 0x59);
}

static void test_interrupts(void **state)
{
    (void)state;
    start(1000000000);
    fake_advance(&q, 3 * NS_PER_S);
    assert_int_equal(timerq_next(&q), TIMER_NEVER); /* nobody wants anything */
    assert_int_equal(get(VRTC_REG_C) & 0x50, 0x50); /* but flags rise */
    assert_int_equal(get(VRTC_REG_C), 0);
    put(VRTC_REG_B, VRTC_B_24H | 0x40);
    for (unsigned i = 0; i < 1024; i++) {
        fake_advance(&q, 976563);
        assert_true(irqs.level[8]);
        assert_int_equal(get(VRTC_REG_C) & 0xc0, 0xc0);
        assert_false(irqs.level[8]);
    }
    put(VRTC_REG_B, VRTC_B_24H | 0x10);
    fake_advance(&q, 10 * NS_PER_S);
    get(VRTC_REG_C);
    irqs.rises[8] = 0;
    for (unsigned i = 0; i < 5; i++) {
        fake_advance(&q, NS_PER_S);
        assert_int_equal(get(VRTC_REG_C) & 0x90, 0x90);
    }
    assert_int_equal(irqs.rises[8], 5);
    vrtc_stop(&r);
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
}

/* The next alarm against looking at every second of two days. */
static void test_alarm(void **state)
{
    struct rnd seed = {99};
    uint8_t cmos[128] = {0};

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        uint64_t s = VRTC_EPOCH_1970 + rnd_next(&seed) % 4000000000u, want = UINT64_MAX;
        cmos[VRTC_REG_B] = i & 1 ? VRTC_B_24H : VRTC_B_24H | VRTC_B_BINARY;
        for (unsigned a = 1; a <= 5; a += 2) {
            uint8_t any = (uint8_t)(rnd_next(&seed) & 1 ? 0xc5 : rnd_next(&seed) % 26);
            cmos[a] = any;
        }
        for (uint64_t t = s + 1; t <= s + 86401; t++) {
            bool hit = true;
            vrtc_time_encode(cmos, t);
            for (unsigned a = 1; a <= 5; a += 2) {
                hit = hit && (cmos[a] >= 0xc0 || cmos[a] == cmos[a - 1]);
            }
            if (hit) {
                want = t;
                break;
            }
        }
        if (cmos[VRTC_REG_B] & VRTC_B_BINARY || want != UINT64_MAX) {
            assert_int_equal(vrtc_time_next_alarm(cmos, s), want);
        }
    }
    start(1000000000); /* 01:46:40 */
    put(VRTC_HOURS_ALARM, 0xff);
    put(VRTC_MINUTES_ALARM, 0x46);
    put(VRTC_SECONDS_ALARM, 0x45);
    put(VRTC_REG_B, VRTC_B_24H | 0x20);
    get(VRTC_REG_C);
    fake_advance(&q, 4 * NS_PER_S);
    assert_false(irqs.level[8]);
    fake_advance(&q, NS_PER_S);
    assert_true(irqs.level[8]);
    assert_int_equal(get(VRTC_REG_C) & 0xa0, 0xa0);
    fake_advance(&q, 3599 * NS_PER_S);
    assert_false(irqs.level[8]);
    fake_advance(&q, NS_PER_S);
    assert_true(irqs.level[8]);
}

static unsigned alarms;

static void on_alarm(void *ctx)
{
    assert_ptr_equal(ctx, &r);
    alarms++;
}

/* The chipset hears of each alarm whose interrupt is enabled, also while IRQ 8 stands. */
static void test_alarm_listener(void **state)
{
    (void)state;
    start(0);
    alarms = 0;
    vrtc_on_alarm(&r, on_alarm, &r);
    put(VRTC_SECONDS_ALARM, 0x05);
    put(VRTC_MINUTES_ALARM, 0xff);
    put(VRTC_HOURS_ALARM, 0xff);
    fake_advance(&q, 10 * NS_PER_S);
    (void)get(VRTC_REG_C);
    assert_int_equal(alarms, 0); /* not enabled */
    put(VRTC_REG_B, 0x22);
    fake_advance(&q, 50 * NS_PER_S);
    assert_int_equal(alarms, 0);
    fake_advance(&q, 10 * NS_PER_S);
    assert_int_equal(alarms, 1);
    assert_int_equal(irqs.rises[VRTC_IRQ], 1);
    fake_advance(&q, 120 * NS_PER_S);
    assert_int_equal(alarms, 1); /* C was not read */
    (void)get(VRTC_REG_C);
    put(VRTC_REG_B, 0x62); /* the periodic interrupt too, and nobody reads C */
    fake_advance(&q, 120 * NS_PER_S);
    assert_int_equal(irqs.rises[VRTC_IRQ], 2);
    assert_int_equal(alarms, 2);
}

static void test_memory(void **state)
{
    (void)state;
    start(0);
    vrtc_set_memory(&r, UINT64_C(256) << 20, UINT64_C(5) << 30);
    assert_int_equal(get(0x15) | get(0x16) << 8, 640);
    assert_int_equal(get(0x17) | get(0x18) << 8, 0xffff);
    assert_int_equal(get(0x34) | get(0x35) << 8, 240 << 4);
    assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 5 << 14);
    put(0x50, 0x5a);
    assert_int_equal(get(0x50), 0x5a);
    assert_int_equal(get(VRTC_REG_D), 0x80);
}

/* With a floor, 8192 Hz is more than the guest gets. */
static void test_floor(void **state)
{
    struct tick_floor floor = {.min_ns = 200000};
    unsigned n = 0;

    (void)state;
    start(0);
    r.floor = &floor;
    put(0x0a, 0x23);
    put(0x0b, 0x42);
    (void)get(0x0c);
    for (unsigned i = 0; i < 10000; i++) {
        fake_advance(&q, 10000);
        if (irqs.level[8]) {
            assert_true(get(0x0c) & 0x40);
            n++;
        }
    }
    assert_in_range(n, 400, 501); /* of 819 in 100 ms */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar),       cmocka_unit_test(test_set),
        cmocka_unit_test(test_interrupts),     cmocka_unit_test(test_alarm),
        cmocka_unit_test(test_floor),          cmocka_unit_test(test_memory),
        cmocka_unit_test(test_alarm_listener),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
