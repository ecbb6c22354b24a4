/* SPDX-License-Identifier: BSD-2-Clause */
/* The iobus against a plain array that says who owns each address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drivers/guest/iobus.h"
#include "rnd.h"
#include "world_platform.h"

struct dev {
    uint64_t offset, value;
    unsigned size, writes;
};

static uint64_t dev_read(void *ctx, uint64_t addr, unsigned size)
{
    struct dev *d = ctx;

    d->offset = addr;
    d->size = size;
    return UINT64_MAX - 5;
}

static void dev_write(void *ctx, uint64_t addr, unsigned size, uint64_t value)
{
    struct dev *d = ctx;

    d->offset = addr;
    d->size = size;
    d->value = value;
    d->writes++;
}

static void test_edges(void **state)
{
    struct iobus b;
    struct dev d = {0};

    (void)state;
    iobus_init(&b);
    assert_int_equal(iobus_read(&b, 0x10, 2), 0xffff);
    assert_int_equal(iobus_add(&b, 0x10, 0, dev_read, dev_write, &d), E_INVAL);
    assert_int_equal(iobus_add(&b, UINT64_MAX, 2, dev_read, dev_write, &d), E_INVAL);
    assert_int_equal(iobus_add(&b, UINT64_MAX - 3, 4, dev_read, dev_write, &d), OK);
    assert_int_equal(iobus_read(&b, UINT64_MAX, 1), 0xfa); /* no wider than it was asked for */
    assert_int_equal(d.offset, 3);
    iobus_write(&b, UINT64_MAX - 3, 2, 0x12345678);
    assert_int_equal(d.value, 0x5678);
    iobus_remove(&b, UINT64_MAX - 2); /* begins nowhere */
    assert_true(iobus_has(&b, UINT64_MAX));
    iobus_remove(&b, UINT64_MAX - 3);
    assert_false(iobus_has(&b, UINT64_MAX));
    assert_int_equal(iobus_read(&b, UINT64_MAX, 8), UINT64_MAX);
    for (unsigned i = 0; i < IOBUS_RANGES; i++) {
        assert_int_equal(iobus_add(&b, i * 8, 8, NULL, NULL, NULL), OK);
    }
    assert_int_equal(iobus_add(&b, 0x1000, 8, NULL, NULL, NULL), E_NOMEM);
    assert_int_equal(iobus_read(&b, 3, 4), 0xffffffff);
    iobus_write(&b, 3, 4, 0);
}

#define SPACE 256

static void test_oracle(void **state)
{
    static struct dev devs[SPACE];
    int owner[SPACE], len[SPACE] = {0};
    struct rnd seed = {88172645463325252u};
    unsigned n = 0;
    struct iobus b;

    (void)state;
    iobus_init(&b);
    for (unsigned i = 0; i < SPACE; i++) {
        owner[i] = -1;
    }
    for (unsigned step = 0; step < 200000; step++) {
        unsigned at = (unsigned)(rnd_next(&seed) % SPACE);
        unsigned size = (unsigned)(rnd_next(&seed) % 12 + 1);
        unsigned op = (unsigned)(rnd_next(&seed) % 8);
        if (op == 0 && at + size <= SPACE) {
            enum status want = n == IOBUS_RANGES ? E_NOMEM : OK;
            for (unsigned i = at; i < at + size; i++) {
                want = owner[i] >= 0 ? E_EXISTS : want;
            }
            assert_int_equal(iobus_add(&b, at, size, dev_read, dev_write, &devs[at]), want);
            if (want == OK) {
                n++;
                len[at] = (int)size;
                for (unsigned i = at; i < at + size; i++) {
                    owner[i] = (int)at;
                }
            }
        } else if (op == 1) {
            iobus_remove(&b, at);
            if (owner[at] == (int)at) {
                n--;
                for (int i = 0; i < len[at]; i++) {
                    owner[at + (unsigned)i] = -1;
                }
            }
        } else {
            unsigned before = owner[at] < 0 ? 0 : devs[owner[at]].writes;
            iobus_write(&b, at, 4, step);
            assert_int_equal(iobus_has(&b, at), owner[at] >= 0);
            if (owner[at] >= 0) {
                assert_int_equal(devs[owner[at]].writes, before + 1);
                assert_int_equal(devs[owner[at]].offset, at - (unsigned)owner[at]);
            } else {
                assert_int_equal(iobus_read(&b, at, 1), 0xff);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_oracle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
