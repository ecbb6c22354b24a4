/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSRs of a vCPU that are values and rules only: whatever virtualises the CPU asks here what a
 * guest's RDMSR returns and which WRMSR is #GP(0). Pure, and the same for all vendors' backends.
 *
 * Machine checks: CPUID offers MCE and MCA, and there are no banks. A machine check is the
 * machine's, never the guest's, so a bank could not report anything; systems that want the
 * architecture (Linux's /dev/mcelog, Windows) find it.
 */
#ifndef ARCH_HVM_GUEST_MSRS_H
#define ARCH_HVM_GUEST_MSRS_H

#include "arch/x86_64/hvm/mtrr.h"
#include "base/status.h"
#include "base/types.h"

/* IA32_MISC_ENABLE: SDM vol. 4, table 2-2. */
#define MISC_ENABLE_LIMIT_CPUID UINT64_C(0x400000) /* CPUID ends at leaf 2 */
#define MISC_ENABLE_XD_DISABLE (UINT64_C(1) << 34) /* there is no execute-disable feature */

struct guest_msrs {
    uint64_t misc_enable; /* its writable bits */
    struct mtrrs mtrrs;
};

/* The state at a VM's start. phys_bits as CPUID has it; hole_base as for mtrrs_reset. */
void guest_msrs_reset(struct guest_msrs *m, unsigned phys_bits, uint32_t hole_base);
/* E_NOTFOUND: not one of these; E_FAULT: #GP(0). */
enum status guest_msrs_read(const struct guest_msrs *m, uint32_t msr, uint64_t *value) MUST_CHECK;
enum status guest_msrs_write(struct guest_msrs *m, uint32_t msr, uint64_t value) MUST_CHECK;
/* Whether IA32_APIC_BASE may hold this, as far as the address' width goes. */
bool guest_msrs_apic_base_fits(const struct guest_msrs *m, uint64_t value);

#endif
