/* SPDX-License-Identifier: BSD-2-Clause */
/* The ChaCha20 block function: 20 rounds of additions, rotations and exclusive ors. */
#include "base/chacha.h"

#define ROUNDS 20u

static uint32_t rotate(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static void quarter_round(uint32_t *x, unsigned a, unsigned b, unsigned c, unsigned d)
{
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha20_block(const uint32_t *key, uint32_t counter, const uint32_t *nonce,
                    uint32_t out[CHACHA_BLOCK_WORDS])
{
    /* RFC 8439, 2.3: "expand 32-byte k", the key, the counter, the nonce. */
    const uint32_t start[CHACHA_BLOCK_WORDS] = {
        0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0],  key[1],   key[2],   key[3],
        key[4],     key[5],     key[6],     key[7],     counter, nonce[0], nonce[1], nonce[2],
    };

    for (unsigned i = 0; i < CHACHA_BLOCK_WORDS; i++) {
        out[i] = start[i];
    }
    for (unsigned round = 0; round < ROUNDS; round += 2) {
        for (unsigned i = 0; i < 4; i++) { /* the columns */
            quarter_round(out, i, 4 + i, 8 + i, 12 + i);
        }
        for (unsigned i = 0; i < 4; i++) { /* the diagonals */
            quarter_round(out, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
        }
    }
    for (unsigned i = 0; i < CHACHA_BLOCK_WORDS; i++) {
        out[i] += start[i];
    }
}
