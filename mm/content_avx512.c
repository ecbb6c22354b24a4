/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at whole pages 64 bytes at a time. Compiled for AVX-512F: runs only on a CPU that has it,
 * and inside the bracket of its struct content_unit. The hashes are those of content_avx2.
 */
#include "mm/content.h"

#include <immintrin.h>

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_AVX512
#define XXH_FORCE_MEMORY_ACCESS 1 /* packed loads: freestanding, memcpy would be a real call */
#define XXH_NO_PREFETCH           /* the CPU's own prefetchers do as well */
#include <xxhash.h>

#define LINES (PAGE_SIZE / sizeof(__m512i))
#define GROUP 8 /* lines between two branches */

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

/*
 * XXH3_64bits_withSecret of a page. A stripe is a line, and a block the 16 stripes that one secret
 * lasts for. The library's loop would shuffle every line before it adds it; here the plain lines of
 * a block are added up and shuffled once, and the block's keys stay in registers: 5 instructions a
 * line instead of 8.
 */
#define STRIPES ((sizeof(((struct content_key *)0)->secret) - sizeof(__m512i)) / 8)
#define BLOCKS (LINES / STRIPES)

/* `last`: the key of the last stripe, for the others the secret's words in order. */
static __m512i add_block(__m512i acc, const __m512i *x, const uint8_t *secret, const uint8_t *last)
{
    __m512i plain = _mm512_setzero_si512();

    for (unsigned i = 0; i < STRIPES; i++) {
        const uint8_t *key = i < STRIPES - 1 ? secret + 8 * i : last;
        __m512i k = _mm512_xor_si512(x[i], _mm512_loadu_si512(key));
        acc = _mm512_add_epi64(acc, _mm512_mul_epu32(k, _mm512_srli_epi64(k, 32)));
        plain = _mm512_add_epi64(plain, x[i]);
        /* In this order: a tree of sums would want more registers than there are. */
        __asm__("" : "+v"(acc), "+v"(plain));
    }
    return _mm512_add_epi64(acc, _mm512_shuffle_epi32(plain, _MM_PERM_BADC));
}

static __m512i scramble(__m512i acc, __m512i key)
{
    const __m512i prime = _mm512_set1_epi64(XXH_PRIME32_1);

    acc = _mm512_xor_si512(_mm512_xor_si512(acc, _mm512_srli_epi64(acc, 47)), key);
    __m512i high = _mm512_mul_epu32(_mm512_srli_epi64(acc, 32), prime);
    return _mm512_add_epi64(_mm512_mul_epu32(acc, prime), _mm512_slli_epi64(high, 32));
}

static uint64_t hash(const void *page, const struct content_key *key)
{
    static const uint64_t start[] = XXH3_INIT_ACC;
    const uint8_t *secret = (const uint8_t *)key->secret;
    const uint8_t *end = secret + sizeof(key->secret) - sizeof(__m512i);
    const __m512i *x = page;
    __m512i acc = _mm512_loadu_si512(start);
    uint64_t sums[8];

    for (unsigned block = 1;; block++, x += STRIPES) {
        /* The last stripe of all has a key of its own, and no scrambling after it. */
        acc = add_block(acc, x, secret, end - (block < BLOCKS ? 8 : XXH_SECRET_LASTACC_START));
        if (block == BLOCKS) {
            break;
        }
        acc = scramble(acc, _mm512_loadu_si512(end));
    }
    _mm512_storeu_si512(sums, acc);
    return XXH3_mergeAccs(sums, secret + XXH_SECRET_MERGEACCS_START, PAGE_SIZE * XXH_PRIME64_1);
}

const struct content_ops content_avx512 = {
    .name = "AVX-512",
    .compare = compare,
    .is_zero = is_zero,
    .hash = hash,
};
