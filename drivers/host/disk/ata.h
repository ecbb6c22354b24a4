/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ATA disks on a PIIX-style IDE controller: bus-master DMA, one command at a time per channel.
 *
 * A channel is idle, waits for a drive that is still busy, runs a command, or resets. Commands end
 * by interrupt (ata_irq) or, when that is lost, by the deadline (ata_tick), and the next one starts
 * there, before anybody is told about the last one. An error is tried again after a soft reset,
 * ATA_RETRIES times, then the request fails with E_IO; selecting and resetting are sequences of
 * deadlines and never wait in place. Only ata_probe polls, at start-up. ATAPI devices are ignored.
 *
 * Requests are served in the order of their arrival; those that follow one another, of one kind and
 * with their sectors in a row, become one command. Which request comes when is settled above
 * (drivers/block/elevator.h). When a command of several requests fails, each of them is tried again
 * by itself.
 *
 * DMA reaches the first 4 GiB; what lies above goes through the bounce buffer.
 * ATA/ATAPI-7 (volumes 1 and 2); Programming Interface for Bus Master IDE Controller, revision 1.0.
 * Locking: one CPU calls everything of a channel, completions included.
 */
#ifndef DRIVERS_HOST_DISK_ATA_H
#define DRIVERS_HOST_DISK_ATA_H

#include "drivers/block/blk.h"
#include "drivers/host/pci.h"

#define ATA_RETRIES 3
#define ATA_SELECT_TIMEOUT_NS UINT64_C(100000000)  /* before a command; mostly there is no wait */
#define ATA_TIMEOUT_NS UINT64_C(10000000000)       /* a transfer */
#define ATA_FLUSH_TIMEOUT_NS UINT64_C(60000000000) /* a flush may write a whole cache */
#define ATA_RESET_TIMEOUT_NS UINT64_C(31000000000) /* ATA-7: 31 s until BSY clears */

/*
 * A channel's DMA memory, supplied by the caller: contiguous, page-aligned, below 4 GiB, at least 3
 * pages: the PRD table, a page of zeroes, and the bounce buffer (33 pages hold a whole command).
 */
struct ata_dma_mem {
    void *va;
    hpa_t pa;
    uint32_t bytes;
};
#define ATA_DMA_BYTES (35 * 4096u)

struct ata_host {
    uint64_t (*now_ns)(void); /* the clock of deadlines */
    /* The bytes at a machine address, for segments that need the bounce buffer. */
    void *(*bytes_at)(void *ctx, hpa_t a);
    void *ctx;
    /* Called when a channel's deadline becomes earlier than ata_tick said; may be NULL when the
     * caller looks often enough. */
    void (*deadline_changed)(void *ctx);
};

enum ata_state {
    ATA_IDLE,
    ATA_SELECTED, /* the drive takes no command yet */
    ATA_RUNNING,
    ATA_RESET_HOLD,
    ATA_RESET_SETTLE,
    ATA_RESET_BUSY,
    ATA_DEAD
};

struct ata_channel;

struct ata_disk {
    struct blk_dev dev; /* must be first */
    struct ata_channel *ch;
    uint8_t drive; /* 0 master, 1 slave */
    bool present, lba48, flush, flush_ext;
    char model[41];
};

struct ata_channel {
    const struct ata_host *host;
    struct ata_dma_mem mem;
    uint16_t cmd, ctl, bm; /* port bases: 8 command ports, device control, bus master */
    uint8_t irq;           /* ISA line in compatibility mode, else the PCI line */
    struct ata_disk disks[2];
    enum ata_state state;
    uint64_t deadline_ns;      /* UINT64_MAX: none */
    uint64_t select_end_ns;    /* when a drive that takes no command is reset */
    uint64_t reset_end_ns;     /* when a reset that does not end is given up */
    struct blk_req_list queue; /* in the order of arrival; the first n_alone are taken singly */
    unsigned n_alone;
    /* Being worked on, in one or more commands: of one disk and kind, and their sectors in a row.
     * A request leaves when all of it is done. */
    struct blk_req_list batch;
    uint64_t done_sectors; /* of the batch's first request, by commands that ended well */
    uint32_t cmd_sectors;  /* of the running command */
    unsigned retries;
    /* statistics; merged: requests that came along in another's command */
    uint64_t n_commands, n_merged, n_errors, n_timeouts, n_resets, n_bounced;
    uint64_t n_read_sectors, n_written_sectors; /* by commands that ended well */
};

/* Sets up a channel at these ports. E_INVAL: memory that is too small, not aligned or too high. */
enum status ata_channel_init(struct ata_channel *ch, const struct ata_host *host,
                             const struct ata_dma_mem *mem, uint16_t cmd, uint16_t ctl, uint16_t bm,
                             uint8_t irq) MUST_CHECK;
/* Finds ports and lines of both channels of the first IDE controller that can be a bus master, and
 * switches it on. mem: one for each. E_NOTFOUND: there is none. */
enum status ata_find_pci(struct ata_channel ch[2], const struct ata_host *host,
                         const struct ata_dma_mem mem[2]) MUST_CHECK;
/*
 * Identifies the channel's disks, by polling, and enables its interrupt. They are named ata<n> and
 * ata<n + 1>, and get these numbers plus first_id as ids. Returns how many there are.
 */
unsigned ata_probe(struct ata_channel *ch, unsigned first_number, uint32_t first_id);

/* To be called on the channel's interrupt, or to poll. Returns whether it was the channel's. */
bool ata_irq(struct ata_channel *ch);
/* To be called when the deadline is due (harmless before); returns the next deadline, UINT64_MAX
 * when there is none. */
uint64_t ata_tick(struct ata_channel *ch, uint64_t now_ns);

#endif
