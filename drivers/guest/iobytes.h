/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Byte-wide devices on the iobus: a wider access is split into byte accesses to successive ports,
 * as the ISA bus does; what lies past the device's last port reads as ones.
 */
#ifndef DRIVERS_GUEST_IOBYTES_H
#define DRIVERS_GUEST_IOBYTES_H

#include "base/types.h"

typedef uint8_t io_read8_fn(void *dev, unsigned port);
typedef void io_write8_fn(void *dev, unsigned port, uint8_t value);

static inline uint64_t io_split_read(io_read8_fn *read, void *dev, unsigned ports, uint64_t addr,
                                     unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size && i < 8; i++) {
        uint8_t byte = addr + i < ports ? read(dev, (unsigned)addr + i) : 0xff;
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}

static inline void io_split_write(io_write8_fn *write, void *dev, unsigned ports, uint64_t addr,
                                  unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size && i < 8 && addr + i < ports; i++) {
        write(dev, (unsigned)addr + i, (uint8_t)(value >> 8 * i));
    }
}

#endif
