/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM that writes while it is scanned. Pages take one of few contents, again and again, so that
 * they fold, unfold and fold with others; some pages are counters, written all the time, whose two
 * copies must agree at each look. At the end all memory is what it must be.
 */
#include "kit.h"

#define PAGES 1500ul
#define COUNTERS 16ul
#define CONTENTS 7ul

static uint16_t version[PAGES];
static uint64_t random_state;

static uint64_t random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t *page(uint64_t n)
{
    return (uint64_t *)(KIT_HEAP + n * PAGE);
}

static uint64_t word(uint64_t content, uint64_t i)
{
    return content == 0 ? 0 : (content << 40 | i) * 0x9e3779b97f4a7c15ul;
}

static void fill(uint64_t n, uint64_t content)
{
    version[n] = (uint16_t)content;
    for (uint64_t i = 0; i < PAGE / 8; i++) {
        page(n)[i] = word(content, i);
    }
}

static uint64_t wrong(uint64_t n)
{
    uint64_t bad = 0;
    for (uint64_t i = 0; i < PAGE / 8; i++) {
        bad += page(n)[i] != word(version[n], i);
    }
    return bad;
}

static volatile uint64_t *counter(uint64_t n)
{
    return (uint64_t *)(KIT_HEAP + (PAGES + n) * PAGE);
}

/* Each counter page: the same number at both ends, and the sum of what was done. */
static uint64_t count(uint64_t value)
{
    uint64_t bad = 0;
    for (uint64_t n = 0; n < COUNTERS; n++) {
        bad += counter(n)[0] != value || counter(n)[511] != value;
        counter(n)[0] = value + 1;
        counter(n)[511] = value + 1;
    }
    return bad;
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t rounds = kit_option(boot_params, "rounds", 400), bad = 0, bad_counters = 0;

    random_state = kit_option(boot_params, "seed", 1) * 0x2545f4914f6cdd1dul;
    apic_init();
    for (uint64_t n = 0; n < PAGES; n++) {
        fill(n, random() % CONTENTS);
    }
    for (uint64_t round = 0; round < rounds; round++) {
        for (unsigned k = 0; k < 20; k++) {
            uint64_t n = random() % PAGES;
            bad += wrong(n);
            fill(n, random() % CONTENTS);
            bad_counters += count(round * 20 + k);
        }
        if (round % 8 == 0) {
            kit_sleep_ms(15);
        }
    }
    tap_ok(bad_counters == 0, "counter pages: %lu wrong", bad_counters);
    tap_ok(bad == 0, "pages looked at while they changed: %lu words wrong", bad);
    bad = 0;
    for (uint64_t n = 0; n < PAGES; n++) {
        bad += wrong(n);
    }
    tap_ok(bad == 0, "all memory at the end: %lu words wrong", bad);
}
