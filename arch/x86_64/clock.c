/* SPDX-License-Identifier: BSD-2-Clause */
/* TSC time base, calibrated against PIT channel 2. */
#include "arch/x86_64/clock.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/irq.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/trap.h"
#include "base/format.h"
#include "base/log.h"

#define PIT_HZ 1193182u
#define PIT_CH2 0x42
#define PIT_COMMAND 0x43
#define PIT_CH2_MODE0 0xb0 /* channel 2, low then high byte, mode 0: output rises at the end */
#define PORT_B 0x61
#define PORT_B_GATE2 0x01
#define PORT_B_SPEAKER 0x02
#define PORT_B_OUT2 0x20

#define ROUNDS 4
#define ROUND_COUNT 29830u /* PIT ticks in a round: 25 ms */
#define MAX_POLLS 100000000u

/* What we believe of a TSC: 1 MHz (an emulator's) to 10 GHz. */
#define MIN_KHZ 1000u
#define MAX_KHZ 10000000u

#define SHIFT 40 /* the binary point of the two factors; they fit 64 bits for MIN_KHZ..MAX_KHZ */

/* The machine's: all CPUs count alike. Set by clock_init. */
static uint64_t tsc_base, tsc_khz, ns_per_tick, ticks_per_ns;
static uint64_t apic_khz; /* 0: TSC deadline mode */

static PERCPU struct clock_cpu {
    uint64_t armed_ns; /* its timer's deadline */
} clock_cpu = {CLOCK_NEVER};

struct round {
    uint64_t tsc;
    uint32_t apic;
};

static uint64_t mul_shift(uint64_t a, uint64_t factor)
{
    unsigned __int128 p = (unsigned __int128)a * factor >> SHIFT;
    return p > UINT64_MAX ? UINT64_MAX : (uint64_t)p;
}

/* Counts the TSC and the APIC timer over one run of the PIT. False when the PIT stands still. */
static bool measure(struct round *r)
{
    uint8_t b = in8(PORT_B) & (uint8_t) ~(PORT_B_SPEAKER | PORT_B_GATE2);

    out8(PORT_B, b);
    out8(PIT_COMMAND, PIT_CH2_MODE0);
    out8(PIT_CH2, ROUND_COUNT & 0xff);
    out8(PIT_CH2, ROUND_COUNT >> 8);
    host_lapic_timer_oneshot(UINT32_MAX);
    out8(PORT_B, b | PORT_B_GATE2);
    uint64_t start = rdtsc();
    uint32_t apic = host_lapic_timer_left();
    for (unsigned i = 0; i < MAX_POLLS; i++) {
        if (in8(PORT_B) & PORT_B_OUT2) {
            r->tsc = rdtsc() - start;
            r->apic = apic - host_lapic_timer_left();
            host_lapic_timer_oneshot(0);
            out8(PORT_B, b);
            return true;
        }
    }
    out8(PORT_B, b);
    return false;
}

/*
 * Averages the rounds. Under a hypervisor or with SMIs a round can only come out too long, so those
 * that exceed the shortest by more than 1% are left out.
 */
static bool calibrate(uint64_t *khz, uint64_t *timer_khz)
{
    struct round r[ROUNDS];
    uint64_t least = UINT64_MAX, tsc = 0, apic = 0, n = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (!measure(&r[i])) {
            return false;
        }
        least = MIN(least, r[i].tsc);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (r[i].tsc <= least + least / 100) {
            tsc += r[i].tsc;
            apic += r[i].apic;
            n++;
        }
    }
    uint64_t span = n * ROUND_COUNT * 1000;
    *khz = (tsc * PIT_HZ + span / 2) / span;
    *timer_khz = (apic * PIT_HZ + span / 2) / span;
    return true;
}

/* The TSC's frequency as the CPU states it (CPUID 15h: ratio and crystal), or 0. */
static uint64_t stated_khz(void)
{
    if (cpuid(0, 0).eax < 0x15) {
        return 0;
    }
    struct cpuid_regs r = cpuid(0x15, 0);
    return r.eax ? (uint64_t)r.ecx * r.ebx / r.eax / 1000 : 0;
}

/* The timer's interrupt has come, nothing is armed any more. */
static void fired(void *ctx)
{
    (void)ctx;
    this_cpu(clock_cpu)->armed_ns = CLOCK_NEVER;
}

bool clock_init(char *why, size_t n)
{
    uint64_t khz, timer_khz, stated = stated_khz();

    if (!(cpuid(1, 0).edx & CPUID_1_EDX_TSC)) {
        format(why, n, "this CPU has no time stamp counter (CPUID.1:EDX.TSC)");
        return false;
    }
    enum status s = irq_register(VECTOR_TIMER, fired, NULL);
    if (s != OK) {
        format(why, n, "vector %#x, of the local APIC's timer: %s", VECTOR_TIMER, status_name(s));
        return false;
    }
    tsc_base = rdtsc();
    host_lapic_timer_mode(false);
    if (!calibrate(&khz, &timer_khz)) {
        format(why, n, "the interval timer (PIT channel 2) does not count");
        return false;
    }
    if (khz < MIN_KHZ || khz > MAX_KHZ) {
        format(why, n, "the time stamp counter runs at %llu kHz, which cannot be right",
               (unsigned long long)khz);
        return false;
    }
    if (stated && stated - MIN(stated, khz) <= khz / 100 && khz - MIN(stated, khz) <= khz / 100) {
        khz = stated;
    }
    if (!host_lapic_has_tsc_deadline() && timer_khz < MIN_KHZ / 10) {
        format(why, n, "the local APIC's timer does not count");
        return false;
    }
    ticks_per_ns = (khz << SHIFT) / 1000000;
    ns_per_tick = (UINT64_C(1000000) << SHIFT) / khz;
    tsc_khz = khz;
    apic_khz = host_lapic_has_tsc_deadline() ? 0 : timer_khz;
    host_lapic_timer_mode(apic_khz == 0);
    if (!(cpuid(0x80000000, 0).eax >= 0x80000007 &&
          cpuid(0x80000007, 0).edx & CPUID_80000007_EDX_INVARIANT_TSC)) {
        log_debug("clock: the CPU does not promise that its TSC is invariant");
    }
    log_info("clock: TSC %llu.%03llu MHz, timer by %s", (unsigned long long)khz / 1000,
             (unsigned long long)khz % 1000, apic_khz ? "APIC one-shot" : "TSC deadline");
    return true;
}

uint64_t clock_tsc_khz(void)
{
    return tsc_khz;
}

uint64_t clock_ns_to_ticks(uint64_t ns)
{
    return mul_shift(ns, ticks_per_ns);
}

uint64_t clock_ticks_to_ns(uint64_t ticks)
{
    return mul_shift(ticks, ns_per_tick);
}

uint64_t clock_ns_to_tsc(uint64_t ns)
{
    uint64_t ticks = ns == CLOCK_NEVER ? UINT64_MAX : clock_ns_to_ticks(ns);
    return ticks > UINT64_MAX - tsc_base ? UINT64_MAX : tsc_base + ticks;
}

uint64_t clock_tsc_to_ns(uint64_t tsc)
{
    return tsc == UINT64_MAX ? CLOCK_NEVER : tsc < tsc_base ? 0 : clock_ticks_to_ns(tsc - tsc_base);
}

uint64_t clock_now_ns(void)
{
    return tsc_khz ? clock_ticks_to_ns(rdtsc() - tsc_base) : 0;
}

void clock_arm(uint64_t deadline_ns)
{
    struct clock_cpu *cpu = this_cpu(clock_cpu);

    if (deadline_ns == cpu->armed_ns) {
        return;
    }
    cpu->armed_ns = deadline_ns;
    if (deadline_ns == CLOCK_NEVER) {
        if (apic_khz) {
            host_lapic_timer_oneshot(0);
        } else {
            host_lapic_timer_deadline(0);
        }
        return;
    }
    if (!apic_khz) {
        uint64_t tsc = clock_ns_to_tsc(deadline_ns);
        host_lapic_timer_deadline(tsc ? tsc : 1);
        return;
    }
    uint64_t now = clock_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
    /* A second at most, so that the product below cannot overflow; it fires early then. */
    uint64_t count = MIN(left, UINT64_C(1000000000)) * apic_khz / 1000000 + 1;
    host_lapic_timer_oneshot((uint32_t)MIN(count, UINT32_MAX));
}
