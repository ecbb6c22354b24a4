/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's ATA disks, as an entry of the list of disk drivers. */
#ifndef KERNEL_STORAGE_ATA_H
#define KERNEL_STORAGE_ATA_H

#include "kernel/storage/driver.h"

extern const struct disk_driver ata_driver;

#endif
