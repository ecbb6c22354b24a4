/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254's ports, latches, gates and channel 0's interrupt; the counting itself is
 * vpit_counter.c.
 */
#include "drivers/guest/vpit.h"

#include "base/bits.h"
#include "drivers/guest/iobytes.h"
#include "drivers/guest/ticks.h"
#include "drivers/guest/vpit_counter.h"

#define SPEAKER_GATE 0x01u
#define SPEAKER_BITS 0x0fu
#define SPEAKER_REFRESH 0x10u
#define SPEAKER_OUT2 0x20u
#define REFRESH_TICKS 18u /* the refresh request toggles every 15 us */

#define ACCESS_LOW 1
#define ACCESS_HIGH 2

static uint64_t now_ticks(const struct vpit *p)
{
    return ticks_from_ns(p->q->now_ns(), PIT_HZ);
}

/* Arms the timer for channel 0's next rising edge after `tick`, but no sooner than soonest_ns. */
static void arm(struct vpit *p, uint64_t tick, uint64_t soonest_ns)
{
    uint64_t edge = vpit_next_edge(&p->ch[0], tick);
    struct vpit_channel later = p->ch[0]; /* looking ahead must not change the present */
    uint64_t ns;

    if (edge == UINT64_MAX) {
        timerq_cancel(p->q, &p->timer);
        return;
    }
    ns = ticks_to_ns(edge, PIT_HZ);
    p->next_tick = edge;
    if (tick_floor_is_on(p->floor)) {
        ns = tick_floor_after(p->floor, p->owed > 0 ? 0 : ns);
    } else if (ns < soonest_ns) { /* too fast: the first edge at or after that moment */
        edge = vpit_next_edge(&later, ticks_from_ns(soonest_ns, PIT_HZ));
        ns = edge == UINT64_MAX ? soonest_ns : ticks_to_ns(edge, PIT_HZ);
    }
    timerq_arm(p->q, &p->timer, ns);
}

/* Counts the edges up to now as owed, less the one that is delivered now. */
static void count_owed(struct vpit *p, uint64_t tick, uint64_t now_ns)
{
    const struct vpit_channel *c = &p->ch[0];
    uint64_t edges = 0;

    if (tick >= p->next_tick) {
        bool periodic = c->mode == 2 || c->mode == 3;
        edges = 1 + (periodic && c->count != 0 ? (tick - p->next_tick) / c->count : 0);
    }
    p->owed = (uint32_t)MIN(p->owed + edges, TICKS_OWED_MAX);
    p->owed -= p->owed > 0;
    tick_floor_pass(p->floor, now_ns);
}

static void timer_fired(void *ctx, uint64_t now_ns)
{
    struct vpit *p = ctx;
    uint64_t tick = ticks_from_ns(now_ns, PIT_HZ);

    if (tick_floor_holds(p->floor, now_ns)) {
        timerq_arm(p->q, &p->timer, p->floor->free_ns);
        return;
    }
    vpit_settle(&p->ch[0], tick);
    if (tick_floor_is_on(p->floor)) {
        count_owed(p, tick, now_ns);
    }
    /* One edge, however many were missed; the floor has counted them. OUT stays high afterwards:
     * its low time is short in the modes that matter, and the PIC looks at the edge only. */
    p->irqs.set_line(p->irqs.ctx, VPIT_IRQ, false);
    p->irqs.set_line(p->irqs.ctx, VPIT_IRQ, true);
    arm(p, tick, now_ns + VPIT_MIN_FIRE_NS);
}

static void load_count(struct vpit *p, unsigned n, uint16_t value)
{
    uint64_t tick = now_ticks(p);

    vpit_load(&p->ch[n], tick, value);
    if (n == 0) {
        p->owed = 0;
        arm(p, tick, 0);
    }
}

static void write_counter(struct vpit *p, unsigned n, uint8_t value)
{
    struct vpit_channel *c = &p->ch[n];

    if (c->access == ACCESS_LOW) {
        load_count(p, n, value);
    } else if (c->access == ACCESS_HIGH) {
        load_count(p, n, (uint16_t)(value << 8));
    } else if (!c->write_high) {
        c->low_byte = value;
        c->write_high = true;
    } else {
        c->write_high = false;
        load_count(p, n, (uint16_t)(c->low_byte | value << 8));
    }
}

static uint8_t read_counter(struct vpit *p, unsigned n)
{
    struct vpit_channel *c = &p->ch[n];
    uint16_t value;
    bool high;

    if (c->have_status) {
        c->have_status = false;
        return c->status;
    }
    value = c->have_latch ? c->latched : vpit_value(c, now_ticks(p));
    high = c->access == ACCESS_HIGH || (c->access != ACCESS_LOW && c->read_high);
    if (c->access != ACCESS_LOW && c->access != ACCESS_HIGH) {
        c->read_high = !c->read_high;
        if (high) {
            c->have_latch = false;
        }
    } else {
        c->have_latch = false;
    }
    return (uint8_t)(high ? value >> 8 : value);
}

/* A second latch command before the first is read has no effect. */
static void latch_count(struct vpit_channel *c, uint64_t tick)
{
    if (!c->have_latch) {
        c->latched = vpit_value(c, tick);
        c->have_latch = true;
    }
}

static void latch_status(struct vpit_channel *c, uint64_t tick)
{
    if (!c->have_status) {
        c->status = (uint8_t)(vpit_out(c, tick) << 7 | vpit_null_count(c, tick) << 6 |
                              c->access << 4 | c->mode << 1 | c->bcd);
        c->have_status = true;
    }
}

static void set_mode(struct vpit *p, unsigned n, uint8_t control)
{
    struct vpit_channel *c = &p->ch[n];
    unsigned mode = control >> 1 & 7;
    bool gate = c->gate;

    *c = (struct vpit_channel){
        .mode = (uint8_t)(mode > 5 ? mode - 4 : mode), /* 6 and 7 are other names of 2 and 3 */
        .access = control >> 4 & 3,
        .bcd = control & 1,
        .gate = gate,
    };
    if (n == 0) {
        timerq_cancel(p->q, &p->timer);
        p->irqs.set_line(p->irqs.ctx, VPIT_IRQ, false);
    }
}

static void write_control(struct vpit *p, uint8_t control)
{
    uint64_t tick = now_ticks(p);
    unsigned n = control >> 6;

    if (n == 3) { /* read-back */
        for (unsigned i = 0; i < 3; i++) {
            if (control & 2u << i) {
                if (!(control & 0x20)) {
                    latch_count(&p->ch[i], tick);
                }
                if (!(control & 0x10)) {
                    latch_status(&p->ch[i], tick);
                }
            }
        }
    } else if ((control & 0x30) == 0) {
        latch_count(&p->ch[n], tick);
    } else {
        set_mode(p, n, control);
    }
}

static uint8_t read_port(void *dev, unsigned port)
{
    return port == 3 ? 0xff : read_counter(dev, port); /* the control word cannot be read */
}

static void write_port(void *dev, unsigned port, uint8_t value)
{
    if (port == 3) {
        write_control(dev, value);
    } else {
        write_counter(dev, port, value);
    }
}

static uint64_t pit_io_read(void *dev, uint64_t addr, unsigned size)
{
    return io_split_read(read_port, dev, 4, addr, size);
}

static void pit_io_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    io_split_write(write_port, dev, 4, addr, size, value);
}

static uint64_t speaker_read(void *dev, uint64_t addr, unsigned size)
{
    struct vpit *p = dev;
    uint64_t tick = now_ticks(p);
    uint64_t value = p->speaker;

    (void)addr;
    (void)size;
    value |= tick / REFRESH_TICKS & 1 ? SPEAKER_REFRESH : 0;
    value |= vpit_out(&p->ch[2], tick) ? SPEAKER_OUT2 : 0;
    return value;
}

static void speaker_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct vpit *p = dev;

    (void)addr;
    (void)size;
    p->speaker = value & SPEAKER_BITS;
    vpit_set_gate(&p->ch[2], now_ticks(p), value & SPEAKER_GATE);
}

void vpit_init(struct vpit *p, struct timerq *q, const struct irq_sink *irqs)
{
    *p = (struct vpit){.q = q, .irqs = *irqs};
    timer_init(&p->timer, timer_fired, p);
    for (unsigned i = 0; i < 3; i++) {
        p->ch[i].mode = 3;
        p->ch[i].access = 3;
        p->ch[i].gate = i != 2;
    }
    /* Firmware leaves channel 0 as the 18.2 Hz clock: some programs only ever read it. */
    load_count(p, 0, 0);
}

enum status vpit_attach(struct vpit *p, struct iobus *ports)
{
    enum status s = iobus_add(ports, 0x40, 4, pit_io_read, pit_io_write, p);

    if (s == OK) {
        s = iobus_add(ports, 0x61, 1, speaker_read, speaker_write, p);
    }
    return s;
}

void vpit_stop(struct vpit *p)
{
    timerq_cancel(p->q, &p->timer);
}

void vpit_skip(struct vpit *p, uint64_t ns)
{
    uint64_t now = p->q->now_ns();
    uint64_t tick = ticks_from_ns(now, PIT_HZ), by = tick - ticks_from_ns(now - ns, PIT_HZ);

    for (unsigned i = 0; i < 3; i++) {
        struct vpit_channel *c = &p->ch[i];
        c->start += by;
        if (c->next_start != UINT64_MAX) { /* that one waits for a trigger */
            c->next_start += by;
        }
    }
    arm(p, tick, 0);
}
