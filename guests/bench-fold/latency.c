/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Behind its recipe each VM has blocks of pages. The first VM's hold something, and so do the
 * second's, all but the last word of each page. A trial makes a block equal, by one store to each
 * of its pages, and then writes to one page of it after the other, each later than the one before
 * by a twenty-fourth: a write that takes the time of a copy has found its page folded. So the
 * moment is known to about 4%.
 */
#include "latency.h"

#define BLOCK 256u
#define FIRST_TICKS 100000ul
#define COPY_TICKS                                                                                 \
    300ul /* no copy of a page is quicker, and no write to a page of its own slower */
#define SLEEP_VECTOR 0x40u
#define LAST (PAGE / 8 - 1)

static volatile uint64_t *block_page(const struct recipe *r, uint64_t block, uint64_t i)
{
    return recipe_page(r->pages + block * BLOCK + i);
}

static void on_irq(unsigned vector)
{
    (void)vector;
    apic_eoi();
}

static void sleep_until(uint64_t end)
{
    while (rdtsc() < end) {
        apic_timer_deadline(end, SLEEP_VECTOR);
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
}

static uint64_t last_word(uint64_t block, uint64_t i)
{
    return (block * BLOCK + i + 1) * 0x9e3779b97f4a7c15ul;
}

/* The last words are the first VM's, or another for each page. */
static void fill_block(const struct recipe *r, uint64_t block)
{
    for (uint64_t i = 0; i < BLOCK; i++) {
        recipe_write_unique(r->pages + block * BLOCK + i, 0, 0);
        block_page(r, block, i)[LAST] = r->vm ? ~last_word(block, i) : last_word(block, i);
    }
}

static bool probe_is_folded(volatile uint64_t *p)
{
    uint64_t start = rdtsc();

    p[0] = start;
    return rdtsc() - start > COPY_TICKS;
}

/* The moment, from the block's becoming equal; 0 if it did not come. */
static uint64_t measure(const struct recipe *r, uint64_t block)
{
    uint64_t equal, first = 0, after = FIRST_TICKS;

    for (uint64_t i = 0; i < BLOCK; i++) {
        block_page(r, block, i)[LAST] = last_word(block, i);
    }
    equal = rdtsc();
    for (uint64_t i = 0; i < BLOCK; i++, after += after / 24) {
        sleep_until(equal + after);
        if (!probe_is_folded(block_page(r, block, i))) {
            first = 0; /* a sample that an interrupt of the host made long */
        } else if (first) {
            return first;
        } else {
            first = after;
        }
    }
    return 0;
}

_Noreturn void latency_main(const uint8_t *boot_params, const struct recipe *r)
{
    uint64_t trials = kit_option(boot_params, "trials", 1);
    uint64_t wait = kit_option(boot_params, "wait", 0);
    uint64_t spin = kit_option(boot_params, "spin", 0);

    apic_init();
    kit_on_irq = on_irq;
    for (uint64_t block = 0; block < trials; block++) {
        fill_block(r, block);
    }
    while (spin == 1) {
        __asm__ volatile("" ::: "memory");
    }
    while (spin == 2) {
        __asm__ volatile("cli; hlt");
    }
    for (uint64_t block = 0; block < trials; block++) {
        /* Each trial at another place of the pass under way. */
        sleep_until(rdtsc() + wait + block * wait / trials);
        uint64_t ticks = measure(r, block);
        if (ticks == 0) {
            print("FOLD-FAILED block %lu was not folded\n", block);
            break;
        }
        print("FOLD-LATENCY %lu\n", ticks);
    }
    print("FOLD-DONE\n");
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
