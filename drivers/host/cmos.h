/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's wall clock, from its CMOS RTC: read once, then carried on by the monotonic clock. */
#ifndef DRIVERS_HOST_CMOS_H
#define DRIVERS_HOST_CMOS_H

#include "base/types.h"

/* Reads the RTC (UTC assumed) and remembers it against `now_ns`. A clock that shows nonsense or
 * never stops updating counts as 2000-01-01. */
void cmos_init(uint64_t now_ns);
/* Seconds since 1970 at now_ns. */
uint64_t cmos_now_s(uint64_t now_ns);
/* Seconds since 1970 of a date of the years 1970 to 2105; month and day from 1. Pure. */
uint64_t cmos_epoch(unsigned year, unsigned month, unsigned day, unsigned h, unsigned m,
                    unsigned s);

#endif
