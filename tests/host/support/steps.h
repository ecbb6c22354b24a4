/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A deadline that passes at the n-th look, for work that is done in steps: whoever looks between
 * two pieces can be stopped between any two of them.
 */
#ifndef TESTS_HOST_SUPPORT_STEPS_H
#define TESTS_HOST_SUPPORT_STEPS_H

#include "base/deadline.h"

struct looks {
    struct deadline deadline;
    uint64_t n; /* looks so far; the deadline passes at the end_ns-th */
};

/* A deadline that has passed at the n-th look, and at all later ones; n from 1. */
const struct deadline *looks_begin(struct looks *l, uint64_t n);

#endif
