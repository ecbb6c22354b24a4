/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's own page tables, a 4 KiB page at a time. */
#ifndef PAGING_H
#define PAGING_H

#include "kit.h"

#define PTE_P 1ul
#define PTE_W 2ul
#define PTE_U 4ul
#define PTE_NX (1ul << 63)

/* The entry that maps the 4 KiB page of a linear address, large pages above it being split and
 * missing tables made. After a change: kit_flush. Ends the test when its tables are used up. */
uint64_t *kit_pte(uint64_t linear);

static inline void kit_flush(void)
{
    __asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
}

#endif
