/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk over a range of machine memory, such as a boot module. Requests are done inside submit. */
#ifndef DRIVERS_BLOCK_RAMDISK_H
#define DRIVERS_BLOCK_RAMDISK_H

#include "drivers/block/blk.h"

struct ramdisk {
    struct blk_dev dev; /* must be first */
    uint8_t *window;    /* window + machine address is the byte there */
    hpa_t base;
    uint64_t memory_bytes; /* segments must lie below this machine address */
};

/*
 * Makes the disk of [base, base + bytes); a last part of a sector is left out. `name` is cut to
 * fit. `window` + machine address must be readable and writable for [0, memory_bytes), which holds
 * both the disk and every segment of its requests. E_RANGE: the disk does not lie in it, or is
 * empty.
 */
enum status ramdisk_init(struct ramdisk *rd, const char *name, uint32_t id, void *window,
                         uint64_t memory_bytes, hpa_t base, uint64_t bytes,
                         bool read_only) MUST_CHECK;

#endif
