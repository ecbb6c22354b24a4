/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partition tables (MBR with logical partitions, GPT) and the block devices they make of a disk.
 *
 * The parser reads through a callback, one sector at a time, and believes nothing: every chain is
 * bounded, every range lies inside the disk, and partitions that overlap an earlier one are left
 * out, so that two VMs with one partition each can never reach each other's sectors.
 *
 * A partition device hands requests down with r->sector moved to the disk's numbering and does not
 * move it back: a submitter that reuses a request sets its sector again.
 */
#ifndef DRIVERS_BLOCK_PARTITION_PARTITION_H
#define DRIVERS_BLOCK_PARTITION_PARTITION_H

#include "drivers/block/blk.h"

#define PARTITION_MAX 128

enum partition_scheme { PARTITION_NONE, PARTITION_MBR, PARTITION_GPT };

struct partition {
    uint32_t number; /* 1 ..; logical MBR partitions from 5 on; GPT: the entry's place + 1 */
    uint64_t first;  /* sector */
    uint64_t sectors;
};

struct partition_table {
    enum partition_scheme scheme;
    bool backup;        /* GPT: the primary was bad, the backup at the disk's end was used */
    unsigned n;         /* partitions found, in the table's order */
    unsigned n_refused; /* entries left out: outside the disk, or overlapping */
    struct partition parts[PARTITION_MAX];
};

struct partition_reader {
    /* Reads one sector of 512 bytes into buf. */
    enum status (*read)(void *ctx, uint64_t sector, void *buf);
    void *ctx;
    uint64_t sectors; /* the disk's capacity */
};

/*
 * Reads the disk's partition table into *t. OK with scheme NONE when the disk has none. E_INVAL: a
 * protective MBR whose GPT and backup GPT are both damaged. Otherwise the reader's error.
 */
enum status partition_scan(const struct partition_reader *r, struct partition_table *t) MUST_CHECK;

/* A partition as a block device; owned by the caller, who keeps it where it is while in use. */
struct partition_dev {
    struct blk_dev dev; /* must be first: the submit function gets here by it */
    struct blk_dev *disk;
};

/* Makes the device of partition p of `disk`, named DISKpN. E_RANGE: not inside the disk. */
enum status partition_dev_init(struct partition_dev *pd, struct blk_dev *disk,
                               const struct partition *p) MUST_CHECK;

/* As partition_scan, on a disk, with `buf` (va and machine address of at least 512 bytes) to read
 * into, waiting by blk_read_wait. Only for start-up. */
struct partition_probe {
    struct blk_dev *disk;
    void *va;
    hpa_t pa;
    void (*poll)(void *ctx);
    void *ctx;
};
enum status partition_probe(const struct partition_probe *p, struct partition_table *t) MUST_CHECK;

#endif
