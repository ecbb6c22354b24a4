/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instructions that C has no words for, and the architecture's constants under the SDM's names.
 * Each function is one instruction: nothing is checked, #GP is the caller's to avoid.
 */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include "arch/x86_64/decode/crbits.h"
#include "arch/x86_64/tsc.h"
#include "base/bits.h"

/* Model-specific registers: SDM vol. 4. */
#define MSR_IA32_APIC_BASE 0x1bu
#define MSR_IA32_FEATURE_CONTROL 0x3au
#define MSR_IA32_TSC_ADJUST 0x3bu
#define MSR_IA32_BIOS_SIGN_ID 0x8bu
#define MSR_IA32_MTRRCAP 0xfeu
#define MSR_IA32_SYSENTER_CS 0x174u
#define MSR_IA32_SYSENTER_ESP 0x175u
#define MSR_IA32_SYSENTER_EIP 0x176u
#define MSR_IA32_MISC_ENABLE 0x1a0u
#define MSR_IA32_DEBUGCTL 0x1d9u
#define MSR_IA32_PAT 0x277u
#define MSR_IA32_VMX_BASIC 0x480u
#define MSR_IA32_VMX_PINBASED_CTLS 0x481u
#define MSR_IA32_VMX_PROCBASED_CTLS 0x482u
#define MSR_IA32_VMX_EXIT_CTLS 0x483u
#define MSR_IA32_VMX_ENTRY_CTLS 0x484u
#define MSR_IA32_VMX_MISC 0x485u
#define MSR_IA32_VMX_CR0_FIXED0 0x486u
#define MSR_IA32_VMX_CR0_FIXED1 0x487u
#define MSR_IA32_VMX_CR4_FIXED0 0x488u
#define MSR_IA32_VMX_CR4_FIXED1 0x489u
#define MSR_IA32_VMX_VMCS_ENUM 0x48au
#define MSR_IA32_VMX_PROCBASED_CTLS2 0x48bu
#define MSR_IA32_VMX_EPT_VPID_CAP 0x48cu
#define MSR_IA32_VMX_TRUE_PINBASED_CTLS 0x48du
#define MSR_IA32_VMX_TRUE_PROCBASED_CTLS 0x48eu
#define MSR_IA32_VMX_TRUE_EXIT_CTLS 0x48fu
#define MSR_IA32_VMX_TRUE_ENTRY_CTLS 0x490u
#define MSR_IA32_VMX_VMFUNC 0x491u
#define MSR_IA32_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_BASE 0x800u /* + register offset / 16 */
#define MSR_IA32_XSS 0xda0u
#define MSR_IA32_EFER 0xc0000080u
#define MSR_IA32_STAR 0xc0000081u
#define MSR_IA32_LSTAR 0xc0000082u
#define MSR_IA32_CSTAR 0xc0000083u
#define MSR_IA32_FMASK 0xc0000084u
#define MSR_IA32_FS_BASE 0xc0000100u
#define MSR_IA32_GS_BASE 0xc0000101u
#define MSR_IA32_KERNEL_GS_BASE 0xc0000102u
#define MSR_IA32_TSC_AUX 0xc0000103u

#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)

#define FEATURE_CONTROL_LOCK BIT(0)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX BIT(2)

/* Extended control register 0: SDM vol. 3, 2.6. */
#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))
#define XCR0_PKRU BIT(9)

#define RFLAGS_CF BIT(0)
#define RFLAGS_ZF BIT(6)
#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_DF BIT(10)
#define RFLAGS_NT BIT(14)
#define RFLAGS_RF BIT(16)
#define RFLAGS_AC BIT(18)

/* CPUID feature bits that the compiler's <cpuid.h> has no bit_* for: SDM vol. 2, CPUID. */
#define CPUID_1_ECX_DTES64 BIT32(2)
#define CPUID_1_ECX_MONITOR BIT32(3)
#define CPUID_1_ECX_DS_CPL BIT32(4)
#define CPUID_1_ECX_VMX BIT32(5)
#define CPUID_1_ECX_SMX BIT32(6)
#define CPUID_1_ECX_EIST BIT32(7)
#define CPUID_1_ECX_TM2 BIT32(8)
#define CPUID_1_ECX_CNXT_ID BIT32(10)
#define CPUID_1_ECX_SDBG BIT32(11)
#define CPUID_1_ECX_XTPR BIT32(14)
#define CPUID_1_ECX_PDCM BIT32(15)
#define CPUID_1_ECX_PCID BIT32(17)
#define CPUID_1_ECX_DCA BIT32(18)
#define CPUID_1_ECX_X2APIC BIT32(21)
#define CPUID_1_ECX_TSC_DEADLINE BIT32(24)
#define CPUID_1_ECX_HYPERVISOR BIT32(31)
#define CPUID_1_EDX_VME BIT32(1)
#define CPUID_1_EDX_DE BIT32(2)
#define CPUID_1_EDX_PSE BIT32(3)
#define CPUID_1_EDX_TSC BIT32(4)
#define CPUID_1_EDX_MSR BIT32(5)
#define CPUID_1_EDX_PAE BIT32(6)
#define CPUID_1_EDX_MCE BIT32(7)
#define CPUID_1_EDX_APIC BIT32(9)
#define CPUID_1_EDX_MTRR BIT32(12)
#define CPUID_1_EDX_PGE BIT32(13)
#define CPUID_1_EDX_MCA BIT32(14)
#define CPUID_1_EDX_PAT BIT32(16)
#define CPUID_1_EDX_DS BIT32(21)
#define CPUID_1_EDX_ACPI BIT32(22)
#define CPUID_1_EDX_HTT BIT32(28)
#define CPUID_1_EDX_TM BIT32(29)
#define CPUID_1_EDX_PBE BIT32(31)
#define CPUID_6_EAX_ARAT BIT32(2)
#define CPUID_7_EBX_TSC_ADJUST BIT32(1)
#define CPUID_7_EBX_FDP_EXCPTN_ONLY BIT32(6)
#define CPUID_7_EBX_SMEP BIT32(7)
#define CPUID_7_EBX_ERMS BIT32(9)
#define CPUID_7_EBX_INVPCID BIT32(10)
#define CPUID_7_EBX_NO_FCS_FDS BIT32(13)
#define CPUID_7_EBX_SMAP BIT32(20)
#define CPUID_7_ECX_UMIP BIT32(2)
#define CPUID_7_EDX_FSRM BIT32(4)
#define CPUID_7_EDX_AVX512_VP2INTERSECT BIT32(8) /* not in every compiler's <cpuid.h> */
#define CPUID_D_1_EAX_XGETBV_1 BIT32(2)
#define CPUID_D_N_ECX_ALIGNED BIT32(1)
#define CPUID_80000001_ECX_SVM BIT32(2)
#define CPUID_80000001_EDX_NX BIT32(20)
#define CPUID_80000001_EDX_PAGE1G BIT32(26)
#define CPUID_80000001_EDX_RDTSCP BIT32(27)
#define CPUID_80000007_EDX_INVARIANT_TSC BIT32(8)

struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
    struct cpuid_regs r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(sub));
    return r;
}

/* RDMSR and XGETBV clear the upper halves of RAX and RDX, so 64-bit outputs hold the two
 * halves of the value as they are. */
static inline uint64_t rdmsr(uint32_t msr)
{
    uint64_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
    return hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

#define CPU_DEFINE_CR(n)                                                                           \
    static inline uint64_t read_cr##n(void)                                                        \
    {                                                                                              \
        uint64_t v;                                                                                \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory");                             \
        return v;                                                                                  \
    }                                                                                              \
    static inline void write_cr##n(uint64_t v)                                                     \
    {                                                                                              \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                                 \
    }
CPU_DEFINE_CR(0)
CPU_DEFINE_CR(2)
CPU_DEFINE_CR(3)
CPU_DEFINE_CR(4)
#undef CPU_DEFINE_CR

/* CR4.OSXSAVE must be set. */
static inline uint64_t read_xcr0(void)
{
    uint64_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0) : "memory");
    return hi << 32 | lo;
}

static inline void write_xcr0(uint64_t v)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline void invlpg(const void *va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline uint64_t read_rflags(void)
{
    uint64_t v;
    __asm__ volatile("pushfq; pop %0" : "=r"(v) : : "memory");
    return v;
}

static inline void cpu_cli(void)
{
    __asm__ volatile("cli" : : : "memory");
}

static inline void cpu_sti(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static inline void cpu_hlt(void)
{
    __asm__ volatile("hlt" : : : "memory");
}

static inline void cpu_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline void cpu_wbinvd(void)
{
    __asm__ volatile("wbinvd" : : : "memory");
}

#endif
