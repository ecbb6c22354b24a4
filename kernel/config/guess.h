/* SPDX-License-Identifier: BSD-2-Clause */
/* The word that was probably meant: of some candidates, the one with the fewest slips. Pure. */
#ifndef KERNEL_CONFIG_GUESS_H
#define KERNEL_CONFIG_GUESS_H

#include "base/types.h"

struct guess {
    const char *word; /* as it was typed */
    const char *best; /* NULL: no candidate is near enough */
    unsigned least;   /* slips between the two */
};

/* word stays the caller's, and so do the candidates. */
void guess_init(struct guess *g, const char *word);
/* One more candidate. Two slips at most: a letter too many, too few, another, or two swapped. */
void guess_try(struct guess *g, const char *candidate);

#endif
