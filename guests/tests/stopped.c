/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that is stopped from outside for a while: paused, or for want of memory. `pv`=0: it has
 * not registered KVM's clock page, so its clocks must have stood still. `pv`=1: it has; its TSC
 * must be where it would be without the stop, and the page must say that it was stopped. `least`=N:
 * the stop is at least N seconds long by the RTC. `mib`=N: it touches so much memory meanwhile, a
 * page between two looks at the clocks, and is stopped when there is none.
 */
#include "kit.h"

#define PM_HZ 3579545ul

static struct {
    volatile uint32_t version, pad0;
    volatile uint64_t tsc, system;
    volatile uint32_t mul;
    volatile int8_t shift;
    volatile uint8_t flags;
    uint8_t pad[2];
} page __attribute__((aligned(32)));
static volatile uint32_t wall[3] __attribute__((aligned(16)));

static uint64_t two(uint8_t bcd)
{
    return (bcd >> 4) * 10u + (bcd & 15u);
}

/* Seconds of the day; the test is not run over midnight. */
static uint64_t rtc_s(void)
{
    uint64_t s, again;

    do {
        s = two(cmos_read(4)) * 3600 + two(cmos_read(2)) * 60 + two(cmos_read(0));
        again = two(cmos_read(4)) * 3600 + two(cmos_read(2)) * 60 + two(cmos_read(0));
    } while (s != again);
    return s;
}

static uint64_t pv_ns(void)
{
    uint64_t delta = rdtsc() - page.tsc;

    delta = page.shift < 0 ? delta >> -page.shift : delta << page.shift;
    return page.system + (uint64_t)((unsigned __int128)delta * page.mul >> 32);
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void eoi(unsigned vector)
{
    (void)vector;
    apic_eoi();
}

void guest_main(const uint8_t *boot_params)
{
    bool pv = kit_option(boot_params, "pv", 0);
    uint64_t least = kit_option(boot_params, "least", 5), hz = kit_tsc_hz(), back = 0, pm = 0;
    uint64_t at = KIT_HEAP, end = KIT_HEAP + (kit_option(boot_params, "mib", 0) << 20);
    uint64_t tsc_gap = 0, pm_gap = 0, pv_back = 0, last_pv = 0, stopped_flag = 0, one_shot = 0;

    kit_on_irq = eoi;
    apic_init();
    if (pv) {
        wrmsr(0x4b564d00, (uint64_t)wall);
        wrmsr(0x4b564d01, (uint64_t)&page | 1);
        tap_ok(page.flags == 1 && !(page.version & 1), "the clock page is there: flags %x",
               page.flags);
        uint64_t day = (wall[1] + pv_ns() / 1000000000) % 86400, rtc = rtc_s();
        tap_ok(day + 1 >= rtc && day <= rtc + 1, "date by the page %lu, by the RTC %lu", day, rtc);
    }
    uint64_t rtc0 = rtc_s(), tsc0 = rdtsc(), pv0 = pv ? pv_ns() : 0, last = tsc0;
    uint32_t last_pm = inl(0x608);

    wrmsr(0x83e, 0xb); /* the APIC's timer: one-shot, in 2 s */
    wrmsr(0x832, 0x70);
    wrmsr(0x838, 2 * hz);
    print("ready\n");
    __asm__ volatile("sti");
    for (uint64_t until = ~0ul; pm < until;) { /* the TSC may jump */
        if (at < end) {
            *(volatile uint64_t *)at = at;
            at += PAGE;
        }
        uint64_t now = rdtsc();
        uint32_t now_pm = inl(0x608);
        back += now < last;
        tsc_gap = max(tsc_gap, now - last);
        last = now;
        pm += now_pm - last_pm;
        pm_gap = max(pm_gap, now_pm - last_pm);
        last_pm = now_pm;
        if (pv) {
            uint64_t ns = pv_ns();
            pv_back += ns < last_pv;
            last_pv = ns;
            stopped_flag += page.flags >> 1 & 1;
            page.flags &= (uint8_t)~2u;
        }
        if (!one_shot && kit_irqs[0x70]) {
            one_shot = now - tsc0;
        }
        /* 3 s of its own time before the end, and some more after the stop. */
        if (until == ~0ul && at >= end && rtc_s() - rtc0 >= least + 3 && now - tsc0 > 3 * hz) {
            until = pm + 2 * PM_HZ;
        }
    }
    __asm__ volatile("cli");
    uint64_t rtc = rtc_s() - rtc0, tsc_ms = (rdtsc() - tsc0) / (hz / 1000);
    tap_ok(back == 0 && pv_back == 0, "no clock goes back");
    print("# RTC %lu s, TSC %lu ms, its longest gap %lu ms; PM timer %lu ms, its longest gap %lu "
          "ms\n",
          rtc, tsc_ms, tsc_gap / (hz / 1000), pm * 1000 / PM_HZ, pm_gap * 1000 / PM_HZ);
    if (pv) {
        uint64_t ms = (pv_ns() - pv0) / 1000000;
        tap_ok(stopped_flag > 0, "it is told that it was stopped");
        tap_ok(tsc_ms + 1500 > rtc * 1000 && tsc_ms < rtc * 1000 + 1500, "the TSC went on");
        tap_ok(ms + 1500 > rtc * 1000 && ms < rtc * 1000 + 1500, "so did the page's clock: %lu ms",
               ms);
        tap_ok(tsc_gap < 160 * hz, "in no step of more than 160 s");
    } else {
        tap_ok(tsc_gap < hz / 2 && pm_gap < PM_HZ / 2, "the stop does not show");
        tap_ok(tsc_ms + least * 1000 < (rtc + 1) * 1000, "but by the RTC's time");
        uint64_t off = max(pm * 1000 / PM_HZ, tsc_ms) * 2 - pm * 1000 / PM_HZ - tsc_ms;
        tap_ok(off < 20, "the PM timer and the TSC agree to %lu ms", off);
        tap_ok(one_shot >= 2 * hz && one_shot < 2 * hz + hz / 5,
               "the APIC's timer counted its 2 s: %lu ms", one_shot / (hz / 1000));
    }
}
