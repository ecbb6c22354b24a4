/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at the bytes of whole pages: comparing, hashing, finding zeroes.
 *
 * The same three operations exist for several instruction sets. The scalar ones may be called at
 * any time; the others use vector registers, which belong to the guests, and want a bracket around
 * them that saves those (struct content_unit).
 */
#ifndef MM_CONTENT_H
#define MM_CONTENT_H

#include "base/types.h"

/* The words of an XXH3 secret: a block of it lasts for 1 KiB of a page. */
#define CONTENT_SECRET_WORDS 24

/* What hashes are keyed with. Filled in once, by content_key_init; whoever knows it can make pages
 * of equal hash, so no guest may see it. */
struct content_key {
    uint64_t seed;
    uint64_t secret[CONTENT_SECRET_WORDS];
};

struct content_ops {
    const char *name; /* for the log */
    /* memcmp's order over two pages: negative, 0 or positive. */
    int (*compare)(const void *a, const void *b);
    /* Whether all bytes are zero. Cheap for most pages that are not. */
    bool (*is_zero)(const void *page);
    /* A 64-bit hash that a guest cannot steer without `key`. Sets of operations may differ in what
     * they give for the same page: whoever keeps hashes keeps to one set. */
    uint64_t (*hash)(const void *page, const struct content_key *key);
};

/* All pages are page-aligned. Another CPU may write to one meanwhile: what is told then is true of
 * no moment, but it is told. The caller knows what the CPU has. */
extern const struct content_ops content_scalar;
extern const struct content_ops content_avx2, content_avx512; /* these two hash alike */

/* A set of operations and its bracket. begin and end may be NULL; they do not nest. */
struct content_unit {
    const struct content_ops *ops;
    void (*begin)(void);
    void (*end)(void);
};

/* Derives all of the key from 64 bits that guests do not know. */
void content_key_init(struct content_key *key, uint64_t seed);

/* The scalar ones by name. */
int content_compare(const void *a, const void *b);
bool content_is_zero(const void *page);

#endif
