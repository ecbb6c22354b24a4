/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a run. A gentle one presses the power buttons of all VMs first and waits until they
 * are off, host.shutdown_wait at most; what is still on then is stopped. Then every disk is
 * flushed, the report printed, the serial line drained; and the machine goes off, or starts again.
 * What some disk does not take is named in the log, and lost. Each step has an end, whatever a VM,
 * a disk or the console does.
 */
#ifndef KERNEL_POWER_H
#define KERNEL_POWER_H

#include "base/types.h"
#include "kernel/config/config.h"

/* Registers with the loop. After vms_init and console_init. */
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
