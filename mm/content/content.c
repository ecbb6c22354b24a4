/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking at whole pages with the general registers, eight bytes at a time. */
#include "mm/content/content.h"

#include "mm/content/finish.h"

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

void content_key_init(struct content_key *key, struct random *random)
{
    for (unsigned i = 0; i < CONTENT_WORDS + CONTENT_SHIFT; i += 2) {
        uint64_t word = random_word(random);
        key->nh[i] = (uint32_t)word;
        key->nh[i + 1] = (uint32_t)(word >> 32);
    }
    for (unsigned i = 0; i < 3; i++) {
        key->finish[i][0] = random_word(random);
        key->finish[i][1] = random_word(random);
    }
}

/* What a pair of words adds to a sum. */
static uint64_t nh(uint64_t pair, const uint32_t *key)
{
    return (uint64_t)((uint32_t)pair + key[0]) * ((uint32_t)(pair >> 32) + key[1]);
}

static uint64_t hash(const void *page, const struct content_key *key)
{
    const uint64_t *x = page;
    uint64_t s = 0, t = 0;

    for (size_t i = 0; i < WORDS; i++) {
        s += nh(x[i], key->nh + 2 * i);
        t += nh(x[i], key->nh + 2 * i + CONTENT_SHIFT);
    }
    return content_finish(key, s, t);
}

const struct content_ops content_scalar = {
    .name = "scalar",
    .compare = content_compare,
    .is_zero = content_is_zero,
    .hash = hash,
};
