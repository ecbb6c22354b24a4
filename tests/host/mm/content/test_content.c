/* SPDX-License-Identifier: BSD-2-Clause */
/* Every set of whole-page operations that this CPU can run, against the plainest ways to say it. */
#include "mm/content/content.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake_p2m.h"

static const struct content_ops *sets[5]; /* NULL ends it */

static _Alignas(PAGE_SIZE) uint8_t a[PAGE_SIZE], b[PAGE_SIZE];

#define FOR_EACH_SET(ops)                                                                          \
    for (const struct content_ops **each = sets, *ops; (ops = *each) != NULL; each++)

static int find_sets(void **state)
{
    unsigned n_sets = 0;

    (void)state;
    sets[n_sets++] = &content_scalar;
    sets[n_sets++] = &content_sse2;
    if (__builtin_cpu_supports("avx2")) {
        sets[n_sets++] = &content_avx2;
    }
    if (__builtin_cpu_supports("avx512f")) {
        sets[n_sets++] = &content_avx512;
    }
    return 0;
}

/* A key of its own for each seed. */
static const struct content_key *key_of(uint32_t seed)
{
    static struct content_key key;
    struct random random = {.key = {seed}};

    content_key_init(&key, &random);
    return &key;
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

static void fill(struct rnd *r, uint8_t *page)
{
    for (unsigned i = 0; i < PAGE_SIZE; i++) {
        page[i] = (uint8_t)rnd_below(r, 256);
    }
}

static void expect_order(const struct content_ops *ops, const char *where, unsigned at)
{
    int want = sign(memcmp(a, b, PAGE_SIZE));

    if (sign(ops->compare(a, b)) != want || sign(ops->compare(b, a)) != -want) {
        fail_msg("%s: compare, %s %u", ops->name, where, at);
    }
}

static void test_compare_sees_each_byte(void **state)
{
    (void)state;
    struct rnd r = {1};

    fill(&r, a);
    memcpy(b, a, PAGE_SIZE);
    FOR_EACH_SET(ops)
    {
        expect_order(ops, "equal", 0);
        assert_int_equal(ops->compare(a, a), 0);
        for (unsigned i = 0; i < PAGE_SIZE; i++) {
            b[i] ^= (uint8_t)(1u << i % 8);
            expect_order(ops, "one byte at", i);
            b[i] = a[i];
        }
    }
}

/* The first difference decides, whatever comes after it. */
static void test_compare_by_the_first_byte(void **state)
{
    (void)state;
    struct rnd r = {2};

    for (unsigned i = 0; i < 20000; i++) {
        memset(a, (int)rnd_below(&r, 2) * 0x80, PAGE_SIZE);
        memcpy(b, a, PAGE_SIZE);
        unsigned first = rnd_below(&r, PAGE_SIZE), span = 1 + rnd_below(&r, 200);
        for (unsigned k = 0; k < 5; k++) {
            b[(first + rnd_below(&r, span)) % PAGE_SIZE] = (uint8_t)rnd_below(&r, 256);
            a[(first + rnd_below(&r, span)) % PAGE_SIZE] = (uint8_t)rnd_below(&r, 256);
        }
        FOR_EACH_SET(ops)
        {
            expect_order(ops, "around", first);
        }
    }
}

static void test_zero_means_all_bytes(void **state)
{
    (void)state;
    memset(a, 0, PAGE_SIZE);
    FOR_EACH_SET(ops)
    {
        assert_true(ops->is_zero(a));
        for (unsigned i = 0; i < PAGE_SIZE; i++) {
            a[i] = (uint8_t)(1u << i % 8);
            if (ops->is_zero(a)) {
                fail_msg("%s: byte %u is not zero", ops->name, i);
            }
            a[i] = 0;
        }
    }
}

static void test_hash_sees_each_byte(void **state)
{
    (void)state;
    struct rnd r = {3};
    const struct content_key *key = key_of(0x89abcdef);

    fill(&r, a);
    FOR_EACH_SET(ops)
    {
        uint64_t whole = ops->hash(a, key);
        for (unsigned i = 0; i < PAGE_SIZE; i++) {
            a[i] ^= (uint8_t)(1u << i % 8);
            if (ops->hash(a, key) == whole) {
                fail_msg("%s: byte %u does not matter", ops->name, i);
            }
            a[i] ^= (uint8_t)(1u << i % 8);
        }
        assert_true(ops->hash(a, key) == whole);
    }
}

/* About half of the bits differ between two keys, for any page, one of zeroes included. */
static void test_hash_depends_on_the_key(void **state)
{
    (void)state;
    struct rnd r = {4};

    for (unsigned page = 0; page < 3; page++) {
        memset(a, page == 1 ? 0xff : 0, PAGE_SIZE);
        if (page == 2) {
            fill(&r, a);
        }
        FOR_EACH_SET(ops)
        {
            unsigned bits = 0;
            for (unsigned i = 0; i < 128; i++) {
                uint64_t one = ops->hash(a, key_of(i));
                uint64_t other = ops->hash(a, key_of(i ^ 1u << i % 32));
                bits += (unsigned)__builtin_popcountll(one ^ other);
            }
            assert_in_range(bits, 128 * 30, 128 * 34);
        }
    }
}

/* The function that content.h describes, word by word, modulo what it says. */
static uint64_t described(const struct content_key *key)
{
    unsigned __int128 k[3];
    uint64_t s[2] = {0}, h;
    uint32_t m[CONTENT_WORDS];

    memcpy(m, a, PAGE_SIZE);
    for (unsigned time = 0; time < 2; time++) {
        const uint32_t *nh = key->nh + time * 16;
        for (unsigned i = 0; i < CONTENT_WORDS; i += 2) {
            uint64_t x = ((uint64_t)m[i] + nh[i]) % (UINT64_C(1) << 32);
            uint64_t y = ((uint64_t)m[i + 1] + nh[i + 1]) % (UINT64_C(1) << 32);
            s[time] += x * y;
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        k[i] = (unsigned __int128)key->finish[i][1] << 64 | key->finish[i][0];
    }
    h = (uint64_t)((k[0] + k[1] * s[0] + k[2] * s[1]) >> 64);
    for (unsigned i = 0; i < 2; i++) {
        h ^= h >> 32;
        h *= UINT64_C(0xd6e8feb86659fd93);
    }
    return h ^ h >> 32;
}

static void test_sets_hash_alike(void **state)
{
    (void)state;
    struct rnd r = {5};

    for (unsigned i = 0; i < 200; i++) {
        const struct content_key *key = key_of(i);
        if (i < 2) {
            memset(a, i == 0 ? 0 : 0xff, PAGE_SIZE);
        } else {
            fill(&r, a);
        }
        FOR_EACH_SET(ops)
        {
            assert_true(ops->hash(a, key) == described(key));
        }
    }
}

/* ---- pages that were made to collide --------------------------------------------------------- */

#define KEYS 64
#define PAIR_WORDS (PAGE_SIZE / sizeof(uint64_t))

/* 1 / n modulo 2^64, for odd n. */
static uint64_t inverse(uint64_t n)
{
    uint64_t x = n;

    for (unsigned i = 0; i < 6; i++) {
        x *= 2 - n * x;
    }
    return x;
}

/*
 * XXH64 has four lanes, lane = rotate(lane + word * P2, 31) * P1, and a lane's next word is 32
 * bytes on. Bit 63 of a word goes through the rotation as +-2^30 * P1, whatever the seed is, and
 * the next word of the lane takes it back: one of two guesses collides always.
 */
static void by_lane(uint64_t *words, unsigned n)
{
    const uint64_t p1 = UINT64_C(0x9e3779b185ebca87), p2 = UINT64_C(0xc2b2ae3d27d4eb4f);
    uint64_t step = (UINT64_C(1) << 30) * p1 * inverse(p2);
    unsigned at = n / 2 % (PAIR_WORDS - 4);

    words[at] ^= UINT64_C(1) << 63;
    words[at + 4] += n % 2 ? step : -step;
}

/* One bit in each of two words. */
static void by_bits(uint64_t *words, unsigned n)
{
    words[n % PAIR_WORDS] ^= UINT64_C(1) << n % 64;
    words[(n + 1 + n / 64 % 8) % PAIR_WORDS] ^= UINT64_C(1) << (n + n / 512) % 64;
}

/* Two words, or their halves, in each other's place. A sum of unkeyed terms does not see it. */
static void by_swap(uint64_t *words, unsigned n)
{
    unsigned i = n % PAIR_WORDS, k = (n + 1 + n / PAIR_WORDS % 16) % PAIR_WORDS;
    uint64_t x = words[i];

    if (n % 3 == 0) {
        words[i] = x << 32 | x >> 32;
        return;
    }
    words[i] = words[k];
    words[k] = x;
}

/* What one word gains another loses: of each half, of the whole, by powers of two and by others. */
static void by_sum(uint64_t *words, unsigned n)
{
    uint64_t by = n % 2 ? UINT64_C(1) << n / 2 % 64 : (uint64_t)n << 32 | n;
    unsigned i = n % PAIR_WORDS, k = (n + 8) % PAIR_WORDS;

    words[i] += by;
    words[k] -= by;
}

/* A word's halves change against each other, as their product would not see of small numbers. */
static void by_product(uint64_t *words, unsigned n)
{
    unsigned i = n % PAIR_WORDS;
    uint32_t low = (uint32_t)words[i] | 1, high = (uint32_t)(words[i] >> 32);

    words[i] = (uint64_t)(uint32_t)(high * (uint32_t)inverse(low)) << 32 | 1;
    words[i] += n % 5 == 0;
}

/* The whole page moved by some words, as a key that repeats would not see. */
static void by_rotation(uint64_t *words, unsigned n)
{
    unsigned by = 1 + n % (PAIR_WORDS - 1);
    uint64_t old[PAIR_WORDS];

    memcpy(old, words, sizeof(old));
    for (unsigned i = 0; i < PAIR_WORDS; i++) {
        words[i] = old[(i + by) % PAIR_WORDS];
    }
}

#define WAYS 6
static void (*const ways[WAYS])(uint64_t *words, unsigned n) = {by_lane, by_bits,    by_swap,
                                                                by_sum,  by_product, by_rotation};

/* Pages built without the key: no two that differ have the same hash, under any of 64 keys. */
static void test_hash_cannot_be_steered(void **state)
{
    (void)state;
    struct rnd r = {6};

    for (unsigned k = 0; k < KEYS; k++) {
        const struct content_key *key = key_of(1000 + k);
        for (unsigned start = 0; start < 3; start++) {
            memset(a, 0, PAGE_SIZE);
            if (start == 2) {
                fill(&r, a);
            } else if (start == 1) {
                for (unsigned i = 0; i < PAIR_WORDS; i++) {
                    ((uint64_t *)a)[i] = i;
                }
            }
            FOR_EACH_SET(ops)
            {
                uint64_t hash = ops->hash(a, key);
                for (unsigned n = 0; n < 24 * WAYS; n++) {
                    memcpy(b, a, PAGE_SIZE);
                    ways[n % WAYS]((uint64_t *)b, n * 7 + k);
                    if (memcmp(a, b, PAGE_SIZE) != 0 && ops->hash(b, key) == hash) {
                        fail_msg("%s: way %u collides under key %u", ops->name, n % WAYS, k);
                    }
                }
            }
        }
    }
}

/*
 * The difference of the hashes of two pages is as random as the key is: each of its bits is set for
 * half of the keys. Here it is tried for pages that differ in one bit.
 */
static void test_differences_are_random(void **state)
{
    (void)state;
    unsigned set[64] = {0}, tried = 0;

    for (unsigned i = 0; i < 1000; i++, tried++) {
        const struct content_key *key = key_of(i);
        memset(a, 0, PAGE_SIZE);
        uint64_t hash = content_scalar.hash(a, key);
        a[i * 2 % PAGE_SIZE] = (uint8_t)(1u << i % 8);
        hash ^= content_scalar.hash(a, key);
        for (unsigned bit = 0; bit < 64; bit++) {
            set[bit] += (unsigned)(hash >> bit & 1);
        }
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_in_range(set[bit], tried / 2 - 80, tried / 2 + 80); /* 5 standard deviations */
    }
}

/* Two keys have no word in common, and no key repeats a word. (They would, with 2,000 words of 32
 * bits, once in a thousand seeds: these are fixed.) */
static void test_keys_are_unlike(void **state)
{
    (void)state;
    struct content_key one = *key_of(1), other = *key_of(2);

    for (unsigned i = 0; i < CONTENT_WORDS + CONTENT_SHIFT; i++) {
        for (unsigned k = 0; k < CONTENT_WORDS + CONTENT_SHIFT; k++) {
            assert_true(one.nh[i] != other.nh[k]);
            assert_true(i == k || one.nh[i] != one.nh[k]);
        }
    }
}

#define WRITTEN 700 /* a writer changes this byte all the time */
#define FIXED 3000  /* this one differs always */

static atomic_bool stop;

static void *writer(void *arg)
{
    volatile uint8_t *byte = &b[WRITTEN];

    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        *byte = 0x66;
        *byte = 0x55;
    }
    return NULL;
}

/* A page that is being written to has one of the orders that it had meanwhile. */
static void test_compare_while_written(void **state)
{
    (void)state;
    memset(a, 0x55, PAGE_SIZE);
    memset(b, 0x55, PAGE_SIZE);
    FOR_EACH_SET(ops)
    {
        pthread_t t;
        bool seen[3] = {false};

        atomic_store(&stop, false);
        assert_int_equal(pthread_create(&t, NULL, writer, NULL), 0);
        for (time_t end = time(NULL) + 10; !(seen[0] && seen[1]) && time(NULL) < end;) {
            for (unsigned i = 0; i < 100000; i++) {
                seen[1 + sign(ops->compare(a, b))] = true; /* a's byte is the smaller, or equal */
            }
        }
        assert_true(seen[0]);
        assert_true(seen[1]);
        assert_false(seen[2]);

        b[FIXED] = 0x44;
        for (unsigned i = 0; i < 300000; i++) {
            assert_int_not_equal(ops->compare(a, b), 0);
        }
        atomic_store(&stop, true);
        pthread_join(t, NULL);
        b[FIXED] = b[WRITTEN] = 0x55;
        assert_int_equal(ops->compare(a, b), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare_sees_each_byte),
        cmocka_unit_test(test_compare_by_the_first_byte),
        cmocka_unit_test(test_zero_means_all_bytes),
        cmocka_unit_test(test_hash_sees_each_byte),
        cmocka_unit_test(test_hash_depends_on_the_key),
        cmocka_unit_test(test_sets_hash_alike),
        cmocka_unit_test(test_hash_cannot_be_steered),
        cmocka_unit_test(test_differences_are_random),
        cmocka_unit_test(test_keys_are_unlike),
        cmocka_unit_test(test_compare_while_written),
    };
    return cmocka_run_group_tests(tests, find_sets, NULL);
}
