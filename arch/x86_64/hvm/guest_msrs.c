/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of MSRs: see guest_msrs.h. */
#include "arch/x86_64/hvm/guest_msrs.h"

#include "base/bits.h"

#define MSR_IA32_P5_MC_ADDR 0x0u
#define MSR_IA32_P5_MC_TYPE 0x1u
#define MSR_IA32_PLATFORM_ID 0x17u
#define MSR_IA32_BIOS_SIGN_ID 0x8bu
#define MSR_MISC_FEATURE_ENABLES 0x140u
#define MSR_IA32_MCG_CAP 0x179u
#define MSR_IA32_MCG_STATUS 0x17au
#define MSR_IA32_MISC_ENABLE 0x1a0u

/* Fast strings, thermal control, EIST, the MONITOR FSM, xTPR messages: switches of what is not
 * there, kept; the two that CPUID follows. The rest is reserved. */
#define MISC_WRITABLE                                                                              \
    (BIT(0) | BIT(3) | BIT(16) | BIT(18) | MISC_ENABLE_LIMIT_CPUID | BIT(23) |                     \
     MISC_ENABLE_XD_DISABLE)
#define MISC_READ_ONLY (BIT(7) | MISC_FIXED)
#define MISC_FIXED (BIT(11) | BIT(12)) /* no branch trace storage, no PEBS; bit 7: no counters */

#define MICROCODE_REVISION (UINT64_C(0x1000000) << 32)

void guest_msrs_reset(struct guest_msrs *m, unsigned phys_bits, uint32_t hole_base)
{
    *m = (struct guest_msrs){.misc_enable = BIT(0)};
    mtrrs_reset(&m->mtrrs, phys_bits, hole_base);
}

enum status guest_msrs_read(const struct guest_msrs *m, uint32_t msr, uint64_t *value)
{
    switch (msr) {
    case MSR_IA32_MISC_ENABLE:
        *value = m->misc_enable | MISC_FIXED;
        return OK;
    case MSR_IA32_BIOS_SIGN_ID:
        *value = MICROCODE_REVISION;
        return OK;
    case MSR_IA32_PLATFORM_ID:
    case MSR_IA32_MCG_CAP: /* no banks, and none of the extensions */
    case MSR_IA32_MCG_STATUS:
    case MSR_IA32_P5_MC_ADDR: /* aliases of bank 0's registers on a CPU that has one */
    case MSR_IA32_P5_MC_TYPE:
    case MSR_MISC_FEATURE_ENABLES:
        *value = 0;
        return OK;
    default:
        return mtrrs_read(&m->mtrrs, msr, value);
    }
}

enum status guest_msrs_write(struct guest_msrs *m, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_IA32_MISC_ENABLE:
        if (value & ~(MISC_WRITABLE | MISC_READ_ONLY)) {
            return E_FAULT;
        }
        m->misc_enable = value & MISC_WRITABLE;
        return OK;
    case MSR_IA32_MCG_STATUS: /* software clears it, hardware sets it */
    case MSR_IA32_BIOS_SIGN_ID:
    case MSR_IA32_P5_MC_ADDR:
    case MSR_IA32_P5_MC_TYPE:
    case MSR_MISC_FEATURE_ENABLES:
        return value == 0 ? OK : E_FAULT;
    case MSR_IA32_PLATFORM_ID:
    case MSR_IA32_MCG_CAP:
        return E_FAULT;
    default:
        return mtrrs_write(&m->mtrrs, msr, value);
    }
}

bool guest_msrs_apic_base_fits(const struct guest_msrs *m, uint64_t value)
{
    return !(value >> m->mtrrs.phys_bits);
}
