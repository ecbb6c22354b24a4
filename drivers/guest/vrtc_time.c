/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates in and out of the RTC's registers, and when its alarm is next due. */
#include "drivers/guest/vrtc_time.h"

#include "base/bits.h"

#define DAY_S UINT64_C(86400)
#define PM 0x80u
#define ALARM_ANY 0xc0u /* both top bits set: matches everything */
#define ANY (-1)
#define NEVER (-2)

static bool is_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 0000-01-01 to the first day of the year. */
static uint64_t days_before_year(uint64_t year)
{
    return 365 * year + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

static uint8_t encode(const uint8_t *cmos, unsigned v)
{
    if (cmos[VRTC_REG_B] & VRTC_B_BINARY) {
        return (uint8_t)v;
    }
    return (uint8_t)(v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const uint8_t *cmos, uint8_t v)
{
    return cmos[VRTC_REG_B] & VRTC_B_BINARY ? v : (v >> 4) * 10u + (v & 15u);
}

static uint8_t encode_hour(const uint8_t *cmos, unsigned hour)
{
    unsigned h12 = hour % 12 == 0 ? 12 : hour % 12;

    if (cmos[VRTC_REG_B] & VRTC_B_24H) {
        return encode(cmos, hour);
    }
    return (uint8_t)(encode(cmos, h12) | (hour >= 12 ? PM : 0));
}

/* 0..23, or something larger for what is not an hour. */
static unsigned decode_hour(const uint8_t *cmos, uint8_t v)
{
    unsigned hour;

    if (cmos[VRTC_REG_B] & VRTC_B_24H) {
        return decode(cmos, v);
    }
    hour = decode(cmos, v & (uint8_t)~PM);
    if (hour == 0 || hour > 12) {
        return 24;
    }
    return hour % 12 + (v & PM ? 12u : 0u);
}

void vrtc_time_encode(uint8_t *cmos, uint64_t s)
{
    uint64_t days = s / DAY_S;
    unsigned in_day = (unsigned)(s % DAY_S);
    uint64_t y = days * 400 / 146097; /* off by one at most */
    unsigned year, month = 1, day;

    while (days_before_year(y) > days) {
        y--;
    }
    while (days_before_year(y + 1) <= days) {
        y++;
    }
    day = (unsigned)(days - days_before_year(y)) + 1;
    year = (unsigned)(y % 10000);
    while (month < 12 && day > days_in_month(year, month)) {
        day -= days_in_month(year, month++);
    }
    cmos[VRTC_SECONDS] = encode(cmos, in_day % 60);
    cmos[VRTC_MINUTES] = encode(cmos, in_day / 60 % 60);
    cmos[VRTC_HOURS] = encode_hour(cmos, in_day / 3600);
    cmos[VRTC_WEEKDAY] = encode(cmos, (unsigned)((days + 6) % 7) + 1); /* 0000-01-01: a Saturday */
    cmos[VRTC_DAY] = encode(cmos, day);
    cmos[VRTC_MONTH] = encode(cmos, month);
    cmos[VRTC_YEAR] = encode(cmos, year % 100);
    cmos[VRTC_CENTURY] = encode(cmos, year / 100);
}

uint64_t vrtc_time_decode(const uint8_t *cmos)
{
    unsigned second = MIN(decode(cmos, cmos[VRTC_SECONDS]), 59u);
    unsigned minute = MIN(decode(cmos, cmos[VRTC_MINUTES]), 59u);
    unsigned hour = MIN(decode_hour(cmos, cmos[VRTC_HOURS]), 23u);
    unsigned century = MIN(decode(cmos, cmos[VRTC_CENTURY]), 99u);
    unsigned year = century * 100 + MIN(decode(cmos, cmos[VRTC_YEAR]), 99u);
    unsigned month = MAX(MIN(decode(cmos, cmos[VRTC_MONTH]), 12u), 1u);
    unsigned day = MAX(decode(cmos, cmos[VRTC_DAY]), 1u);
    uint64_t days = days_before_year(year);

    day = MIN(day, days_in_month(year, month));
    for (unsigned m = 1; m < month; m++) {
        days += days_in_month(year, m);
    }
    return (days + day - 1) * DAY_S + hour * 3600u + minute * 60u + second;
}

/* What an alarm register asks for: a number below `limit`, ANY or NEVER. */
static int alarm_field(uint8_t raw, unsigned value, unsigned limit)
{
    if ((raw & ALARM_ANY) == ALARM_ANY) {
        return ANY;
    }
    return value < limit ? (int)value : NEVER;
}

static bool matches(int field, uint64_t value)
{
    return field == ANY || (uint64_t)field == value;
}

uint64_t vrtc_time_next_alarm(const uint8_t *cmos, uint64_t s)
{
    int second = alarm_field(cmos[VRTC_SECONDS_ALARM], decode(cmos, cmos[VRTC_SECONDS_ALARM]), 60);
    int minute = alarm_field(cmos[VRTC_MINUTES_ALARM], decode(cmos, cmos[VRTC_MINUTES_ALARM]), 60);
    int hour = alarm_field(cmos[VRTC_HOURS_ALARM], decode_hour(cmos, cmos[VRTC_HOURS_ALARM]), 24);
    uint64_t t = s + 1;

    if (second == NEVER || minute == NEVER || hour == NEVER) {
        return UINT64_MAX;
    }
    /* Each step goes to the start of the next hour, minute or second: 25 + 60 + 60 at most. */
    while (!matches(hour, t % DAY_S / 3600)) {
        t += 3600 - t % 3600;
    }
    while (!matches(minute, t / 60 % 60)) {
        t += 60 - t % 60;
        if (t % 3600 == 0) {
            while (!matches(hour, t % DAY_S / 3600)) {
                t += 3600;
            }
        }
    }
    if (!matches(second, t % 60)) {
        uint64_t to = t - t % 60 + (uint64_t)second;
        if (to > t) {
            return to;
        }
        /* That second of this minute is over: the first match of a later minute. */
        return vrtc_time_next_alarm(cmos, t - t % 60 + 59);
    }
    return t;
}
