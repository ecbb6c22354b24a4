/* SPDX-License-Identifier: BSD-2-Clause */
/* drivers/host/uart against a model of a 16550A that is strict about its interrupt line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "drivers/host/uart.h"
#include "fake_portio.h"

/* The model: FIFO depth, an edge-triggered line, and what crossed the wire. */
static struct model {
    bool gone, no_fifo, fifo_on, stuck;
    uint8_t ier, lcr, mcr, dll, dlm;
    bool thre_event;
    uint8_t rx[64];
    unsigned n_rx, overrun;
    uint8_t fifo[16];
    unsigned n_fifo, lost; /* bytes written to a full transmitter */
    uint8_t wire[4096];
    unsigned n_wire;
    unsigned reads;
    bool line, edge;
} m;

static struct host_uart u;

/* The driver's owner. */
static uint8_t got[4096], want[4096];
static unsigned n_got, n_want, at_want;

static unsigned depth(void)
{
    return m.fifo_on && !m.no_fifo ? 16 : 1;
}

static void update(void)
{
    bool level = ((m.ier & 1) && m.n_rx > 0) || ((m.ier & 2) && m.thre_event);

    m.edge |= level && !m.line;
    m.line = level;
}

static uint32_t in(void *ctx, uint16_t reg, unsigned size)
{
    (void)ctx;
    assert_int_equal(size, 1);
    m.reads++;
    if (m.gone) {
        return 0xff;
    }
    uint32_t v = 0;
    switch (reg) {
    case 0:
        assert_false(m.lcr & 0x80);
        if (m.n_rx > 0) {
            v = m.rx[0];
            memmove(m.rx, m.rx + 1, --m.n_rx);
        }
        break;
    case 1:
        v = m.ier;
        break;
    case 2:
        v = m.fifo_on && !m.no_fifo ? 0xc0 : 0;
        if (m.stuck) {
            v |= 0x04;
        } else if ((m.ier & 1) && m.n_rx > 0) {
            v |= 0x04;
        } else if ((m.ier & 2) && m.thre_event) {
            v |= 0x02;
            m.thre_event = false;
        } else {
            v |= 1;
        }
        break;
    case 5:
        v = (m.n_rx > 0 ? 1u : 0) | (m.overrun ? 2u : 0) | (m.n_fifo == 0 ? 0x60u : 0);
        m.overrun = 0;
        break;
    default:
        break;
    }
    update();
    return v;
}

static void out(void *ctx, uint16_t reg, unsigned size, uint32_t value)
{
    (void)ctx;
    assert_int_equal(size, 1);
    if (m.gone) {
        return;
    }
    bool dlab = m.lcr & 0x80;
    switch (reg) {
    case 0:
        if (dlab) {
            m.dll = (uint8_t)value;
        } else if (m.n_fifo < depth()) {
            m.fifo[m.n_fifo++] = (uint8_t)value;
            m.thre_event = false;
        } else {
            m.lost++;
        }
        break;
    case 1:
        if (dlab) {
            m.dlm = (uint8_t)value;
        } else {
            if (!(m.ier & 2) && (value & 2) && m.n_fifo == 0) {
                m.thre_event = true;
            }
            m.ier = (uint8_t)value;
        }
        break;
    case 2:
        m.fifo_on = value & 1;
        if (value & 2) {
            m.n_rx = 0;
        }
        break;
    case 3:
        m.lcr = (uint8_t)value;
        break;
    case 4:
        m.mcr = (uint8_t)value;
        break;
    default:
        break;
    }
    update();
}

static const struct fake_ports ports = {.first = HOST_UART_COM1, .count = 8, .in = in, .out = out};

/* The line shifts everything out. */
static void shift_out(void)
{
    if (m.n_fifo > 0) {
        memcpy(m.wire + m.n_wire, m.fifo, m.n_fifo);
        m.n_wire += m.n_fifo;
        m.n_fifo = 0;
        m.thre_event = true;
        update();
    }
}

/* A byte arrives. */
static void arrive(uint8_t b)
{
    if (m.n_rx >= depth()) {
        m.overrun = 1;
    } else {
        m.rx[m.n_rx++] = b;
    }
    update();
}

/* As an edge-triggered PIC does: one call an edge. */
static void deliver(void)
{
    for (unsigned i = 0; m.edge; i++) {
        assert_true(i < 100);
        m.edge = false;
        host_uart_irq(&u);
    }
}

static void owner_rx(void *ctx, const uint8_t *bytes, size_t n)
{
    assert_ptr_equal(ctx, &m);
    memcpy(got + n_got, bytes, n);
    n_got += (unsigned)n;
}

static size_t owner_tx(void *ctx, uint8_t *buf, size_t max)
{
    assert_ptr_equal(ctx, &m);
    size_t n = MIN(max, (size_t)(n_want - at_want));

    memcpy(buf, want + at_want, n);
    at_want += (unsigned)n;
    return n;
}

static const struct host_uart_ops ops = {.rx = owner_rx, .tx = owner_tx};

static int setup(void **state)
{
    (void)state;
    m = (struct model){.n_rx = 1};
    n_got = n_want = at_want = 0;
    fake_ports_clear();
    fake_ports_add(&ports);
    return 0;
}

static void start(void)
{
    assert_int_equal(host_uart_init(&u, HOST_UART_COM1, &ops, &m), OK);
}

static void test_init(void **state)
{
    (void)state;
    start();
    assert_int_equal(m.dll, 1);
    assert_int_equal(m.dlm, 0);
    assert_int_equal(m.lcr, 0x03);
    assert_int_equal(m.mcr & 0x08, 0x08);
    assert_int_equal(m.ier, 1);
    assert_int_equal(u.depth, 16);
    assert_int_equal(m.n_rx, 0);
}

static void test_missing(void **state)
{
    (void)state;
    m.gone = true;
    assert_int_equal(host_uart_init(&u, HOST_UART_COM1, &ops, &m), E_NOTFOUND);
    m.reads = 0;
    n_want = 5;
    host_uart_irq(&u);
    host_uart_kick(&u);
    host_uart_poll(&u);
    assert_int_equal(m.reads, 0);
    assert_int_equal(at_want, 0);
    assert_true(host_uart_idle(&u));
}

static void send(bool no_fifo)
{
    m.no_fifo = no_fifo;
    start();
    for (unsigned i = 0; i < 1000; i++) {
        want[i] = (uint8_t)(i * 7);
    }
    n_want = 1000;
    host_uart_kick(&u);
    for (unsigned i = 0; m.n_wire < 1000; i++) {
        assert_true(i < 2000);
        shift_out();
        deliver();
    }
    assert_memory_equal(m.wire, want, 1000);
    assert_int_equal(m.lost, 0);
    assert_int_equal(m.ier, 1); /* and nothing keeps asking */
    assert_int_equal(u.tx_bytes, 1000);
    /* And again after the rest. */
    n_want = 1010;
    host_uart_kick(&u);
    for (unsigned i = 0; i < 20; i++) {
        shift_out();
        deliver();
    }
    assert_int_equal(m.n_wire, 1010);
}

static void test_send(void **state)
{
    (void)state;
    send(false);
}

static void test_send_8250(void **state)
{
    (void)state;
    send(true);
    assert_int_equal(u.depth, 1);
}

static void test_kick_while_busy(void **state)
{
    (void)state;
    start();
    memset(want, 'a', sizeof(want));
    n_want = 3;
    host_uart_kick(&u);
    host_uart_irq(&u); /* spurious */
    n_want = 50;
    host_uart_kick(&u);
    host_uart_kick(&u);
    assert_int_equal(m.lost, 0);
    for (unsigned i = 0; i < 10; i++) {
        shift_out();
        deliver();
    }
    assert_int_equal(m.n_wire, 50);
    assert_int_equal(m.lost, 0);
}

static void test_receive(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < 300; i++) {
        arrive((uint8_t)i);
        if (i % 10 == 9) {
            deliver();
        }
    }
    assert_int_equal(n_got, 300);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(got[i], (uint8_t)i);
    }
    assert_int_equal(u.overruns, 0);
    for (unsigned i = 0; i < 20; i++) {
        arrive(1);
    }
    deliver();
    assert_int_equal(n_got, 316);
    assert_int_equal(u.overruns, 1);
}

/* Both ways at once, in random order: nothing is lost and the line never sticks. */
static void test_both_ways(void **state)
{
    (void)state;
    unsigned sent = 0;

    start();
    srand(1);
    for (unsigned i = 0; i < sizeof(want); i++) {
        want[i] = (uint8_t)rand();
    }
    for (unsigned i = 0; i < 3000; i++) {
        switch (rand() % 5) {
        case 0:
            if (m.n_rx < 16) {
                arrive((uint8_t)sent++);
            }
            break;
        case 1:
            n_want = MIN(n_want + (unsigned)rand() % 8, (unsigned)sizeof(want));
            host_uart_kick(&u);
            break;
        case 2:
            shift_out();
            break;
        case 3:
            host_uart_poll(&u);
            break;
        default:
            deliver();
            break;
        }
    }
    for (unsigned i = 0; i < 600; i++) {
        deliver();
        shift_out();
    }
    deliver();
    assert_int_equal(n_got, sent);
    for (unsigned i = 0; i < sent; i++) {
        assert_int_equal(got[i], (uint8_t)i);
    }
    assert_int_equal(m.n_wire, n_want);
    assert_memory_equal(m.wire, want, n_want);
    assert_int_equal(m.lost, 0);
}

/* Without interrupts, polling does it all. */
static void test_poll(void **state)
{
    (void)state;
    start();
    memset(want, 'p', 100);
    n_want = 100;
    arrive('q');
    for (unsigned i = 0; i < 10; i++) {
        host_uart_poll(&u);
        shift_out();
    }
    assert_int_equal(m.n_wire, 100);
    assert_int_equal(n_got, 1);
}

/* A port that never stops claiming an interrupt costs a bounded time. */
static void test_stuck(void **state)
{
    (void)state;
    start();
    m.stuck = true;
    m.reads = 0;
    host_uart_irq(&u);
    assert_true(m.reads < 200);
}

static void test_goes_away(void **state)
{
    (void)state;
    start();
    memset(want, 'g', 100);
    n_want = 100;
    host_uart_kick(&u);
    m.gone = true;
    host_uart_irq(&u);
    assert_false(u.present);
    m.reads = 0;
    host_uart_kick(&u);
    host_uart_poll(&u);
    assert_int_equal(m.reads, 0);
    assert_int_equal(n_got, 0);
}

static void test_idle(void **state)
{
    (void)state;
    start();
    assert_true(host_uart_idle(&u));
    memset(want, 'i', 1);
    n_want = 1;
    host_uart_kick(&u);
    assert_false(host_uart_idle(&u));
    shift_out();
    assert_true(host_uart_idle(&u));
    m.gone = true;
    assert_true(host_uart_idle(&u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_init, setup),
        cmocka_unit_test_setup(test_missing, setup),
        cmocka_unit_test_setup(test_send, setup),
        cmocka_unit_test_setup(test_send_8250, setup),
        cmocka_unit_test_setup(test_kick_while_busy, setup),
        cmocka_unit_test_setup(test_receive, setup),
        cmocka_unit_test_setup(test_both_ways, setup),
        cmocka_unit_test_setup(test_poll, setup),
        cmocka_unit_test_setup(test_stuck, setup),
        cmocka_unit_test_setup(test_goes_away, setup),
        cmocka_unit_test_setup(test_idle, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
