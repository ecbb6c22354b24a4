/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC's timer: one-shot, periodic, TSC-deadline (SDM vol. 3, 11.5.4). */
#include "base/bits.h"
#include "drivers/guest/ticks.h"
#include "drivers/guest/vlapic.h"
#include "drivers/guest/vlapic_internal.h"

static unsigned mode_of(const struct vlapic *l)
{
    return LVT_TIMER_MODE(l->lvt[LVT_TIMER]);
}

/* The divider: 2, 4, ... 128, 1 for register values 0..6, 7 (its bits are 3, 1 and 0). */
static uint64_t divider(uint32_t divide)
{
    uint32_t code = (divide & 3) | (divide >> 1 & 4);

    return code == 7 ? 1 : UINT64_C(2) << code;
}

/* Input clocks from one expiry to the next. */
static uint64_t period_ticks(const struct vlapic *l)
{
    return l->initial * divider(l->divide);
}

static uint64_t elapsed_ticks(const struct vlapic *l, uint64_t now_ns)
{
    return ticks_from_ns(now_ns - l->timer_start_ns, l->bus_hz);
}

uint32_t vlapic_timer_count(const struct vlapic *l)
{
    uint64_t passed;

    if (l->initial == 0 || l->timer_done || mode_of(l) == TIMER_DEADLINE) {
        return 0;
    }
    passed = elapsed_ticks(l, l->q->now_ns()) / divider(l->divide);
    if (mode_of(l) == TIMER_PERIODIC) {
        return l->initial - (uint32_t)(passed % l->initial);
    }
    return passed < l->initial ? l->initial - (uint32_t)passed : 0;
}

static uint64_t periods_passed(const struct vlapic *l, uint64_t now_ns)
{
    uint64_t period = period_ticks(l);

    return period > 0 ? elapsed_ticks(l, now_ns) / period : 0;
}

/* When a counting timer expires next after now, or TIMER_NEVER. */
static uint64_t next_expiry(const struct vlapic *l, uint64_t now_ns)
{
    uint64_t period = period_ticks(l);
    uint64_t periods;

    if (period == 0 || l->timer_done) {
        return TIMER_NEVER;
    }
    periods = elapsed_ticks(l, now_ns) / period;
    if (periods > 0 && mode_of(l) == TIMER_ONE_SHOT) {
        return TIMER_NEVER;
    }
    return l->timer_start_ns + ticks_to_ns((periods + 1) * period, l->bus_hz);
}

static void arm_at(struct vlapic *l, uint64_t ns)
{
    if (ns == TIMER_NEVER) {
        timerq_cancel(l->q, &l->timer);
    } else {
        timerq_arm(l->q, &l->timer, ns);
    }
}

void vlapic_timer_update(struct vlapic *l)
{
    uint64_t ns = TIMER_NEVER;

    switch (mode_of(l)) {
    case TIMER_ONE_SHOT:
    case TIMER_PERIODIC:
        /* Nobody hears a masked timer; its count is computed when it is read. */
        if (!(l->lvt[LVT_TIMER] & LVT_MASKED)) {
            ns = next_expiry(l, l->q->now_ns());
        }
        l->ticks_given = periods_passed(l, l->q->now_ns()); /* only what comes now can be owed */
        break;
    case TIMER_DEADLINE:
        if (l->tsc_deadline != 0) {
            ns = l->ops->tsc_to_ns(l->ctx, l->tsc_deadline);
        }
        break;
    default:
        break;
    }
    arm_at(l, ns);
}

/* One expiry of a periodic timer: whether it interrupts, and when the next one is. A tick is still
 * owed while the interrupt of the one before is not delivered. */
static bool fire_above_floor(struct vlapic *l, uint64_t now_ns)
{
    if (tick_floor_holds(l->floor, now_ns)) {
        arm_at(l, l->floor->free_ns);
        return false;
    }
    uint64_t passed = periods_passed(l, now_ns);
    uint8_t vector = (uint8_t)(l->lvt[LVT_TIMER] & LVT_VECTOR);
    bool pending = l->irr[vector / 64] & BIT(vector % 64);

    if (passed - l->ticks_given > TICKS_OWED_MAX) {
        l->ticks_given = passed - TICKS_OWED_MAX;
    }
    if (!pending && passed > l->ticks_given) {
        l->ticks_given++;
    }
    tick_floor_pass(l->floor, now_ns);
    uint64_t next = passed > l->ticks_given ? now_ns : next_expiry(l, now_ns);
    arm_at(l, next == TIMER_NEVER ? next : tick_floor_after(l->floor, next));
    return !pending;
}

void vlapic_timer_fired(void *ctx, uint64_t now_ns)
{
    struct vlapic *l = ctx;

    if (mode_of(l) == TIMER_DEADLINE) {
        l->tsc_deadline = 0;
    } else if (mode_of(l) == TIMER_PERIODIC && tick_floor_is_on(l->floor)) {
        if (!fire_above_floor(l, now_ns)) {
            return;
        }
    } else if (mode_of(l) == TIMER_PERIODIC) {
        /* However many periods were missed, one interrupt; and not more than the host can bear. */
        uint64_t next = next_expiry(l, now_ns);
        if (next < now_ns + VLAPIC_MIN_PERIOD_NS) {
            next = next_expiry(l, now_ns + VLAPIC_MIN_PERIOD_NS);
        }
        arm_at(l, next);
    }
    vlapic_local(l, LVT_TIMER);
}

void vlapic_timer_settle(struct vlapic *l)
{
    uint64_t now = l->q->now_ns();

    if (l->timer.armed && l->timer.deadline_ns <= now) {
        timerq_cancel(l->q, &l->timer);
        vlapic_timer_fired(l, now);
    }
}

void vlapic_timer_change_mode(struct vlapic *l, uint32_t lvt)
{
    unsigned from = mode_of(l), to = LVT_TIMER_MODE(lvt);

    if (from == to) {
        return;
    }
    if (from == TIMER_DEADLINE || to == TIMER_DEADLINE) {
        l->initial = 0; /* going to or from TSC-deadline mode disarms the timer */
        l->tsc_deadline = 0;
    } else if (from == TIMER_ONE_SHOT && vlapic_timer_count(l) == 0) {
        l->timer_done = true; /* SDM vol. 3, 11.5.4: the initial count starts it, nothing else */
    } else if (from == TIMER_PERIODIC && l->initial != 0 && !l->timer_done) {
        /* The period under way is the last. */
        uint64_t periods = elapsed_ticks(l, l->q->now_ns()) / period_ticks(l);
        l->timer_start_ns += ticks_to_ns(periods * period_ticks(l), l->bus_hz);
    }
}

void vlapic_timer_write_initial(struct vlapic *l, uint32_t count)
{
    if (mode_of(l) == TIMER_DEADLINE) {
        return;
    }
    l->initial = count;
    l->timer_done = false;
    l->timer_start_ns = l->q->now_ns();
    vlapic_timer_update(l);
}

/* The count goes on from where it is, at the new speed. */
void vlapic_timer_write_divide(struct vlapic *l, uint32_t value)
{
    uint64_t done;

    vlapic_timer_settle(l);
    done = l->initial - vlapic_timer_count(l);
    l->divide = value & 0xb;
    /* Modulo 2^64 this may lie before the clock's zero; only differences are ever used. */
    l->timer_start_ns = l->q->now_ns() - ticks_to_ns(done * divider(l->divide), l->bus_hz);
    vlapic_timer_update(l);
}

void vlapic_timer_write_deadline(struct vlapic *l, uint64_t tsc)
{
    if (mode_of(l) != TIMER_DEADLINE) {
        return;
    }
    l->tsc_deadline = tsc;
    vlapic_timer_update(l);
    vlapic_timer_settle(l); /* past: at once */
}

void vlapic_tsc_moved(struct vlapic *l)
{
    if (mode_of(l) == TIMER_DEADLINE) {
        vlapic_timer_settle(l); /* it was due before the move */
        vlapic_timer_update(l);
        vlapic_timer_settle(l);
    }
}

void vlapic_skip(struct vlapic *l, uint64_t ns)
{
    l->timer_start_ns += ns;
    vlapic_timer_update(l);
}
