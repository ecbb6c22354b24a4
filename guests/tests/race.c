/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Races a guest can have with the scanner, as tight as one CPU allows. Two VMs hold the same pages.
 * They alternate between what both have and one byte that differs: a few of them slowly, then many,
 * written the moment the CPU comes back from the hypervisor, from timer interrupts, and several
 * times in a row, through two linear addresses each. A page is verified whole before each change,
 * and its byte through the other address behind it. A right to write that outlives a merge lets one
 * VM's byte show in the other; a translation that outlives a copy lets the two addresses differ.
 *
 * With `pairs` it is another test, of a VM alone: pairs of pages that were quiet and unlike become
 * equal by one byte, through translations that were there all the time. Each must be folded a while
 * later, which the guest sees by the time of a write: a change that the scanner is not told of
 * would leave its page behind.
 */
#include "kit.h"
#include "paging.h"

#define PAGES 64ul /* that race, the last FROM_IRQ of them in the interrupt handler */
#define FROM_IRQ 16ul
#define CONTENTS 16ul
#define CALM 2ul /* pages of the first part, before there are others */
#define QUIET                                                                                      \
    (KIT_HEAP + 0x400000ul) /* the pairs: STRIDE bytes apart, so that they are in many             \
                             */
#define STRIDE 0x10000ul    /* regions of 2 MiB */
#define PAIRS 80ul
#define ALIAS 0x40000000ul
#define VECTOR 0x40
#define FOLDED_TICKS 300ul /* a write to a page of the guest's own takes less */

struct note {
    uint16_t at; /* the byte that differs */
    uint8_t differs, value;
};

static volatile struct note notes[PAGES];
static uint64_t random_state, irq_random_state, bad_calm, bad_pages, bad_bytes, irq_bad, changes,
    irq_changes;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Page n at one of its two linear addresses. */
static volatile uint64_t *page(uint64_t n, uint64_t alias)
{
    return (volatile uint64_t *)((alias & 1 ? ALIAS : KIT_HEAP) + n * PAGE);
}

static uint64_t word(uint64_t content, uint64_t i)
{
    return ((content << 20) + i + 7) * 0x9e3779b97f4a7c15ul;
}

static uint8_t common_byte(uint64_t n, uint64_t at)
{
    return (uint8_t)(word(n % CONTENTS, at / 8) >> at % 8 * 8);
}

static bool is_right(uint64_t n, uint64_t alias)
{
    bool right = true;

    for (uint64_t i = 0; i < PAGE / 8; i++) {
        uint64_t want = word(n % CONTENTS, i);
        if (notes[n].differs && notes[n].at / 8 == i) {
            unsigned shift = notes[n].at % 8 * 8;
            want = (want & ~(0xfful << shift)) | (uint64_t)notes[n].value << shift;
        }
        right &= page(n, alias)[i] == want;
    }
    return right;
}

/* Writes a byte through one address and reads it through the other; whether it came through. */
static bool put(uint64_t n, uint64_t alias, uint64_t at, uint8_t value)
{
    ((volatile uint8_t *)page(n, alias))[at] = value;
    return ((volatile uint8_t *)page(n, !(alias & 1)))[at] == value;
}

/* Page n to the other of its two states, or the byte that differs anew, some times in a row. */
static bool change(uint64_t n, uint64_t dice)
{
    uint64_t alias = dice & 1;
    bool ok = true;

    if (!notes[n].differs) {
        notes[n].at = (uint16_t)(dice >> 8 & 4095);
        notes[n].value = common_byte(n, notes[n].at);
        notes[n].differs = 1;
    } else if (dice & 2) {
        ok = put(n, alias, notes[n].at, common_byte(n, notes[n].at));
        notes[n].differs = 0;
        return ok;
    }
    for (uint64_t k = 0; k <= (dice >> 2 & 3); k++) {
        notes[n].value++;
        ok &= put(n, alias + k, notes[n].at, notes[n].value);
    }
    return ok;
}

static void on_irq(unsigned vector)
{
    if (vector == VECTOR) {
        uint64_t dice = next_random(&irq_random_state);
        uint64_t n = PAGES - FROM_IRQ + dice % FROM_IRQ;
        irq_bad += !is_right(n, dice >> 7);
        irq_bad += !change(n, dice >> 20);
        irq_changes++;
        apic_timer_deadline(rdtsc() + 5000 + (dice >> 40 & 0x1ffff), VECTOR);
    }
    apic_eoi();
}

/*
 * Few pages, changed so seldom that the two VMs' ones are folded again and again, and that nothing
 * else makes the hypervisor flush a translation: the flush that one merge owes is the only one.
 */
static void calm(uint64_t ms)
{
    uint64_t end = rdtsc() + kit_tsc_hz() / 1000 * ms;

    while (rdtsc() < end) {
        uint64_t dice = next_random(&random_state), n = dice % CALM;
        uint64_t next = rdtsc() + kit_tsc_hz() / 1000 * (10 + dice % 60);
        while (rdtsc() < next) {
            for (uint64_t k = 0; k < CALM; k++) {
                bad_calm += !is_right(k, dice >> 9);
            }
        }
        bad_bytes += !change(n, dice >> 11);
    }
}

static void race(uint64_t ms)
{
    uint64_t end = rdtsc() + kit_tsc_hz() / 1000 * ms, last = rdtsc();

    apic_timer_deadline(last + 10000, VECTOR);
    __asm__ volatile("sti");
    while (last < end) {
        uint64_t now = rdtsc();
        bool was_away = now - last > 2000; /* a burst of the scanner, likely */
        last = now;
        uint64_t dice = next_random(&random_state);
        if (!was_away && dice % 64 != 0) {
            continue;
        }
        for (uint64_t k = was_away ? 3 : 1; k > 0; k--) {
            uint64_t n = (dice >> 10 * k) % (PAGES - FROM_IRQ);
            if (!was_away) { /* else the write comes first, into what was perhaps just merged */
                bad_pages += !is_right(n, dice >> 9);
            }
            bad_bytes += !change(n, dice >> 11);
            bad_pages += !is_right(n, dice >> 8);
            changes++;
        }
        last = rdtsc();
    }
    __asm__ volatile("cli");
}

/* ---- changes that nobody may miss ---------------------------------------------------------- */

static volatile uint64_t *quiet(uint64_t n)
{
    return (volatile uint64_t *)(QUIET + n * STRIDE);
}

/* The second page of each pair differs from the first in this byte, until they are made equal. */
static uint64_t odd_byte(uint64_t n)
{
    return n / 2 * 51;
}

static uint64_t pair_word(uint64_t salt, uint64_t n, uint64_t i, bool equal)
{
    bool odd = !equal && n % 2 == 1 && odd_byte(n) / 8 == i;

    return word((salt << 10) + n / 2, i) ^ (odd ? 0x11ul << odd_byte(n) % 8 * 8 : 0);
}

static void fill_pairs(uint64_t salt)
{
    for (uint64_t n = 0; n < 2 * PAIRS; n++) {
        for (uint64_t i = 0; i < PAGE / 8; i++) {
            quiet(n)[i] = pair_word(salt, n, i, false);
        }
    }
}

static void __attribute__((noinline)) touch(volatile uint64_t *at, uint64_t *ticks)
{
    uint64_t value = *at, begin = rdtsc();
    *at = value;
    *ticks = rdtsc() - begin;
}

/* Pairs that are folded, by the time that a write of the same value takes. */
static uint64_t count_folded(void)
{
    uint64_t folded = 0, ticks;

    for (uint64_t k = 0; k < PAIRS; k++) {
        touch(quiet(2 * k) + 3, &ticks);
        folded += ticks > FOLDED_TICKS;
    }
    return folded;
}

static uint64_t wrong_pairs(uint64_t salt)
{
    uint64_t wrong = 0;

    for (uint64_t n = 0; n < 2 * PAIRS; n++) {
        for (uint64_t i = 0; i < PAGE / 8; i++) {
            wrong += quiet(n)[i] != pair_word(salt, n, i, true);
        }
    }
    return wrong;
}

/* The pairs of one round, which nobody else has. */
static void pairs_fold(uint64_t salt, uint64_t wait)
{
    fill_pairs(salt);
    kit_sleep_ms(wait);
    uint64_t before = count_folded();
    kit_sleep_ms(wait);
    for (uint64_t k = 0; k < PAIRS; k++) { /* in no order of addresses */
        uint64_t n = 2 * (k * 37 % PAIRS) + 1;
        ((volatile uint8_t *)quiet(n))[odd_byte(n)] ^= 0x11;
    }
    kit_sleep_ms(wait);
    uint64_t after = count_folded();
    tap_ok(before == 0, "pages that differ in a byte are not folded: %lu", before);
    tap_ok(after == PAIRS, "pages that became equal were all seen to: %lu of %lu", after, PAIRS);
    tap_ok(wrong_pairs(salt) == 0, "and hold what they should");
}

static void fill_common(uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        *kit_pte((uint64_t)page(n, 1)) = (uint64_t)page(n, 0) | PTE_P | PTE_W;
        for (uint64_t i = 0; i < PAGE / 8; i++) {
            page(n, 0)[i] = word(n % CONTENTS, i);
        }
    }
    kit_flush();
}

static void races(uint64_t seed, uint64_t calm_ms, uint64_t race_ms)
{
    uint64_t bad = 0;

    random_state = seed * 0x2545f4914f6cdd1dul;
    irq_random_state = ~random_state;
    kit_on_irq = on_irq;
    fill_common(0, CALM);
    calm(calm_ms);
    fill_common(CALM, PAGES);
    race(race_ms);
    tap_ok(bad_calm == 0, "pages that change now and then: %lu times wrong", bad_calm);
    tap_ok(changes > 1000 && irq_changes > 100, "%lu changes, %lu from interrupts", changes,
           irq_changes);
    tap_ok(bad_bytes == 0, "bytes read through the other address: %lu wrong", bad_bytes);
    tap_ok(bad_pages == 0, "pages before and behind a change: %lu wrong", bad_pages);
    tap_ok(irq_bad == 0, "pages changed from interrupts: %lu wrong", irq_bad);
    for (uint64_t n = 0; n < PAGES; n++) {
        bad += !is_right(n, 0) || !is_right(n, 1);
    }
    tap_ok(bad == 0, "all at the end: %lu pages wrong", bad);
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t seed = kit_option(boot_params, "seed", 1), pairs = kit_option(boot_params, "pairs", 0);

    apic_init();
    for (uint64_t round = 1; round <= pairs; round++) {
        pairs_fold(seed * 8 + round, kit_option(boot_params, "wait", 1000));
    }
    if (pairs == 0) {
        races(seed, kit_option(boot_params, "calm", 4000), kit_option(boot_params, "ms", 3000));
    }
}
