/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMs' part in the machine's end (kernel/core/power.h). */
#ifndef KERNEL_VM_POWER_H
#define KERNEL_VM_POWER_H

/* From vms_init. */
void vm_power_init(void);

#endif
