/* SPDX-License-Identifier: BSD-2-Clause */
/* Turning the machine off, or around. */
#ifndef ARCH_POWEROFF_H
#define ARCH_POWEROFF_H

#include "base/types.h"
#include "boot/acpi.h"

/* What the firmware's tables say about power; without this call only emulators can be turned off.
 * Copied. */
void machine_set_acpi(const struct acpi_info *info);

/*
 * The line "PAGEFOLD-EXIT code" on COM1, then off by the emulator's debug port or ACPI S5, else CLI
 * and HLT for ever. 0 is a clean end, 1 a panic or refusal: then only emulators are turned off, and
 * a real machine halts and stays on.
 */
_Noreturn void machine_exit(int code);
/* Reset: ACPI reset register, PCI reset port, keyboard controller, triple fault. */
_Noreturn void machine_reboot(void);

#endif
