/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's disks, whatever their driver, each with its delay and the elevator above it. */
#ifndef KERNEL_STORAGE_HOSTDISK_H
#define KERNEL_STORAGE_HOSTDISK_H

#include "drivers/block/delay.h"
#include "drivers/block/elevator.h"
#include "kernel/storage/driver.h"

struct hostdisk {
    struct elevator_dev top; /* what is above the driver: requests go to top.dev */
    struct delay_dev delay;
    const char *model;
    STAILQ_ENTRY(hostdisk) link, port_link;
};

/* Finds the disks of these drivers, in their order, to be used by n_vms VMs. Their ids are the
 * drivers' in the same order, from 0 on. Once. */
void hostdisks_find(const struct disk_driver *const *drivers, unsigned n, unsigned n_vms);
/* The disk behind d, from the first one on (NULL), in the order in which they were found; NULL
 * behind the last. */
struct hostdisk *hostdisks_next(const struct hostdisk *d);
/* Does what is due; for those that wait at start-up. */
void hostdisks_poll(uint64_t now_ns);
/* Adds what the disks were asked for. */
void hostdisks_count(struct disks_counts *all);

/* Makes them as slow as disk.delay says; logs what there is. */
void hostdisks_slow(const struct config *config);
/* Makes a disk as slow as that from its next command on. E_NOTFOUND: it is not there. */
enum status hostdisk_set_delay(const struct config_delay *delay) MUST_CHECK;
/* The i-th disk with its delay, and how many commands that has kept back; false past the last. */
bool hostdisk_delay(unsigned i, struct config_delay *out, uint64_t *held);

#endif
