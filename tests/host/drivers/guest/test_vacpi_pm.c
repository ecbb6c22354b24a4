/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI's fixed registers: events and the SCI, power-off; the ports that reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/string.h"
#include "drivers/guest/vacpi_pm.h"
#include "world_platform.h"

#define RTC 0x400u
#define PWRBTN 0x100u

static struct vacpi_pm pm;
static struct iobus ports;
static struct timerq q;
static struct fake_irqs irqs;
static unsigned offs, resets;

static void on_off(void *ctx)
{
    (void)ctx;
    offs++;
}

static void on_reset(void *ctx)
{
    (void)ctx;
    resets++;
}

static int begin(void **state)
{
    static const struct vacpi_pm_ops ops = {.power_off = on_off, .reset = on_reset};
    struct irq_sink sink = fake_sink(&irqs);

    (void)state;
    fake_ns = 0;
    offs = resets = 0;
    memset(&irqs, 0, sizeof(irqs));
    timerq_init(&q, fake_now);
    iobus_init(&ports);
    vacpi_pm_init(&pm, &q, &sink, &ops, NULL);
    return vacpi_pm_attach(&pm, &ports) != OK;
}

static unsigned get(unsigned port, unsigned size)
{
    return (unsigned)iobus_read(&ports, port, size);
}

static void put(unsigned port, unsigned size, unsigned value)
{
    iobus_write(&ports, port, size, value);
}

/* An event sets its status bit whether it is enabled or not; the SCI follows both. */
static void check_event(void (*raise)(struct vacpi_pm *), unsigned bit)
{
    raise(&pm);
    assert_int_equal(get(VACPI_PM_EVT_PORT, 2), bit);
    assert_false(irqs.level[VACPI_PM_SCI]);
    put(VACPI_PM_EVT_PORT + 2, 2, bit);
    assert_true(irqs.level[VACPI_PM_SCI]);
    put(VACPI_PM_EVT_PORT, 2, 0xffff & ~bit);
    assert_true(irqs.level[VACPI_PM_SCI]);
    put(VACPI_PM_EVT_PORT, 2, bit);
    assert_int_equal(get(VACPI_PM_EVT_PORT, 2), 0);
    assert_false(irqs.level[VACPI_PM_SCI]);
    raise(&pm);
    assert_true(irqs.level[VACPI_PM_SCI]);
    put(VACPI_PM_EVT_PORT + 2, 2, 0);
    assert_false(irqs.level[VACPI_PM_SCI]);
    put(VACPI_PM_EVT_PORT, 2, 0xffff);
}

static void test_events(void **state)
{
    (void)state;
    check_event(vacpi_pm_rtc_alarm, RTC);
    check_event(vacpi_pm_press_power, PWRBTN);
}

static void test_power_off(void **state)
{
    (void)state;
    put(VACPI_PM_CNT_PORT, 2, 0x2000 | 4 << 10);
    assert_int_equal(offs, 0);
    put(VACPI_PM_CNT_PORT, 2, 0x2000 | VACPI_PM_SLP_TYP_S5 << 10);
    assert_int_equal(offs, 1);
    assert_int_equal(get(VACPI_PM_CNT_PORT, 2) & 1, 1);
}

/* There is no keyboard controller, but for its pulse on the reset line. */
static void test_keyboard_ports(void **state)
{
    unsigned pulses = 0;

    (void)state;
    for (unsigned size = 1; size <= 4; size *= 2) {
        uint32_t ones = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
        assert_int_equal(get(0x60, size) & ones, ones);
        assert_int_equal(get(0x64, size) & ones, ones);
    }
    for (unsigned v = 0; v < 256; v++) {
        put(0x64, 1, v);
        pulses += v >= 0xf0 && v % 2 == 0;
        assert_int_equal(resets, pulses);
        put(0x60, 1, v);
        assert_int_equal(resets, pulses);
    }
}

/* The PM timer stands still while the VM is stopped; a press of the power button meanwhile does not
 * count its time either. */
static void test_skip(void **state)
{
    (void)state;
    fake_advance(&q, UINT64_C(1234567890));
    unsigned before = get(VACPI_PM_TMR_PORT, 4);
    put(VACPI_PM_EVT_PORT + 2, 2, 1);
    for (unsigned i = 0; i < 3; i++) {
        vacpi_pm_freeze(&pm);
        fake_advance(&q, UINT64_C(700000000000)); /* more than the carry's 600 s */
        if (i == 1) {
            vacpi_pm_press_power(&pm);
        }
        vacpi_pm_thaw(&pm);
        assert_int_equal(get(VACPI_PM_TMR_PORT, 4), before);
    }
    put(VACPI_PM_EVT_PORT, 2, 0xffff);
    assert_false(irqs.level[VACPI_PM_SCI]);
    /* The carry comes when the timer itself gets there. */
    uint64_t left = (UINT64_C(0x80000000) - before) * UINT64_C(1000000000) / VACPI_PM_TMR_HZ;
    fake_advance(&q, left - 1000000);
    assert_false(irqs.level[VACPI_PM_SCI]);
    fake_advance(&q, 2000000);
    assert_true(irqs.level[VACPI_PM_SCI]);
    assert_int_equal(get(VACPI_PM_EVT_PORT, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_events, begin),
        cmocka_unit_test_setup(test_power_off, begin),
        cmocka_unit_test_setup(test_keyboard_ports, begin),
        cmocka_unit_test_setup(test_skip, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
