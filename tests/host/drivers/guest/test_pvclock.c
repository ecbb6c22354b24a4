/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's clock page: what a guest reads from it, its flag, hostile addresses, and no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/string.h"
#include "drivers/guest/pvclock.h"
#include "fake_guest.h"
#include "rnd.h"
#include "world_platform.h"

#define PAGES 16u
#define AT 0x3020u
#define HZ UINT64_C(2995200000)

static struct tguest g;
static struct pvclock c;

static int begin(void **state)
{
    (void)state;
    tguest_init(&g, 64, PAGES);
    pvclock_init(&c, &g.p2m, HZ, UINT64_C(1700000000123456789));
    return 0;
}

static int end(void **state)
{
    (void)state;
    tguest_fini(&g);
    return 0;
}

struct seen {
    uint32_t version, mul;
    uint64_t tsc, system;
    int8_t shift;
    uint8_t flags;
};

static struct seen look(uint64_t at)
{
    uint8_t b[32];
    struct seen s;

    tguest_get(&g, at, b, sizeof(b));
    memcpy(&s.version, b, 4);
    memcpy(&s.tsc, b + 8, 8);
    memcpy(&s.system, b + 16, 8);
    memcpy(&s.mul, b + 24, 4);
    s.shift = (int8_t)b[28];
    s.flags = b[29];
    assert_int_equal(s.version % 2, 0);
    return s;
}

/* As the guest's kernel works it out. */
static uint64_t guest_ns(uint64_t at, uint64_t tsc)
{
    struct seen s = look(at);
    uint64_t delta = tsc - s.tsc;

    delta = s.shift < 0 ? delta >> -s.shift : delta << s.shift;
    return s.system + (uint64_t)((unsigned __int128)delta * s.mul >> 32);
}

static void on(uint64_t at)
{
    assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_SYSTEM_TIME, at | 1), OK);
}

/* The scale is exact for every frequency, and a kernel works the frequency out again from it. */
static void test_scale(void **state)
{
    static const uint64_t khz[] = {1000,    50000,   999999,  1000000, 1000001,
                                   2000000, 2995200, 3333333, 5000000, 10000000};

    (void)state;
    for (unsigned i = 0; i < sizeof(khz) / sizeof(khz[0]); i++) {
        pvclock_init(&c, &g.p2m, khz[i] * 1000, 0);
        on(AT);
        struct seen s = look(AT);
        assert_true(s.mul >> 31);
        uint64_t back = (UINT64_C(1000000) << 32) / s.mul;
        back = s.shift < 0 ? back << -s.shift : back >> s.shift;
        uint64_t wrong = back > khz[i] ? back - khz[i] : khz[i] - back;
        assert_true(wrong * 1000000 <= khz[i]); /* the kernel's own rounding */
        for (uint64_t days = 1; days < 4000; days *= 3) {
            uint64_t ticks = days * 86400 * khz[i] * 1000, ns = days * 86400 * UINT64_C(1000000000);
            uint64_t got = guest_ns(AT, ticks), off = got > ns ? got - ns : ns - got;
            assert_true(off <= ns >> 31); /* half a millisecond a day at the worst */
            assert_int_equal(got, pvclock_ns(&c, ticks));
        }
    }
}

static void test_registers(void **state)
{
    uint64_t v = 1;

    (void)state;
    assert_int_equal(pvclock_msr_read(&c, PVCLOCK_MSR_SYSTEM_TIME, &v), OK);
    assert_int_equal(v, 0);
    on(AT);
    assert_true(pvclock_is_on(&c));
    assert_int_equal(pvclock_msr_read(&c, PVCLOCK_MSR_SYSTEM_TIME, &v), OK);
    assert_int_equal(v, AT | 1);
    assert_int_equal(look(AT).flags, 1);
    assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_WALL_CLOCK, 0x4004), OK);
    assert_int_equal(tguest_get32(&g, 0x4004) % 2, 0);
    assert_int_equal(tguest_get32(&g, 0x4008), 1700000000);
    assert_int_equal(tguest_get32(&g, 0x400c), 123456789);
    assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_SYSTEM_TIME, 0), OK);
    assert_false(pvclock_is_on(&c));
    assert_false(pvclock_has_msr(0x4b564d02));
    assert_int_equal(pvclock_msr_write(&c, 0x4b564d02, 0), E_FAULT);
    assert_int_equal(pvclock_msr_read(&c, 0x4b564d02, &v), E_FAULT);
}

/* A TSC that the guest moves does not move the clock. */
static void test_tsc_moves(void **state)
{
    uint64_t tsc = 0, last = 0;
    struct rnd seed = {7};

    (void)state;
    on(AT);
    for (unsigned i = 0; i < 1000; i++) {
        tsc += rnd_next(&seed) % HZ;
        uint64_t ns = guest_ns(AT, tsc), by = rnd_next(&seed);
        assert_true(ns >= last);
        last = ns;
        tsc += by;
        pvclock_tsc_moved(&c, by);
        assert_int_equal(guest_ns(AT, tsc), ns);
    }
}

/* The flag stays until the guest takes it back, over whatever else is written. */
static void test_stopped(void **state)
{
    uint8_t one = 1;

    (void)state;
    pvclock_guest_stopped(&c); /* nobody listens yet, and later nobody is told of it */
    on(AT);
    assert_int_equal(look(AT).flags, 1);
    uint32_t version = look(AT).version;
    pvclock_guest_stopped(&c);
    assert_int_equal(look(AT).flags, 3);
    assert_true(look(AT).version > version);
    pvclock_tsc_moved(&c, 5);
    assert_int_equal(look(AT).flags, 3);
    tguest_put(&g, AT + 29, &one, 1);
    pvclock_tsc_moved(&c, 5);
    assert_int_equal(look(AT).flags, 1);
    pvclock_guest_stopped(&c);
    assert_int_equal(look(AT).flags, 3);
    /* Registered elsewhere: that memory's bytes are no flag. */
    for (unsigned i = 0; i < 64; i++) {
        uint8_t junk = 0xff;
        tguest_put(&g, 0x5000 + i, &junk, 1);
    }
    on(0x5010);
    assert_int_equal(look(0x5010).flags, 1);
    assert_int_equal(tguest_get32(&g, 0x500c), UINT32_MAX);
    assert_int_equal(tguest_get32(&g, 0x5030), UINT32_MAX);
    /* Off: its memory is the guest's again. */
    assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_SYSTEM_TIME, 0), OK);
    version = look(0x5010).version;
    pvclock_guest_stopped(&c);
    pvclock_tsc_moved(&c, 1);
    assert_int_equal(look(0x5010).version, version);
}

static void test_hostile(void **state)
{
    static const uint64_t bad[] = {PAGES * 4096,          PAGES * 4096 - 4,
                                   UINT64_C(0xfee00000),  UINT64_C(1) << 40,
                                   UINT64_C(1) << 63,     UINT64_MAX & ~UINT64_C(3),
                                   0xfffffffffffffffcull, UINT64_C(0xfffffffff000)};
    struct rnd seed = {3};

    (void)state;
    on(AT);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_SYSTEM_TIME, bad[i] | 1), E_FAULT);
        assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_WALL_CLOCK, bad[i]), E_FAULT);
    }
    assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_SYSTEM_TIME, AT | 3), E_FAULT);
    assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_WALL_CLOCK, AT | 1), E_FAULT);
    assert_int_equal(c.system_msr, AT | 1); /* a refused write changes nothing */
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t v = rnd_next(&seed) >> (rnd_next(&seed) & 63);
        enum status s = pvclock_msr_write(&c, PVCLOCK_MSR_WALL_CLOCK + (uint32_t)(v & 1), v);
        assert_true(s == OK || s == E_FAULT);
        pvclock_guest_stopped(&c);
        pvclock_tsc_moved(&c, v);
        assert_false(c.owed);
    }
    /* Over the end of a page is fine. */
    on(0x6ff0);
    assert_int_equal(guest_ns(0x6ff0, c.tsc_base), 0);
}

/* Without a frame for the page nothing is lost: the flag comes later. */
static void test_no_memory(void **state)
{
    (void)state;
    tguest_starve(&g, 0);
    assert_int_equal(pvclock_msr_write(&c, PVCLOCK_MSR_SYSTEM_TIME, AT | 1), E_NOMEM);
    assert_false(pvclock_is_on(&c));
    tguest_feed(&g);
    on(AT);
    /* The page is folded, and writing to it wants a frame again. */
    c.system_msr = 0x7000 | 1; /* as if it had been folded into the zero page */
    (void)tguest_get32(&g, 0x7000);
    tguest_starve(&g, 0);
    pvclock_guest_stopped(&c);
    assert_true(c.owed);
    pvclock_settle(&c);
    assert_true(c.owed && c.stopped);
    tguest_feed(&g);
    pvclock_settle(&c);
    assert_false(c.owed || c.stopped);
    assert_int_equal(look(0x7000).flags, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scale, begin, end),
        cmocka_unit_test_setup_teardown(test_registers, begin, end),
        cmocka_unit_test_setup_teardown(test_tsc_moves, begin, end),
        cmocka_unit_test_setup_teardown(test_stopped, begin, end),
        cmocka_unit_test_setup_teardown(test_hostile, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
