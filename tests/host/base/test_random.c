/* SPDX-License-Identifier: BSD-2-Clause */
/* ChaCha20 against its specification, and the stream of words that is drawn from it. */
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8439, 2.3.2. */
static void test_block_of_the_rfc(void **state)
{
    static const uint32_t want[CHACHA_BLOCK_WORDS] = {
        0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
        0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
        0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
    };
    const uint32_t nonce[3] = {0x09000000, 0x4a000000, 0};
    uint32_t key[CHACHA_KEY_WORDS], out[CHACHA_BLOCK_WORDS];

    (void)state;
    for (uint32_t i = 0; i < CHACHA_KEY_WORDS; i++) {
        key[i] = (4 * i + 3) << 24 | (4 * i + 2) << 16 | (4 * i + 1) << 8 | 4 * i;
    }
    chacha20_block(key, 1, nonce, out);
    assert_memory_equal(out, want, sizeof(want));
}

/* The words are those of the blocks in order, each once. */
static void test_words_are_the_stream(void **state)
{
    struct random r = {.key = {7, 8}};
    const uint32_t nonce[3] = {0};
    uint32_t block[CHACHA_BLOCK_WORDS];

    (void)state;
    for (uint32_t n = 0; n < 5; n++) {
        chacha20_block((const uint32_t[CHACHA_KEY_WORDS]){7, 8}, n, nonce, block);
        for (unsigned i = 0; i < CHACHA_BLOCK_WORDS; i += 2) {
            assert_true(random_word(&r) == (block[i] | (uint64_t)block[i + 1] << 32));
        }
    }
}

/* The counter of 64 bits goes on where that of a block ends. */
static void test_stream_does_not_repeat(void **state)
{
    struct random r = {.key = {1}}, later = {.key = {1}, .drawn = UINT64_C(8) << 32};

    (void)state;
    assert_true(random_word(&r) != random_word(&later));
}

#define N 5

/* What is stirred matters, in any order of magnitude, and so does the order; and it stays. */
static void test_stirring(void **state)
{
    static const uint64_t entropy[N] = {0, 1, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_MAX};
    uint64_t first[N];

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        struct random r = {0}, same = {0}, twice = {0};
        (void)random_word(&r); /* what was drawn before does not matter */
        random_stir(&r, entropy[i]);
        random_stir(&same, entropy[i]);
        first[i] = random_word(&r);
        assert_true(first[i] == random_word(&same));
        random_stir(&twice, entropy[i]);
        random_stir(&twice, 5);
        random_stir(&same, 6);
        assert_true(random_word(&twice) != random_word(&same));
        for (unsigned k = 0; k < i; k++) {
            assert_true(first[i] != first[k]);
        }
    }
    struct random ab = {0}, ba = {0};
    random_stir(&ab, 1);
    random_stir(&ab, 2);
    random_stir(&ba, 2);
    random_stir(&ba, 1);
    assert_true(random_word(&ab) != random_word(&ba));
}

static unsigned calls, fails; /* of the fake generator: it fails so often before each word */
static uint64_t step;

static bool fake_next(uint64_t *word)
{
    if (++calls % (fails + 1) != 0) {
        return false;
    }
    *word = 100 + calls * step;
    return true;
}

static void test_generators(void **state)
{
    struct random r = {0}, same = {0};

    (void)state;
    calls = fails = 0;
    step = 1;
    assert_true(random_stir_from(&r, fake_next));
    assert_int_equal(calls, 4);
    for (uint64_t i = 1; i <= 4; i++) {
        random_stir(&same, 100 + i);
    }
    assert_true(random_word(&r) == random_word(&same));
    /* One that needs some time, one that never delivers, one that is stuck. */
    calls = 0;
    fails = 900;
    assert_true(random_stir_from(&r, fake_next));
    calls = 0;
    fails = UINT32_MAX - 1;
    assert_false(random_stir_from(&r, fake_next));
    assert_int_equal(calls, 1000);
    calls = fails = 0;
    step = 0;
    assert_false(random_stir_from(&r, fake_next));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_of_the_rfc),
        cmocka_unit_test(test_words_are_the_stream),
        cmocka_unit_test(test_stream_does_not_repeat),
        cmocka_unit_test(test_stirring),
        cmocka_unit_test(test_generators),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
