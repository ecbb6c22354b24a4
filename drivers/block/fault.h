/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks that fail on purpose: a layer over a disk that makes requests of chosen sectors fail, come
 * late, or fail late, so that what is above it (the cache, a guest's driver and file system) can be
 * tried out. Without rules it hands everything through.
 *
 * The rules belong to the machine and name their disk. The first rule that fits a request and has
 * strikes left decides. What it does, by kind:
 *
 *   ERROR    the disk does nothing; done at once with E_IO
 *   LOST     the disk does it, and then it is done with E_IO: the answer was lost, not the request
 *   TIMEOUT  the disk does nothing; done with E_IO after delay_ns
 *   SLOW     handed to the disk after delay_ns
 *
 * A request overlaps a rule's sectors by one sector or more; FLUSH, which has none, is only met by
 * rules that name FLUSH. While FAULTY_PENDING requests are waiting, LOST and TIMEOUT are as ERROR,
 * and SLOW is handed on at once. Pure; locking as the disk's.
 */
#ifndef DRIVERS_BLOCK_FAULT_H
#define DRIVERS_BLOCK_FAULT_H

#include "drivers/block/blk.h"

#define FAULTY_RULES 16
#define FAULTY_PENDING 64
#define FAULTY_NAME 64 /* bytes of a disk's name, its NUL included */

enum faulty_kind { FAULTY_ERROR, FAULTY_LOST, FAULTY_TIMEOUT, FAULTY_SLOW };

/* Which requests: discards and zeroes are WRITEs. */
#define FAULTY_READ 1u
#define FAULTY_WRITE 2u
#define FAULTY_FLUSH 4u

struct faulty_rule {
    char disk[FAULTY_NAME];
    uint8_t ops;              /* FAULTY_READ, ... */
    uint64_t sector, sectors; /* of the disk; not looked at for FLUSH */
    enum faulty_kind kind;
    uint64_t delay_ns;
    uint32_t times; /* strikes; 0: no end to them */
    uint64_t hits;  /* so often it has struck */
};

struct faulty_pending {
    struct blk_req *r; /* NULL: free */
    struct blk_req copy;
    struct blk_dev *lower;
    enum faulty_kind kind;
    uint64_t due_ns; /* UINT64_MAX: the disk has it */
};

/* What all faulty disks of the machine have in common. */
struct faulty {
    unsigned n_rules;
    struct faulty_rule rules[FAULTY_RULES];
    struct faulty_pending pending[FAULTY_PENDING];
    uint64_t struck; /* by all rules that there were */
    uint64_t (*now_ns)(void);
    /* The next deadline may have become earlier: see faulty_next. */
    void (*deadline_changed)(void *ctx);
    void *ctx;
};

struct faulty_dev {
    struct blk_dev dev; /* must be first: submit to this */
    struct blk_dev *lower;
    struct faulty *faulty;
    const char *name; /* by which rules mean it */
};

void faulty_init(struct faulty *f, uint64_t (*now_ns)(void), void (*deadline_changed)(void *ctx),
                 void *ctx);
/* Stacks d over the leaf disk `lower`. `name` must stay where it is. */
void faulty_dev_init(struct faulty_dev *d, struct faulty *f, struct blk_dev *lower,
                     const char *name);

/* One more rule, the last to be asked; its hits begin at 0. E_INVAL: no name, no kind of request,
 * or sectors that end past 2^64. E_NOMEM: FAULTY_RULES are there. */
enum status faulty_add(struct faulty *f, const struct faulty_rule *rule) MUST_CHECK;
/* No rules any more. Requests that wait already go their way. */
void faulty_clear(struct faulty *f);

/* When faulty_tick is to be called next; UINT64_MAX: not until something is submitted. */
uint64_t faulty_next(const struct faulty *f);
/* Goes on with the requests whose time has come. */
void faulty_tick(struct faulty *f, uint64_t now_ns);

#endif
