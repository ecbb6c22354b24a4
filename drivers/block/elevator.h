/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The elevator: which request a disk gets next. It lies directly above a driver that does one
 * command at a time, and everything else that reaches the disk lies above it.
 *
 * Requests wait here, one queue for each VM (by blk_account.vm; 0 is what belongs to none). What is
 * written back is of the VM that wrote it. The driver gets one batch at a time: requests of one VM,
 * of one kind, in a row on the disk, which it can make one command. The next batch is submitted
 * from the completion of the last one, so the disk does not stand still for it.
 *
 * Between VMs: the time that a batch takes is charged to its VM, and the VM that has had least is
 * next. A VM that has nothing waiting saves nothing up: when it comes back it stands beside the one
 * that is being served. So a VM with one request waits for the batch that is under way and goes
 * next; and VMs that always have requests get equal parts of the disk's time, whatever the size of
 * their requests. While several VMs use the disk, batches are short (ELEVATOR_SHARED_SECTORS).
 *
 * Inside a VM: in the order of the sectors, one sweep after the other; the oldest is passed by
 * ELEVATOR_PATIENCE times at most. Reading ahead comes last, after everybody's other requests, but
 * not for ever (ELEVATOR_AHEAD_PATIENCE).
 *
 * Order, across all VMs: requests of one disk that overlap, one of them not a read, keep their
 * order, and so do a flush and what changes the disk. One flush of the disk answers all that wait
 * and have nothing before them.
 *
 * Disks that share a channel share one struct elevator, as they share its time. Submitting and
 * completing take a time that grows with what waits, which the layers above bound. Pure; locking as
 * the disk's.
 */
#ifndef DRIVERS_BLOCK_ELEVATOR_H
#define DRIVERS_BLOCK_ELEVATOR_H

#include "drivers/block/blk.h"

#define ELEVATOR_BATCH 32u            /* requests */
#define ELEVATOR_SECTORS 1024u        /* of a batch, while one VM has the disk to itself */
#define ELEVATOR_SHARED_SECTORS 512u  /* and while several use it */
#define ELEVATOR_SHARED_BATCHES 16u   /* so many batches ago counts as now */
#define ELEVATOR_PATIENCE 16u         /* batches of its VM */
#define ELEVATOR_AHEAD_PATIENCE 1024u /* arrivals and batches of all */

struct elevator;

/* A disk, seen through the elevator. */
struct elevator_dev {
    struct blk_dev dev; /* must be first: submit to this */
    struct blk_dev *lower;
    struct elevator *e;
    uint8_t number; /* of those that share the elevator */
};

/* A request that the disk has. */
struct elevator_slot {
    struct blk_req req;   /* what the driver got */
    struct blk_req *orig; /* NULL: free */
    struct elevator *e;
};

struct elevator_vm {
    struct blk_req_list waiting; /* by place on the disk */
    uint64_t used_ns;            /* the disk's time that it has had, or would have had */
    uint32_t oldest;             /* the arrival of its oldest request at its last batch, */
    unsigned passed;             /* and how often that was passed by */
    uint32_t served;             /* the batch that was its last; 0: none yet */
};

struct elevator {
    uint64_t (*now_ns)(void);
    struct elevator_vm *vms;
    unsigned n_vms, n_devs;
    uint32_t clock;             /* arrivals and batches so far; wraps */
    uint32_t batches;           /* from 1 on */
    unsigned n_changes;         /* waiting requests that are not reads */
    uint64_t sweep;             /* the place where the last batch ended */
    uint64_t virtual_ns;        /* used_ns of the VM that is being served, when its batch began */
    struct elevator_vm *served; /* whose batch the disk has; NULL: none */
    uint64_t since_ns;          /* since then */
    unsigned n_flight;
    bool dispatching;
    struct elevator_slot slots[ELEVATOR_BATCH];
};

/* `vms` has n_vms entries, for the account numbers 0 to n_vms - 1; a higher one counts as 0. */
void elevator_init(struct elevator *e, uint64_t (*now_ns)(void), struct elevator_vm *vms,
                   unsigned n_vms);
/* Puts d over the driver's disk `lower`, with its name, size and abilities. */
void elevator_dev_init(struct elevator_dev *d, struct elevator *e, struct blk_dev *lower);

/* The account number of the batch that the driver has; 0 also when it has none. */
uint16_t elevator_served(const struct elevator *e);

#endif
