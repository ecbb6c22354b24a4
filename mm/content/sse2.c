/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at whole pages 16 bytes at a time, for CPUs without AVX2. Each 64-bit CPU has SSE2; the
 * registers are the guests' all the same, so this runs inside the bracket of its struct
 * content_unit.
 */
#include "mm/content/content.h"

#include "mm/content/finish.h"

#include <emmintrin.h>

#define LINES (PAGE_SIZE / sizeof(__m128i))
#define GROUP 8                                                    /* lines between two branches */
#define SHIFT (CONTENT_SHIFT * sizeof(uint32_t) / sizeof(__m128i)) /* lines */
#define ODD 0xf5 /* a shuffle: each odd word goes to the even one before it too */

static __m128i either(__m128i a, __m128i b)
{
    return _mm_or_si128(a, b);
}

static __m128i unlike(const __m128i *a, const __m128i *b)
{
    return _mm_xor_si128(_mm_load_si128(a), _mm_load_si128(b));
}

static bool any(__m128i x)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_setzero_si128())) != 0xffff;
}

/* memcmp's order of one line. Each side is read once: another CPU may be writing there. */
static int line_order(const __m128i *a, const __m128i *b)
{
    uint64_t p[2], q[2];

    _mm_storeu_si128((__m128i *)p, _mm_load_si128(a));
    _mm_storeu_si128((__m128i *)q, _mm_load_si128(b));
    unsigned i = p[0] == q[0];
    if (p[i] == q[i]) {
        return 0;
    }
    /* The lowest address is the most significant byte, as memcmp has it. */
    return __builtin_bswap64(p[i]) < __builtin_bswap64(q[i]) ? -1 : 1;
}

static bool group_differs(const __m128i *a, const __m128i *b)
{
    return any(either(either(either(unlike(a, b), unlike(a + 1, b + 1)),
                             either(unlike(a + 2, b + 2), unlike(a + 3, b + 3))),
                      either(either(unlike(a + 4, b + 4), unlike(a + 5, b + 5)),
                             either(unlike(a + 6, b + 6), unlike(a + 7, b + 7)))));
}

/* Out of line, so that the search for a difference is free of it. */
static __attribute__((noinline)) int group_order(const __m128i *a, const __m128i *b)
{
    int order = 0;

    for (unsigned i = 0; i < GROUP && order == 0; i++) {
        order = line_order(a + i, b + i);
    }
    return order;
}

static int compare(const void *page_a, const void *page_b)
{
    const __m128i *a = page_a, *b = page_b;

    for (size_t i = 0; i < LINES; i += GROUP) {
        if (group_differs(a + i, b + i)) {
            int order = group_order(a + i, b + i);
            if (order != 0) {
                return order;
            }
            /* They were made equal meanwhile: they differed a moment ago. On with the rest. */
        }
    }
    return 0;
}

static bool is_zero(const void *page)
{
    const __m128i *x = page;

    if (any(x[0])) {
        return false; /* most pages are told apart here */
    }
    for (size_t i = 0; i < LINES; i += GROUP) {
        const __m128i *g = x + i;
        if (any(either(either(either(g[0], g[1]), either(g[2], g[3])),
                       either(either(g[4], g[5]), either(g[6], g[7]))))) {
            return false;
        }
    }
    return true;
}

/* What a line adds to each lane of a sum: each odd word times the even one beside it. */
static __m128i nh(__m128i sum, __m128i x, const __m128i *key)
{
    __m128i y = _mm_add_epi32(x, *key);

    return _mm_add_epi64(sum, _mm_mul_epu32(y, _mm_shuffle_epi32(y, ODD)));
}

static uint64_t total(__m128i sum)
{
    return (uint64_t)_mm_cvtsi128_si64(sum) +
           (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(sum, sum));
}

static uint64_t hash(const void *page, const struct content_key *key)
{
    const __m128i *x = page, *k = (const __m128i *)key->nh;
    __m128i s = _mm_setzero_si128(), t = s;

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

const struct content_ops content_sse2 = {
    .name = "SSE2",
    .compare = compare,
    .is_zero = is_zero,
    .hash = hash,
};
