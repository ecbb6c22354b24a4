/* SPDX-License-Identifier: BSD-2-Clause */
/* The MC146818's ports, flags and interrupt; dates are vrtc_time.c. */
#include "drivers/guest/vrtc.h"

#include "base/bits.h"
#include "drivers/guest/iobytes.h"
#include "drivers/guest/ticks.h"
#include "drivers/guest/vrtc_time.h"

#define A_UIP 0x80u
#define A_DIVIDER(a) ((a) >> 4 & 7u)
#define DIVIDER_32K 2u
#define A_RATE(a) ((a)&15u)
#define B_SET 0x80u
#define B_UIE 0x10u
#define C_IRQF 0x80u
#define C_PF 0x40u
#define C_AF 0x20u
#define C_UF 0x10u
#define C_SOURCES (C_PF | C_AF | C_UF) /* the enables in B have the same places */
#define D_VALID 0x80u

#define UIP_NS 244000u /* UIP goes up this long before the registers change */
#define DIVIDER_START_NS                                                                           \
    500000000u /* the first update comes this long after the divider's reset                       \
                */
#define PERIODIC_HZ 32768u

#define CMOS_BASE_KIB 0x15
#define CMOS_EXT_KIB 0x17
#define CMOS_EXT_KIB_2 0x30
#define CMOS_EXT_64KIB 0x34
#define CMOS_HIGH_64KIB 0x5b

static bool is_running(const struct vrtc *r)
{
    return A_DIVIDER(r->cmos[VRTC_REG_A]) == DIVIDER_32K && !(r->cmos[VRTC_REG_B] & B_SET);
}

static uint64_t seconds_at(const struct vrtc *r, uint64_t ns)
{
    return r->base_s + (ns - r->base_ns) / NS_PER_S;
}

static bool is_time_register(unsigned index)
{
    return index == VRTC_CENTURY || (index <= VRTC_YEAR && index != VRTC_SECONDS_ALARM &&
                                     index != VRTC_MINUTES_ALARM && index != VRTC_HOURS_ALARM);
}

/* The periodic interrupt's period as a power of two of 32768 Hz ticks; 0: there is none. */
static unsigned period_shift(const struct vrtc *r)
{
    unsigned rate = A_RATE(r->cmos[VRTC_REG_A]);

    if (rate == 0 || A_DIVIDER(r->cmos[VRTC_REG_A]) != DIVIDER_32K) {
        return 0;
    }
    return rate <= 2 ? rate + 6 : rate - 1;
}

static void raise_alarm(struct vrtc *r)
{
    bool fresh = !(r->cmos[VRTC_REG_C] & C_AF);

    r->cmos[VRTC_REG_C] |= C_AF;
    if (fresh && r->cmos[VRTC_REG_B] & C_AF && r->alarm != NULL) {
        r->alarm(r->alarm_ctx);
    }
}

/* Works out which flags rose since the last look. */
static void settle(struct vrtc *r, uint64_t now)
{
    unsigned shift = period_shift(r);

    if (now <= r->seen_ns) {
        return;
    }
    if (shift != 0 && ticks_from_ns(now, PERIODIC_HZ) >> shift !=
                          ticks_from_ns(r->seen_ns, PERIODIC_HZ) >> shift) {
        r->cmos[VRTC_REG_C] |= C_PF;
    }
    if (is_running(r)) {
        /* Before base_ns nothing has happened: the clock was set between the two looks. */
        uint64_t from = seconds_at(r, r->seen_ns), to = seconds_at(r, now);
        if (from < to) {
            r->cmos[VRTC_REG_C] |= C_UF;
            if (vrtc_time_next_alarm(r->cmos, from) <= to) {
                raise_alarm(r);
            }
        }
    }
    r->seen_ns = now;
}

/* When the next enabled flag of these sources rises. */
static uint64_t next_event(const struct vrtc *r, uint64_t now, uint8_t sources)
{
    uint8_t wanted = r->cmos[VRTC_REG_B] & (uint8_t)~r->cmos[VRTC_REG_C] & sources;
    uint64_t next = TIMER_NEVER;
    unsigned shift = period_shift(r);

    if (wanted & C_PF && shift != 0) {
        uint64_t tick = ((ticks_from_ns(now, PERIODIC_HZ) >> shift) + 1) << shift;
        next = ticks_to_ns(tick, PERIODIC_HZ);
        next = tick_floor_is_on(r->floor) ? tick_floor_after(r->floor, next) : next;
    }
    if (is_running(r)) {
        uint64_t second_ns = now + NS_PER_S - (now - r->base_ns) % NS_PER_S;
        if (wanted & C_UF) {
            next = MIN(next, second_ns);
        }
        if (wanted & C_AF) {
            uint64_t s = seconds_at(r, now);
            uint64_t alarm = vrtc_time_next_alarm(r->cmos, s);
            if (alarm != UINT64_MAX) {
                next = MIN(next, second_ns + (alarm - s - 1) * NS_PER_S);
            }
        }
    }
    return next;
}

/* Sets IRQF and the line, and arms the timer for what comes next. */
static void update(struct vrtc *r, uint64_t now)
{
    uint8_t sources = C_SOURCES;
    uint64_t next;

    if (r->cmos[VRTC_REG_C] & r->cmos[VRTC_REG_B] & C_SOURCES) {
        if (!(r->cmos[VRTC_REG_C] & C_IRQF)) {
            r->cmos[VRTC_REG_C] |= C_IRQF;
            r->irqs.set_line(r->irqs.ctx, VRTC_IRQ, true);
        }
        /* Until the guest has read C no interrupt can be raised: only the chipset still wants to
         * hear of an alarm. */
        sources = r->alarm != NULL ? C_AF : 0;
    } else if (r->cmos[VRTC_REG_C] & C_IRQF) {
        r->cmos[VRTC_REG_C] &= (uint8_t)~C_IRQF;
        r->irqs.set_line(r->irqs.ctx, VRTC_IRQ, false);
    }
    next = next_event(r, now, sources);
    if (next == TIMER_NEVER) {
        timerq_cancel(r->q, &r->timer);
    } else {
        timerq_arm(r->q, &r->timer, next);
    }
}

static void timer_fired(void *ctx, uint64_t now_ns)
{
    struct vrtc *r = ctx;
    uint64_t now = MAX(now_ns, r->seen_ns); /* the guest may have looked since */

    bool periodic = period_shift(r) != 0 && (r->cmos[VRTC_REG_B] & C_PF) != 0;

    if (periodic && tick_floor_holds(r->floor, now)) {
        timerq_arm(r->q, &r->timer, r->floor->free_ns);
        return;
    }
    settle(r, now);
    if (periodic && tick_floor_is_on(r->floor)) {
        tick_floor_pass(r->floor, now);
    }
    update(r, now);
}

static uint8_t read_c(struct vrtc *r, uint64_t now)
{
    uint8_t value = r->cmos[VRTC_REG_C];

    r->cmos[VRTC_REG_C] = 0;
    if (value & C_IRQF) {
        r->irqs.set_line(r->irqs.ctx, VRTC_IRQ, false);
    }
    update(r, now);
    return value;
}

static uint8_t read_data(struct vrtc *r)
{
    uint64_t now = r->q->now_ns();

    settle(r, now);
    if (is_time_register(r->index) && is_running(r)) {
        vrtc_time_encode(r->cmos, seconds_at(r, now));
    }
    if (r->index == VRTC_REG_A) {
        bool soon = NS_PER_S - (now - r->base_ns) % NS_PER_S <= UIP_NS;
        return (uint8_t)(r->cmos[VRTC_REG_A] | (is_running(r) && soon ? A_UIP : 0));
    }
    if (r->index == VRTC_REG_C) {
        return read_c(r, now);
    }
    return r->index == VRTC_REG_D ? D_VALID : r->cmos[r->index];
}

/* The clock goes on from what the registers say, keeping the place within the second. */
static void restart(struct vrtc *r, uint64_t now)
{
    r->base_ns = now - (now - r->base_ns) % NS_PER_S;
    r->base_s = vrtc_time_decode(r->cmos);
}

/* Registers A and B: what starts or stops the clock, or changes the format. */
static void write_control(struct vrtc *r, uint8_t value, uint64_t now)
{
    bool was_running = is_running(r);
    unsigned divider = A_DIVIDER(r->cmos[VRTC_REG_A]);

    if (was_running) {
        vrtc_time_encode(r->cmos, seconds_at(r, now)); /* what they hold if it stops now */
    }
    if (r->index == VRTC_REG_A) {
        r->cmos[VRTC_REG_A] = value & (uint8_t)~A_UIP;
        if (divider != DIVIDER_32K && A_DIVIDER(value) == DIVIDER_32K) {
            r->base_ns = now - DIVIDER_START_NS;
        }
    } else {
        /* SET clears the update interrupt's enable (data sheet, "Register B"). */
        r->cmos[VRTC_REG_B] = value & B_SET ? value & (uint8_t)~B_UIE : value;
        if (was_running && is_running(r)) {
            vrtc_time_encode(r->cmos, seconds_at(r, now)); /* perhaps another format */
        }
    }
    if (!was_running && is_running(r)) {
        restart(r, now);
    }
}

static void write_data(struct vrtc *r, uint8_t value)
{
    uint64_t now = r->q->now_ns();

    settle(r, now);
    if (r->index == VRTC_REG_A || r->index == VRTC_REG_B) {
        write_control(r, value, now);
    } else if (r->index == VRTC_REG_C || r->index == VRTC_REG_D) {
        return; /* read-only */
    } else if (is_time_register(r->index) && is_running(r)) {
        vrtc_time_encode(r->cmos, seconds_at(r, now));
        r->cmos[r->index] = value;
        restart(r, now);
    } else {
        r->cmos[r->index] = value;
    }
    update(r, now);
}

static uint8_t read_port(void *dev, unsigned port)
{
    return port == 0 ? 0xff : read_data(dev); /* the index cannot be read */
}

static void write_port(void *dev, unsigned port, uint8_t value)
{
    struct vrtc *r = dev;

    if (port == 0) {
        r->index = value & 0x7f; /* the top bit is the chipset's NMI mask */
    } else {
        write_data(r, value);
    }
}

static uint64_t rtc_io_read(void *dev, uint64_t addr, unsigned size)
{
    return io_split_read(read_port, dev, 2, addr, size);
}

static void rtc_io_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    io_split_write(write_port, dev, 2, addr, size, value);
}

void vrtc_init(struct vrtc *r, struct timerq *q, const struct irq_sink *irqs, uint64_t epoch_s)
{
    *r = (struct vrtc){.q = q, .irqs = *irqs};
    timer_init(&r->timer, timer_fired, r);
    r->cmos[VRTC_REG_A] = DIVIDER_32K << 4 | 6; /* 1024 Hz */
    r->cmos[VRTC_REG_B] = VRTC_B_24H;
    r->base_ns = q->now_ns();
    r->seen_ns = r->base_ns;
    /* Up to the end of the year 9999, so that no sum of times overflows. */
    r->base_s = VRTC_EPOCH_1970 + MIN(epoch_s, UINT64_C(253402300799));
}

void vrtc_on_alarm(struct vrtc *r, void (*alarm)(void *ctx), void *ctx)
{
    r->alarm = alarm;
    r->alarm_ctx = ctx;
}

void vrtc_set_memory(struct vrtc *r, uint64_t below_bytes, uint64_t above_bytes)
{
    uint64_t ext_kib = below_bytes > 0x100000 ? (below_bytes - 0x100000) / 1024 : 0;
    uint64_t ext_64k = below_bytes > 0x1000000 ? (below_bytes - 0x1000000) / 0x10000 : 0;
    uint64_t high_64k = MIN(above_bytes / 0x10000, 0xffffffu);

    store_le16(&r->cmos[CMOS_BASE_KIB], 640);
    store_le16(&r->cmos[CMOS_EXT_KIB], (uint16_t)MIN(ext_kib, 0xffffu));
    store_le16(&r->cmos[CMOS_EXT_KIB_2], (uint16_t)MIN(ext_kib, 0xffffu));
    store_le16(&r->cmos[CMOS_EXT_64KIB], (uint16_t)MIN(ext_64k, 0xffffu));
    store_le16(&r->cmos[CMOS_HIGH_64KIB], (uint16_t)high_64k);
    r->cmos[CMOS_HIGH_64KIB + 2] = (uint8_t)(high_64k >> 16);
}

enum status vrtc_attach(struct vrtc *r, struct iobus *ports)
{
    return iobus_add(ports, VRTC_PORT, 2, rtc_io_read, rtc_io_write, r);
}

void vrtc_stop(struct vrtc *r)
{
    timerq_cancel(r->q, &r->timer);
}
