/* SPDX-License-Identifier: BSD-2-Clause */
/* Deadlines that count looks. */
#include "steps.h"

static uint64_t look(void *ctx)
{
    struct looks *l = ctx;

    return ++l->n;
}

const struct deadline *looks_begin(struct looks *l, uint64_t n)
{
    *l = (struct looks){.deadline = {.now_ns = look, .ctx = l, .end_ns = n}};
    return &l->deadline;
}
