/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at whole pages with the general registers, eight bytes at a time.
 *
 * The hash is XXH64: without vector registers it needs five instructions for eight bytes; XXH3's
 * scalar loop and XXH32 need about twice as many.
 */
#include "mm/content.h"

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_SCALAR
#define XXH_FORCE_MEMORY_ACCESS 1 /* packed loads: freestanding, memcpy would be a real call */
#include <xxhash.h>

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

void content_key_init(struct content_key *key, uint64_t seed)
{
    key->seed = seed;
    for (uint64_t i = 0; i < CONTENT_SECRET_WORDS; i++) {
        key->secret[i] = XXH64(&i, sizeof(i), seed);
    }
}

static uint64_t hash(const void *page, const struct content_key *key)
{
    return XXH64(page, PAGE_SIZE, key->seed);
}

const struct content_ops content_scalar = {
    .name = "scalar",
    .compare = content_compare,
    .is_zero = content_is_zero,
    .hash = hash,
};
