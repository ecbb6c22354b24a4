/* SPDX-License-Identifier: BSD-2-Clause */
/* Page tables of a bare-metal guest: see paging.h. */
#include "paging.h"

#define TABLES 32
#define PTE_LARGE 0x80ul
#define PTE_ADDRESS 0x000ffffffffff000ul

static uint64_t pool[TABLES][512] __attribute__((aligned(4096)));
static unsigned used;

/* The table below an entry; `span` bytes are what one of its own entries maps. */
static uint64_t *below(uint64_t *entry, uint64_t span)
{
    if ((*entry & PTE_P) && !(*entry & PTE_LARGE)) {
        return (uint64_t *)(*entry & PTE_ADDRESS);
    }
    if (used == TABLES) {
        print("out of page tables\n");
        tap_ok(false, "page tables");
        tap_plan_end();
        kit_power_off();
    }
    uint64_t *table = pool[used++];
    if (*entry & PTE_P) {
        uint64_t large = span > PAGE ? PTE_LARGE : 0;
        for (uint64_t i = 0; i < 512; i++) {
            table[i] = ((*entry & PTE_ADDRESS) + i * span) | PTE_P | PTE_W | large;
        }
    }
    *entry = (uint64_t)table | PTE_P | PTE_W;
    return table;
}

uint64_t *kit_pte(uint64_t linear)
{
    uint64_t *table;

    __asm__ volatile("mov %%cr3, %0" : "=r"(table));
    table = (uint64_t *)((uint64_t)table & PTE_ADDRESS);
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        table = below(&table[linear >> shift & 511], 1ul << (shift - 9));
    }
    kit_flush();
    return &table[linear >> 12 & 511];
}
