/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What CPUID tells a guest: the host's leaves, less what a guest cannot have here, plus the
 * hypervisor leaves. Computed once, because asking the CPU costs an exit when we are nested.
 *
 * Leaf 0x40000000 carries KVM's signature: Linux takes it as leave to use the x2APIC without
 * interrupt remapping. Two paravirtual features are offered: "no port 0x80 delays", and the clock
 * page, which tells a guest that it was stopped (drivers/guest/pvclock.h). Pagefold's own signature
 * is at 0x40000100, as several hypervisors do that speak more than one dialect.
 */
#include <cpuid.h>

#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/backend.h"
#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/hvm/kvm.h"
#include "base/string.h"

#define HYP_BASE 0x40000000u
#define HYP_OWN 0x40000100u
#define EXT_BASE 0x80000000u
#define MAX_BASIC 0x16u /* up to the frequency leaves */
#define MAX_EXT 0x80000008u

struct leaf {
    uint32_t r[4];
};

static void cpuid_into(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    struct cpuid_regs c = cpuid(leaf, sub);

    r[0] = c.eax;
    r[1] = c.ebx;
    r[2] = c.ecx;
    r[3] = c.edx;
}

static struct leaf basic[MAX_BASIC + 1]; /* subleaf 0 of each */
static struct leaf ext[MAX_EXT - EXT_BASE + 1];
static struct leaf cache_subs[8];  /* leaf 4 */
static struct leaf xsave_subs[64]; /* leaf 0xd; 1 and up */
static uint64_t cr4_bits;

/* Not debug store, power management, VT-x and the like. MTRR, MCE and MCA: see guest_msrs.h. */
#define LEAF1_ECX_HIDE                                                                             \
    (CPUID_1_ECX_DTES64 | CPUID_1_ECX_MONITOR | CPUID_1_ECX_DS_CPL | CPUID_1_ECX_VMX |             \
     CPUID_1_ECX_SMX | CPUID_1_ECX_EIST | CPUID_1_ECX_TM2 | CPUID_1_ECX_CNXT_ID |                  \
     CPUID_1_ECX_SDBG | CPUID_1_ECX_XTPR | CPUID_1_ECX_PDCM | CPUID_1_ECX_DCA | bit_OSXSAVE)
#define LEAF1_ECX_SHOW (CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE | CPUID_1_ECX_HYPERVISOR)
#define LEAF1_EDX_HIDE                                                                             \
    (CPUID_1_EDX_DS | CPUID_1_EDX_ACPI | CPUID_1_EDX_HTT | CPUID_1_EDX_TM | CPUID_1_EDX_PBE)
#define LEAF1_EDX_SHOW (CPUID_1_EDX_APIC | CPUID_1_EDX_MCE | CPUID_1_EDX_MTRR | CPUID_1_EDX_MCA)

/* Leaf 7: what runs without help from the hypervisor, and of it what needs AVX-512's state. */
#define AVX512_EBX                                                                                 \
    (bit_AVX512F | bit_AVX512DQ | bit_AVX512IFMA | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL)
#define AVX512_ECX                                                                                 \
    (bit_AVX512VBMI | bit_AVX512VBMI2 | bit_AVX512VNNI | bit_AVX512BITALG | bit_AVX512VPOPCNTDQ)
#define AVX512_EDX (bit_AVX5124VNNIW | bit_AVX5124FMAPS | CPUID_7_EDX_AVX512_VP2INTERSECT)
#define LEAF7_EBX_SHOW                                                                             \
    (AVX512_EBX | bit_FSGSBASE | bit_BMI | bit_AVX2 | CPUID_7_EBX_FDP_EXCPTN_ONLY |                \
     CPUID_7_EBX_SMEP | bit_BMI2 | CPUID_7_EBX_ERMS | CPUID_7_EBX_INVPCID |                        \
     CPUID_7_EBX_NO_FCS_FDS | bit_RDSEED | bit_ADX | CPUID_7_EBX_SMAP | bit_CLFLUSHOPT |           \
     bit_CLWB | bit_SHA)
#define LEAF7_ECX_SHOW                                                                             \
    (AVX512_ECX | CPUID_7_ECX_UMIP | bit_PKU | bit_GFNI | bit_VAES | bit_VPCLMULQDQ | bit_RDPID |  \
     bit_MOVDIRI | bit_MOVDIR64B)
#define LEAF7_EDX_SHOW (AVX512_EDX | CPUID_7_EDX_FSRM | bit_SERIALIZE)

static void init_feature_leaves(void)
{
    struct leaf *l1 = &basic[1], *l7 = &basic[7];

    l1->r[2] = (l1->r[2] & ~(uint32_t)LEAF1_ECX_HIDE) | LEAF1_ECX_SHOW;
    l1->r[3] = (l1->r[3] & ~LEAF1_EDX_HIDE) | LEAF1_EDX_SHOW;
    l1->r[1] = (l1->r[1] & 0x0000ffff) | 1u << 16; /* one logical CPU; the APIC id is per vCPU */
    l7->r[0] = 0;
    /* TSC_ADJUST is ours to emulate: with it Linux trusts the TSC without a watchdog. */
    l7->r[1] = (l7->r[1] & LEAF7_EBX_SHOW) | CPUID_7_EBX_TSC_ADJUST;
    l7->r[2] &= LEAF7_ECX_SHOW;
    l7->r[3] &= LEAF7_EDX_SHOW;
    if (!(hvm_caps.has_invpcid)) {
        l7->r[1] &= ~CPUID_7_EBX_INVPCID;
    }
    if (!(hvm_caps.has_rdtscp)) {
        l7->r[2] &= ~(uint32_t)bit_RDPID;
    }
    if (!(hvm_caps.xcr0_may & XCR0_AVX512)) { /* the state comes whole or not at all */
        l7->r[1] &= ~(uint32_t)AVX512_EBX;
        l7->r[2] &= ~(uint32_t)AVX512_ECX;
        l7->r[3] &= ~(uint32_t)AVX512_EDX;
    }
    if (!(hvm_caps.xcr0_may & XCR0_PKRU)) {
        l7->r[2] &= ~(uint32_t)bit_PKU;
    }
}

static uint32_t crystal_ratio(uint64_t khz)
{
    return khz * 1000 > UINT32_MAX ? 2 : 1;
}

uint64_t hvm_apic_bus_hz(void)
{
    uint64_t khz = clock_tsc_khz();

    return khz * 1000 / crystal_ratio(khz);
}

static void init_other_leaves(uint32_t max_basic)
{
    uint64_t khz = clock_tsc_khz();

    for (uint32_t i = 0; i < ARRAY_LEN(cache_subs); i++) {
        cpuid_into(4, i, cache_subs[i].r);
        cache_subs[i].r[0] &= 0x3fff; /* one core, one thread */
        if (max_basic < 4 || !(cache_subs[i].r[0] & 0x1f)) {
            memset(&cache_subs[i], 0, sizeof(cache_subs[i]));
        }
    }
    memset(&basic[5], 0, sizeof(basic[5]));     /* MONITOR */
    memset(&basic[6], 0, sizeof(basic[6]));     /* power management */
    basic[6].r[0] = CPUID_6_EAX_ARAT;           /* ARAT: the APIC timer never stops */
    memset(&basic[9], 0, sizeof(basic[9]));     /* DCA */
    memset(&basic[0xa], 0, sizeof(basic[0xa])); /* no performance counters */
    memset(&basic[0xb], 0, sizeof(basic[0xb]));
    for (uint32_t i = 0xe; i <= 0x14; i++) {
        memset(&basic[i], 0, sizeof(basic[i]));
    }
    /* The crystal, which is the APIC timer's clock too, and the TSC's ratio to it. Guests multiply
     * kHz in 32 bits, so the ratio stays small: the crystal runs at the TSC's rate, or at half of
     * it where that does not fit the leaf. */
    basic[0x15] = (struct leaf){{1, crystal_ratio(khz), (uint32_t)hvm_apic_bus_hz(), 0}};
    basic[0x16] = (struct leaf){{(uint32_t)(khz / 1000), (uint32_t)(khz / 1000), 1000, 0}};
    basic[0].r[0] = MAX_BASIC;
}

static void init_xsave_leaves(void)
{
    struct leaf *d = &basic[0xd];

    d->r[0] = (uint32_t)hvm_caps.xcr0_may;
    d->r[3] = (uint32_t)(hvm_caps.xcr0_may >> 32);
    d->r[2] = 576;
    for (uint32_t i = 1; i < ARRAY_LEN(xsave_subs); i++) {
        cpuid_into(0xd, i, xsave_subs[i].r);
        if (i == 1) {
            /* No XSAVES and no supervisor state. */
            xsave_subs[1].r[0] &= bit_XSAVEOPT | bit_XSAVEC | CPUID_D_1_EAX_XGETBV_1;
            xsave_subs[1].r[1] = xsave_subs[1].r[2] = xsave_subs[1].r[3] = 0;
        } else if (!(hvm_caps.xcr0_may & BIT(i))) {
            memset(&xsave_subs[i], 0, sizeof(xsave_subs[i]));
        } else if (xsave_subs[i].r[0] + xsave_subs[i].r[1] > d->r[2]) {
            d->r[2] = xsave_subs[i].r[0] + xsave_subs[i].r[1];
        }
    }
    if (!(basic[1].r[2] & bit_XSAVE)) {
        memset(d, 0, sizeof(*d));
        memset(xsave_subs, 0, sizeof(xsave_subs));
    }
}

/* Size of the standard-format area for the features in xcr0: SDM vol. 1, 13.4.3. */
static uint32_t xsave_size(uint64_t xcr0)
{
    uint32_t size = 576;

    for (uint32_t i = 2; i < ARRAY_LEN(xsave_subs); i++) {
        uint32_t end = xsave_subs[i].r[0] + xsave_subs[i].r[1];
        if ((xcr0 & BIT(i)) && end > size) {
            size = end;
        }
    }
    return size;
}

/* Likewise in compacted format, as XSAVEC writes it. */
static uint32_t xsave_compacted_size(uint64_t xcr0)
{
    uint32_t size = 576;

    for (uint32_t i = 2; i < ARRAY_LEN(xsave_subs); i++) {
        if (xcr0 & BIT(i)) {
            if (xsave_subs[i].r[2] & CPUID_D_N_ECX_ALIGNED) {
                size = (uint32_t)ALIGN_UP(size, 64);
            }
            size += xsave_subs[i].r[0];
        }
    }
    return size;
}

static void init_cr4_bits(void)
{
    enum { EBX = 1, ECX, EDX };
    static const struct {
        unsigned leaf, reg;
        uint32_t feature;
        uint64_t cr4;
    } by_feature[] = {
        {1, EDX, CPUID_1_EDX_VME, CR4_VME | CR4_PVI},
        {1, EDX, CPUID_1_EDX_TSC, CR4_TSD},
        {1, EDX, CPUID_1_EDX_DE, CR4_DE},
        {1, EDX, CPUID_1_EDX_PSE, CR4_PSE},
        {1, EDX, CPUID_1_EDX_PAE, CR4_PAE},
        {1, EDX, CPUID_1_EDX_MCE, CR4_MCE},
        {1, EDX, CPUID_1_EDX_PGE, CR4_PGE},
        {1, EDX, bit_FXSAVE, CR4_OSFXSR | CR4_OSXMMEXCPT},
        {7, ECX, CPUID_7_ECX_UMIP, CR4_UMIP},
        {7, EBX, bit_FSGSBASE, CR4_FSGSBASE},
        {1, ECX, CPUID_1_ECX_PCID, CR4_PCIDE},
        {1, ECX, bit_XSAVE, CR4_OSXSAVE},
        {7, EBX, CPUID_7_EBX_SMEP, CR4_SMEP},
        {7, EBX, CPUID_7_EBX_SMAP, CR4_SMAP},
        {7, ECX, bit_PKU, CR4_PKE},
    };

    cr4_bits = CR4_PCE; /* harmless without counters */
    for (unsigned i = 0; i < ARRAY_LEN(by_feature); i++) {
        if (basic[by_feature[i].leaf].r[by_feature[i].reg] & by_feature[i].feature) {
            cr4_bits |= by_feature[i].cr4;
        }
    }
    cr4_bits &= hvm_caps.cr4_may;
}

uint64_t hvm_guest_cr4_bits(void)
{
    return cr4_bits;
}

unsigned hvm_guest_phys_bits(void)
{
    return ext[0].r[0] >= MAX_EXT ? ext[8].r[0] & 0xff : 36;
}

void hvm_cpuid_init(void)
{
    uint32_t r[4];

    cpuid_into(0, 0, r);
    uint32_t max_basic = r[0];
    for (uint32_t i = 0; i <= MAX_BASIC && i <= max_basic; i++) {
        cpuid_into(i, 0, basic[i].r);
    }
    cpuid_into(EXT_BASE, 0, r);
    uint32_t max_ext = MIN(r[0], MAX_EXT);
    for (uint32_t i = EXT_BASE; i <= max_ext; i++) {
        cpuid_into(i, 0, ext[i - EXT_BASE].r);
    }
    ext[0].r[0] = max_ext;
    ext[1].r[2] &= ~(uint32_t)CPUID_80000001_ECX_SVM;
    if (!(hvm_caps.has_rdtscp)) {
        ext[1].r[3] &= ~CPUID_80000001_EDX_RDTSCP;
    }
    ext[7].r[3] |= CPUID_80000007_EDX_INVARIANT_TSC;
    if ((ext[8].r[0] >> 8 & 0xff) > 48) { /* without LA57 linear addresses have 48 bits */
        ext[8].r[0] = (ext[8].r[0] & ~UINT32_C(0xff00)) | 48u << 8;
    }
    init_feature_leaves();
    init_other_leaves(max_basic);
    init_xsave_leaves();
    init_cr4_bits();
}

static void hypervisor_leaf(uint32_t leaf, uint32_t r[4])
{
    memset(r, 0, 16);
    if (leaf == HYP_BASE) {
        r[0] = HYP_BASE + 1;
        memcpy(&r[1], KVM_SIGNATURE, 12);
    } else if (leaf == HYP_BASE + 1) {
        r[0] = KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 |
               KVM_FEATURE_CLOCKSOURCE_STABLE_BIT;
    } else if (leaf == HYP_OWN) {
        r[0] = HYP_OWN;
        memcpy(&r[1], "Pagefold\0\0\0\0", 12);
    }
}

/* The table's entry for a leaf outside the hypervisor's range. */
static const struct leaf *find_leaf(uint32_t leaf, uint32_t sub)
{
    static const struct leaf none;

    if (leaf >= EXT_BASE && leaf <= ext[0].r[0]) {
        return &ext[leaf - EXT_BASE];
    }
    if (leaf > MAX_BASIC) {
        return &basic[MAX_BASIC]; /* beyond the last: the highest basic leaf, as Intel's CPUs do */
    }
    switch (leaf) {
    case 4:
        return sub < ARRAY_LEN(cache_subs) ? &cache_subs[sub] : &none;
    case 7:
        return sub == 0 ? &basic[7] : &none;
    case 0xd:
        return sub == 0 ? &basic[0xd] : sub < ARRAY_LEN(xsave_subs) ? &xsave_subs[sub] : &none;
    default:
        return &basic[leaf];
    }
}

static void leaf1_state(struct hvm_vcpu *v, uint32_t r[4])
{
    uint64_t base;

    if (v->ops->apic_msr_read(v->ctx, MSR_IA32_APIC_BASE, &base) == OK &&
        !(base & APIC_BASE_ENABLE)) {
        r[3] &= ~CPUID_1_EDX_APIC; /* SDM vol. 3, 11.4.3 */
    }
    r[1] |= v->id << 24;
    r[2] |= (hvm_backend->get_reg(v, HVM_CR4) & CR4_OSXSAVE) ? (uint32_t)bit_OSXSAVE : 0;
}

static void guest_cpuid(struct hvm_vcpu *v, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    if (leaf - HYP_BASE < 0x200) {
        hypervisor_leaf(leaf, r);
        return;
    }
    const struct leaf *l = find_leaf(leaf, sub);
    for (unsigned i = 0; i < 4; i++) {
        r[i] = l->r[i];
    }
    /* What follows the guest's own state. */
    switch (leaf) {
    case 0:
        if (v->msrs.misc_enable & MISC_ENABLE_LIMIT_CPUID) {
            r[0] = 2;
        }
        break;
    case EXT_BASE + 1:
        if (v->msrs.misc_enable & MISC_ENABLE_XD_DISABLE) {
            r[3] &= ~CPUID_80000001_EDX_NX;
        }
        break;
    case 1:
        leaf1_state(v, r);
        break;
    case 7:
        r[2] |= sub == 0 && (hvm_backend->get_reg(v, HVM_CR4) & CR4_PKE) ? (uint32_t)bit_OSPKE : 0;
        break;
    case 0xd:
        if (sub == 0) {
            r[1] = xsave_size(v->xcr0);
        } else if (sub == 1 && (r[0] & bit_XSAVEC)) {
            r[1] = xsave_compacted_size(v->xcr0);
        }
        break;
    default:
        break;
    }
}

bool hvm_exit_cpuid(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t r[4];

    (void)out;
    v->counts[HVM_N_CPUID]++;
    guest_cpuid(v, (uint32_t)v->gpr[RAX], (uint32_t)v->gpr[RCX], r);
    v->gpr[RAX] = r[0];
    v->gpr[RBX] = r[1];
    v->gpr[RCX] = r[2];
    v->gpr[RDX] = r[3];
    hvm_backend->advance(v);
    return true;
}
