/* SPDX-License-Identifier: BSD-2-Clause */
/* What fuzzers share that play their input as a sequence of operations. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include "base/types.h"

#include <stdio.h>
#include <stdlib.h>

struct input {
    const uint8_t *p;
    size_t n;
};

/* The next bytes, at most 4, little-endian; what is past the end reads 0. */
static inline uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < bytes && in->n > 0; i++) {
        v |= (uint32_t)*in->p++ << (8 * i);
        in->n--;
    }
    return v;
}

#define require(cond) require_that(cond, #cond, __FILE__, __LINE__)

static inline void require_that(bool cond, const char *what, const char *file, int line)
{
    if (!cond) {
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
        abort();
    }
}

#endif
