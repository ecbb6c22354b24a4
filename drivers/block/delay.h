/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks that are slow on purpose (disk.delay): a filter between the elevator and a driver.
 *
 * The elevator hands down one batch at a time, which a driver makes one command (blk_req, `more`).
 * No request of a batch is done before the batch's time is over, counted from its start: so much
 * for the command, and so much for each 4 KiB that it reads or writes. The disk itself works as
 * ever; the elevator meanwhile gathers what comes next, as it does above a disk that seeks. The
 * driver's time-outs see nothing of this.
 *
 * Pure; locking as the disk's.
 */
#ifndef DRIVERS_BLOCK_DELAY_H
#define DRIVERS_BLOCK_DELAY_H

#include "drivers/block/blk.h"

#define DELAY_REQUESTS 32u /* of a batch; what goes beyond that is not delayed */

/* The least time of a command: for itself, and for each 4 KiB. */
struct delay_times {
    uint64_t command_ns, block_ns;
};

struct delay_host {
    uint64_t (*now_ns)(void);
    /* delay_next has become earlier. */
    void (*deadline_changed)(void *ctx);
    void *ctx;
};

struct delay_dev;

/* A request that the disk has, or has answered. */
struct delay_slot {
    struct blk_req req;   /* what the disk got */
    struct blk_req *orig; /* NULL: free */
    struct delay_dev *d;
    bool landed;
    enum status status;
};

struct delay_dev {
    struct blk_dev dev; /* must be first: submit to this */
    struct blk_dev *lower;
    const struct delay_host *host;
    struct delay_times times;  /* for batches that begin from now on */
    struct delay_times begun;  /* those of the batch that is under way, */
    uint64_t since_ns;         /* its start, */
    uint64_t sectors;          /* what it reads or writes, */
    unsigned n_flight, n_kept; /* and its requests: at the disk; answered, not done yet */
    uint64_t n_deferred;       /* batches that were kept back */
    struct delay_slot slots[DELAY_REQUESTS];
};

/* Puts d over the driver's disk `lower`, with its name, size and abilities, and no delay. */
void delay_dev_init(struct delay_dev *d, const struct delay_host *host, struct blk_dev *lower);

/* When delay_tick is to be called; UINT64_MAX: not before something else happens. */
uint64_t delay_next(const struct delay_dev *d);
/* Lets go of what was kept back, if its time has come. */
void delay_tick(struct delay_dev *d, uint64_t now_ns);

#endif
