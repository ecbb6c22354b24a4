/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fake PIIX IDE controller with one channel behind base/portio.h: task file, IDENTIFY by PIO, bus
 * master with PRDs over a fake machine memory, soft reset, and errors on order. A rule of the
 * programming interface that the driver breaks (a command while busy, a PRD that crosses 64 KiB, a
 * wrong direction) aborts the test.
 */
#ifndef TESTS_HOST_SUPPORT_FAKE_ATA_H
#define TESTS_HOST_SUPPORT_FAKE_ATA_H

#include "drivers/host/disk/ata.h"
#include "fake_portio.h"

#define ATA_FAKE_CMD 0x1f0
#define ATA_FAKE_CTL 0x3f6
#define ATA_FAKE_BM 0xc000

#define ATA_FAKE_LOW UINT64_C(0x00100000)  /* machine memory: 2 MiB here */
#define ATA_FAKE_HIGH UINT64_C(0xffff0000) /* and 2 MiB across the 4 GiB line */
#define ATA_FAKE_BYTES (2u << 20)

#define ATA_FAKE_MOVES 64u

struct ata_fake_drive {
    bool present, atapi, lba48, trim;
    uint64_t sectors; /* the capacity it tells */
    uint64_t base;    /* the LBA at which `data` begins: for capacities that nobody stores */
    uint64_t stored;  /* sectors in data */
    uint8_t *data;
};

struct ata_fake {
    struct fake_ports ports[3];
    struct ata_fake_drive drive[2];
    uint8_t *low, *high;
    /* task file: [0] current, [1] previous content */
    uint8_t count[2], lba[3][2], device, features, status, error, control, command;
    uint8_t bm_command, bm_status;
    uint32_t bm_prd;
    uint16_t pio[256];
    unsigned pio_left;
    bool running; /* a command is in progress */
    bool irq;     /* the line */
    /* orders */
    unsigned fail;     /* so many commands fail */
    unsigned lose_irq; /* so many interrupts get lost */
    unsigned hang;     /* so many commands never end, until a reset */
    bool dead;         /* BSY for ever once reset */
    uint64_t bad_lba;  /* a sector whose transfers fail, UINT64_MAX: none */
    uint64_t lost_lba; /* a sector whose transfers never end, likewise */
    uint64_t now_ns;
    unsigned n_commands, n_flushes, n_resets;
    unsigned n_looks; /* at the alternate status */
    /* The transfers that ended well, the latest ones. */
    struct ata_fake_move {
        unsigned drive;
        bool in;
        uint64_t lba;
        uint32_t sectors;
    } moves[ATA_FAKE_MOVES];
    unsigned n_moves; /* of all, so the last one is moves[(n_moves - 1) % ATA_FAKE_MOVES] */
};

void ata_fake_init(struct ata_fake *f);
/* Both places get a drive like this one, with data of its own in all `stored` sectors. */
void ata_fake_insert(struct ata_fake *f, const struct ata_fake_drive *like);
/* Initialises the channel on the fake, whose clock goes on by a microsecond at each look. One fake
 * at a time, for the driver's clock has no context. */
enum status ata_fake_start(struct ata_fake *f, struct ata_channel *ch) MUST_CHECK;
void ata_fake_free(struct ata_fake *f);
void *ata_fake_mem(struct ata_fake *f, hpa_t a, uint64_t bytes);
/* Lets the running command end, if there is one. Returns whether the interrupt line is up. */
bool ata_fake_complete(struct ata_fake *f);

#endif
