/* SPDX-License-Identifier: BSD-2-Clause */
/* The panic port: see pvpanic.h. */
#include "drivers/guest/pvpanic.h"

/* Reading tells which events the host understands. */
static uint64_t pvpanic_read(void *dev, uint64_t addr, unsigned size)
{
    (void)dev;
    (void)addr;
    (void)size;
    return PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
}

static void pvpanic_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    const struct pvpanic *p = dev;

    (void)addr;
    (void)size;
    if (value & PVPANIC_PANICKED) {
        p->event(p->ctx, PVPANIC_PANICKED);
    } else if (value & PVPANIC_CRASH_LOADED) {
        p->event(p->ctx, PVPANIC_CRASH_LOADED);
    }
}

enum status pvpanic_attach(struct pvpanic *p, struct iobus *ports)
{
    return iobus_add(ports, PVPANIC_PORT, 1, pvpanic_read, pvpanic_write, p);
}
