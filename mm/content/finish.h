/* SPDX-License-Identifier: BSD-2-Clause */
/* The last step of the page hash, which all sets of operations share. Private to mm/content/. */
#ifndef MM_CONTENT_FINISH_H
#define MM_CONTENT_FINISH_H

#include "mm/content/content.h"

static inline unsigned __int128 content_key_word(const uint64_t half[2])
{
    return (unsigned __int128)half[1] << 64 | half[0];
}

/* From the two sums of NH to the hash: multilinear, then a permutation (xor-shifts and odd factors,
 * each of which can be undone). */
static inline uint64_t content_finish(const struct content_key *key, uint64_t s, uint64_t t)
{
    unsigned __int128 sum = content_key_word(key->finish[0]) +
                            content_key_word(key->finish[1]) * s +
                            content_key_word(key->finish[2]) * t;
    uint64_t h = (uint64_t)(sum >> 64);

    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

#endif
