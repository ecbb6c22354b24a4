/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's disks by the names that a configuration uses: ata0, ata0p1, module:NAME. */
#ifndef KERNEL_STORAGE_DISKS_H
#define KERNEL_STORAGE_DISKS_H

#include "drivers/block/cache/cache.h"
#include "kernel/config/config.h"

/* Finds the host's disks and partitions and puts the cache over each. What is broken is logged and
 * left out. Needs interrupts and the cache. */
void disks_init(const struct config *config);
/* Makes the cache write as the configuration and cache.max say now. */
void disks_configure(const struct config_host *host);
/* The disk with the cache over it, or NULL. */
struct blk_dev *disks_find(const char *name);
/* The queue of a VM's disk in the cache: blkcache_queue_init with its share. */
enum status disks_queue_init(struct blkcache_queue *q, void (*wake)(void *ctx),
                             void *ctx) MUST_CHECK;
/* Copies what a VM, by its number, reads from disks in memory and writes to them, until the
 * deadline. True: there is more. */
bool disks_memory_work(uint16_t vm, const struct deadline *until);
/* Names in the log what is not on its disk at the machine's end. */
void disks_say_lost(void);
/* Drives the disks and their time-outs; for blk_wait at start-up. */
void disks_poll(void *ctx);
/* How many bytes are read ahead at most, from now on. */
void disks_set_readahead(uint64_t bytes);
/* What the host's disks were asked for since boot; boot modules are not counted. */
struct disks_counts {
    uint64_t commands, merged, errors, timeouts, read_sectors, written_sectors;
    uint64_t faults; /* injected by disk.fault */
};
struct disks_counts disks_counts(void);
/* The rules by which they fail on purpose (disk.fault); they may be changed at any time. */
struct faulty *disks_faulty(void);
/* Their names in one line, for messages; "none" when there are none. */
const char *disks_list(void);

#endif
