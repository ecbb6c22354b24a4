/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own address space:
 *
 *     ffff8000_00000000  the window: all RAM at its physical address, RW and never executable;
 *                        the kernel's text and read-only data are read-only here too
 *     ffffc000_00000000  device memory (mmio_map) and the temporary view (phys_view)
 *     ffffffff_80000000  the kernel's image, each section with its own rights
 *
 * Address 0 and the page below each stack are not mapped.
 */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include "base/range.h"
#include "base/types.h"

#define WINDOW_BASE UINT64_C(0xffff800000000000)
#define WINDOW_LIMIT (UINT64_C(1) << 46) /* RAM above 64 TiB is not used */

/* The bytes of RAM at `a`. Before paging_init only the first 4 GiB are there. */
static inline void *window(hpa_t a)
{
    return (void *)(WINDOW_BASE + a.a);
}

static inline hpa_t window_hpa(const void *p)
{
    return HPA((uint64_t)p - WINDOW_BASE);
}

/*
 * Builds the final tables for the n ranges of RAM, and loads them: NX, WP, global pages, SMEP, SMAP
 * and UMIP where the CPU has them. Once. alloc_page gives zeroed pages in the window, for ever.
 */
void paging_init(const struct phys_range *ram, unsigned n, void *(*alloc_page)(void));

/*
 * Maps device memory, uncached and for ever. Returns NULL (and logs it) when the 64 MiB set aside
 * for this are used up, or when the range wraps or is empty.
 */
void *mmio_map(hpa_t at, uint64_t bytes);

/*
 * A read-only, cached view of any physical range of up to 1 MiB, for firmware tables; valid until
 * the next call. NULL when it is longer, empty, or beyond the CPU's physical addresses.
 */
const void *phys_view(hpa_t at, uint64_t bytes);

/* The number of physical address bits (CPUID 80000008h). */
unsigned phys_bits(void);

#endif
