/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU's fitness, from CPUID and the VMX capability MSRs: SDM vol. 3, appendix A. */
#include "arch/x86_64/features.h"

#include "arch/x86_64/cpu.h"
#include "base/format.h"
#include "base/string.h"

/* The high half of a capability MSR: which controls may be 1. */
#define MAY_BE_1(bit) BIT(32 + (bit))
#define PROCBASED_ACTIVATE_SECONDARY MAY_BE_1(31)
#define PROCBASED2_ENABLE_EPT MAY_BE_1(1)
#define PROCBASED2_UNRESTRICTED_GUEST MAY_BE_1(7)
#define EPT_CAP_WALK_4 BIT(6)
#define EPT_CAP_WB BIT(14)
#define EPT_CAP_INVEPT BIT(20)

static bool refuse(char *why, size_t n, const char *text)
{
    format(why, n, "%s", text);
    return false;
}

static bool check_ept(char *why, size_t n)
{
    if (!(rdmsr(MSR_IA32_VMX_PROCBASED_CTLS) & PROCBASED_ACTIVATE_SECONDARY) ||
        !(rdmsr(MSR_IA32_VMX_PROCBASED_CTLS2) & PROCBASED2_ENABLE_EPT)) {
        return refuse(why, n,
                      "this CPU's VT-x has no EPT (IA32_VMX_PROCBASED_CTLS2): use a CPU of the "
                      "Core i generation (2010) or later");
    }
    if (!(rdmsr(MSR_IA32_VMX_PROCBASED_CTLS2) & PROCBASED2_UNRESTRICTED_GUEST)) {
        return refuse(why, n,
                      "this CPU's VT-x has no unrestricted guest (IA32_VMX_PROCBASED_CTLS2): use a "
                      "CPU of the Westmere generation (2010) or later");
    }
    uint64_t ept = rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);
    if (!(ept & EPT_CAP_WALK_4)) {
        return refuse(why, n,
                      "this CPU's EPT has no 4-level page walk (IA32_VMX_EPT_VPID_CAP bit 6): use "
                      "another CPU");
    }
    if (!(ept & EPT_CAP_WB)) {
        return refuse(why, n,
                      "this CPU's EPT has no write-back structures (IA32_VMX_EPT_VPID_CAP bit 14): "
                      "use another CPU");
    }
    if (!(ept & EPT_CAP_INVEPT)) {
        return refuse(why, n,
                      "this CPU has no INVEPT (IA32_VMX_EPT_VPID_CAP bit 20): use another CPU");
    }
    return true;
}

bool cpu_check(char *why, size_t n)
{
    char vendor[13];
    struct cpuid_regs r = cpuid(0, 0);

    store_le32(vendor, r.ebx);
    store_le32(vendor + 4, r.edx);
    store_le32(vendor + 8, r.ecx);
    vendor[12] = 0;
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX)) {
        if (strcmp(vendor, "AuthenticAMD") == 0 || strcmp(vendor, "HygonGenuine") == 0) {
            return refuse(why, n,
                          "this is an AMD CPU, which has no VT-x (CPUID.1:ECX.VMX): Pagefold needs "
                          "an Intel CPU with VT-x and EPT");
        }
        return refuse(why, n,
                      "this CPU has no VT-x (CPUID.1:ECX.VMX): use one that has, or turn it on in "
                      "the firmware setup or in the hypervisor below");
    }
    uint64_t fc = rdmsr(MSR_IA32_FEATURE_CONTROL);
    if ((fc & FEATURE_CONTROL_LOCK) && !(fc & FEATURE_CONTROL_VMX_OUTSIDE_SMX)) {
        return refuse(why, n,
                      "the firmware has locked VT-x off (IA32_FEATURE_CONTROL): turn on "
                      "virtualization in the firmware setup");
    }
    return check_ept(why, n);
}
