/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory before the frame table: an allocator over the boot loader's memory map that never gives
 * back. It keeps off the first MiB, the kernel's image, modules and the boot information; what is
 * left goes to the frame table with bootmem_finish.
 */
#ifndef KERNEL_CORE_BOOTMEM_H
#define KERNEL_CORE_BOOTMEM_H

#include "base/range.h"
#include "boot/multiboot2.h"
#include "mm/frame.h"

/*
 * Takes over the map in `info`. Usable memory is what type 1 entries cover and no other entry
 * does, in whole pages. mbi: where the boot information itself lies. Panics when there is none.
 */
void bootmem_init(const struct mb2_info *info, hpa_t mbi, uint64_t mbi_bytes);
/* Until called with UINT64_MAX, allocations stay below `limit` (bytes): what is mapped so far. */
void bootmem_set_limit(uint64_t limit);
/* All usable memory, ascending, not touching; free or not, before and after
 * bootmem_finish. */
const struct phys_range *bootmem_ram(unsigned *n);
/* The highest usable frame's number + 1: what the frame table must hold. */
uint64_t bootmem_frame_count(void);

/* `bytes` of zeroed memory in the window, aligned to `align` (a power of two); panics when there
 * is none. Only before bootmem_finish. */
void *boot_alloc(size_t bytes, size_t align);

/* Hands everything over: free memory as FREE, the rest of RAM above 1 MiB as HYP, the first MiB
 * stays RESERVED. */
void bootmem_finish(struct frames *f);

#endif
