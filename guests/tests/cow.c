/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two VMs fill 4096 pages with the same contents, wait for them to be folded, and diverge: page n
 * in its byte n, so that every offset of a page is the first one written in some page. The VM
 * `who`=0 begins with the even pages, the other with the odd ones; then each writes those that the
 * other has left by then. In the end each finds its own memory and nobody else's.
 */
#include "kit.h"

#define PAGES 4096ul

static uint64_t who;

static uint64_t *page(uint64_t n)
{
    return (uint64_t *)(KIT_HEAP + n * PAGE);
}

/* Word i of page n, before anybody diverges. */
static uint64_t common(uint64_t n, uint64_t i)
{
    return ((n << 32) + i + 1) * 0x9e3779b97f4a7c15ul;
}

static uint8_t mine(uint64_t n)
{
    return (uint8_t)(common(n, n / 8) >> n % 8 * 8) ^ (uint8_t)(who ? 0xa5 : 0x5a);
}

/* Words of page n that are not as they must be. */
static uint64_t wrong(uint64_t n, bool diverged)
{
    uint64_t bad = 0;

    for (uint64_t i = 0; i < PAGE / 8; i++) {
        uint64_t want = common(n, i);
        if (diverged && i == n / 8) {
            uint64_t shift = n % 8 * 8;
            want = (want & ~(0xfful << shift)) | (uint64_t)mine(n) << shift;
        }
        bad += page(n)[i] != want;
    }
    return bad;
}

static void diverge(uint64_t parity)
{
    uint64_t bad = 0;

    for (uint64_t n = parity; n < PAGES; n += 2) {
        ((volatile uint8_t *)page(n))[n] = mine(n);
        bad += wrong(n, true);
    }
    tap_ok(bad == 0, "%s pages diverge in just one byte: %lu words wrong", parity ? "odd" : "even",
           bad);
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t wait = kit_option(boot_params, "wait", 3000), bad = 0;

    who = kit_option(boot_params, "who", 0);
    apic_init();
    for (uint64_t n = 0; n < PAGES; n++) {
        for (uint64_t i = 0; i < PAGE / 8; i++) {
            page(n)[i] = common(n, i);
        }
    }
    print("cow: filled\n");
    kit_sleep_ms(wait);
    for (uint64_t n = 0; n < PAGES; n++) {
        bad += wrong(n, false);
    }
    tap_ok(bad == 0, "folded pages read as they were written: %lu words wrong", bad);
    diverge(who);
    kit_sleep_ms(wait);
    for (uint64_t n = 0; n < PAGES; n++) {
        bad += wrong(n, n % 2 == who);
    }
    tap_ok(bad == 0, "the other's writes do not show: %lu words wrong", bad);
    diverge(!who);
    kit_sleep_ms(wait);
    for (uint64_t n = 0; n < PAGES; n++) {
        bad += wrong(n, true);
    }
    tap_ok(bad == 0, "in the end all is its own: %lu words wrong", bad);
}
