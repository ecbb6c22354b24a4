/* SPDX-License-Identifier: BSD-2-Clause */
/* The panic port: what it says it understands, and each value written to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/guest/pvpanic.h"

static struct iobus ports;
static unsigned events[4], n;

static void on_event(void *ctx, unsigned event)
{
    assert_ptr_equal(ctx, &ports);
    assert_true(event < 4);
    events[event]++;
    n++;
}

static struct pvpanic port = {.event = on_event, .ctx = &ports};

static void test_port(void **state)
{
    (void)state;
    iobus_init(&ports);
    assert_int_equal(pvpanic_attach(&port, &ports), OK);
    assert_int_equal(iobus_read(&ports, PVPANIC_PORT, 1), 3);
    assert_int_equal(iobus_read(&ports, PVPANIC_PORT + 1, 1), 0xff);
    assert_int_equal(n, 0);
    for (unsigned v = 0; v < 256; v++) {
        unsigned before = n;
        iobus_write(&ports, PVPANIC_PORT, 1, v);
        assert_int_equal(n - before, (v & 3) != 0);
    }
    assert_int_equal(events[PVPANIC_PANICKED], 128);
    assert_int_equal(events[PVPANIC_CRASH_LOADED], 64);
    iobus_write(&ports, PVPANIC_PORT - 1, 4, 0xffffffff); /* not its own access */
    iobus_write(&ports, PVPANIC_PORT + 1, 1, 1);
    assert_int_equal(events[PVPANIC_CRASH_LOADED], 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
