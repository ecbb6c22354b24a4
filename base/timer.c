/* SPDX-License-Identifier: BSD-2-Clause */
/* Timer queues: a red-black tree by (deadline, order of arming), so that no two keys are equal. */
#include "base/timer.h"

static int timer_compare(const struct timer *a, const struct timer *b)
{
    if (a->deadline_ns != b->deadline_ns) {
        return a->deadline_ns < b->deadline_ns ? -1 : 1;
    }
    if (a->seq != b->seq) {
        return a->seq < b->seq ? -1 : 1;
    }
    return 0;
}

RB_GENERATE_INTERNAL(timer_tree, timer, link, timer_compare, static __attribute__((unused)))

void timerq_init(struct timerq *q, uint64_t (*now_ns)(void))
{
    RB_INIT(&q->tree);
    q->first = NULL;
    q->seq = 0;
    q->now_ns = now_ns;
}

void timer_init(struct timer *t, void (*fire)(void *ctx, uint64_t now_ns), void *ctx)
{
    *t = (struct timer){.fire = fire, .ctx = ctx};
}

void timerq_cancel(struct timerq *q, struct timer *t)
{
    if (t->armed) {
        if (t == q->first) {
            q->first = RB_NEXT(timer_tree, &q->tree, t);
        }
        RB_REMOVE(timer_tree, &q->tree, t);
        t->armed = false;
    }
}

/* Whether t, which is armed, may have its deadline changed where it is in the tree. As the newest
 * of its equals it has to be behind them. */
static bool stays_in_place(struct timer *t, uint64_t deadline_ns)
{
    const struct timer *before, *after;

    if (deadline_ns >= t->deadline_ns) {
        after = RB_NEXT(timer_tree, NULL, t);
        return after == NULL || after->deadline_ns > deadline_ns;
    }
    before = RB_PREV(timer_tree, NULL, t);
    return before == NULL || before->deadline_ns <= deadline_ns;
}

void timerq_arm(struct timerq *q, struct timer *t, uint64_t deadline_ns)
{
    if (t->armed && stays_in_place(t, deadline_ns)) {
        t->deadline_ns = deadline_ns;
        t->seq = q->seq++;
        return;
    }
    timerq_cancel(q, t);
    t->deadline_ns = deadline_ns;
    t->seq = q->seq++;
    t->armed = true;
    RB_INSERT(timer_tree, &q->tree, t);
    if (q->first == NULL || timer_compare(t, q->first) < 0) {
        q->first = t;
    }
}

void timerq_run(struct timerq *q, uint64_t now_ns)
{
    /* What a callback arms from here on waits for the next run, even if it is due already: one that
     * always re-arms itself in the past must not keep us here. */
    uint64_t end = q->seq;
    struct timer *t = q->first;

    while (t != NULL && t->deadline_ns <= now_ns) {
        if (t->seq >= end) {
            t = RB_NEXT(timer_tree, &q->tree, t);
            continue;
        }
        timerq_cancel(q, t);
        t->fire(t->ctx, now_ns);
        /* The callback may have cancelled or moved any timer: start over. */
        t = q->first;
    }
}
