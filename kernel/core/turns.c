/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns by virtual time: see turns.h. */
#include "kernel/core/turns.h"

#include "base/bits.h"
#include "base/log.h"

static int turn_compare(const struct turn *a, const struct turn *b)
{
    if (a->virtual_ns != b->virtual_ns) {
        return a->virtual_ns < b->virtual_ns ? -1 : 1;
    }
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

RB_GENERATE_INTERNAL(turn_tree, turn, link, turn_compare, static __attribute__((unused)))

/* Brings the virtual time up to the account. Not while t is in the tree. */
static void catch_up(struct turn *t)
{
    uint64_t ns = t->account->ns - t->seen_ns;

    t->seen_ns = t->account->ns;
    t->virtual_ns += ns * TURNS_WEIGHT / t->weight;
}

/* One that sleeps neither saves up time nor loses what it owes. */
static void place(const struct turns *ts, struct turn *t)
{
    catch_up(t);
    if (ts->least_ns > TURNS_SAVED_NS) {
        t->virtual_ns = MAX(t->virtual_ns, ts->least_ns - TURNS_SAVED_NS);
    }
}

static void insert(struct turns *ts, struct turn *t)
{
    t->seq = ts->seq++;
    t->waits = true;
    ts->n_waiting++;
    RB_INSERT(turn_tree, &ts->waiting, t);
}

static void take_out(struct turns *ts, struct turn *t)
{
    RB_REMOVE(turn_tree, &ts->waiting, t);
    t->waits = false;
    ts->n_waiting--;
}

/* The first of those that wait, by their accounts as they are now. */
static struct turn *first(struct turns *ts)
{
    struct turn *t;

    while ((t = RB_MIN(turn_tree, &ts->waiting)) != NULL && t->account->ns != t->seen_ns) {
        take_out(ts, t); /* it was charged while it waited: to its new place */
        catch_up(t);
        insert(ts, t);
    }
    return t;
}

static void note_least(struct turns *ts)
{
    const struct turn *t = first(ts);
    uint64_t least = t ? t->virtual_ns : UINT64_MAX;

    if (ts->running) {
        least = MIN(least, ts->running->virtual_ns);
    }
    if (least != UINT64_MAX) {
        ts->least_ns = MAX(ts->least_ns, least);
    }
}

void turns_init(struct turns *ts)
{
    *ts = (struct turns){.cut_ns = UINT64_MAX};
    RB_INIT(&ts->waiting);
}

void turn_init(const struct turns *ts, struct turn *t, const struct account *account)
{
    *t = (struct turn){.account = account,
                       .weight = TURNS_WEIGHT,
                       .seen_ns = account->ns,
                       .virtual_ns = ts->least_ns};
}

/* Whether t, which does not run, is far enough behind the running one to go before it. */
static bool is_behind(const struct turn *t, const struct turn *running)
{
    return t->virtual_ns + TURNS_GRAIN_NS <= running->virtual_ns;
}

void turns_wake(struct turns *ts, struct turn *t, uint64_t now_ns)
{
    if (t->waits || t == ts->running) {
        return;
    }
    if (ts->running) {
        catch_up(ts->running);
    }
    note_least(ts);
    place(ts, t);
    insert(ts, t);
    if (ts->running && is_behind(t, ts->running)) {
        ts->cut_ns = MIN(ts->cut_ns, MAX(now_ns, ts->start_ns + TURNS_MIN_NS));
    }
}

void turns_sleep(struct turns *ts, struct turn *t)
{
    if (t->waits) {
        take_out(ts, t);
    }
}

/* The first of those that wait, if one that runs or is to run may let it go first. */
static struct turn *next_on_par(struct turns *ts, const struct turn *with)
{
    struct turn *other = first(ts);

    return other && other->virtual_ns <= with->virtual_ns + TURNS_MIN_NS ? other : NULL;
}

struct turn *turns_pick(struct turns *ts, uint64_t now_ns)
{
    struct turn *t = first(ts), *other;

    ASSERT(ts->running == NULL);
    if (t == NULL) {
        return NULL;
    }
    note_least(ts);
    take_out(ts, t);
    if (t == ts->yielded && (other = next_on_par(ts, t)) != NULL) {
        take_out(ts, other);
        insert(ts, t);
        t = other;
    }
    ts->yielded = NULL;
    ts->running = t;
    ts->start_ns = now_ns;
    ts->length_ns =
        MAX(MIN(TURNS_ROUND_NS / (ts->n_waiting + 1), TURNS_QUANTUM_NS), TURNS_SHORT_NS);
    ts->cut_ns = UINT64_MAX;
    return t;
}

void turns_put(struct turns *ts, bool wants)
{
    struct turn *t = ts->running;

    ASSERT(t != NULL);
    ts->running = NULL;
    catch_up(t);
    if (wants) {
        insert(ts, t);
    }
    note_least(ts);
}

bool turns_yield(struct turns *ts)
{
    ASSERT(ts->running != NULL);
    catch_up(ts->running);
    ts->yielded = next_on_par(ts, ts->running) ? ts->running : NULL;
    return ts->yielded != NULL;
}

uint64_t turns_end_ns(const struct turns *ts)
{
    return MIN(ts->start_ns + ts->length_ns, ts->cut_ns);
}

uint64_t turns_alarm_ns(struct turns *ts, struct turn *t, uint64_t due_ns, uint64_t now_ns)
{
    struct turn *r = ts->running;
    uint64_t at = due_ns, wait;

    ASSERT(!t->waits && t != r);
    if (r == NULL) {
        return due_ns;
    }
    catch_up(r);
    note_least(ts);
    place(ts, t);
    at = MAX(at, ts->start_ns + TURNS_MIN_NS);
    if (!is_behind(t, r)) {
        wait = (t->virtual_ns + TURNS_GRAIN_NS - r->virtual_ns) * r->weight / TURNS_WEIGHT;
        at = MAX(at, now_ns + wait);
    }
    return at < turns_end_ns(ts) ? at : TURNS_NEVER;
}
