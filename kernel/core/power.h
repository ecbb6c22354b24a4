/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a run. A gentle one presses the power buttons of all VMs first and waits until they
 * are off, host.shutdown_wait at most; what is still on then is stopped. Then every disk is
 * flushed, the report printed, the serial line drained; and the machine goes off, or starts again.
 * What some disk does not take is named in the log, and lost. Each step has an end, whatever a VM,
 * a disk or the console does.
 *
 * The order and the patience are here. What is done in a step is the rooms' above, which say so
 * with the power_set functions when they are made.
 */
#ifndef KERNEL_CORE_POWER_H
#define KERNEL_CORE_POWER_H

#include "base/types.h"
#include "kernel/config/config.h"

/* The VMs. */
struct power_vms {
    /* Asks all that are on to shut down. */
    void (*press)(void);
    /* How many are on. Only asked once the end is sure: sees to it that none starts again. */
    unsigned (*on)(void);
    /* Their names, "a, b and 7 more"; good until the next call. */
    const char *(*list_on)(void);
    /* Names in the log those that are on, which did not shut down in time. */
    void (*say_overdue)(void);
    /* Begins to stop the n-th, from 0; false: there is no n-th. */
    bool (*stop)(unsigned n, bool reboot);
    /* All have ended, and there is one that ran or was to. */
    bool (*ended)(void);
    /* One was to start at boot and never did: the run is a failed one. */
    bool (*failed)(void);
};

/* The disks. */
struct power_disks {
    /* Begins to flush all that VMs can write to, all at once: one that does not answer keeps no
     * other waiting. */
    void (*flush)(void);
    /* How many of these flushes have not ended. */
    unsigned (*flushing)(void);
    /* Names in the log what is not on its disk. */
    void (*say_lost)(void);
};

/* The statistics. */
struct power_stats {
    /* Something is about to take memory away from VMs. */
    void (*note)(void);
    /* No more lines that come by themselves. */
    void (*hush)(void);
    /* Prints the report's n-th line, from 0; false: there is no n-th. */
    bool (*report)(unsigned n);
};

/* The console. */
struct power_console {
    /* Takes the terminal back from what has it. */
    void (*release)(void);
    /* All that was written has left the machine. */
    bool (*drained)(void);
};

/* Each once, before power_init. They stay. */
void power_set_vms(const struct power_vms *vms);
void power_set_disks(const struct power_disks *disks);
void power_set_stats(const struct power_stats *stats);
void power_set_console(const struct power_console *console);

/* Registers with the loop. */
void power_init(const struct config *config);
/* Begins the gentle end. While it waits already: says for what, and what comes then may change. */
void power_shut_down(bool reboot);
/* Begins the end at once: VMs are stopped as they are. No effect when it has begun. */
void power_off(bool reboot);
/* Whether VMs are being shut down or stopped for it: none may be started any more. */
bool power_is_coming(void);
/* Whether they are being stopped: the monitor takes no more commands. */
bool power_is_ending(void);
/* Whether to end by itself when the last VM goes off. */
void power_when_off(bool poweroff);
bool power_ends_when_off(void);

#endif
