/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where long work lets the rest of the machine go on.
 *
 * A walk over state that must not change meanwhile is no series of steps that others come between
 * (base/deadline.h). It calls yield_go_on between two pieces, each far shorter than STEP_MAX_NS.
 * The caller's function ends a step there when it is long enough: it lets keys, interrupts and
 * timers be served, and changes nothing that the walk looks at.
 */
#ifndef BASE_YIELD_H
#define BASE_YIELD_H

#include <stdbool.h>
#include <stddef.h>

struct yield {
    bool (*fn)(void *ctx); /* false: the work is to end, and its result is not wanted */
    void *ctx;
    bool ended; /* fn has said so */
};

/* To be called between two pieces; false: return, whatever is missing. Always true for NULL. */
static inline bool yield_go_on(struct yield *y)
{
    if (y != NULL && !y->ended) {
        y->ended = !y->fn(y->ctx);
    }
    return y == NULL || !y->ended;
}

/* Whether the work was ended before its end. */
static inline bool yield_ended(const struct yield *y)
{
    return y != NULL && y->ended;
}

#endif
