/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handlers of exits that are the same for all vendors. A handler returns true when the guest is to
 * be entered again, and false when hvm_run is to return *out.
 */
#ifndef ARCH_HVM_EXITS_H
#define ARCH_HVM_EXITS_H

#include "arch/x86_64/hvm/exit_info.h"
#include "arch/x86_64/hvm/vcpu.h"

/* cpuid.c */
bool hvm_exit_cpuid(struct hvm_vcpu *v, enum hvm_exit *out);
/* Makes the leaves, once hvm_caps is set. */
void hvm_cpuid_init(void);
/* Width of a guest-physical address, as CPUID tells guests. */
unsigned hvm_guest_phys_bits(void);
/* CR4 bits that a guest may set, by what CPUID shows it. */
uint64_t hvm_guest_cr4_bits(void);

/* msr.c */
bool hvm_exit_rdmsr(struct hvm_vcpu *v, enum hvm_exit *out);
bool hvm_exit_wrmsr(struct hvm_vcpu *v, enum hvm_exit *out);

/* pio.c: IN and OUT, and the string forms. */
bool hvm_exit_pio(struct hvm_vcpu *v, const struct hvm_pio_info *info, enum hvm_exit *out);
bool hvm_exit_pio_string(struct hvm_vcpu *v, const struct hvm_pio_info *info, enum hvm_exit *out);

/* task_switch.c */
bool hvm_exit_task_switch(struct hvm_vcpu *v, struct hvm_task_info *info, enum hvm_exit *out);

#endif
