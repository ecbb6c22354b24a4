/* SPDX-License-Identifier: BSD-2-Clause */
/* The PIC pair: initialisation as Linux does it, nesting, rotation, level lines, spurious requests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/guest/vpic.h"
#include "rnd.h"
#include "world_platform.h"

static struct vpic p;
static struct iobus ports;
static bool intr;
static unsigned changes;

static void changed(void *ctx, bool level)
{
    (void)ctx;
    assert_int_not_equal(level, intr); /* only called for changes */
    intr = level;
    changes++;
}

static void out(unsigned port, uint8_t v)
{
    iobus_write(&ports, port, 1, v);
}

static uint8_t in(unsigned port)
{
    return (uint8_t)iobus_read(&ports, port, 1);
}

static void program(uint8_t icw4)
{
    out(0x20, 0x11);
    out(0x21, 0x30);
    out(0x21, 0x04);
    out(0x21, icw4);
    out(0xa0, 0x11);
    out(0xa1, 0x38);
    out(0xa1, 0x02);
    out(0xa1, icw4);
    out(0x21, 0);
    out(0xa1, 0);
}

static int setup(void **state)
{
    (void)state;
    intr = false;
    iobus_init(&ports);
    vpic_init(&p, changed, NULL);
    if (vpic_attach(&p, &ports) != OK) {
        return -1;
    }
    program(1);
    return 0;
}

static void pulse(unsigned line)
{
    vpic_set_line(&p, line, true);
    vpic_set_line(&p, line, false);
}

static void test_nesting(void **state)
{
    (void)state;
    assert_false(vpic_pending(&p));
    pulse(5);
    pulse(3);
    assert_int_equal(vpic_ack(&p), 0x33);
    assert_false(intr); /* 5 is lower than what is served */
    pulse(1);
    assert_true(intr);
    assert_int_equal(vpic_ack(&p), 0x31);
    out(0x20, 0x20);
    assert_false(intr);
    out(0x20, 0x20);
    assert_true(intr);
    assert_int_equal(vpic_ack(&p), 0x35);
    out(0x20, 0x0b);
    assert_int_equal(in(0x20), 0x20);
    out(0x20, 0x65); /* specific EOI */
    assert_int_equal(in(0x20), 0);
    assert_int_equal(vpic_ack(&p), 0x37); /* nothing there: spurious, and not in service */
    assert_int_equal(in(0x20), 0);
}

static void test_slave(void **state)
{
    (void)state;
    pulse(12);
    pulse(8);
    pulse(3);
    assert_int_equal(vpic_ack(&p), 0x38); /* the slave is on input 2, before 3 */
    assert_false(intr);
    out(0xa0, 0x20);
    assert_false(intr); /* the master's EOI is missing */
    out(0x20, 0x62);
    assert_int_equal(vpic_ack(&p), 0x3c);
    out(0xa0, 0x20);
    out(0x20, 0x20);
    assert_int_equal(vpic_ack(&p), 0x33);
    out(0x20, 0x20);
    assert_false(intr);
    out(0xa1, 0xff);
    pulse(9);
    assert_false(intr);
    out(0xa1, 0);
    assert_true(intr);
    vpic_set_line(&p, 2, true); /* the cascade is no line */
    vpic_set_line(&p, 99, true);
    assert_int_equal(vpic_ack(&p), 0x39);
}

static void test_level(void **state)
{
    (void)state;
    out(0x4d1, 0xff);
    out(0x4d0, 0xff);
    assert_int_equal(iobus_read(&ports, 0x4d0, 2), 0xdef8);
    vpic_set_line(&p, 10, true);
    assert_int_equal(vpic_ack(&p), 0x3a);
    out(0xa0, 0x20);
    out(0x20, 0x20);
    assert_true(intr); /* still asserted */
    vpic_set_line(&p, 10, false);
    assert_false(intr);
    vpic_set_line(&p, 0, true);
    assert_int_equal(vpic_ack(&p), 0x30);
    out(0x20, 0x20);
    assert_false(intr); /* edges come once */
    vpic_set_level_triggered(&p, 11);
    vpic_set_line(&p, 11, true);
    program(1); /* a level survives initialisation, an edge does not */
    assert_int_equal(vpic_ack(&p), 0x3b);
}

static void test_modes(void **state)
{
    (void)state;
    program(3); /* automatic EOI */
    pulse(4);
    assert_int_equal(vpic_ack(&p), 0x34);
    pulse(6);
    assert_int_equal(vpic_ack(&p), 0x36);
    program(1);
    out(0x20, 0xc3); /* 3 is the lowest now: 4 comes first */
    pulse(1);
    pulse(4);
    assert_int_equal(vpic_ack(&p), 0x34);
    out(0x20, 0xa0); /* EOI and rotate: 4 is the lowest */
    pulse(4);
    assert_int_equal(vpic_ack(&p), 0x31);
    out(0x20, 0x20);
    assert_int_equal(vpic_ack(&p), 0x34);
    /* Special mask: the masked input in service no longer holds up lower ones. */
    program(1);
    pulse(1);
    assert_int_equal(vpic_ack(&p), 0x31);
    pulse(6);
    assert_false(intr);
    out(0x21, 0x02);
    out(0x20, 0x68);
    assert_true(intr);
    out(0x20, 0x0c); /* poll */
    assert_int_equal(in(0x20), 0x86);
    out(0x20, 0x0c);
    assert_int_equal(in(0x21), 0);
    assert_int_equal(in(0x21), 0x02);
    out(0x20, 0x0b);
    assert_int_equal(in(0x20), 0x42);
    out(0x20, 0x20); /* ends 6: the masked 1 is not meant */
    assert_int_equal(in(0x20), 0x02);
}

/* In fully nested mode, whatever happens: what is acknowledged is the highest that was asked for
 * and not masked, and it is higher than all that is in service. */
static void test_oracle(void **state)
{
    struct rnd seed = {7};
    unsigned asked = 0, served = 0, mask = 0; /* in the order of priority: bit 0 is the highest */
    static const unsigned line_of[15] = {0, 1, 8, 9, 10, 11, 12, 13, 14, 15, 3, 4, 5, 6, 7};

    (void)state;
    for (unsigned step = 0; step < 100000; step++) {
        unsigned r = (unsigned)(rnd_next(&seed) % 15);
        switch (rnd_next(&seed) % 4) {
        case 0:
            pulse(line_of[r]);
            asked |= 1u << r;
            break;
        case 1:
            mask = (unsigned)(rnd_next(&seed) & rnd_next(&seed)) & 0x7fff;
            {
                uint8_t m[2] = {0, 0};
                for (unsigned i = 0; i < 15; i++) {
                    if (mask & 1u << i) {
                        m[line_of[i] / 8] |= (uint8_t)(1u << line_of[i] % 8);
                    }
                }
                out(0x21, m[0]);
                out(0xa1, m[1]);
            }
            break;
        case 2:
            if (vpic_pending(&p)) {
                unsigned want = (unsigned)__builtin_ctz(asked & ~mask);
                uint8_t vector = vpic_ack(&p);
                assert_int_equal(vector, 0x30 + line_of[want]);
                assert_true(served == 0 || want < (unsigned)__builtin_ctz(served));
                asked &= ~(1u << want);
                served |= 1u << want;
            }
            break;
        default:
            if (served != 0) {
                unsigned done = (unsigned)__builtin_ctz(served);
                served &= served - 1;
                if (line_of[done] >= 8) {
                    out(0xa0, 0x20);
                    out(0x20, 0x62);
                } else {
                    out(0x20, 0x20);
                }
            }
            break;
        }
        /* Inside the slave a higher request waits for the master's EOI: not specially nested. */
        {
            unsigned open = asked & ~mask;
            unsigned slave = 0x3fc; /* ranks 2..9 */
            bool want = open != 0 && (served == 0 || __builtin_ctz(open) < __builtin_ctz(served));
            if (want && served & slave && 1u << __builtin_ctz(open) & slave) {
                want = false;
            }
            assert_int_equal(vpic_pending(&p), want);
        }
    }
    assert_true(changes > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nesting, setup), cmocka_unit_test_setup(test_slave, setup),
        cmocka_unit_test_setup(test_level, setup),   cmocka_unit_test_setup(test_modes, setup),
        cmocka_unit_test_setup(test_oracle, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
