/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port and MMIO space that one guest sees: who answers which address.
 *
 * Device models register ranges when the VM is made. Accesses come from exits with size 1, 2 or 4
 * (MMIO also 8); a range's handler sees only accesses that begin inside it. Nobody there: reads
 * return all ones, writes are dropped, as on a PC.
 */
#ifndef DRIVERS_GUEST_IOBUS_H
#define DRIVERS_GUEST_IOBUS_H

#include "base/status.h"
#include "base/types.h"

/* `addr` is the offset from the range's start. Values are zero-extended. */
typedef uint64_t io_read_fn(void *dev, uint64_t addr, unsigned size);
typedef void io_write_fn(void *dev, uint64_t addr, unsigned size, uint64_t value);

struct io_range {
    uint64_t base, len;
    io_read_fn *read;   /* NULL: all ones */
    io_write_fn *write; /* NULL: dropped */
    void *dev;
};

#define IOBUS_RANGES 40

struct iobus {
    struct io_range ranges[IOBUS_RANGES]; /* sorted by base, not overlapping */
    unsigned n;
    unsigned last; /* the range that answered last: consoles and devices come in runs */
};

/* Nobody there. */
void iobus_init(struct iobus *b);
/* E_EXISTS: overlaps another range. E_NOMEM: table full. E_INVAL: empty or wrapping. */
enum status iobus_add(struct iobus *b, uint64_t base, uint64_t len, io_read_fn *read,
                      io_write_fn *write, void *dev) MUST_CHECK;
/* Takes away the range that begins at base, if there is one (a PCI BAR that moves). */
void iobus_remove(struct iobus *b, uint64_t base);
uint64_t iobus_read(struct iobus *b, uint64_t addr, unsigned size);
void iobus_write(struct iobus *b, uint64_t addr, unsigned size, uint64_t value);
/* Whether somebody answers at addr. */
bool iobus_has(const struct iobus *b, uint64_t addr);

#endif
