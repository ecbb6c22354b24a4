/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at whole pages 64 bytes at a time. Compiled for AVX-512F: runs only on a CPU that has it,
 * and inside the bracket of its struct content_unit.
 */
#include "mm/content/content.h"

#include "mm/content/finish.h"

#include <immintrin.h>

#define LINES (PAGE_SIZE / sizeof(__m512i))
#define GROUP 8                                                    /* lines between two branches */
#define SHIFT (CONTENT_SHIFT * sizeof(uint32_t) / sizeof(__m512i)) /* lines */

/* The truth table of VPTERNLOG for A | (B ^ C): bit A * 4 + B * 2 + C. */
#define A_OR_B_XOR_C 0xf6
#define A_OR_B_OR_C 0xfe

/* `sum`, with the bits added in which the lines differ. */
static __m512i unlike(__m512i sum, const __m512i *a, const __m512i *b)
{
    return _mm512_ternarylogic_epi64(sum, *a, *b, A_OR_B_XOR_C);
}

static bool any(__m512i x)
{
    __mmask16 set = _mm512_test_epi32_mask(x, x);

    return !_mm512_kortestz(set, set);
}

/* memcmp's order of one line. Each side is read once: another CPU may be writing there. */
static int line_order(const __m512i *a, const __m512i *b)
{
    __m512i x = *a, y = *b;
    __mmask8 differs = _mm512_cmpneq_epi64_mask(x, y);

    if (differs == 0) {
        return 0;
    }
    /* The first word that differs comes down to word 0. */
    x = _mm512_maskz_compress_epi64(differs, x);
    y = _mm512_maskz_compress_epi64(differs, y);
    uint64_t p = (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(x));
    uint64_t q = (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(y));
    /* The lowest address is the most significant byte, as memcmp has it. */
    return __builtin_bswap64(p) < __builtin_bswap64(q) ? -1 : 1;
}

static bool group_differs(const __m512i *a, const __m512i *b)
{
    __m512i d = _mm512_xor_si512(a[0], b[0]), e = _mm512_xor_si512(a[1], b[1]);

    /* Two chains: each step waits for the one before. */
    d = unlike(unlike(unlike(d, a + 2, b + 2), a + 4, b + 4), a + 6, b + 6);
    e = unlike(unlike(unlike(e, a + 3, b + 3), a + 5, b + 5), a + 7, b + 7);
    return any(_mm512_or_si512(d, e));
}

/* Out of line, so that the search for a difference is free of it. */
static __attribute__((noinline)) int group_order(const __m512i *a, const __m512i *b)
{
    int order = 0;

    for (unsigned i = 0; i < GROUP && order == 0; i++) {
        order = line_order(a + i, b + i);
    }
    return order;
}

static int compare(const void *page_a, const void *page_b)
{
    const __m512i *a = page_a, *b = page_b;

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
    const __m512i *x = page;

    if (any(x[0])) {
        return false; /* most pages are told apart here */
    }
    for (size_t i = 0; i < LINES; i += GROUP) {
        const __m512i *g = x + i;
        __m512i d = _mm512_ternarylogic_epi64(g[0], g[1], g[2], A_OR_B_OR_C);
        __m512i e = _mm512_ternarylogic_epi64(g[3], g[4], g[5], A_OR_B_OR_C);
        if (any(_mm512_or_si512(_mm512_ternarylogic_epi64(d, g[6], g[7], A_OR_B_OR_C), e))) {
            return false;
        }
    }
    return true;
}

/* What a line adds to each lane of a sum: each odd word times the even one beside it. */
static __m512i nh(__m512i sum, __m512i x, const __m512i *key)
{
    __m512i y = _mm512_add_epi32(x, *key);

    return _mm512_add_epi64(sum, _mm512_mul_epu32(y, _mm512_shuffle_epi32(y, _MM_PERM_DDBB)));
}

static uint64_t total(__m512i sum)
{
    __m256i half = _mm256_add_epi64(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    __m128i x = _mm_add_epi64(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));

    return (uint64_t)_mm_cvtsi128_si64(x) + (uint64_t)_mm_extract_epi64(x, 1);
}

static uint64_t hash(const void *page, const struct content_key *key)
{
    const __m512i *x = page, *k = (const __m512i *)key->nh;
    __m512i s = _mm512_setzero_si512(), t = s;

    for (size_t i = 0; i < LINES; i += GROUP) {
        for (unsigned j = 0; j < GROUP; j++) {
            s = nh(s, x[i + j], k + i + j);
            t = nh(t, x[i + j], k + i + j + SHIFT);
            /* In this order: a tree of sums would want more registers than there are. */
            __asm__("" : "+v"(s), "+v"(t));
        }
    }
    return content_finish(key, total(s), total(t));
}

const struct content_ops content_avx512 = {
    .name = "AVX-512",
    .compare = compare,
    .is_zero = is_zero,
    .hash = hash,
};
