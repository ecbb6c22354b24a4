/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages a benchmark's guests write between two passes, and what: a function of the seed, the
 * pass, the image and the page alone, so that two programs write the same bytes to the same pages.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define REWRITE_ALL 1000000u

struct rewrite {
    uint64_t seed;
    uint32_t share; /* pages of each REWRITE_ALL that are written between two passes */
};

/* One round of splitmix64: every bit of the result depends on every bit of x. */
static inline uint64_t rewrite_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Whether the page is written before pass `pass`; if so, *value goes to byte *offset of it. */
static inline bool rewrite_due(const struct rewrite *r, unsigned pass, unsigned image,
                               uint64_t page, uint64_t *value, uint32_t *offset)
{
    uint64_t place = rewrite_mix(r->seed ^ ((uint64_t)pass << 48) ^ ((uint64_t)image << 40) ^ page);

    if (place % REWRITE_ALL >= r->share) {
        return false;
    }
    *value = rewrite_mix(place);
    *offset = (uint32_t)(*value >> 55) * 8; /* one of the page's 512 words */
    return true;
}
