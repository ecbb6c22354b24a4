/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XXH64 folded to 32 bits. Without vector registers, which belong to the guests, it needs five
 * instructions for eight bytes; XXH3's scalar loop and XXH32 need about twice as many.
 */
#include "mm/checksum.h"

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_SCALAR
#define XXH_FORCE_MEMORY_ACCESS 1 /* packed loads: freestanding, memcpy would be a real call */
#include <xxhash.h>

uint32_t checksum_page(const void *page)
{
    uint64_t sum = XXH64(page, PAGE_SIZE, 0);

    return (uint32_t)(sum ^ sum >> 32);
}
