/* SPDX-License-Identifier: BSD-2-Clause */
/* The counting of the 8254, mode by mode. */
#include "drivers/guest/vpit_counter.h"

static uint32_t from_bcd(uint16_t v)
{
    return (v & 15u) + (v >> 4 & 15u) * 10 + (v >> 8 & 15u) * 100 + (v >> 12 & 15u) * 1000;
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

/* How far the counter goes before it wraps. */
static uint32_t modulus(const struct vpit_channel *c)
{
    return c->bcd ? 10000 : 0x10000;
}

static bool is_periodic(const struct vpit_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool needs_trigger(const struct vpit_channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

void vpit_settle(struct vpit_channel *c, uint64_t tick)
{
    if (c->next_count != 0 && tick >= c->next_start) {
        c->count = c->next_count;
        c->start = c->next_start;
        c->next_count = 0;
    }
}

/* Ticks since the count was loaded. */
static uint64_t elapsed(const struct vpit_channel *c, uint64_t tick)
{
    if (!c->gate && (c->mode == 0 || c->mode == 4)) {
        return c->held;
    }
    return tick > c->start ? tick - c->start : 0;
}

/* Whether there is a count and it is being counted, or has been. */
static bool is_counting(const struct vpit_channel *c, uint64_t tick)
{
    return c->count != 0 && tick >= c->start && (!needs_trigger(c) || c->triggered);
}

void vpit_load(struct vpit_channel *c, uint64_t tick, uint16_t value)
{
    uint32_t count = c->bcd ? from_bcd(value) : value;

    if (count == 0) {
        count = modulus(c);
    }
    vpit_settle(c, tick);
    if (is_periodic(c) && c->count != 0 && c->gate && tick >= c->start) {
        c->next_count = count; /* the present period is finished first */
        c->next_start = c->start + ((tick - c->start) / c->count + 1) * c->count;
    } else if (needs_trigger(c) && c->triggered) {
        c->next_count = count; /* waits for the next trigger */
        c->next_start = UINT64_MAX;
    } else {
        c->count = count;
        c->start = tick + 1;
        c->held = 0;
        c->next_count = 0;
    }
}

void vpit_set_gate(struct vpit_channel *c, uint64_t tick, bool gate)
{
    if (gate == c->gate) {
        return;
    }
    vpit_settle(c, tick);
    if (c->mode == 0 || c->mode == 4) { /* the gate holds the counter */
        if (gate) {
            c->start = tick + 1 - (c->held < tick + 1 ? c->held : tick + 1);
        } else {
            c->held = elapsed(c, tick);
        }
    } else if (gate) { /* the others begin anew */
        if (c->next_count != 0) {
            c->count = c->next_count;
            c->next_count = 0;
        }
        c->start = tick + 1;
        c->triggered = c->count != 0;
    }
    c->gate = gate;
}

/* Mode 3: how long OUT is high in a period of n. */
static uint64_t high_part(uint32_t n)
{
    return (n + 1) / 2;
}

static uint32_t counter(const struct vpit_channel *c, uint64_t tick)
{
    uint64_t d = elapsed(c, tick);
    uint32_t n = c->count;

    if (n == 0) {
        return 0;
    }
    if (is_periodic(c)) {
        uint64_t in_period = c->gate ? d % n : 0;
        if (c->mode == 2) {
            return n - (uint32_t)in_period;
        }
        if (in_period >= high_part(n)) {
            in_period -= high_part(n);
        }
        return (n & ~1u) - 2 * (uint32_t)in_period;
    }
    if (needs_trigger(c) && !c->triggered) {
        return n;
    }
    /* Past zero it goes on from the top. */
    return (uint32_t)((n % modulus(c) + modulus(c) - d % modulus(c)) % modulus(c));
}

uint16_t vpit_value(struct vpit_channel *c, uint64_t tick)
{
    uint32_t v;

    vpit_settle(c, tick);
    v = counter(c, tick);
    return c->bcd ? to_bcd(v) : (uint16_t)v;
}

bool vpit_out(struct vpit_channel *c, uint64_t tick)
{
    uint64_t d;

    vpit_settle(c, tick);
    if (!is_counting(c, tick)) {
        return c->mode != 0;
    }
    d = elapsed(c, tick);
    switch (c->mode) {
    case 0:
        return d >= c->count;
    case 1:
        return d >= c->count;
    case 2:
        return !c->gate || d % c->count != c->count - 1;
    case 3:
        return !c->gate || d % c->count < high_part(c->count);
    default:
        return d != c->count;
    }
}

bool vpit_null_count(struct vpit_channel *c, uint64_t tick)
{
    vpit_settle(c, tick);
    return c->count == 0 || c->next_count != 0 || tick < c->start ||
           (needs_trigger(c) && !c->triggered);
}

uint64_t vpit_next_edge(struct vpit_channel *c, uint64_t tick)
{
    uint64_t edge;

    vpit_settle(c, tick);
    if (c->count == 0 || !c->gate || (needs_trigger(c) && !c->triggered)) {
        return UINT64_MAX;
    }
    if (!is_periodic(c)) {
        edge = c->start + c->count + (c->mode >= 4 ? 1 : 0);
        return edge > tick ? edge : UINT64_MAX;
    }
    if (tick < c->start) {
        return c->start + c->count;
    }
    /* The end of this period; when a new count takes over there, it begins with that edge. */
    return c->start + ((tick - c->start) / c->count + 1) * c->count;
}
