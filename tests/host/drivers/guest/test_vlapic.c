/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC: priorities against a plain oracle, modes, timer, routing, illegal accesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/string.h"
#include "drivers/guest/vlapic.h"
#include "rnd.h"
#include "world_platform.h"

#define CPUS 3
#define MS UINT64_C(1000000)

static struct vlapic apics[CPUS];
static struct vlapic *const all[CPUS] = {&apics[0], &apics[1], &apics[2]};
static struct vlapic *const l = &apics[0];
static struct timerq q;
static unsigned nmis[CPUS], inits[CPUS], sipis[CPUS], kicks[CPUS];

static unsigned *slot(unsigned *counts, void *ctx)
{
    return &counts[(struct vlapic *)ctx - apics];
}

static void on_ipi(void *ctx, struct vlapic *from, uint64_t icr)
{
    assert_ptr_equal(ctx, from);
    vlapic_route_ipi(all, CPUS, from, icr);
}

static void on_nmi(void *ctx)
{
    ++*slot(nmis, ctx);
}

static void on_init(void *ctx)
{
    ++*slot(inits, ctx);
}

static void on_sipi(void *ctx, uint8_t vector)
{
    *slot(sipis, ctx) = vector;
}

static void on_changed(void *ctx)
{
    ++*slot(kicks, ctx);
}

/* The guest's TSC runs at 2 GHz and read 1000 at time 0. */
static uint64_t on_tsc(void *ctx, uint64_t tsc)
{
    (void)ctx;
    return tsc <= 1000 ? 0 : (tsc - 1000 + 1) / 2;
}

static const struct vlapic_ops ops = {.ipi = on_ipi,
                                      .nmi = on_nmi,
                                      .init = on_init,
                                      .sipi = on_sipi,
                                      .changed = on_changed,
                                      .tsc_to_ns = on_tsc};

static uint32_t get(unsigned off)
{
    return vlapic_mmio_read(l, off, 4);
}

static void put(unsigned off, uint32_t v)
{
    vlapic_mmio_write(l, off, 4, v);
}

static int setup(void **state)
{
    (void)state;
    fake_ns = 5 * MS;
    memset(nmis, 0, sizeof(nmis));
    memset(inits, 0, sizeof(inits));
    memset(sipis, 0, sizeof(sipis));
    memset(kicks, 0, sizeof(kicks));
    timerq_init(&q, fake_now);
    for (unsigned i = 0; i < CPUS; i++) {
        vlapic_init(all[i], i, &ops, all[i], &q, 1000000000, i == 0);
        vlapic_mmio_write(all[i], 0xf0, 4, 0x1ff);
    }
    return 0;
}

static void go_x2apic(struct vlapic *x)
{
    uint64_t base;

    assert_int_equal(vlapic_msr_read(x, VLAPIC_MSR_BASE, &base), OK);
    assert_int_equal(vlapic_msr_write(x, VLAPIC_MSR_BASE, base | 0xc00), OK);
}

static bool pending(const struct vlapic *x, unsigned v)
{
    return x->irr[v / 64] >> v % 64 & 1;
}

static void test_priority_oracle(void **state)
{
    bool irr[256] = {false}, isr[256] = {false};
    unsigned tpr = 0;
    struct rnd seed = {12345};

    (void)state;
    for (unsigned step = 0; step < 300000; step++) {
        unsigned v = (unsigned)(rnd_next(&seed) & 0xff);
        int top_irr = -1, top_isr = 0, want;
        switch (rnd_next(&seed) % 5) {
        case 0:
        case 1:
            vlapic_deliver(l, VLAPIC_FIXED, (uint8_t)v, false);
            irr[v] = irr[v] || v >= 16;
            break;
        case 2:
            if (v & 1) {
                put(0x80, v);
                tpr = v;
            } else {
                vlapic_cr8_write(l, (uint8_t)(v >> 4));
                tpr = v & 0xf0;
            }
            break;
        case 3:
            put(0xb0, 0);
            for (int i = 255; i >= 0; i--) {
                if (isr[i]) {
                    isr[i] = false;
                    break;
                }
            }
            break;
        default:
            want = vlapic_highest(l);
            if (want >= 0) {
                vlapic_ack(l, (unsigned)want);
                irr[want] = false;
                isr[want] = true;
            }
            break;
        }
        for (int i = 0; i < 256; i++) {
            top_irr = irr[i] ? i : top_irr;
            top_isr = isr[i] ? i : top_isr;
        }
        {
            unsigned ppr = tpr >> 4 >= (unsigned)top_isr >> 4 ? tpr : (unsigned)top_isr & 0xf0;
            want = top_irr >= 0 && (unsigned)top_irr >> 4 > ppr >> 4 ? top_irr : -1;
            assert_int_equal(get(0xa0), ppr);
            assert_int_equal(vlapic_highest(l), want);
            assert_int_equal(vlapic_cr8_read(l), tpr >> 4);
        }
    }
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(get(0x200 + i / 32 * 16) >> i % 32 & 1, irr[i]);
        assert_int_equal(get(0x100 + i / 32 * 16) >> i % 32 & 1, isr[i]);
    }
}

static void test_modes(void **state)
{
    uint64_t v = 77;

    (void)state;
    assert_true(vlapic_claims(l, 0xfee00ff0));
    assert_false(vlapic_claims(l, 0xfee01000));
    assert_int_equal(vlapic_msr_read(l, 0x802, &v), E_FAULT); /* not in x2APIC mode */
    assert_int_equal(v, 77);
    assert_int_equal(vlapic_msr_read(l, VLAPIC_MSR_BASE, &v), OK);
    assert_int_equal(v, 0xfee00900);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_BASE, 0xfee00500), E_FAULT);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_BASE, 0xfee00b00), E_FAULT);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_BASE, UINT64_C(1) << 60 | 0xfee00900), E_FAULT);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_BASE, 0xfee00100), OK); /* off */
    assert_false(vlapic_claims(l, 0xfee00000));
    assert_true(vlapic_accepts_extint(l));
    assert_false((vlapic_msr_write(&apics[1], VLAPIC_MSR_BASE, 0xfee00000) != OK) ||
                 vlapic_accepts_extint(&apics[1]));
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_BASE, 0xfee00d00), E_FAULT);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_BASE, 0xfee00900), OK);
    assert_int_equal(get(0xf0), 0xff); /* state lost */
    go_x2apic(l);
    assert_int_equal(get(0x20), 0);
    assert_false(vlapic_claims(l, 0xfee00000));
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_BASE, 0xfee00900), E_FAULT);
    assert_int_equal(vlapic_msr_read(l, 0x803, &v), OK);
    assert_int_equal(v, 0x50014);
    assert_int_equal(vlapic_msr_read(&apics[2], 0x80d, &v), E_FAULT);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_BASE, 0xfee00100), OK);
}

/* Which x2APIC MSRs can be read and written, bit by bit (SDM table 11-6). */
static void test_x2apic_faults(void **state)
{
    static const struct {
        unsigned reg;
        bool read;
        uint64_t bits; /* that may be set in a write; 0 and `zero`: only 0 may be written */
        bool zero;
    } known[] = {
        {0x02, true, 0, false},
        {0x03, true, 0, false},
        {0x08, true, 0xff, false},
        {0x0a, true, 0, false},
        {0x0b, false, 0, true},
        {0x0d, true, 0, false},
        {0x0f, true, 0x3ff, false},
        {0x28, true, 0, true},
        {0x32, true, 0x750ff, false},
        {0x33, true, 0x157ff, false},
        {0x34, true, 0x157ff, false},
        {0x35, true, 0x1f7ff, false},
        {0x36, true, 0x1f7ff, false},
        {0x37, true, 0x150ff, false},
        {0x38, true, 0xffffffff, false},
        {0x39, true, 0, false},
        {0x3e, true, 0xb, false},
        {0x3f, false, 0xff, false},
        {0x30, true, 0xffffffff000ccfff, false},
    };

    (void)state;
    go_x2apic(l);
    for (unsigned reg = 0; reg < 0x100; reg++) {
        bool read = reg >= 0x10 && reg < 0x28, zero = false;
        uint64_t bits = 0, v;
        for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (known[i].reg == reg) {
                read = known[i].read;
                bits = known[i].bits;
                zero = known[i].zero;
            }
        }
        assert_int_equal(vlapic_msr_read(l, 0x800 + reg, &v), read ? OK : E_FAULT);
        assert_int_equal(vlapic_msr_write(l, 0x800 + reg, 0), bits || zero ? OK : E_FAULT);
        for (unsigned bit = 0; bit < 64; bit++) {
            bool fine = bits >> bit & 1;
            assert_int_equal(vlapic_msr_write(l, 0x800 + reg, UINT64_C(1) << bit),
                             fine ? OK : E_FAULT);
        }
    }
    assert_int_equal(vlapic_msr_write(l, 0x832, 3 << 17), E_FAULT);
    assert_true(vlapic_has_msr(0x8ff) && vlapic_has_msr(0x1b) && vlapic_has_msr(0x6e0));
    assert_false(vlapic_has_msr(0x900) || vlapic_has_msr(0x7ff));
}

static void test_timer(void **state)
{
    (void)state;
    put(0x3e0, 0xb); /* divide by 1 */
    put(0x320, 0x40);
    put(0x380, 2 * MS);
    fake_advance(&q, MS);
    assert_int_equal(get(0x390), MS);
    assert_false(pending(l, 0x40));
    fake_advance(&q, MS - 1);
    assert_false(pending(l, 0x40));
    fake_advance(&q, 1);
    assert_true(pending(l, 0x40));
    assert_int_equal(get(0x390), 0);
    vlapic_ack(l, 0x40);
    fake_advance(&q, 100 * MS);
    assert_false(pending(l, 0x40)); /* once */
    /* Divider 16, periodic; late, then the phase is kept. */
    put(0x3e0, 3);
    put(0x320, 0x20041);
    put(0x380, 62500); /* 1 ms */
    for (unsigned i = 0; i < 5; i++) {
        fake_advance(&q, MS);
        assert_true(pending(l, 0x41));
        vlapic_ack(l, 0x41);
    }
    fake_ns += 10 * MS + MS / 2;
    timerq_run(&q, fake_ns);
    assert_true(pending(l, 0x41));
    vlapic_ack(l, 0x41);
    timerq_run(&q, fake_ns);
    assert_false(pending(l, 0x41));
    assert_int_equal(timerq_next(&q), fake_ns + MS / 2);
    assert_int_equal(get(0x390), 31250);
    put(0x3e0, 0xb); /* the count goes on, faster */
    assert_int_equal(get(0x390), 31250);
    assert_int_equal(timerq_next(&q), fake_ns + 31250);
    put(0x320, 0x30041); /* masked: silent, but counting */
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
    fake_advance(&q, 10);
    assert_int_equal(get(0x390), 31240);
    put(0x320, 0x20041);
    put(0x380, 10); /* a flood is thinned out */
    kicks[0] = 0;
    for (unsigned i = 0; i < 1000; i++) {
        fake_advance(&q, 10000);
        if (pending(l, 0x41)) {
            vlapic_ack(l, 0x41);
        }
    }
    assert_in_range(kicks[0], 100, 10 * MS / VLAPIC_MIN_PERIOD_NS + 2);
    put(0x380, 0);
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
    /* An expiry that is due is not lost when the entry is rewritten first. */
    put(0x320, 0x42);
    put(0x380, 1000);
    fake_ns += 1000;
    put(0x320, 0x42);
    assert_true(pending(l, 0x42));
}

/* With a floor, what was missed is owed: delivered one by one, none before the one before it, and
 * lost beyond a bound. */
static void test_floor(void **state)
{
    struct tick_floor floor = {.min_ns = 200000};
    unsigned n = 0;
    (void)state;

    l->floor = &floor;
    put(0xf0, 0x1ff);
    put(0x3e0, 0xb); /* divide by 1 */
    put(0x320, 0x20041);
    put(0x380, MS);
    fake_ns += 10 * MS + MS / 2; /* the VM was not run: ten ticks */
    timerq_run(&q, fake_ns);
    assert_true(pending(l, 0x41));
    fake_advance(&q, 100 * floor.min_ns / 100); /* not taken: the others wait */
    for (unsigned i = 0; i < 10; i++) {
        if (pending(l, 0x41)) {
            vlapic_ack(l, 0x41);
            n++;
        }
        fake_advance(&q, floor.min_ns);
    }
    assert_in_range(n, 10, 11);
    fake_ns += 1000 * MS;
    for (n = 0; n < 100; n++) {
        fake_advance(&q, floor.min_ns);
        if (!pending(l, 0x41)) {
            break;
        }
        vlapic_ack(l, 0x41);
    }
    assert_in_range(n, TICKS_OWED_MAX, TICKS_OWED_MAX + 10);
    put(0x380, 10); /* a flood */
    kicks[0] = 0;
    for (unsigned i = 0; i < 1000; i++) {
        fake_advance(&q, 10000);
        if (pending(l, 0x41)) {
            vlapic_ack(l, 0x41);
        }
    }
    assert_in_range(kicks[0], 40, 10 * MS / floor.min_ns + 2);
    put(0x380, 0);
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
    l->floor = NULL;
}

static void test_deadline(void **state)
{
    uint64_t v;

    (void)state;
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, 1),
                     OK); /* another mode: no effect */
    assert_int_equal(vlapic_msr_read(l, VLAPIC_MSR_TSC_DEADLINE, &v), OK);
    assert_int_equal(v, 0);
    put(0x320, 0x40043);
    put(0x380, 1000); /* ignored */
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
    v = 1000 + 2 * (fake_ns + MS);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, v), OK);
    assert_int_equal(timerq_next(&q), fake_ns + MS);
    fake_advance(&q, MS - 1);
    assert_false(pending(l, 0x43));
    fake_advance(&q, 1);
    assert_true(pending(l, 0x43));
    assert_int_equal(vlapic_msr_read(l, VLAPIC_MSR_TSC_DEADLINE, &v), OK);
    assert_int_equal(v, 0);
    vlapic_ack(l, 0x43);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, 5), OK); /* past: now */
    assert_true(pending(l, 0x43));
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, UINT64_MAX - 5), OK);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, 0), OK);
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
    v = 1000 + 2 * (fake_ns + MS);
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, v), OK);
    put(0x320, 0x43); /* leaving the mode disarms */
    assert_int_equal(timerq_next(&q), TIMER_NEVER);
}

static void test_wires(void **state)
{
    struct vlapic x;

    (void)state;
    vlapic_init(&x, 0, &ops, l, &q, 1, true);
    assert_false(vlapic_accepts_extint(&x)); /* reset: masked */
    vlapic_virtual_wire(&x);
    assert_true(vlapic_accepts_extint(&x));
    vlapic_mmio_write(&x, 0x350, 4, 0x10700);
    assert_false(vlapic_accepts_extint(&x));
    vlapic_mmio_write(&x, 0x350, 4, 0x700);
    vlapic_mmio_write(&x, 0xf0, 4, 0xff); /* software-disabled: all masked, and stays so */
    vlapic_mmio_write(&x, 0x350, 4, 0x700);
    assert_false(vlapic_accepts_extint(&x));
    vlapic_deliver(&x, VLAPIC_FIXED, 0x50, false);
    assert_int_equal(vlapic_highest(&x), -1);
    vlapic_deliver(&x, VLAPIC_NMI, 0, false);
    assert_int_equal(nmis[0], 1);
}

static void test_errors(void **state)
{
    (void)state;
    put(0x370, 0x55);
    vlapic_deliver(l, VLAPIC_FIXED, 5, false);
    assert_true(pending(l, 0x55));
    assert_int_equal(get(0x280), 0); /* not before a write */
    put(0x280, 0);
    assert_int_equal(get(0x280), 0x40);
    put(0x280, 0);
    assert_int_equal(get(0x280), 0);
    put(0x300, 0x0f);
    put(0x280, 0);
    assert_int_equal(get(0x280), 0x20);
    put(0x370, 0x05); /* an error entry with an illegal vector must end somewhere */
    put(0x300, 0x0f);
    put(0x280, 0);
    assert_int_equal(get(0x280), 0x60);
    get(0x3f0);
    put(0x280, 0);
    assert_int_equal(get(0x280) & 0x80, 0x80);
    vlapic_mmio_write(l, 0x81, 4, 0xff);
    vlapic_mmio_write(l, 0x80, 1, 0xff);
    vlapic_mmio_write(l, 0x80 + 0x1000, 4, 0xff);
    assert_int_equal(get(0x80), 0);
}

static unsigned takers(unsigned v)
{
    unsigned set = 0;

    for (unsigned i = 0; i < CPUS; i++) {
        set |= (unsigned)pending(all[i], v) << i;
        vlapic_ack(all[i], v);
        vlapic_mmio_write(all[i], 0xb0, 4, 0);
    }
    return set;
}

static void test_messages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CPUS; i++) {
        vlapic_mmio_write(all[i], 0xd0, 4, 0x1000000u << i);
    }
    vlapic_message(all, CPUS, 0xfee01000, 0x60);
    assert_int_equal(takers(0x60), 2);
    vlapic_message(all, CPUS, 0xfeeff000, 0x60);
    assert_int_equal(takers(0x60), 7);
    vlapic_message(all, CPUS, 0xfee05004, 0x60); /* logical, flat: CPUs 0 and 2 */
    assert_int_equal(takers(0x60), 5);
    vlapic_message(all, CPUS, 0xfee09000, 0x60);
    assert_int_equal(takers(0x60), 0);
    vlapic_mmio_write(all[0], 0x80, 4, 0x30); /* the lowest priority of 0 and 2 is 2 */
    vlapic_message(all, CPUS, 0xfee05004, 0x161);
    assert_int_equal(takers(0x61), 4);
    vlapic_message(all, CPUS, 0xfee0500c, 0x61);
    assert_int_equal(takers(0x61), 4);
    vlapic_message(all, CPUS, 0xfed00000, 0x60);
    vlapic_message(all, CPUS, UINT64_C(0x1fee00000), 0x60);
    assert_int_equal(takers(0x60), 0);
    vlapic_message(all, CPUS, 0xfee02000, 0x400);
    assert_int_equal(nmis[2], 1);
    for (unsigned i = 0; i < CPUS; i++) { /* cluster: 1:1, 1:2, 2:1 */
        vlapic_mmio_write(all[i], 0xe0, 4, 0x0fffffff);
        vlapic_mmio_write(all[i], 0xd0, 4, i == 2 ? 0x21000000u : 0x11000000u + (i << 24));
    }
    vlapic_message(all, CPUS, 0xfee13004, 0x62);
    assert_int_equal(takers(0x62), 3);
    vlapic_message(all, CPUS, 0xfee21004, 0x62);
    assert_int_equal(takers(0x62), 4);
    go_x2apic(all[1]);
    vlapic_message(all, CPUS, 0xfee01000, 0x63);
    vlapic_message(all, CPUS, 0xfee02004, 0x64); /* x2APIC cluster 0, member 1 */
    assert_true(pending(all[1], 0x63) && pending(all[1], 0x64));
}

static void test_ipis(void **state)
{
    (void)state;
    put(0x310, 0x01000000);
    put(0x300, 0x70);
    assert_int_equal(takers(0x70), 2);
    put(0x300, 0xc0070); /* all but me */
    assert_int_equal(takers(0x70), 6);
    put(0x300, 0x80070);
    assert_int_equal(takers(0x70), 7);
    put(0x300, 0x40070);
    assert_int_equal(takers(0x70), 1);
    put(0x300, 0xc4500); /* INIT, then its de-assert */
    put(0x300, 0xc8500);
    put(0x300, 0xc4609);
    assert_int_equal(inits[0] + 10 * inits[1] + 100 * inits[2], 110);
    assert_int_equal(sipis[1], 9);
    go_x2apic(l);
    go_x2apic(all[1]);
    assert_int_equal(vlapic_msr_write(l, 0x83f, 0x71), OK);
    assert_int_equal(vlapic_msr_write(l, 0x830, UINT64_C(1) << 32 | 0x72), OK);
    assert_int_equal(vlapic_msr_write(l, 0x830, UINT64_C(0x3) << 32 | 0x873), OK);
    assert_true(pending(l, 0x71) && pending(all[1], 0x72));
    assert_true(pending(l, 0x73) && pending(all[1], 0x73));
    assert_int_equal(vlapic_msr_write(l, 0x830, UINT64_C(0xffffffff) << 32 | 0x74), OK);
    assert_true(pending(l, 0x74) && pending(all[2], 0x74));
}

/* The TSC may be set while a deadline is armed: it is the TSC that the deadline is of. */
static uint64_t moved_tsc;

static uint64_t on_moved_tsc(void *ctx, uint64_t tsc)
{
    (void)ctx;
    uint64_t guest_now = 2 * fake_ns + moved_tsc;
    return (int64_t)(tsc - guest_now) <= 0 ? fake_ns : fake_ns + (tsc - guest_now + 1) / 2;
}

static void test_tsc_moves(void **state)
{
    struct vlapic_ops moving = ops;

    (void)state;
    moving.tsc_to_ns = on_moved_tsc;
    moved_tsc = 0;
    l->ops = &moving;
    put(0x320, 0x40040);
    for (unsigned i = 0; i < 2; i++) {
        /* Past the deadline: at once. */
        assert_int_equal(
            vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, 2 * fake_ns + moved_tsc + 200 * MS), OK);
        moved_tsc += 1000 * MS;
        vlapic_tsc_moved(l);
        assert_true(pending(l, 0x40));
        assert_int_equal(l->tsc_deadline, 0);
        vlapic_ack(l, 0x40);
        put(0xb0, 0);
        /* Back: later. */
        assert_int_equal(
            vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, 2 * fake_ns + moved_tsc + 20 * MS), OK);
        moved_tsc -= 60 * MS;
        vlapic_tsc_moved(l);
        fake_advance(&q, 39 * MS);
        assert_false(pending(l, 0x40));
        fake_advance(&q, 1 * MS);
        assert_true(pending(l, 0x40));
        vlapic_ack(l, 0x40);
        put(0xb0, 0);
    }
    /* It was due before the move back, and only not run yet: it has come. */
    assert_int_equal(vlapic_msr_write(l, VLAPIC_MSR_TSC_DEADLINE, 2 * fake_ns + moved_tsc + 2 * MS),
                     OK);
    fake_ns += 2 * MS;
    moved_tsc -= 100 * MS;
    vlapic_tsc_moved(l);
    assert_true(pending(l, 0x40));
    assert_int_equal(l->tsc_deadline, 0);
    /* In another mode there is no deadline. */
    put(0x320, 0x41);
    vlapic_tsc_moved(l);
    assert_false(l->timer.armed);
}

/* One-shot and periodic turned into each other. */
static void test_mode_changes(void **state)
{
    (void)state;
    put(0x3e0, 0xb);
    put(0x320, 0x40);
    put(0x380, 1000000);
    fake_advance(&q, MS / 2);
    put(0x320, 0x20040); /* periodic, half way: it goes on */
    fake_advance(&q, MS / 2);
    assert_true(pending(l, 0x40));
    vlapic_ack(l, 0x40);
    put(0xb0, 0);
    fake_advance(&q, MS + MS / 4);
    assert_true(pending(l, 0x40));
    vlapic_ack(l, 0x40);
    put(0xb0, 0);
    put(0x320, 0x40); /* one-shot: the period under way is the last */
    assert_int_equal(get(0x390), 750000);
    fake_advance(&q, MS);
    assert_true(pending(l, 0x40));
    vlapic_ack(l, 0x40);
    put(0xb0, 0);
    assert_int_equal(get(0x390), 0);
    put(0x320, 0x20040); /* expired, then periodic: it stands still */
    assert_int_equal(get(0x390), 0);
    put(0x3e0, 0xa);
    assert_int_equal(get(0x390), 0);
    put(0x320, 0x40);
    put(0x320, 0x20040);
    fake_advance(&q, 1000 * MS);
    assert_false(pending(l, 0x40));
    assert_false(l->timer.armed);
    put(0x3e0, 0xb);
    put(0x380, 1000000); /* until the count is written */
    fake_advance(&q, 3 * MS);
    assert_true(pending(l, 0x40));
    assert_int_equal(get(0x390), 1000000);
}

/* 100 ms in which the VM was stopped, and its timer off the queue, do not count. */
static void test_skip(void **state)
{
    (void)state;
    for (uint32_t mode = 0; mode <= 0x20000; mode += 0x20000) {
        put(0x3e0, 0xb);
        put(0x320, mode | 0x40);
        put(0x380, 1000000);
        fake_advance(&q, 3 * MS / 10);
        vlapic_stop(l);
        fake_advance(&q, 100 * MS);
        vlapic_skip(l, 100 * MS);
        assert_int_equal(get(0x390), 700000);
        fake_advance(&q, 7 * MS / 10 - 1);
        assert_false(pending(l, 0x40));
        fake_advance(&q, 1);
        assert_true(pending(l, 0x40));
        vlapic_ack(l, 0x40);
        put(0xb0, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_priority_oracle, setup),
        cmocka_unit_test_setup(test_modes, setup),
        cmocka_unit_test_setup(test_x2apic_faults, setup),
        cmocka_unit_test_setup(test_timer, setup),
        cmocka_unit_test_setup(test_floor, setup),
        cmocka_unit_test_setup(test_deadline, setup),
        cmocka_unit_test_setup(test_tsc_moves, setup),
        cmocka_unit_test_setup(test_mode_changes, setup),
        cmocka_unit_test_setup(test_skip, setup),
        cmocka_unit_test_setup(test_wires, setup),
        cmocka_unit_test_setup(test_errors, setup),
        cmocka_unit_test_setup(test_messages, setup),
        cmocka_unit_test_setup(test_ipis, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
