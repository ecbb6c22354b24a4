/* SPDX-License-Identifier: BSD-2-Clause */
/* Folding inside one VM: equal pages, zero pages, and a page written after its equals were folded,
 * by the CPU in each way that stores (plain, read-modify-write, strings, a store over two pages).
 */
#include "kit.h"

#define PAGES 256ul

static uint64_t *equal(uint64_t n)
{
    return (uint64_t *)(KIT_HEAP + n * PAGE);
}

static uint64_t *zero(uint64_t n)
{
    return (uint64_t *)(KIT_HEAP + (PAGES + n) * PAGE);
}

static uint64_t word(uint64_t i)
{
    return (i + 77) * 0x9e3779b97f4a7c15ul;
}

static bool is_equal(uint64_t n)
{
    for (uint64_t i = 0; i < PAGE / 8; i++) {
        if (equal(n)[i] != word(i)) {
            return false;
        }
    }
    return true;
}

static bool is_zero(uint64_t n)
{
    for (uint64_t i = 0; i < PAGE / 8; i++) {
        if (zero(n)[i]) {
            return false;
        }
    }
    return true;
}

/* All pages but 0 to 4 (which are being written) are what they were. */
static bool others(void)
{
    for (uint64_t n = 5; n < PAGES; n++) {
        if (!is_equal(n) || !is_zero(n)) {
            return false;
        }
    }
    return true;
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t wait = kit_option(boot_params, "wait", 3000), zeros = 0, equals = 0;

    apic_init();
    for (uint64_t n = 0; n < PAGES; n++) {
        for (uint64_t i = 0; i < PAGE / 8; i++) {
            equal(n)[i] = word(i);
            zero(n)[i] = i;
        }
        memset(zero(n), 0, PAGE);
    }
    print("merge: filled\n");
    kit_sleep_ms(wait);
    for (uint64_t n = 0; n < PAGES; n++) {
        equals += is_equal(n);
        zeros += is_zero(n);
    }
    tap_ok(equals == PAGES && zeros == PAGES, "folded: %lu equal, %lu zero", equals, zeros);
    *(volatile uint64_t *)equal(0) += 5;
    *(volatile uint64_t *)zero(0) += 5;
    tap_ok(*equal(0) == word(0) + 5 && *zero(0) == 5 && others(), "ADD to memory");
    memset(equal(1), 0xee, PAGE);
    memset(zero(1), 0xee, PAGE);
    tap_ok(equal(1)[511] == 0xeeeeeeeeeeeeeeeeul && memcmp(equal(1), zero(1), PAGE) == 0 &&
               others(),
           "REP STOSB over a page");
    memcpy(equal(2), zero(9), PAGE);
    memcpy(zero(2), equal(9), PAGE);
    tap_ok(*equal(2) == 0 && *zero(2) == word(0) && others(), "REP MOVSB from one to another");
    uint64_t at = (uint64_t)equal(4) - 4;
    *(volatile uint64_t *)at = 0x1122334455667788;
    at = (uint64_t)zero(4) - 4;
    *(volatile uint64_t *)at = 0x1122334455667788;
    tap_ok(equal(3)[511] >> 32 == 0x55667788 && (uint32_t)*equal(4) == 0x11223344 &&
               zero(3)[511] == 0x5566778800000000 && *zero(4) == 0x11223344 && others(),
           "a store over two pages");
    __asm__ volatile("lock; addq $1, 80(%0)" ::"r"(equal(4)) : "memory");
    __asm__ volatile("lock; addq $1, 80(%0)" ::"r"(zero(4)) : "memory");
    tap_ok(equal(4)[10] == word(10) + 1 && zero(4)[10] == 1 && others(), "LOCK ADD");
    kit_sleep_ms(wait);
    tap_ok(others() && equal(4)[10] == word(10) + 1 && *equal(0) == word(0) + 5,
           "a while later all is the same");
}
