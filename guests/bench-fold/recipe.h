/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the measured guests' memory holds: of every 20 pages 5 of zeroes, 7 that are equal in every
 * VM at the same place, 2 that are equal to each other only, and 6 like no other page. All words of
 * a page that is not zero are pseudo-random, so two pages differ in their first word or not at all.
 */
#ifndef RECIPE_H
#define RECIPE_H

#include "kit.h"

/* INTERLEAVED: the kinds alternate, so that hardly any page is followed by one of its kind. RUNS:
 * the same kinds, each for 16 pages in a row, as files and heaps lie in memory. */
enum layout { LAYOUT_INTERLEAVED, LAYOUT_RUNS };
enum kind { KIND_ZERO, KIND_SHARED, KIND_PAIR, KIND_UNIQUE };

struct recipe {
    enum layout layout;
    uint64_t vm;    /* unlike in every VM */
    uint64_t pages; /* a multiple of 320 ends with whole pairs */
};

volatile uint64_t *recipe_page(uint64_t i);
enum kind recipe_kind(const struct recipe *r, uint64_t i);
/* Writes all pages. */
void recipe_fill(const struct recipe *r);
/* Writes page i, one of KIND_UNIQUE, as VM `vm` has it in generation `generation`; 0 is the first,
 * which recipe_fill wrote. */
void recipe_write_unique(uint64_t i, uint64_t vm, uint64_t generation);

#endif
