/* SPDX-License-Identifier: BSD-2-Clause */
/* Exact conversions between nanoseconds and the ticks of a device's clock, without overflow. */
#ifndef DRIVERS_GUEST_TICKS_H
#define DRIVERS_GUEST_TICKS_H

#include "base/types.h"

#define NS_PER_S UINT64_C(1000000000)

/* How many ticks of `hz` (at most 4 GHz) have passed at moment ns, rounded down. */
static inline uint64_t ticks_from_ns(uint64_t ns, uint64_t hz)
{
    return ns / NS_PER_S * hz + ns % NS_PER_S * hz / NS_PER_S;
}

/* The first nanosecond at which `ticks` ticks have passed; UINT64_MAX when that never happens. */
static inline uint64_t ticks_to_ns(uint64_t ticks, uint64_t hz)
{
    uint64_t s = ticks / hz;

    if (s >= UINT64_MAX / NS_PER_S - 1) {
        return UINT64_MAX;
    }
    return s * NS_PER_S + (ticks % hz * NS_PER_S + hz - 1) / hz;
}

#endif
