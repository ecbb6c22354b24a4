/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers of ATA and of the bus master, and what the driver's files share. */
#ifndef DRIVERS_HOST_DISK_ATA_INTERNAL_H
#define DRIVERS_HOST_DISK_ATA_INTERNAL_H

#include "base/portio.h"
#include "drivers/host/disk/ata.h"

/* command block, offsets from cmd */
#define ATA_DATA 0
#define ATA_FEATURES 1
#define ATA_ERROR 1
#define ATA_COUNT 2
#define ATA_LBA0 3
#define ATA_LBA1 4
#define ATA_LBA2 5
#define ATA_DEVICE 6
#define ATA_STATUS 7 /* reading it takes the interrupt back */
#define ATA_COMMAND 7

#define ATA_S_ERR 0x01
#define ATA_S_DRQ 0x08
#define ATA_S_DF 0x20
#define ATA_S_DRDY 0x40
#define ATA_S_BSY 0x80

#define ATA_CTL_NIEN 0x02
#define ATA_CTL_SRST 0x04

#define ATA_DEV_BASE 0xa0 /* bits that older drives want set */
#define ATA_DEV_LBA 0x40
#define ATA_DEV_SLAVE 0x10

#define ATA_CMD_DSM 0x06
#define ATA_CMD_READ_DMA_EXT 0x25
#define ATA_CMD_WRITE_DMA_EXT 0x35
#define ATA_CMD_READ_DMA 0xc8
#define ATA_CMD_WRITE_DMA 0xca
#define ATA_CMD_FLUSH 0xe7
#define ATA_CMD_FLUSH_EXT 0xea
#define ATA_CMD_IDENTIFY 0xec

/* bus master, offsets from bm */
#define BM_COMMAND 0
#define BM_STATUS 2
#define BM_PRD 4
#define BM_C_START 0x01
#define BM_C_READ 0x08 /* from the device into memory */
#define BM_S_ACTIVE 0x01
#define BM_S_ERROR 0x02
#define BM_S_IRQ 0x04

#define PRD_LAST UINT32_C(0x80000000)
#define PRD_ENTRIES (PAGE_SIZE / 8)
/* A command's sectors: what 28-bit commands can name; what 48-bit ones are used for, so that nobody
 * waits long for the one before. A full PRD table may end it earlier. */
#define ATA_CMD_SECTORS 256u
#define ATA_CMD_SECTORS_EXT 1024u /* what follows its end is one step */
#define ATA_LBA28_SECTORS UINT64_C(0x0fffffff)

/* Status reads before a command, a microsecond or so each; where they are not enough, the next ones
 * come so much later. */
#define ATA_POLL_ISSUE 32u
#define ATA_SELECT_LOOK_NS UINT64_C(1000000)

/* What the running command moves. */
enum ata_move { ATA_MOVE_NONE, ATA_MOVE_IN, ATA_MOVE_OUT };

/* Fills the PRD table for up to `max` sectors of the batch from sector `skip` on. Returns the
 * sectors. */
uint32_t ata_prd_build(struct ata_channel *ch, uint64_t skip, uint32_t max);
/* After a read: copies what was bounced to where it belongs. */
void ata_prd_unbounce(struct ata_channel *ch, uint64_t skip, uint32_t sectors);
/* A TRIM payload for sectors of r from `skip` on; returns how many it covers. */
uint64_t ata_prd_trim(struct ata_channel *ch, const struct blk_req *r, uint64_t skip);

/* Puts a request into the queue. */
void ata_queue_add(struct ata_channel *ch, struct blk_req *r);
/* Moves what comes next from the queue to the batch, which is empty. False: nothing waits. */
bool ata_queue_take(struct ata_channel *ch);
/* Puts the batch back to the front of the queue, each request to be taken by itself. */
void ata_queue_split(struct ata_channel *ch);

/* The most sectors that one command of this disk may have. */
static inline uint32_t ata_cmd_max(const struct ata_disk *d)
{
    return d->lba48 ? ATA_CMD_SECTORS_EXT : ATA_CMD_SECTORS;
}

/* blk_dev.submit: queues the request; done at once with E_IO on a channel that is dead. */
void ata_submit(struct blk_dev *d, struct blk_req *r);

#endif
