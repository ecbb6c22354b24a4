/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guests on whose memory folding is measured. Each fills its memory by the recipe and then
 * sleeps without writing anything, unless it is told to on its console: a letter, a number, Enter.
 *
 *     wN   writes N of its unique pages anew, the next ones each time, like no page before
 *     jN   writes its first N unique pages as VM 0 has them
 *
 * Options: vm=N pages=N layout=0|1; with trials=N it measures latencies instead (latency.c).
 */
#include "latency.h"
#include "recipe.h"

#define IRQ_BASE 32u
#define COM1_IRQ 4u
#define IER 1
#define MCR 4
#define LSR 5
/* These unique pages are for `j`; `w` leaves them alone. */
#define JOINERS 512u

static struct recipe recipe;
static uint64_t next = JOINERS; /* the unique page whose turn it is */
static uint64_t generation;
static unsigned done; /* commands obeyed: no two answers are alike */

static void on_irq(unsigned vector)
{
    (void)vector;
    outb(0x20, 0x20); /* the PIC's end of interrupt; the byte is read in wait_key */
}

static uint8_t wait_key(void)
{
    while (!(inb(COM1 + LSR) & 1)) {
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
    return inb(COM1);
}

/* Calls fn for each of the unique pages `from` to `to`, counted from 0. */
static void for_unique(uint64_t from, uint64_t to, void (*fn)(uint64_t i))
{
    for (uint64_t i = 0, n = 0; i < recipe.pages && n < to; i++) {
        if (recipe_kind(&recipe, i) == KIND_UNIQUE && n++ >= from) {
            fn(i);
        }
    }
}

static uint64_t count_unique(void)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < recipe.pages; i++) {
        n += recipe_kind(&recipe, i) == KIND_UNIQUE;
    }
    return n;
}

static void write_anew(uint64_t i)
{
    recipe_write_unique(i, recipe.vm, generation);
}

static void join(uint64_t i)
{
    recipe_write_unique(i, 0, 0);
}

static void rewrite(uint64_t n, uint64_t all)
{
    generation++;
    while (n > 0) {
        uint64_t now = n < all - next ? n : all - next;
        for_unique(next, next + now, write_anew);
        n -= now;
        next = next + now == all ? JOINERS : next + now;
    }
}

static void obey(char what, uint64_t n, uint64_t all)
{
    if (what == 'w' && n <= all - JOINERS) {
        rewrite(n, all);
    } else if (what == 'j' && n <= JOINERS) {
        for_unique(0, n, join);
    } else {
        print("FOLD-FAILED unknown command\n");
        return;
    }
    print("FOLD-DID %u\n", ++done);
}

static void listen(void)
{
    uint64_t all = count_unique();
    uint64_t n = 0;
    char what = 0;

    kit_on_irq = on_irq;
    pic_remap((uint8_t) ~(1u << COM1_IRQ), 0xff);
    outb(COM1 + MCR, 0x0b);
    outb(COM1 + IER, 1);
    for (;;) {
        uint8_t key = wait_key();
        if (key >= '0' && key <= '9') {
            n = n * 10 + key - '0';
        } else if (key == '\r') {
            obey(what, n, all);
        } else {
            what = (char)key;
            n = 0;
        }
    }
}

void guest_main(const uint8_t *boot_params)
{
    recipe = (struct recipe){
        .layout = kit_option(boot_params, "layout", 0) ? LAYOUT_RUNS : LAYOUT_INTERLEAVED,
        .vm = kit_option(boot_params, "vm", 0),
        .pages = kit_option(boot_params, "pages", 16384),
    };
    recipe_fill(&recipe);
    print("FOLD-FILLED %lu\n", recipe.pages);
    if (kit_option(boot_params, "trials", 0)) {
        latency_main(boot_params, &recipe);
    }
    listen();
}
