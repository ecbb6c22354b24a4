/* SPDX-License-Identifier: BSD-2-Clause */
/* The recipe of the measured memory: see recipe.h. pagefold/measure/fold.py in tools/ counts by the
 * same ORDER. */
#include "recipe.h"

#define CYCLE 20u
#define RUN 16u
static const char ORDER[CYCLE + 1] = "ZSUZSUZSUZSUZSUSPUSP";

/* What the seed of a page's words is made of, besides its number. */
enum seed { SEED_SHARED = 1, SEED_PAIR, SEED_UNIQUE };

volatile uint64_t *recipe_page(uint64_t i)
{
    return (volatile uint64_t *)(KIT_HEAP + i * PAGE);
}

static char letter(const struct recipe *r, uint64_t i)
{
    return ORDER[(r->layout == LAYOUT_RUNS ? i / RUN : i) % CYCLE];
}

enum kind recipe_kind(const struct recipe *r, uint64_t i)
{
    switch (letter(r, i)) {
    case 'Z':
        return KIND_ZERO;
    case 'S':
        return KIND_SHARED;
    case 'P':
        return KIND_PAIR;
    default:
        return KIND_UNIQUE;
    }
}

/* The two P of a cycle (in RUNS: two runs of it) hold the same pages. */
static uint64_t pair_number(const struct recipe *r, uint64_t i)
{
    return r->layout == LAYOUT_RUNS ? i / (CYCLE * RUN) * RUN + i % RUN : i / CYCLE;
}

/* Fields that do not overlap, so that no two seeds are equal. */
static uint64_t seed(enum seed what, uint64_t vm, uint64_t generation, uint64_t number)
{
    return (uint64_t)what << 62 | vm << 54 | generation << 32 | number;
}

/* A bijection, so unlike seeds give unlike first words. */
static uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdul;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ul;
    return x ^ x >> 33;
}

static void write(volatile uint64_t *p, uint64_t from)
{
    uint64_t x = scramble(from);

    for (unsigned w = 0; w < PAGE / 8; w++) {
        p[w] = x;
        x = x * 0xd1342543de82ef95ul + 1;
    }
}

void recipe_write_unique(uint64_t i, uint64_t vm, uint64_t generation)
{
    write(recipe_page(i), seed(SEED_UNIQUE, vm, generation, i));
}

void recipe_fill(const struct recipe *r)
{
    for (uint64_t i = 0; i < r->pages; i++) {
        switch (recipe_kind(r, i)) {
        case KIND_ZERO:
            recipe_page(i)[0] = 0; /* a page that was never touched is not there */
            break;
        case KIND_SHARED:
            write(recipe_page(i), seed(SEED_SHARED, 0, 0, i));
            break;
        case KIND_PAIR:
            write(recipe_page(i), seed(SEED_PAIR, r->vm, 0, pair_number(r, i)));
            break;
        case KIND_UNIQUE:
            recipe_write_unique(i, r->vm, 0);
            break;
        }
    }
}
