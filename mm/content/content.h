/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at the bytes of whole pages: comparing, hashing, finding zeroes.
 *
 * The same three operations exist for several instruction sets, and tell the same. The scalar ones
 * may be called at any time; the others use vector registers, which belong to the guests, and want
 * a bracket around them that saves those (struct content_unit).
 *
 * The hash is universal: for any two pages that differ, whatever they are, at most 2^-63 of all
 * keys give them the same 64 bits. So pages of equal hash cannot be made without the key; there is
 * nothing to know about the function that would help. It is built of two steps:
 *
 *     NH, twice   a sum, modulo 2^64, over the page's pairs of 32-bit words (a, b) of
 *                 (a + k mod 2^32) * (b + k' mod 2^32), with a key as long as the page; and again
 *                 with the key moved by 16 words (Toeplitz). Both sums are equal for two pages with
 *                 2^-32 * 2^-32 of the keys at most (Black, Halevi, Krawczyk, Krovetz, Rogaway:
 *                 UMAC, CRYPTO '99, theorems on NH and its Toeplitz extension. There the key moves
 *                 by 2 words; the proof wants that the last pair in which the pages differ meets
 *                 words of the key in the second sum that the first has not used, which any even
 *                 number gives).
 *     finish      the two sums s, t go to the high 64 bits of k0 + k1 * s + k2 * t mod 2^128:
 *                 another 2^-64 (Lemire and Kaser: Strongly universal string hashing is fast, The
 *                 Computer Journal 57 (2014), theorem on MULTILINEAR; Dietzfelbinger, STACS '96).
 *
 * A fixed permutation of the 64-bit words comes last. It makes no two hashes equal, but unlike the
 * rest it is not linear: the order of many hashes has no pattern either.
 */
#ifndef MM_CONTENT_CONTENT_H
#define MM_CONTENT_CONTENT_H

#include "base/random.h"
#include "base/types.h"

/* 32-bit words of a page, and how far the second sum's key is moved: a cache line. */
#define CONTENT_WORDS (PAGE_SIZE / sizeof(uint32_t))
#define CONTENT_SHIFT 16

/* What hashes are keyed with. Filled in once, by content_key_init; whatever knows it can make pages
 * of equal hash, so no guest may see it. */
struct content_key {
    _Alignas(64) uint32_t nh[CONTENT_WORDS + CONTENT_SHIFT];
    uint64_t finish[3][2]; /* k0, k1, k2; the low half first */
};

struct content_ops {
    const char *name; /* for the log */
    /* memcmp's order over two pages: negative, 0 or positive. */
    int (*compare)(const void *a, const void *b);
    /* Whether all bytes are zero. Cheap for most pages that are not. */
    bool (*is_zero)(const void *page);
    /* The page's universal hash, as told above: the same in each set of operations. */
    uint64_t (*hash)(const void *page, const struct content_key *key);
};

/* All pages are page-aligned. Another CPU may write to one meanwhile: what is told then is true of
 * no moment, but it is told. The caller knows what the CPU has; SSE2 is in each 64-bit one. */
extern const struct content_ops content_scalar;
extern const struct content_ops content_sse2, content_avx2, content_avx512;

/* A set of operations and its bracket. begin and end may be NULL; they do not nest. */
struct content_unit {
    const struct content_ops *ops;
    void (*begin)(void);
    void (*end)(void);
};

/*
 * Draws the whole key, 4 KiB and some. The bound of the hash is for keys of independent random
 * bits; with the words of base/random.h it holds as far as they cannot be told from such.
 */
void content_key_init(struct content_key *key, struct random *random);

/* The scalar ones by name. */
int content_compare(const void *a, const void *b);
bool content_is_zero(const void *page);

#endif
