/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a run: every VM is stopped, every disk flushed, the report printed, the serial line
 * drained; then the machine goes off, or starts again. What some disk does not take is named in the
 * log, and lost. Each step has an end, whatever a disk or the console does.
 */
#ifndef KERNEL_POWER_H
#define KERNEL_POWER_H

#include "base/types.h"
#include "kernel/config/config.h"

/* Registers with the loop. After vms_init and console_init. */
void power_init(const struct config *config);
/* Begins the end; the rest happens in the loop. No effect when it has begun. */
void power_off(bool reboot);
/* Whether it has begun: the monitor takes no more commands. */
bool power_is_ending(void);
/* Whether to end by itself when the last VM goes off. */
void power_when_off(bool poweroff);
bool power_ends_when_off(void);

#endif
