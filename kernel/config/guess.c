/* SPDX-License-Identifier: BSD-2-Clause */
/* Guessing by edit distance: see guess.h. */
#include "kernel/config/guess.h"

#include "base/bits.h"
#include "base/string.h"

#define GUESS_LENGTH 24 /* longer words are not looked at */

/* Edit distance with swaps of neighbours (optimal string alignment); both below GUESS_LENGTH. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[3][GUESS_LENGTH + 1];
    unsigned *before = row[0], *last = row[1], *now = row[2];
    size_t n = strlen(a), m = strlen(b);

    for (unsigned j = 0; j <= m; j++) {
        last[j] = j;
        before[j] = j;
    }
    for (unsigned i = 1; i <= n; i++) {
        now[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            unsigned d = last[j - 1] + (a[i - 1] != b[j - 1]);

            d = MIN(d, last[j] + 1);
            d = MIN(d, now[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                d = MIN(d, before[j - 2] + 1);
            }
            now[j] = d;
        }
        unsigned *old = before;
        before = last;
        last = now;
        now = old;
    }
    return last[m];
}

void guess_init(struct guess *g, const char *word)
{
    *g = (struct guess){.word = word, .least = 3}; /* more than two slips is another word */
}

void guess_try(struct guess *g, const char *candidate)
{
    if (strlen(g->word) >= GUESS_LENGTH || strlen(candidate) >= GUESS_LENGTH) {
        return;
    }
    unsigned d = distance(g->word, candidate);

    if (d < g->least && d < (strlen(candidate) + 1) / 2) {
        g->least = d;
        g->best = candidate;
    }
}
