/* SPDX-License-Identifier: BSD-2-Clause */
/* Every set of whole-page operations that this CPU can run, against the plainest ways to say it. */
#include "mm/content.h"

#define XXH_INLINE_ALL
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include <cmocka.h>

#include "support_p2m.h"

static const struct content_ops *sets[4]; /* NULL ends it */

static _Alignas(PAGE_SIZE) uint8_t a[PAGE_SIZE], b[PAGE_SIZE];

#define FOR_EACH_SET(ops)                                                                          \
    for (const struct content_ops **each = sets, *ops; (ops = *each) != NULL; each++)

static int find_sets(void **state)
{
    unsigned n_sets = 0;

    (void)state;
    sets[n_sets++] = &content_scalar;
    if (__builtin_cpu_supports("avx2")) {
        sets[n_sets++] = &content_avx2;
    }
    if (__builtin_cpu_supports("avx512f")) {
        sets[n_sets++] = &content_avx512;
    }
    return 0;
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
    struct content_key key;

    content_key_init(&key, 0x123456789abcdef);
    fill(&r, a);
    FOR_EACH_SET(ops)
    {
        uint64_t whole = ops->hash(a, &key);
        for (unsigned i = 0; i < PAGE_SIZE; i++) {
            a[i] ^= (uint8_t)(1u << i % 8);
            if (ops->hash(a, &key) == whole) {
                fail_msg("%s: byte %u does not matter", ops->name, i);
            }
            a[i] ^= (uint8_t)(1u << i % 8);
        }
        assert_true(ops->hash(a, &key) == whole);
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
            for (unsigned i = 0; i < 256; i++) {
                struct content_key one, other;
                content_key_init(&one, i);
                content_key_init(&other, i ^ UINT64_C(1) << i % 64);
                bits += (unsigned)__builtin_popcountll(ops->hash(a, &one) ^ ops->hash(a, &other));
            }
            assert_in_range(bits, 256 * 30, 256 * 34);
        }
    }
}

/* The vector sets are XXH3 with the key's secret, as the library has it. */
static void test_hash_is_xxh3(void **state)
{
    (void)state;
    struct rnd r = {5};

    for (unsigned i = 0; i < 500; i++) {
        struct content_key key;
        content_key_init(&key, i);
        fill(&r, a);
        FOR_EACH_SET(ops)
        {
            uint64_t want =
                ops == &content_scalar
                    ? XXH64(a, PAGE_SIZE, i)
                    : XXH3_64bits_withSecret(a, PAGE_SIZE, key.secret, sizeof(key.secret));
            assert_true(ops->hash(a, &key) == want);
        }
    }
}

/* Two keys have no word of their secrets in common, and no secret repeats a word. */
static void test_secrets_are_unlike(void **state)
{
    (void)state;
    struct content_key one, other;

    content_key_init(&one, 0);
    content_key_init(&other, 1);
    for (unsigned i = 0; i < CONTENT_SECRET_WORDS; i++) {
        for (unsigned k = 0; k < CONTENT_SECRET_WORDS; k++) {
            assert_true(one.secret[i] != other.secret[k]);
            assert_true(i == k || one.secret[i] != one.secret[k]);
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
        cmocka_unit_test(test_hash_is_xxh3),
        cmocka_unit_test(test_secrets_are_unlike),
        cmocka_unit_test(test_compare_while_written),
    };
    return cmocka_run_group_tests(tests, find_sets, NULL);
}
