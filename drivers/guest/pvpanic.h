/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's pvpanic as an ISA port: a guest's kernel writes to it when it panics. ACPI names it
 * QEMU0001; Linux's pvpanic-mmio drives it. Source: QEMU, docs/specs/pvpanic.rst.
 */
#ifndef DRIVERS_GUEST_PVPANIC_H
#define DRIVERS_GUEST_PVPANIC_H

#include "base/status.h"
#include "drivers/guest/iobus.h"

#define PVPANIC_PORT 0x505
#define PVPANIC_PANICKED 0x01u     /* it panicked, and the host decides what follows */
#define PVPANIC_CRASH_LOADED 0x02u /* it panicked, and goes on with a crash kernel of its own */

struct pvpanic {
    void (*event)(void *ctx, unsigned event); /* PVPANIC_*; from inside the guest's access */
    void *ctx;
};

/* Puts the port on the bus. */
enum status pvpanic_attach(struct pvpanic *p, struct iobus *ports) MUST_CHECK;

#endif
