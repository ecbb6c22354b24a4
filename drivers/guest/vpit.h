/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8254 interval timer, port 0x61 (speaker gate, refresh toggle) and IRQ 0.
 *
 * Counts are computed from the queue's clock when they are read; a timer is armed for channel 0
 * only. Ticks that come too fast, or while the guest is not run, are owed (tickfloor.h). Without a
 * floor one tick stands for all that were missed, and for those closer than VPIT_MIN_FIRE_NS. The
 * phase is kept.
 */
#ifndef DRIVERS_GUEST_VPIT_H
#define DRIVERS_GUEST_VPIT_H

#include "base/status.h"
#include "base/timer.h"
#include "base/types.h"
#include "drivers/guest/iobus.h"
#include "drivers/guest/irq.h"
#include "drivers/guest/tickfloor.h"

#define PIT_HZ 1193182u
#define VPIT_IRQ 0
#define VPIT_MIN_FIRE_NS 50000u

struct vpit_channel {
    uint64_t start;      /* tick at which the present count is (or was) loaded */
    uint64_t next_start; /* modes 2, 3: when next_count takes over, at the end of a period */
    uint64_t held;       /* modes 0, 4: ticks counted when the gate fell */
    uint32_t count;      /* 1..0x10000; 0: none written since the mode was set */
    uint32_t next_count; /* 0: none */
    uint16_t latched;
    uint8_t mode, access, status;
    uint8_t low_byte; /* first half of a two-byte write */
    bool bcd, gate;
    bool triggered; /* modes 1, 5: the gate has risen since the count was written */
    bool write_high, read_high;
    bool have_latch, have_status;
};

struct vpit {
    struct vpit_channel ch[3];
    struct timerq *q;
    struct timer timer;
    struct irq_sink irqs;
    struct tick_floor *floor; /* the VM's, or NULL; to be set after vpit_init */
    uint64_t next_tick;       /* of channel 0's edges, the first that is not counted in `owed` */
    uint32_t owed;
    uint8_t speaker; /* bits 0, 1 of port 0x61 as written */
};

/* Channels as a PC's firmware leaves them; channel 0 drives ISA line 0. */
void vpit_init(struct vpit *p, struct timerq *q, const struct irq_sink *irqs);
/* Ports 0x40..0x43 and 0x61. */
enum status vpit_attach(struct vpit *p, struct iobus *ports) MUST_CHECK;
/* After vpit_stop, ns ago: the channels go on as if that time had not been. */
void vpit_skip(struct vpit *p, uint64_t ns);
/* Takes its timer off the queue; before the VM goes away or the PIT is made anew. */
void vpit_stop(struct vpit *p);

#endif
