/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk over a range of machine memory, such as a boot module.
 *
 * With a `wake`, requests wait until ramdisk_work copies or clears them, a page at a time, in the
 * turn of the VM that asked. Two requests that overlap, one of them not a read, must not be waiting
 * together: the cache above sees to that. Without a `wake` a request is done inside submit, which
 * is for submitters whose requests are short.
 */
#ifndef DRIVERS_BLOCK_RAMDISK_H
#define DRIVERS_BLOCK_RAMDISK_H

#include "base/deadline.h"
#include "drivers/block/blk.h"

struct ramdisk {
    struct blk_dev dev; /* must be first */
    uint8_t *window;    /* window + machine address is the byte there */
    hpa_t base;
    uint64_t memory_bytes; /* segments must lie below this machine address */
    struct blk_req_list waiting;
    /* r waits for ramdisk_work; may be NULL, and set after ramdisk_init. */
    void (*wake)(void *ctx, const struct blk_req *r);
    void *wake_ctx;
    /* Told for which account number the next piece of work for no queue is done; 0: for none. May
     * be NULL, and set after ramdisk_init. */
    void (*charge)(uint16_t vm);
};

/*
 * Makes the disk of [base, base + bytes); a last part of a sector is left out. `name` is cut to
 * fit. `window` + machine address must be readable and writable for [0, memory_bytes), which holds
 * both the disk and every segment of its requests. E_RANGE: the disk does not lie in it, is empty,
 * or has 2^32 sectors.
 */
enum status ramdisk_init(struct ramdisk *rd, const char *name, uint32_t id, void *window,
                         uint64_t memory_bytes, hpa_t base, uint64_t bytes,
                         bool read_only) MUST_CHECK;
/* Goes on with the requests of account number `vm` (0: with those without an account, or whose
 * account has no queue: writing back) until the deadline (NULL: there is none). True: there is
 * more.
 */
bool ramdisk_work(struct ramdisk *rd, uint16_t vm, const struct deadline *until);

#endif
