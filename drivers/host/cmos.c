/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the MC146818: see cmos.h. */
#include "drivers/host/cmos.h"

#include "base/portio.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define REG_A_UIP 0x80
#define REG_B_BINARY 0x04
#define REG_B_24H 0x02
#define EPOCH_2000 UINT64_C(946684800)

static uint64_t base_s = EPOCH_2000, base_ns;

struct stamp {
    uint8_t s, m, h, day, month, year;
};

static uint8_t reg(uint8_t n)
{
    port_out8(CMOS_INDEX, n);
    return port_in8(CMOS_DATA);
}

static struct stamp read_stamp(void)
{
    return (struct stamp){reg(0), reg(2), reg(4), reg(7), reg(8), reg(9)};
}

static bool same(const struct stamp *a, const struct stamp *b)
{
    return a->s == b->s && a->m == b->m && a->h == b->h && a->day == b->day &&
           a->month == b->month && a->year == b->year;
}

static unsigned value(uint8_t raw, bool binary)
{
    return binary ? raw : (raw >> 4) * 10u + (raw & 0xfu);
}

uint64_t cmos_epoch(unsigned year, unsigned month, unsigned day, unsigned h, unsigned m, unsigned s)
{
    /* Days since 1970-03-01 counted in years that begin in March, so leap days come last. */
    unsigned y = month <= 2 ? year - 1 : year, mp = (month + 9) % 12;
    uint64_t days = UINT64_C(365) * y + y / 4 - y / 100 + y / 400 + (153 * mp + 2) / 5 + day - 1;

    return (days - 719468) * 86400 + h * UINT64_C(3600) + m * 60 + s;
}

void cmos_init(uint64_t now_ns)
{
    struct stamp a, b = read_stamp();
    bool steady = false;

    base_s = EPOCH_2000;
    base_ns = now_ns;
    /* Two equal readings with no update in progress are one moment; give up on a dead clock. */
    for (unsigned tries = 0; tries < 100000 && !steady; tries++) {
        if (reg(0x0a) & REG_A_UIP) {
            continue;
        }
        a = read_stamp();
        steady = same(&a, &b);
        b = a;
    }
    if (!steady) {
        return;
    }
    uint8_t mode = reg(0x0b);
    bool binary = mode & REG_B_BINARY;
    unsigned h = value(b.h & 0x7f, binary);
    if (!(mode & REG_B_24H)) {
        h = h % 12 + ((b.h & 0x80) ? 12 : 0);
    }
    unsigned month = value(b.month, binary), day = value(b.day, binary);
    if (month >= 1 && month <= 12 && day >= 1 && day <= 31) {
        base_s = cmos_epoch(2000 + value(b.year, binary), month, day, h, value(b.m, binary),
                            value(b.s, binary));
    }
}

uint64_t cmos_now_s(uint64_t now_ns)
{
    return base_s + (now_ns - base_ns) / UINT64_C(1000000000);
}
