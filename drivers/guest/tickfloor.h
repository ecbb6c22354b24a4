/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor under the rate of a VM's periodic timers (PIT, RTC, local APICs), all of them together:
 * between two expiries there are at least min_ns, so that neither the host nor the guest is kept
 * busy with nothing else. What comes due sooner waits.
 *
 * A timer asks twice: tick_floor_after when it is armed, and tick_floor_holds when it expires, as
 * another one may have expired meanwhile. One that is held is armed for free_ns, and one that has
 * expired for a moment later at the soonest. So they take turns, in the order in which they wait.
 *
 * Ticks that were missed, because they came faster or because the VM was not run, are owed and
 * delivered one by one at that pace, up to TICKS_OWED_MAX of them; the rest is lost, as on a PC
 * whose interrupts are off for too long.
 */
#ifndef DRIVERS_GUEST_TICKFLOOR_H
#define DRIVERS_GUEST_TICKFLOOR_H

#include "base/types.h"

#define TICKS_OWED_MAX 32u

struct tick_floor {
    uint64_t min_ns;  /* 0: there is no floor, and no tick is owed */
    uint64_t free_ns; /* no expiry before this moment */
};

static inline bool tick_floor_is_on(const struct tick_floor *f)
{
    return f != NULL && f->min_ns > 0;
}

/* A timer expires now. */
static inline void tick_floor_pass(struct tick_floor *f, uint64_t now_ns)
{
    f->free_ns = now_ns + f->min_ns;
}

/* When one may that is due at this moment. */
static inline uint64_t tick_floor_after(const struct tick_floor *f, uint64_t due_ns)
{
    return due_ns > f->free_ns ? due_ns : f->free_ns + 1;
}

/* Whether one that is due must wait until free_ns. */
static inline bool tick_floor_holds(const struct tick_floor *f, uint64_t now_ns)
{
    return tick_floor_is_on(f) && now_ns < f->free_ns;
}

#endif
