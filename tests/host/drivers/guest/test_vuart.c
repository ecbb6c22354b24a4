/* SPDX-License-Identifier: BSD-2-Clause */
/* The UART as the Linux 8250 driver and a polling program use it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/string.h"
#include "drivers/guest/vuart.h"
#include "world_platform.h"

struct fixture {
    struct iobus ports;
    struct vuart u;
    struct fake_irqs irqs;
    char out[256];
    unsigned n, room, rx_rooms;
};

static struct fixture f;

static void console_tx(void *ctx, uint8_t byte)
{
    struct fixture *x = ctx;

    assert_true(x->room > 0);
    x->room--;
    x->out[x->n++] = (char)byte;
    vuart_tx_resume(&x->u); /* from inside: must not recurse without end or reorder */
}

static bool console_room(void *ctx)
{
    return ((struct fixture *)ctx)->room > 0;
}

static void console_rx_room(void *ctx)
{
    ((struct fixture *)ctx)->rx_rooms++;
}

static const struct vuart_ops ops = {console_tx, console_room, console_rx_room};

static int setup(void **state)
{
    struct irq_sink sink = fake_sink(&f.irqs);

    (void)state;
    memset(&f, 0, sizeof(f));
    f.room = 200;
    iobus_init(&f.ports);
    vuart_init(&f.u, &ops, &f, &sink, VUART_COM1_IRQ);
    return vuart_attach(&f.u, &f.ports) == OK ? 0 : -1;
}

static uint8_t in(unsigned reg)
{
    return (uint8_t)iobus_read(&f.ports, VUART_COM1 + reg, 1);
}

static void out(unsigned reg, uint8_t v)
{
    iobus_write(&f.ports, VUART_COM1 + reg, 1, v);
}

/* The steps by which Linux tells a 16550A from others. */
static void test_autoconfig(void **state)
{
    (void)state;
    out(1, 0);
    assert_int_equal(in(1), 0);
    out(1, 0xff);
    assert_int_equal(in(1), 0x0f);
    out(1, 0);
    out(4, 0x10 | 0x0a); /* loopback: RTS and OUT2 come back as CTS and DCD */
    assert_int_equal(in(6) & 0xf0, 0x90);
    out(4, 0x10 | 0x0f);
    assert_int_equal(in(6) & 0xf0, 0xf0);
    out(4, 0);
    assert_int_equal(in(6) & 0xf0, 0xb0);
    out(2, 1);
    assert_int_equal(in(2) & 0xc0, 0xc0);
    out(2, 0);
    assert_int_equal(in(2) & 0xc0, 0);
    out(3, 0x80);
    out(0, 0x12);
    out(1, 0x34);
    assert_int_equal(iobus_read(&f.ports, VUART_COM1, 2), 0x3412);
    out(3, 0x03);
    assert_int_equal(in(1), 0);
    out(7, 0xa5);
    assert_int_equal(in(7), 0xa5);
}

/* Linux' test for a broken THRE interrupt: enabling it must raise it, each time anew. */
static void test_thre(void **state)
{
    (void)state;
    out(4, 0x08);
    for (unsigned i = 0; i < 3; i++) {
        out(1, 0x02);
        assert_true(f.irqs.level[4]);
        assert_int_equal(in(2) & 0x0f, 0x02);
        assert_false(f.irqs.level[4]); /* reading IIR acknowledges */
        assert_int_equal(in(2) & 0x0f, 0x01);
        out(1, 0);
    }
    out(1, 0x02);
    in(2);
    out(1, 0x02);
    assert_int_equal(in(2) & 0x0f, 0x01); /* enabled already: nothing new */
    out(0, 'x');
    assert_int_equal(in(2) & 0x0f, 0x02); /* sent: empty again */
    out(4, 0);
    out(0, 'y');
    assert_false(f.irqs.level[4]); /* OUT2 gates the line */
    assert_int_equal(f.n, 2);
}

static void test_backpressure(void **state)
{
    (void)state;
    f.room = 2;
    out(2, 1);
    out(4, 8);
    out(1, 2);
    in(2);
    for (unsigned i = 0; i < 18; i++) {
        assert_int_equal(!!(in(5) & 0x20), i < 3);
        out(0, (uint8_t)('a' + i));
    }
    assert_int_equal(f.n, 2);
    out(0, '!'); /* more than the FIFO holds: lost */
    assert_false(f.irqs.level[4]);
    f.room = 10;
    vuart_tx_resume(&f.u);
    assert_int_equal(f.n, 12);
    assert_false(f.irqs.level[4]);
    f.room = 100;
    vuart_tx_resume(&f.u);
    assert_int_equal(f.n, 18);
    assert_true(f.irqs.level[4]);
    assert_int_equal(in(5) & 0x60, 0x60);
    assert_memory_equal(f.out, "abcdefghijklmnopqr", 18);
}

static void test_receive(void **state)
{
    (void)state;
    out(4, 8);
    out(1, 5);
    assert_true(vuart_rx(&f.u, 'a'));
    assert_false(vuart_rx(&f.u, 'b')); /* no FIFO: one character */
    assert_int_equal(in(2), 0x04);
    assert_int_equal(in(0), 'a');
    out(2, 0x81); /* FIFO on, trigger at 8 */
    for (unsigned i = 0; i < VUART_FIFO; i++) {
        assert_true(vuart_rx(&f.u, (uint8_t)i));
        assert_true(f.irqs.level[4]);
        assert_int_equal(in(2) & 0x0f, i < 7 ? 0x0c : 0x04);
    }
    assert_false(vuart_rx(&f.u, 99));
    for (unsigned i = 0; i < VUART_FIFO; i++) {
        assert_int_equal(in(5) & 1, 1);
        assert_int_equal(in(0), i);
    }
    assert_int_equal(in(5) & 1, 0);
    assert_false(f.irqs.level[4]);
    assert_int_equal(in(0), 0);
    assert_true(f.rx_rooms >= 2);
    out(4, 0x18); /* loopback: overrun at the 17th, reported once */
    for (unsigned i = 0; i < 17; i++) {
        out(0, (uint8_t)i);
    }
    assert_int_equal(in(5) & 3, 3);
    assert_int_equal(in(5) & 3, 1);
    assert_false(vuart_rx(&f.u, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_autoconfig, setup),
        cmocka_unit_test_setup(test_thre, setup),
        cmocka_unit_test_setup(test_backpressure, setup),
        cmocka_unit_test_setup(test_receive, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
