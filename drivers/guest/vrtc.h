/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MC146818 real-time clock with its CMOS memory, ports 0x70 and 0x71, IRQ 8.
 *
 * The time is UTC. Registers are computed when they are read; a timer is armed only while the guest
 * has an interrupt enabled. Missed periodic ticks are coalesced into one.
 */
#ifndef DRIVERS_GUEST_VRTC_H
#define DRIVERS_GUEST_VRTC_H

#include "base/status.h"
#include "base/timer.h"
#include "base/types.h"
#include "drivers/guest/iobus.h"
#include "drivers/guest/irq.h"
#include "drivers/guest/tickfloor.h"

#define VRTC_PORT 0x70
#define VRTC_IRQ 8

struct vrtc {
    uint8_t cmos[128]; /* time registers: as last written or read; A..D apart from live bits */
    uint8_t index;
    uint64_t base_s;  /* seconds since the first day of the year 0 ... */
    uint64_t base_ns; /* ... at this moment of the queue's clock (modulo 2^64), while it runs */
    uint64_t seen_ns; /* up to here update, alarm and periodic flags have been worked out */
    struct timerq *q;
    struct timer timer;
    struct irq_sink irqs;
    struct tick_floor *floor; /* the VM's, or NULL; to be set after vrtc_init */
    void (*alarm)(void *ctx); /* an enabled alarm has come; NULL: nobody listens */
    void *alarm_ctx;
};

/* A clock that stands at epoch_s (seconds since 1970, UTC) now. */
void vrtc_init(struct vrtc *r, struct timerq *q, const struct irq_sink *irqs, uint64_t epoch_s);
/* Who else hears of an alarm whose interrupt is enabled: the chipset wakes the machine by it. */
void vrtc_on_alarm(struct vrtc *r, void (*alarm)(void *ctx), void *ctx);
/* What firmware notes about memory: bytes below 4 GiB (from 0) and bytes above 4 GiB. */
void vrtc_set_memory(struct vrtc *r, uint64_t below_bytes, uint64_t above_bytes);
enum status vrtc_attach(struct vrtc *r, struct iobus *ports) MUST_CHECK;
/* Takes its timer off the queue. */
void vrtc_stop(struct vrtc *r);

#endif
