/* SPDX-License-Identifier: BSD-2-Clause */
/* The PIT's counts, outputs and interrupts against the data sheet's arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/string.h"
#include "drivers/guest/ticks.h"
#include "drivers/guest/vpit.h"
#include "world_platform.h"

static struct vpit p;
static struct iobus ports;
static struct timerq q;
static struct fake_irqs irqs;

static int setup(void **state)
{
    struct irq_sink sink = fake_sink(&irqs);

    (void)state;
    fake_ns = 123456789;
    memset(&irqs, 0, sizeof(irqs));
    timerq_init(&q, fake_now);
    iobus_init(&ports);
    vpit_init(&p, &q, &sink);
    return vpit_attach(&p, &ports) == OK ? 0 : -1;
}

static void out(unsigned port, unsigned v)
{
    iobus_write(&ports, port, 1, v);
}

static unsigned in(unsigned port)
{
    return (unsigned)iobus_read(&ports, port, 1);
}

static void program(unsigned n, unsigned mode, unsigned count)
{
    out(0x43, n << 6 | 0x30 | mode << 1);
    out(0x40 + n, count & 0xff);
    out(0x40 + n, count >> 8);
}

static unsigned read_latched(unsigned n)
{
    unsigned low;

    out(0x43, n << 6);
    low = in(0x40 + n);
    return low | in(0x40 + n) << 8;
}

static uint64_t now_tick(void)
{
    return ticks_from_ns(fake_ns, PIT_HZ);
}

/* Moves to a tick's first nanosecond; no timer runs. */
static void go_to(uint64_t tick)
{
    fake_ns = ticks_to_ns(tick, PIT_HZ);
    assert_int_equal(now_tick(), tick);
}

static unsigned status_of(unsigned n)
{
    out(0x43, 0xe0 | 2u << n);
    return in(0x40 + n);
}

/* A step-by-step model of the chip for modes 0, 2, 3, 4: one call is one clock pulse. */
struct model {
    unsigned mode, n, value;
    bool out;
};

static void model_load(struct model *m)
{
    m->value = m->mode == 3 ? m->n & ~1u : m->n;
    m->out = m->mode != 0;
}

static void model_clock(struct model *m)
{
    switch (m->mode) {
    case 0:
        m->value = (m->value - 1) & 0xffff;
        m->out = m->out || m->value == 0;
        break;
    case 2:
        m->value = m->value == 1 ? m->n : m->value - 1;
        m->out = m->value != 1;
        break;
    case 3:
        /* Odd counts: OUT stays high for one pulse more, at 0. */
        if (m->value == 2 && !(m->out && m->n & 1)) {
            m->value = m->n & ~1u;
            m->out = !m->out;
        } else if (m->value == 0) {
            m->value = m->n & ~1u;
            m->out = false;
        } else {
            m->value -= 2;
        }
        break;
    default:
        m->value = (m->value - 1) & 0xffff;
        m->out = m->value != 0;
        break;
    }
}

static void test_counting(void **state)
{
    static const unsigned modes[] = {0, 2, 3, 4}, counts[] = {4, 5, 6, 7, 100, 101};

    (void)state;
    out(0x61, 1); /* channel 2's gate */
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 6; j++) {
            struct model m = {.mode = modes[i], .n = counts[j]};
            uint64_t t = now_tick() + 2;
            go_to(t);
            program(2, m.mode, m.n);
            assert_int_equal(status_of(2) & 0x40, 0x40); /* not loaded yet */
            assert_int_equal(status_of(2) & 0x3f, 0x30 | m.mode << 1);
            model_load(&m);
            for (unsigned k = 1; k < 3 * m.n; k++) {
                go_to(t + k);
                assert_int_equal(read_latched(2), m.value);
                assert_int_equal(in(0x61) >> 5 & 1, m.out);
                assert_int_equal(status_of(2) >> 6, (unsigned)m.out << 1);
                model_clock(&m);
            }
        }
    }
}

static void test_latch(void **state)
{
    unsigned v;

    (void)state;
    program(0, 2, 0);
    go_to(now_tick() + 1000);
    out(0x43, 0xc2); /* read-back: count and status of channel 0 */
    go_to(now_tick() + 1000);
    out(0x43, 0x00); /* a second latch changes nothing */
    assert_int_equal(in(0x40), 0xb4);
    v = in(0x40);
    v |= in(0x40) << 8;
    assert_int_equal(v, 0x10000 - 999);
    v = in(0x40);
    v |= in(0x40) << 8;
    assert_int_equal(v, 0x10000 - 1999);
    /* BCD */
    out(0x43, 0xb0 | 1);
    out(0x42, 0x00);
    out(0x61, 1);
    out(0x42, 0x10);
    go_to(now_tick() + 11);
    assert_int_equal(read_latched(2), 0x0990);
    go_to(now_tick() + 1000);
    assert_int_equal(read_latched(2), 0x9990);
}

static void test_gate(void **state)
{
    unsigned refresh;

    (void)state;
    out(0x61, 0);
    program(2, 0, 100);
    go_to(now_tick() + 500);
    assert_int_equal(in(0x61) & 0x20, 0); /* held */
    out(0x61, 1);
    go_to(now_tick() + 50);
    out(0x61, 0);
    assert_int_equal(read_latched(2), 51);
    go_to(now_tick() + 500);
    assert_int_equal(read_latched(2), 51);
    out(0x61, 1);
    go_to(now_tick() + 52);
    assert_int_equal(in(0x61) & 0x20, 0x20);
    /* One-shot: low from the trigger for 10 ticks, and again. */
    out(0x61, 0);
    program(2, 1, 10);
    assert_int_equal(in(0x61) & 0x20, 0x20);
    for (unsigned i = 0; i < 2; i++) {
        out(0x61, 1);
        go_to(now_tick() + 5);
        assert_int_equal(in(0x61) & 0x20, 0);
        go_to(now_tick() + 6);
        assert_int_equal(in(0x61) & 0x20, 0x20);
        out(0x61, 0);
    }
    refresh = in(0x61) & 0x10;
    go_to(now_tick() + 18);
    assert_int_not_equal(in(0x61) & 0x10, refresh);
}

static void test_irq(void **state)
{
    unsigned rises;

    (void)state;
    program(0, 2, 11932); /* about 100 Hz */
    rises = irqs.rises[0];
    fake_advance(&q, 10 * NS_PER_S);
    assert_in_range(irqs.rises[0] - rises, 999, 1000);
    /* The phase is that of the first period after any number of late runs. */
    {
        uint64_t start = now_tick() + 1;
        program(0, 2, 20000);
        program(0, 2, 20000);
        for (unsigned i = 0; i < 50; i++) {
            rises = irqs.rises[0];
            fake_ns += 100000000; /* the VM was not run */
            timerq_run(&q, fake_ns);
            timerq_run(&q, fake_ns);
            assert_int_equal(irqs.rises[0], rises + 1);
            assert_int_equal(timerq_next(&q) > fake_ns, 1);
            assert_int_equal((ticks_from_ns(timerq_next(&q), PIT_HZ) - start) % 20000, 0);
        }
    }
    program(0, 0, 1193); /* once */
    rises = irqs.rises[0];
    fake_advance(&q, 900000);
    assert_int_equal(irqs.rises[0], rises);
    fake_advance(&q, 2 * NS_PER_S);
    assert_int_equal(irqs.rises[0], rises + 1);
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
    program(0, 2, 1); /* a flood is thinned out */
    rises = irqs.rises[0];
    fake_advance(&q, 10000000);
    assert_in_range(irqs.rises[0] - rises, 100, 10000000 / VPIT_MIN_FIRE_NS + 2);
    vpit_stop(&p);
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
}

/* With a floor, what was missed is owed, delivered one by one, and lost beyond a bound. */
static void test_floor(void **state)
{
    struct tick_floor floor = {.min_ns = 200000};
    unsigned rises;

    (void)state;
    p.floor = &floor;
    program(0, 2, 11932); /* about 10 ms */
    fake_advance(&q, 20000000);
    rises = irqs.rises[0];
    fake_ns += 105000000; /* the VM was not run */
    timerq_run(&q, fake_ns);
    timerq_run(&q, fake_ns);
    assert_int_equal(irqs.rises[0], rises + 1);
    assert_in_range(timerq_next(&q), fake_ns + floor.min_ns, fake_ns + floor.min_ns + 1);
    fake_advance(&q, 11 * floor.min_ns);
    assert_int_equal(irqs.rises[0], rises + 11); /* all that it missed */
    assert_true(timerq_next(&q) > fake_ns + floor.min_ns);
    rises = irqs.rises[0];
    fake_advance(&q, 10 * NS_PER_S); /* and no tick is lost after that */
    assert_in_range(irqs.rises[0] - rises, 999, 1001);
    rises = irqs.rises[0];
    fake_ns += 10 * NS_PER_S;
    fake_advance(&q, 40 * floor.min_ns);
    assert_in_range(irqs.rises[0] - rises, TICKS_OWED_MAX, TICKS_OWED_MAX + 2);
    program(0, 2, 2); /* a flood */
    rises = irqs.rises[0];
    fake_advance(&q, 100 * floor.min_ns);
    assert_in_range(irqs.rises[0] - rises, 99, 101);
    /* Another timer of the VM expires: this one keeps away from it. */
    tick_floor_pass(&floor, fake_ns + floor.min_ns);
    fake_advance(&q, floor.min_ns);
    timerq_run(&q, fake_ns);
    assert_true(timerq_next(&q) >= floor.free_ns);
    vpit_stop(&p);
}

/* A new count in mode 2 waits for the end of the period. */
static void test_reload(void **state)
{
    uint64_t t;

    (void)state;
    go_to(now_tick() + 1);
    t = now_tick() + 1;
    program(0, 2, 1000);
    go_to(t + 300);
    out(0x40, 50);
    out(0x40, 0);
    assert_int_equal(status_of(0) & 0x40, 0x40);
    go_to(t + 999);
    assert_int_equal(read_latched(0), 1);
    go_to(t + 1000);
    assert_int_equal(read_latched(0), 50);
    assert_int_equal(status_of(0) & 0x40, 0);
    go_to(t + 1051);
    assert_int_equal(read_latched(0), 49);
}

/* A stop of the VM, its timer off the queue, is no time for the channels. */
static void test_skip(void **state)
{
    uint64_t t = now_tick() + 1;

    (void)state;
    program(0, 2, 1000);
    program(2, 0, 50000);
    out(0x61, 1);
    go_to(t + 300);
    unsigned two = read_latched(2);
    out(0x40, 50); /* takes over at the end of the period */
    out(0x40, 0);
    unsigned rises = irqs.rises[0];
    vpit_stop(&p);
    go_to(t + 1000300);
    assert_int_equal(irqs.rises[0], rises);
    vpit_skip(&p, ticks_to_ns(t + 1000300, PIT_HZ) - ticks_to_ns(t + 300, PIT_HZ));
    assert_int_equal(read_latched(0), 700);
    assert_int_equal(read_latched(2), two);
    go_to(t + 1000999);
    assert_int_equal(irqs.rises[0], rises);
    assert_int_equal(read_latched(0), 1);
    fake_advance(&q, 1000000000 / PIT_HZ + 1);
    assert_int_equal(irqs.rises[0], rises + 1);
    assert_int_equal(read_latched(0), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_counting, setup), cmocka_unit_test_setup(test_latch, setup),
        cmocka_unit_test_setup(test_gate, setup),     cmocka_unit_test_setup(test_irq, setup),
        cmocka_unit_test_setup(test_reload, setup),   cmocka_unit_test_setup(test_skip, setup),
        cmocka_unit_test_setup(test_floor, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
