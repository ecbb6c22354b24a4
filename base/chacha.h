/* SPDX-License-Identifier: BSD-2-Clause */
/* The ChaCha20 block function (RFC 8439, 2.3), the pseudo-random function behind base/random.h. */
#ifndef BASE_CHACHA_H
#define BASE_CHACHA_H

#include "base/types.h"

#define CHACHA_KEY_WORDS 8u
#define CHACHA_BLOCK_WORDS 16u

/* Computes block `counter` of the stream of `key` and `nonce` (3 words). `out` may be `key`'s
 * memory. Constant time. */
void chacha20_block(const uint32_t *key, uint32_t counter, const uint32_t *nonce,
                    uint32_t out[CHACHA_BLOCK_WORDS]);

#endif
