/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RDMSR and WRMSR: an explicit list. What is not on it is #GP in the guest, and logged once.
 *
 * The MSR bitmap (SDM vol. 3, 25.6.9) lets through what belongs to the guest while it runs: those
 * in the VMCS guest area, and those that xstate.c swaps with the vCPU.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/vmx.h"
#include "base/log.h"
#include "base/string.h"

#define MSR_IA32_TSC 0x10u
#define MSR_IA32_PLATFORM_ID 0x17u
#define MSR_IA32_SPEC_CTRL 0x48u
#define MSR_IA32_MCG_CAP 0x179u
#define MSR_IA32_MCG_STATUS 0x17au
#define MSR_MISC_FEATURE_ENABLES 0x140u
#define MSR_IA32_MTRR_PHYSBASE0 0x200u
#define MSR_IA32_MTRR_PHYSMASK9 0x213u
#define MSR_IA32_MTRR_FIX64K 0x250u
#define MSR_IA32_MTRR_FIX16K_LAST 0x259u
#define MSR_IA32_MTRR_FIX4K_FIRST 0x268u
#define MSR_IA32_MTRR_FIX4K_LAST 0x26fu
#define MSR_IA32_MTRR_DEF_TYPE 0x2ffu
#define MTRR_VARIABLE 8u

static mfn_t bitmap;

mfn_t vmx_msr_bitmap(void)
{
    return bitmap;
}

enum status vmx_msr_init(struct frames *f)
{
    static const uint32_t through[] = {
        MSR_IA32_FS_BASE,      MSR_IA32_GS_BASE,     MSR_IA32_KERNEL_GS_BASE,
        MSR_IA32_STAR,         MSR_IA32_LSTAR,       MSR_IA32_CSTAR,
        MSR_IA32_FMASK,        MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP,
        MSR_IA32_SYSENTER_EIP, MSR_IA32_PAT,
    };
    enum status s = frames_alloc(f, FRAME_HYP, &bitmap);

    if (s != OK) {
        return s;
    }
    uint8_t *map = frame_bytes(f, bitmap);
    memset(map, 0xff, PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_LEN(through); i++) {
        bool high = through[i] >= 0xc0000000u;
        uint32_t n = through[i] & 0x1fff;
        uint8_t *read = map + (high ? 1024 : 0), *write = read + 2048;
        read[n / 8] &= (uint8_t) ~(1u << n % 8);
        write[n / 8] &= (uint8_t) ~(1u << n % 8);
    }
    if (vmx_caps.controls.cpu2 & CPU2_ENABLE_RDTSCP) {
        uint32_t n = MSR_IA32_TSC_AUX & 0x1fff;
        map[1024 + n / 8] &= (uint8_t) ~(1u << n % 8);
        map[3072 + n / 8] &= (uint8_t) ~(1u << n % 8);
    }
    /* IA32_TSC: RDMSR applies the TSC offset by itself (SDM vol. 3, 26.3). */
    map[MSR_IA32_TSC / 8] &= (uint8_t) ~(1u << MSR_IA32_TSC % 8);
    return OK;
}

void vmx_set_efer(uint64_t efer)
{
    uint64_t entry = vmcs_read(VM_ENTRY_CONTROLS) & ~(uint64_t)ENTRY_IA32E_MODE_GUEST;

    vmcs_write(GUEST_IA32_EFER, efer);
    vmcs_write(VM_ENTRY_CONTROLS, entry | ((efer & EFER_LMA) ? ENTRY_IA32E_MODE_GUEST : 0));
}

static bool write_efer(uint64_t value)
{
    uint64_t old = vmcs_read(GUEST_IA32_EFER);

    /* LMA is the processor's; LME may not change while paging is on (SDM vol. 3, 4.1.1). */
    if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) {
        return false;
    }
    if (((value ^ old) & EFER_LME) && (vmcs_read(GUEST_CR0) & CR0_PG)) {
        return false;
    }
    vmx_set_efer((value & ~EFER_LMA) | (old & EFER_LMA));
    return true;
}

static bool is_apic(uint32_t msr)
{
    return msr == MSR_IA32_APIC_BASE || msr == MSR_IA32_TSC_DEADLINE ||
           (msr >= MSR_X2APIC_BASE && msr <= MSR_X2APIC_BASE + 0xff);
}

static void move_tsc(struct hvm_vcpu *v, uint64_t by)
{
    v->tsc_offset += by;
    v->tsc_adjust += by;
    vmcs_write(TSC_OFFSET, v->tsc_offset);
}

/* The slot of an MTRR in v->mtrr, or NULL: kept for the guest to read back, without effect, since
 * EPT says write-back and the guest's PAT does the rest. */
static uint64_t *mtrr_slot(struct hvm_vcpu *v, uint32_t msr)
{
    if (msr >= MSR_IA32_MTRR_PHYSBASE0 && msr < MSR_IA32_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE) {
        return &v->mtrr[msr - MSR_IA32_MTRR_PHYSBASE0];
    }
    if (msr == MSR_IA32_MTRR_FIX64K) {
        return &v->mtrr[16];
    }
    if (msr == 0x258 || msr == MSR_IA32_MTRR_FIX16K_LAST) {
        return &v->mtrr[17 + msr - 0x258];
    }
    if (msr >= MSR_IA32_MTRR_FIX4K_FIRST && msr <= MSR_IA32_MTRR_FIX4K_LAST) {
        return &v->mtrr[19 + msr - MSR_IA32_MTRR_FIX4K_FIRST];
    }
    if (msr == MSR_IA32_MTRR_DEF_TYPE) {
        return &v->mtrr_def_type;
    }
    return NULL;
}

static bool read_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t *value)
{
    if (is_apic(msr)) {
        return v->ops->apic_msr_read(v->ctx, msr, value) == OK;
    }
    const uint64_t *mtrr = mtrr_slot(v, msr);
    if (mtrr) {
        *value = *mtrr;
        return true;
    }
    switch (msr) {
    case MSR_IA32_EFER:
        *value = vmcs_read(GUEST_IA32_EFER);
        return true;
    case MSR_IA32_TSC_ADJUST:
        *value = v->tsc_adjust;
        return true;
    case MSR_IA32_MISC_ENABLE:
        *value = v->misc_enable | BIT(0) | BIT(11) | BIT(12); /* fast strings; no BTS, no PEBS */
        return true;
    case MSR_IA32_MTRRCAP:
        *value = MTRR_VARIABLE | BIT(8) | BIT(10); /* fixed ranges, write-combining */
        return true;
    case MSR_IA32_DEBUGCTL:
        *value = vmcs_read(GUEST_IA32_DEBUGCTL);
        return true;
    case MSR_IA32_BIOS_SIGN_ID: /* the microcode revision */
        *value = UINT64_C(0x1000000) << 32;
        return true;
    case MSR_IA32_PLATFORM_ID:
    case MSR_IA32_MCG_CAP:
    case MSR_IA32_MCG_STATUS:
    case MSR_MISC_FEATURE_ENABLES:
        *value = 0;
        return true;
    default:
        return false;
    }
}

static bool write_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t value)
{
    if (is_apic(msr)) {
        return v->ops->apic_msr_write(v->ctx, msr, value) == OK;
    }
    uint64_t *mtrr = mtrr_slot(v, msr);
    if (mtrr) {
        *mtrr = value;
        return true;
    }
    switch (msr) {
    case MSR_IA32_EFER:
        return write_efer(value);
    case MSR_IA32_TSC: /* SDM vol. 3, 18.17.3: the same is added to both */
        move_tsc(v, value - hvm_guest_tsc(v));
        return true;
    case MSR_IA32_TSC_ADJUST:
        move_tsc(v, value - v->tsc_adjust);
        return true;
    case MSR_IA32_MISC_ENABLE:
        v->misc_enable = value & BIT(0);
        return true;
    case MSR_IA32_DEBUGCTL:
        return value == 0; /* no last-branch or branch-trace facilities */
    case MSR_IA32_BIOS_SIGN_ID:
    case MSR_IA32_MCG_STATUS:
    case MSR_MISC_FEATURE_ENABLES:
        return value == 0;
    default:
        return false;
    }
}

/* A guest may probe thousands of numbers; each is worth one line for the whole machine. */
static void log_unknown(const char *what, uint32_t msr)
{
    static uint32_t seen[64];
    static unsigned n;

    for (unsigned i = 0; i < n; i++) {
        if (seen[i] == msr) {
            return;
        }
    }
    if (n < ARRAY_LEN(seen)) {
        seen[n++] = msr;
        log_info("a guest's %s of unknown MSR %#x is #GP", what, msr);
    }
}

bool vmx_exit_rdmsr(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t msr = (uint32_t)v->gpr[RCX];
    uint64_t value = 0;

    (void)out;
    v->counts[HVM_N_MSR]++;
    if (!read_msr(v, msr, &value)) {
        log_unknown("RDMSR", msr);
        return vmx_inject_gp(v);
    }
    v->gpr[RAX] = (uint32_t)value;
    v->gpr[RDX] = value >> 32;
    vmx_advance();
    return true;
}

bool vmx_exit_wrmsr(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t msr = (uint32_t)v->gpr[RCX];
    uint64_t value = (uint32_t)v->gpr[RAX] | v->gpr[RDX] << 32;

    (void)out;
    v->counts[HVM_N_MSR]++;
    if (!write_msr(v, msr, value)) {
        log_unknown("WRMSR", msr);
        return vmx_inject_gp(v);
    }
    vmx_advance();
    return true;
}
