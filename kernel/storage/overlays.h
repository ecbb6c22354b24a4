/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMs' writes that are kept aside: the overlays of the configuration, opened once at boot and open
 * until the end, and the memory that all snapshots share. What a VM has of them is in
 * kernel/vm/disk.c.
 */
#ifndef KERNEL_STORAGE_OVERLAYS_H
#define KERNEL_STORAGE_OVERLAYS_H

#include "drivers/block/cow/overlay.h"
#include "drivers/block/cow/snapshot.h"
#include "kernel/config/config.h"

extern struct snapshot_pool aside_pool;

/* Makes the structures, and takes the disks' part in the machine's end (power.h). Before
 * bootmem_finish, after disks_init. */
void aside_init(const struct config *config);
/* Opens the overlays, waiting for the disks, and logs what cannot be. Once frames can be had. */
void aside_open(void);
/* The overlay of this disk of the configuration, or NULL: it could not be opened. */
struct overlay *aside_overlay(const struct config_disk *d);
/* An overlay's copy-on-write disk works without a VM from now on: nothing wakes the one that had
 * it. */
void aside_adopt(struct cow *cow);
/* Bounds the snapshots anew. */
void aside_configure(const struct config_host *host);
/* Frames that the overlays hold, for `check`. */
uint64_t aside_frames(void);
/*
 * Whether this disk of the configuration can be used as it says, given all the others, by the
 * sectors that they really have: E_EXISTS, with one line in `why`, if not.
 */
enum status aside_check(const struct config_disk *d, char *why, size_t why_size) MUST_CHECK;

#endif
