/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One-shot timers, ordered by deadline. Time is nanoseconds since boot (uint64_t, never wraps).
 *
 * A queue belongs to one CPU; it holds no clock of its own: the owner asks for the next deadline,
 * programs the hardware with it, and calls timerq_run when that moment has come.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/types.h"

#include <bsd/sys/tree.h>

#define TIMER_NEVER UINT64_MAX

struct timer {
    RB_ENTRY(timer) link;
    uint64_t deadline_ns;
    uint64_t seq; /* equal deadlines fire in the order they were armed */
    bool armed;
    void (*fire)(void *ctx, uint64_t now_ns);
    void *ctx;
};

RB_HEAD(timer_tree, timer);

struct timerq {
    struct timer_tree tree;
    struct timer *first; /* of the tree, or NULL */
    uint64_t seq;
    uint64_t (*now_ns)(void); /* the clock that everything on this queue goes by */
};

/* An empty queue. */
void timerq_init(struct timerq *q, uint64_t (*now_ns)(void));
/* A timer that is not armed; fire runs from timerq_run, and may arm it again. */
void timer_init(struct timer *t, void (*fire)(void *ctx, uint64_t now_ns), void *ctx);
/* (Re-)arms t; a deadline in the past fires at the next timerq_run. */
void timerq_arm(struct timerq *q, struct timer *t, uint64_t deadline_ns);
/* No effect on a timer that is not armed. */
void timerq_cancel(struct timerq *q, struct timer *t);
/* The earliest deadline, or TIMER_NEVER. */
static inline uint64_t timerq_next(const struct timerq *q)
{
    return q->first ? q->first->deadline_ns : TIMER_NEVER;
}
/* Fires every timer that is due, each disarmed before its call (which may re-arm it). */
void timerq_run(struct timerq *q, uint64_t now_ns);

#endif
