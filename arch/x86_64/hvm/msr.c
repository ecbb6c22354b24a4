/* SPDX-License-Identifier: BSD-2-Clause */
/* RDMSR and WRMSR: an explicit list. What is not on it is #GP in the guest, and logged once. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/backend.h"
#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/hvm/kvm.h"
#include "base/format.h"

#define MSR_IA32_TSC 0x10u

static bool write_efer(struct hvm_vcpu *v, uint64_t value)
{
    uint64_t old = hvm_backend->get_reg(v, HVM_EFER);
    bool no_nx = v->msrs.misc_enable & MISC_ENABLE_XD_DISABLE;

    /* LMA is the processor's; LME may not change while paging is on (SDM vol. 3, 4.1.1). */
    if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | (no_nx ? 0 : EFER_NXE))) {
        return false;
    }
    if (((value ^ old) & EFER_LME) && (hvm_backend->get_reg(v, HVM_CR0) & CR0_PG)) {
        return false;
    }
    hvm_backend->set_reg(v, HVM_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
    return true;
}

static bool is_apic(uint32_t msr)
{
    return msr == MSR_IA32_APIC_BASE || msr == MSR_IA32_TSC_DEADLINE ||
           (msr >= MSR_X2APIC_BASE && msr <= MSR_X2APIC_BASE + 0xff);
}

static bool is_pv(uint32_t msr)
{
    return (msr & ~0xffu) == KVM_MSR_BASE;
}

static void move_tsc(struct hvm_vcpu *v, uint64_t by)
{
    v->tsc_offset += by;
    v->tsc_adjust += by;
    hvm_backend->put_tsc_offset(v);
    v->ops->tsc_moved(v->ctx, by);
}

static enum status read_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t *value)
{
    if (is_apic(msr)) {
        return v->ops->apic_msr_read(v->ctx, msr, value);
    }
    if (is_pv(msr)) {
        return v->ops->pv_msr_read(v->ctx, msr, value);
    }
    switch (msr) {
    case MSR_IA32_EFER:
        *value = hvm_backend->get_reg(v, HVM_EFER);
        return OK;
    case MSR_IA32_TSC_ADJUST:
        *value = v->tsc_adjust;
        return OK;
    case MSR_IA32_DEBUGCTL:
        *value = hvm_backend->get_reg(v, HVM_DEBUGCTL);
        return OK;
    default:
        return guest_msrs_read(&v->msrs, msr, value);
    }
}

static enum status write_msr(struct hvm_vcpu *v, uint32_t msr, uint64_t value)
{
    if (msr == MSR_IA32_APIC_BASE && !guest_msrs_apic_base_fits(&v->msrs, value)) {
        return E_FAULT;
    }
    if (is_apic(msr)) {
        return v->ops->apic_msr_write(v->ctx, msr, value);
    }
    if (is_pv(msr)) {
        return v->ops->pv_msr_write(v->ctx, msr, value);
    }
    switch (msr) {
    case MSR_IA32_EFER:
        return write_efer(v, value) ? OK : E_FAULT;
    case MSR_IA32_TSC: /* SDM vol. 3, 18.17.3: the same is added to both */
        move_tsc(v, value - hvm_guest_tsc(v));
        return OK;
    case MSR_IA32_TSC_ADJUST:
        move_tsc(v, value - v->tsc_adjust);
        return OK;
    case MSR_IA32_DEBUGCTL:
        return value == 0 ? OK : E_FAULT; /* no last-branch or branch-trace facilities */
    default:
        return guest_msrs_write(&v->msrs, msr, value);
    }
}

/* A guest may probe thousands of numbers; each is worth one line for the whole machine. written:
 * the value, or NULL for RDMSR. */
static void tell_refused(const struct hvm_vcpu *v, uint32_t msr, const uint64_t *written)
{
    static uint32_t seen[64];
    static unsigned n;
    char text[80];

    for (unsigned i = 0; i < n; i++) {
        if (seen[i] == msr) {
            return;
        }
    }
    if (n < ARRAY_LEN(seen)) {
        seen[n++] = msr;
        if (written) {
            format(text, sizeof(text), "WRMSR of %#llx to MSR %#x is #GP",
                   (unsigned long long)*written, msr);
        } else {
            format(text, sizeof(text), "RDMSR of MSR %#x is #GP", msr);
        }
        v->ops->note(v->ctx, text);
    }
}

bool hvm_exit_rdmsr(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t msr = (uint32_t)v->gpr[RCX];
    uint64_t value = 0;

    (void)out;
    v->counts[HVM_N_MSR]++;
    if (read_msr(v, msr, &value) != OK) {
        tell_refused(v, msr, NULL);
        return hvm_inject_gp(v);
    }
    v->gpr[RAX] = (uint32_t)value;
    v->gpr[RDX] = value >> 32;
    hvm_backend->advance(v);
    return true;
}

bool hvm_exit_wrmsr(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t msr = (uint32_t)v->gpr[RCX];
    uint64_t value = (uint32_t)v->gpr[RAX] | v->gpr[RDX] << 32;

    v->counts[HVM_N_MSR]++;
    enum status s = write_msr(v, msr, value);
    if (s == E_NOMEM) {
        return hvm_backend->retry(v, HVM_EXIT_NO_MEMORY, out);
    }
    if (s != OK) {
        tell_refused(v, msr, &value);
        return hvm_inject_gp(v);
    }
    hvm_backend->advance(v);
    return true;
}
