/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a driver of disks is to the machine, and what it may ask for in return.
 *
 * A driver finds disks and drives them. Everything above a disk is put there by hostdisk.c, the
 * same for all drivers: delay, elevator, interrupts, deadlines, whose account pays. A new driver
 * (AHCI, NVMe) is a file with one of these structs, and a line in the list of disks.c.
 *
 * Disks that share a device's time are of one port: an IDE channel is one. A port does one batch of
 * requests at a time (drivers/block/elevator.h).
 */
#ifndef KERNEL_STORAGE_DRIVER_H
#define KERNEL_STORAGE_DRIVER_H

#include "drivers/block/blk.h"
#include "kernel/storage/disks.h"

struct disk_driver {
    const char *name;
    unsigned n_ids; /* so many disks at most, with the ids (struct blk_dev) from `first_id` on */
    /* Finds the disks: diskport_add for each port, and disk_add for each of its disks. What cannot
     * be used is logged and left out. */
    void (*find)(const struct disk_driver *self, uint32_t first_id);
    /* The port's interrupt; it may be another device's, on a shared line. */
    void (*irq)(void *port);
    /* Does what is due by now, if anything is: a time-out, a lost interrupt. */
    void (*tick)(void *port, uint64_t now_ns);
    /* When `tick` is to be called next; UINT64_MAX: not before something else happens. */
    uint64_t (*next_ns)(const void *port);
    /* Adds what the port was asked for since boot. */
    void (*count)(const void *port, struct disks_counts *all);
};

/*
 * For `find`. A port, which stays the driver's, with its interrupt on a line of the machine: the
 * driver's functions are called with `port`, `irq` from now on. E_RANGE, E_NOMEM: as
 * irq_register_line; it is not added then.
 */
struct diskport;
enum status diskport_add(const struct disk_driver *driver, void *port, unsigned line,
                         struct diskport **out) MUST_CHECK;
/* A disk of the port. `dev` and `model` stay the driver's. */
void disk_add(struct diskport *p, struct blk_dev *dev, const char *model);

/* For the driver at any time; ctx is not looked at. */
/* A port's next_ns has become earlier. */
void diskport_deadline_changed(void *ctx);
/* The bytes at a machine address. */
void *diskport_bytes_at(void *ctx, hpa_t a);

#endif
