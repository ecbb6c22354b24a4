/* SPDX-License-Identifier: BSD-2-Clause */
/* Random words out of ChaCha20: the key is replaced at each stir, the counter runs at each draw. */
#include "base/random.h"

#include "base/string.h"

#define WORDS_A_BLOCK (CHACHA_BLOCK_WORDS / 2)
/* Sets the blocks that make keys apart from those that are drawn (the nonce's last word). */
#define DRAW 0u
#define STIR 1u

#define GENERATOR_WORDS 4u
/* RDRAND may fail ten times in a row at most (SDM vol. 1, 7.3.17.1); RDSEED as often as others
 * drain it. */
#define TRIES 1000u

void random_stir(struct random *r, uint64_t entropy)
{
    /* The entropy is the nonce: for each of its values the key goes through another function. */
    const uint32_t nonce[3] = {(uint32_t)entropy, (uint32_t)(entropy >> 32), STIR};

    chacha20_block(r->key, 0, nonce, r->block);
    memcpy(r->key, r->block, sizeof(r->key));
    memset(r->block, 0, sizeof(r->block));
    r->drawn = 0;
}

bool random_stir_from(struct random *r, bool (*next)(uint64_t *word))
{
    uint64_t word = 0, first = 0;
    bool varies = false;

    for (unsigned i = 0; i < GENERATOR_WORDS; i++) {
        unsigned tries = 0;
        while (!next(&word)) {
            if (++tries == TRIES) {
                return false;
            }
        }
        first = i == 0 ? word : first;
        varies |= word != first;
        random_stir(r, word);
    }
    return varies;
}

uint64_t random_word(struct random *r)
{
    uint64_t block = r->drawn / WORDS_A_BLOCK;
    unsigned i = r->drawn % WORDS_A_BLOCK * 2;

    if (i == 0) {
        const uint32_t nonce[3] = {(uint32_t)(block >> 32), 0, DRAW};
        chacha20_block(r->key, (uint32_t)block, nonce, r->block);
    }
    r->drawn++;
    return r->block[i] | (uint64_t)r->block[i + 1] << 32;
}
