/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's clock: dates against the C library, and a chip in each of its modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/string.h"
#include "drivers/host/cmos.h"
#include "fake_portio.h"

#define SECOND UINT64_C(1000000000)

struct chip {
    uint8_t regs[128], index;
    unsigned reads, updating; /* so many more looks at register A find an update in progress */
    unsigned tick_at;         /* the clock moves at this read; 0: never */
    uint8_t next[10];
};

static uint32_t chip_in(void *ctx, uint16_t offset, unsigned size)
{
    struct chip *c = ctx;

    assert_int_equal(offset, 1);
    assert_int_equal(size, 1);
    if (++c->reads == c->tick_at) {
        memcpy(c->regs, c->next, sizeof(c->next));
    }
    if (c->index == 10 && c->updating > 0) {
        c->updating--;
        return 0x80;
    }
    return c->regs[c->index & 127];
}

static void chip_out(void *ctx, uint16_t offset, unsigned size, uint32_t value)
{
    struct chip *c = ctx;

    assert_int_equal(offset, 0); /* the clock is only read */
    assert_int_equal(size, 1);
    c->index = (uint8_t)value;
}

static uint64_t seconds_by(struct chip *c)
{
    struct fake_ports ports = {.first = 0x70, .count = 2, .in = chip_in, .out = chip_out, .ctx = c};

    fake_ports_add(&ports);
    cmos_init(5 * SECOND);
    fake_ports_clear();
    return cmos_now_s(5 * SECOND);
}

static void test_epoch(void **state)
{
    (void)state;
    assert_int_equal(cmos_epoch(1970, 1, 1, 0, 0, 0), 0);
    assert_int_equal(cmos_epoch(2000, 2, 29, 23, 59, 59) + 1, cmos_epoch(2000, 3, 1, 0, 0, 0));
    assert_int_equal(cmos_epoch(2100, 2, 28, 23, 59, 59) + 1, cmos_epoch(2100, 3, 1, 0, 0, 0));
    for (time_t t = 0; t < INT64_C(4291747200); t += 86400 - 7) { /* to the end of 2105 */
        struct tm d;
        assert_non_null(gmtime_r(&t, &d));
        assert_int_equal(cmos_epoch((unsigned)d.tm_year + 1900, (unsigned)d.tm_mon + 1,
                                    (unsigned)d.tm_mday, (unsigned)d.tm_hour, (unsigned)d.tm_min,
                                    (unsigned)d.tm_sec),
                         t);
    }
}

/* 2024-02-29 at 21:58:59, or 00 or 12 o'clock, in all four modes. */
static void test_modes(void **state)
{
    static const struct {
        uint8_t mode, hour;
        unsigned h;
    } modes[] = {
        {0x02, 0x21, 21}, {0x06, 21, 21}, {0x00, 0x89, 21}, {0x04, 0x89, 21}, {0x00, 0x12, 0},
        {0x00, 0x92, 12}, {0x04, 12, 0},  {0x04, 0x8c, 12}, {0x00, 0x11, 11}, {0x02, 0x00, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        bool binary = modes[i].mode & 4;
        struct chip c = {.regs = {[0] = binary ? 59 : 0x59,
                                  [2] = binary ? 58 : 0x58,
                                  [4] = modes[i].hour,
                                  [7] = binary ? 29 : 0x29,
                                  [8] = 2,
                                  [9] = binary ? 24 : 0x24,
                                  [11] = modes[i].mode}};
        assert_int_equal(seconds_by(&c), cmos_epoch(2024, 2, 29, modes[i].h, 58, 59));
        assert_int_equal(cmos_now_s(5 * SECOND + 3599 * SECOND + SECOND - 1),
                         cmos_epoch(2024, 2, 29, modes[i].h, 58, 59) + 3599);
    }
}

/* The clock moves at any one read: the answer is a moment before or after, never a mixture. */
static void test_tick(void **state)
{
    static const uint8_t before[10] = {0x59, 0, 0x59, 0, 0x23, 0, 0, 0x31, 0x12, 0x23};
    static const uint8_t after[10] = {0, 0, 0, 0, 0, 0, 0, 1, 1, 0x24};
    uint64_t t = cmos_epoch(2024, 1, 1, 0, 0, 0);

    (void)state;
    for (unsigned at = 1; at < 40; at++) {
        for (unsigned updating = 0; updating < 3; updating++) {
            struct chip c = {.tick_at = at, .updating = updating};
            memcpy(c.regs, before, sizeof(before));
            memcpy(c.next, after, sizeof(after));
            c.regs[11] = 2;
            uint64_t got = seconds_by(&c);
            assert_true(got == t || got == t - 1);
        }
    }
}

/* A dead chip counts as 2000-01-01, and nobody waits for it for ever. */
static void test_dead(void **state)
{
    struct chip stuck = {.updating = UINT32_MAX, .regs = {[7] = 1, [8] = 1, [9] = 0x24}};
    struct chip zero = {.regs = {0}}, ones;

    (void)state;
    memset(&ones, 0, sizeof(ones));
    memset(ones.regs, 0xff, sizeof(ones.regs));
    assert_int_equal(seconds_by(&stuck), cmos_epoch(2000, 1, 1, 0, 0, 0));
    assert_int_equal(seconds_by(&zero), cmos_epoch(2000, 1, 1, 0, 0, 0));
    assert_int_equal(seconds_by(&ones), cmos_epoch(2000, 1, 1, 0, 0, 0));
    cmos_init(0); /* an empty bus */
    assert_int_equal(cmos_now_s(SECOND), cmos_epoch(2000, 1, 1, 0, 0, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_tick),
        cmocka_unit_test(test_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
