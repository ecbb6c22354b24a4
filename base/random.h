/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream of words that nothing outside can predict: ChaCha20 under a key that entropy was stirred
 * into. The caller stirs first (arch/x86_64/entropy.h is the machine's source), then draws.
 *
 *     struct random r = {0};
 *     random_stir(&r, word) ... -> random_word(&r), as often as one likes
 *
 * The stream depends on what was stirred alone, so tests repeat. Words drawn do not tell the key,
 * nor the words drawn before or after them, as far as ChaCha20 is a pseudo-random function.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "base/chacha.h"
#include "base/status.h"

struct random {
    uint32_t key[CHACHA_KEY_WORDS];
    uint64_t drawn; /* words, with this key */
    uint32_t block[CHACHA_BLOCK_WORDS];
};

/* Mixes 64 bits into the key. What was unpredictable before stays so, whatever `entropy` is. */
void random_stir(struct random *r, uint64_t entropy);
/*
 * Mixes in 256 bits of a generator, such as an instruction. `next` gives a word, or false when
 * there is none at the moment: it is asked a thousand times for each. False when the generator does
 * not deliver, or gives the same word each time, as broken ones have done.
 */
bool random_stir_from(struct random *r, bool (*next)(uint64_t *word)) MUST_CHECK;
uint64_t random_word(struct random *r);

#endif
