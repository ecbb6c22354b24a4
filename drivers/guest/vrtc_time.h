/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The RTC's registers as a date: Gregorian calendar, BCD or binary, 12 or 24 hours.
 *
 * Seconds are counted from the first day of the year 0 (proleptic), so that no register contents
 * give a negative number.
 */
#ifndef DRIVERS_GUEST_VRTC_TIME_H
#define DRIVERS_GUEST_VRTC_TIME_H

#include "base/types.h"

#define VRTC_SECONDS 0x00
#define VRTC_SECONDS_ALARM 0x01
#define VRTC_MINUTES 0x02
#define VRTC_MINUTES_ALARM 0x03
#define VRTC_HOURS 0x04
#define VRTC_HOURS_ALARM 0x05
#define VRTC_WEEKDAY 0x06
#define VRTC_DAY 0x07
#define VRTC_MONTH 0x08
#define VRTC_YEAR 0x09
#define VRTC_REG_A 0x0a
#define VRTC_REG_B 0x0b
#define VRTC_REG_C 0x0c
#define VRTC_REG_D 0x0d
#define VRTC_CENTURY 0x32

#define VRTC_B_24H 0x02u
#define VRTC_B_BINARY 0x04u

#define VRTC_EPOCH_1970 (UINT64_C(719528) * 86400) /* 1970-01-01 in our count */

/* Writes the time and date registers of cmos for the moment s, in the format that register B says.
 */
void vrtc_time_encode(uint8_t *cmos, uint64_t s);
/* The moment that they name; what is not a date is brought to the nearest one. */
uint64_t vrtc_time_decode(const uint8_t *cmos);
/* The first moment after s at which the alarm registers match, or UINT64_MAX. */
uint64_t vrtc_time_next_alarm(const uint8_t *cmos, uint64_t s);

#endif
