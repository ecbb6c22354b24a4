/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PC's pair of 8259A interrupt controllers with the PIIX edge/level registers.
 *
 * Devices set lines 0..15; `intr` tells the owner whenever the master's INTR output changes. The
 * vCPU loop asks vpic_pending and, when the guest can take an external interrupt, vpic_ack.
 */
#ifndef DRIVERS_GUEST_VPIC_H
#define DRIVERS_GUEST_VPIC_H

#include "base/status.h"
#include "base/types.h"
#include "drivers/guest/iobus.h"

struct vpic_chip {
    uint8_t irr, isr, imr, lines, elcr;
    uint8_t base;     /* vector of input 0 (ICW2) */
    uint8_t lowest;   /* the input with the lowest priority: 7 unless rotated */
    uint8_t icw_next; /* 0: operational; 2, 3, 4: the ICW expected at the odd port */
    bool icw4_follows;
    bool single; /* ICW1 SNGL: no ICW3 follows */
    bool aeoi, rotate_aeoi, special_nested, special_mask, poll, read_isr;
};

struct vpic {
    struct vpic_chip chips[2]; /* master, slave */
    bool intr;
    void (*changed)(void *ctx, bool intr);
    void *ctx;
};

/* Power-on: everything masked until the guest initialises it. `changed` may be NULL. */
void vpic_init(struct vpic *p, void (*changed)(void *ctx, bool intr), void *ctx);
/* Ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1. */
enum status vpic_attach(struct vpic *p, struct iobus *ports) MUST_CHECK;
/* The level of line 0..15; others are ignored (line 2 is the cascade). */
void vpic_set_line(struct vpic *p, unsigned line, bool level);
/* What firmware does: makes a line level triggered, whatever its neighbours are. */
void vpic_set_level_triggered(struct vpic *p, unsigned line);
/* Whether INTR is up. */
bool vpic_pending(const struct vpic *p);
/* The INTA cycle: the vector, which is that of input 7 when the request has gone (spurious). */
uint8_t vpic_ack(struct vpic *p);

#endif
