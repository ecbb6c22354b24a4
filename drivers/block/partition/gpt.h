/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the two halves of the partition parser; everybody else includes partition.h. */
#ifndef DRIVERS_BLOCK_PARTITION_GPT_H
#define DRIVERS_BLOCK_PARTITION_GPT_H

#include "drivers/block/partition/partition.h"

/* Reads the GPT, or its backup when the primary is bad. E_INVAL when both are. */
enum status partition_scan_gpt(const struct partition_reader *r,
                               struct partition_table *t) MUST_CHECK;

/* Appends [first, first + sectors) if it lies in the disk and overlaps nothing; else counts it. */
void partition_add(struct partition_table *t, uint64_t disk_sectors, uint32_t number,
                   uint64_t first, uint64_t sectors);

#endif
