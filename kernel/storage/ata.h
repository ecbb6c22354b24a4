/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's ATA disks, for kernel/storage/disks: found at start-up, and driven by interrupts and a
 * timer.
 */
#ifndef KERNEL_STORAGE_ATA_H
#define KERNEL_STORAGE_ATA_H

#include "drivers/host/disk/ata.h"
#include "kernel/storage/disks.h"

/* Finds the disks of the IDE controller, to be used by n_vms VMs; what cannot be used is logged and
 * left out. */
void disks_ata_find(unsigned n_vms);
/* The disk with its delay and the elevator above it. */
struct blk_dev *disks_ata_top(const struct ata_disk *d);
/* Makes them as slow as disk.delay says. */
void disks_ata_slow(const struct config *config);
/* The first disk from number *i on, which becomes its number; NULL when there is none. */
struct ata_disk *disks_ata_next(unsigned *i);
/* Does what is due; for those who wait at start-up. */
void disks_ata_poll(uint64_t now_ns);
/* Adds what they were asked for. */
void disks_ata_count(struct disks_counts *all);

#endif
