/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at whole pages 32 bytes at a time. Compiled for AVX2: runs only on a CPU that has it, and
 * inside the bracket of its struct content_unit.
 */
#include "mm/content/content.h"

#include "mm/content/finish.h"

#include <immintrin.h>

#define LINES (PAGE_SIZE / sizeof(__m256i))
#define GROUP 8                                                    /* lines between two branches */
#define SHIFT (CONTENT_SHIFT * sizeof(uint32_t) / sizeof(__m256i)) /* lines */
#define ODD 0xf5 /* a shuffle: each odd word goes to the even one before it too */

static __m256i either(__m256i a, __m256i b)
{
    return _mm256_or_si256(a, b);
}

static __m256i unlike(const __m256i *a, const __m256i *b)
{
    return _mm256_xor_si256(_mm256_load_si256(a), _mm256_load_si256(b));
}

/* memcmp's order of one line. Each side is read once: another CPU may be writing there. */
static int line_order(const __m256i *a, const __m256i *b)
{
    __m256i x = _mm256_load_si256(a), y = _mm256_load_si256(b);
    unsigned same = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(x, y)));
    uint64_t p[4], q[4];

    if (same == 0xf) {
        return 0;
    }
    _mm256_storeu_si256((__m256i *)p, x);
    _mm256_storeu_si256((__m256i *)q, y);
    unsigned i = (unsigned)__builtin_ctz(~same);
    /* The lowest address is the most significant byte, as memcmp has it. */
    return __builtin_bswap64(p[i]) < __builtin_bswap64(q[i]) ? -1 : 1;
}

static bool group_differs(const __m256i *a, const __m256i *b)
{
    __m256i d = either(either(either(unlike(a, b), unlike(a + 1, b + 1)),
                              either(unlike(a + 2, b + 2), unlike(a + 3, b + 3))),
                       either(either(unlike(a + 4, b + 4), unlike(a + 5, b + 5)),
                              either(unlike(a + 6, b + 6), unlike(a + 7, b + 7))));

    return !_mm256_testz_si256(d, d);
}

/* Out of line, so that the search for a difference is free of it. */
static __attribute__((noinline)) int group_order(const __m256i *a, const __m256i *b)
{
    int order = 0;

    for (unsigned i = 0; i < GROUP && order == 0; i++) {
        order = line_order(a + i, b + i);
    }
    return order;
}

static int compare(const void *page_a, const void *page_b)
{
    const __m256i *a = page_a, *b = page_b;

    for (size_t i = 0; i < LINES; i += GROUP) {
        if (group_differs(a + i, b + i)) {
            int order = group_order(a + i, b + i);
            if (order != 0) {
                return order;
            }
            /* Somebody made them equal meanwhile: they differed a moment ago. On with the rest. */
        }
    }
    return 0;
}

static bool is_zero(const void *page)
{
    const __m256i *x = page;

    if (!_mm256_testz_si256(x[0], x[0])) {
        return false; /* most pages are told apart here */
    }
    for (size_t i = 0; i < LINES; i += GROUP) {
        const __m256i *g = x + i;
        __m256i d = either(either(either(g[0], g[1]), either(g[2], g[3])),
                           either(either(g[4], g[5]), either(g[6], g[7])));
        if (!_mm256_testz_si256(d, d)) {
            return false;
        }
    }
    return true;
}

/* What a line adds to each lane of a sum: each odd word times the even one beside it. */
static __m256i nh(__m256i sum, __m256i x, const __m256i *key)
{
    __m256i y = _mm256_add_epi32(x, *key);

    return _mm256_add_epi64(sum, _mm256_mul_epu32(y, _mm256_shuffle_epi32(y, ODD)));
}

static uint64_t total(__m256i sum)
{
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));

    return (uint64_t)_mm_cvtsi128_si64(half) + (uint64_t)_mm_extract_epi64(half, 1);
}

static uint64_t hash(const void *page, const struct content_key *key)
{
    const __m256i *x = page, *k = (const __m256i *)key->nh;
    __m256i s = _mm256_setzero_si256(), t = s;

    for (size_t i = 0; i < LINES; i += GROUP) {
        for (unsigned j = 0; j < GROUP; j++) {
            s = nh(s, x[i + j], k + i + j);
            t = nh(t, x[i + j], k + i + j + SHIFT);
            /* In this order: a tree of sums would want more registers than there are. */
            __asm__("" : "+x"(s), "+x"(t));
        }
    }
    return content_finish(key, total(s), total(t));
}

const struct content_ops content_avx2 = {
    .name = "AVX2",
    .compare = compare,
    .is_zero = is_zero,
    .hash = hash,
};
