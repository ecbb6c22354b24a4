/* SPDX-License-Identifier: BSD-2-Clause */
/* Comparing the bytes of whole pages, eight at a time. */
#include "mm/content.h"

#define WORDS (PAGE_SIZE / sizeof(uint64_t))
#define UNROLL 4

int content_compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    size_t i = 0;

    while (i < WORDS && ((x[i] ^ y[i]) | (x[i + 1] ^ y[i + 1]) | (x[i + 2] ^ y[i + 2]) |
                         (x[i + 3] ^ y[i + 3])) == 0) {
        i += UNROLL;
    }
    if (i == WORDS) {
        return 0;
    }
    while (x[i] == y[i]) {
        i++;
        if (i == WORDS) {
            return 0; /* somebody writes to one of them meanwhile: they differed a moment ago */
        }
    }
    /* The lowest address is the most significant byte, as memcmp has it. */
    return __builtin_bswap64(x[i]) < __builtin_bswap64(y[i]) ? -1 : 1;
}

bool content_is_zero(const void *page)
{
    const uint64_t *x = page;

    for (size_t i = 0; i < WORDS; i += UNROLL) {
        if ((x[i] | x[i + 1] | x[i + 2] | x[i + 3]) != 0) {
            return false;
        }
    }
    return true;
}
