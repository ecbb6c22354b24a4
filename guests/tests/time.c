/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks: the TSC never goes back, and runs at the rate that CPUID tells, by every other clock. */
#include "kit.h"

static uint16_t pit_now(void)
{
    outb(0x43, 0); /* latch channel 0 */
    uint16_t low = inb(0x40);
    return (uint16_t)(low | inb(0x40) << 8);
}

/* How far, in parts of a million, `ticks` of a clock of `hz` are from the TSC's elapsed time. */
static uint64_t error_ppm(uint64_t tsc, uint64_t ticks, uint64_t hz)
{
    uint64_t expect = ticks * kit_tsc_hz() / hz, off = tsc > expect ? tsc - expect : expect - tsc;
    return expect ? off * 1000000 / expect : 1000000;
}

static void against_pit(void)
{
    outb(0x21, 0xff);
    outb(0x43, 0x34);
    outb(0x40, 0);
    outb(0x40, 0);
    uint64_t ticks = 0, start = rdtsc();
    uint16_t last = pit_now();
    while (ticks < 300000) {
        uint16_t now = pit_now();
        ticks += (uint16_t)(last - now);
        last = now;
    }
    uint64_t ppm = error_ppm(rdtsc() - start, ticks, 1193182);
    tap_ok(ppm < 2000, "the PIT agrees to %lu ppm", ppm);
}

static void against_pm_timer(void)
{
    uint64_t start = rdtsc(), ticks = 0;
    uint32_t last = inl(0x608);
    while (ticks < 900000) {
        uint32_t now = inl(0x608);
        ticks += (now - last) & 0xffffff;
        last = now;
    }
    uint64_t ppm = error_ppm(rdtsc() - start, ticks, 3579545);
    tap_ok(ppm < 2000, "the ACPI timer agrees to %lu ppm", ppm);
}

static void against_rtc(void)
{
    uint8_t s = cmos_read(0);
    uint64_t limit = rdtsc() + 3 * kit_tsc_hz();
    while (cmos_read(0) == s && rdtsc() < limit) {
    }
    uint64_t start = rdtsc();
    s = cmos_read(0);
    while (cmos_read(0) == s && rdtsc() < limit) {
    }
    uint64_t ppm = error_ppm(rdtsc() - start, 1, 1);
    tap_ok(ppm < 5000, "the RTC's second agrees to %lu ppm", ppm);
    tap_ok((cmos_read(0x0d) & 0x80) && cmos_read(0x0b) & 2, "the RTC is valid, in 24-hour mode");
}

static void against_apic_timer(void)
{
    uint32_t r[4];

    apic_init();
    cpuid(0x15, 0, r);
    wrmsr(0x83e, 0xb); /* divide by 1 */
    wrmsr(0x832, 1u << 16);
    wrmsr(0x838, 0xffffffff);
    uint64_t start = rdtsc(), first = rdmsr(0x839);
    kit_spin_ms(200);
    uint64_t ppm = error_ppm(rdtsc() - start, first - rdmsr(0x839), r[2]);
    tap_ok(ppm < 2000, "the APIC timer agrees to %lu ppm", ppm);
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t last = rdtsc(), back = 0;

    (void)boot_params;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t now = rdtsc();
        back += now <= last;
        last = now;
    }
    tap_ok(back == 0, "RDTSC always goes up");
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t r[4];
        cpuid(0, 0, r);
        (void)inb(0x3ff);
        uint64_t now = rdtsc();
        back += now <= last;
        last = now;
    }
    tap_ok(back == 0, "over exits too");
    against_pit();
    against_pm_timer();
    against_rtc();
    against_apic_timer();
}
