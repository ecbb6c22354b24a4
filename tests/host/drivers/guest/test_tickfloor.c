/* SPDX-License-Identifier: BSD-2-Clause */
/* The floor under a VM's PIT, RTC and local APIC timer together: their rate, and that each has its
 * part of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/string.h"
#include "drivers/guest/tickfloor.h"
#include "drivers/guest/vlapic.h"
#include "drivers/guest/vpit.h"
#include "drivers/guest/vrtc.h"
#include "world_platform.h"

#define MS UINT64_C(1000000)
#define FLOOR_NS (MS / 5)
#define VECTOR 0x50u

static struct timerq q;
static struct fake_irqs irqs;
static struct iobus ports;
static struct vpit pit;
static struct vrtc rtc;
static struct vlapic apic;
static struct tick_floor under;

static uint64_t same(void *ctx, uint64_t tsc)
{
    (void)ctx;
    return tsc;
}

static const struct vlapic_ops ops = {.tsc_to_ns = same};

static int setup(void **state)
{
    struct irq_sink sink = fake_sink(&irqs);

    (void)state;
    fake_ns = 123 * MS;
    memset(&irqs, 0, sizeof(irqs));
    timerq_init(&q, fake_now);
    iobus_init(&ports);
    vpit_init(&pit, &q, &sink);
    vrtc_init(&rtc, &q, &sink, 0);
    vlapic_init(&apic, 0, &ops, NULL, &q, 100000000, true);
    under = (struct tick_floor){.min_ns = FLOOR_NS};
    pit.floor = rtc.floor = apic.floor = &under;
    return vpit_attach(&pit, &ports) == OK && vrtc_attach(&rtc, &ports) == OK ? 0 : -1;
}

static void out(unsigned port, unsigned v)
{
    iobus_write(&ports, port, 1, v);
}

static void cmos(unsigned reg, unsigned v)
{
    out(0x70, reg);
    out(0x71, v);
}

static void start_pit(unsigned count)
{
    out(0x43, 0x34);
    out(0x40, count & 0xff);
    out(0x40, count >> 8);
}

static void start_rtc(unsigned rate)
{
    cmos(0x0a, 0x20 | rate);
    cmos(0x0b, 0x42);
}

static void start_apic(uint32_t count)
{
    vlapic_mmio_write(&apic, 0xf0, 4, 0x1ff);
    vlapic_mmio_write(&apic, 0x3e0, 4, 0xb);
    vlapic_mmio_write(&apic, 0x320, 4, 0x20000 | VECTOR);
    vlapic_mmio_write(&apic, 0x380, 4, count);
}

/* The guest takes each interrupt at once, for so long; *apic_ticks counts the APIC's. */
static void run(uint64_t ns, unsigned *apic_ticks)
{
    for (uint64_t end = fake_ns + ns; fake_ns < end;) {
        fake_advance(&q, 5000);
        if (irqs.level[8]) {
            out(0x70, 0x0c);
            (void)iobus_read(&ports, 0x71, 1);
        }
        if (apic.irr[VECTOR / 64] & BIT(VECTOR % 64)) {
            vlapic_ack(&apic, VECTOR);
            vlapic_mmio_write(&apic, 0xb0, 4, 0);
            ++*apic_ticks;
        }
    }
}

static void test_together(void **state)
{
    unsigned ticks = 0, most = 1000 * MS / FLOOR_NS;

    (void)state;
    start_pit(2);
    start_rtc(3);
    start_apic(1);
    run(1000 * MS, &ticks);
    unsigned all = irqs.rises[0] + irqs.rises[8] + ticks;
    assert_in_range(all, most * 9 / 10, most + 1);
    assert_in_range(irqs.rises[0], all / 3 - all / 20, all / 3 + all / 20);
    assert_in_range(irqs.rises[8], all / 3 - all / 20, all / 3 + all / 20);
    assert_in_range(ticks, all / 3 - all / 20, all / 3 + all / 20);
}

/* A slow one loses no tick to a flood, and comes in time. */
static void test_slow(void **state)
{
    unsigned ticks = 0;

    (void)state;
    start_pit(2);
    start_apic(1000000); /* 10 ms */
    run(1000 * MS, &ticks);
    assert_in_range(ticks, 99, 101);
    assert_in_range(irqs.rises[0], 4400, 5001);
}

/* None of them is fast: each has all its ticks. */
static void test_usual(void **state)
{
    unsigned ticks = 0;

    (void)state;
    start_pit(11932);   /* 10 ms */
    start_rtc(9);       /* 128 Hz */
    start_apic(400000); /* 4 ms */
    run(1000 * MS, &ticks);
    assert_in_range(irqs.rises[0], 99, 101);
    assert_in_range(irqs.rises[8], 127, 129);
    assert_in_range(ticks, 249, 251);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_together, setup),
        cmocka_unit_test_setup(test_slow, setup),
        cmocka_unit_test_setup(test_usual, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
