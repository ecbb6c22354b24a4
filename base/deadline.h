/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a step of work has to end.
 *
 * Whoever does work in pieces is handed one of these and looks at it between two pieces; the rest
 * is kept as state and done in a later step. A piece alone must be far shorter than STEP_MAX_NS:
 * some pages copied, some hundred entries walked. The clock is the caller's, so that a test can
 * count work instead of time.
 */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No step takes longer, whatever a guest asks for. */
#define STEP_MAX_NS UINT64_C(250000)

struct deadline {
    uint64_t (*now_ns)(void *ctx);
    void *ctx;
    uint64_t end_ns; /* by that clock */
};

/* Whether the step is over; never for NULL, which is no deadline at all. */
static inline bool deadline_passed(const struct deadline *d)
{
    return d != NULL && d->now_ns(d->ctx) >= d->end_ns;
}

#endif
