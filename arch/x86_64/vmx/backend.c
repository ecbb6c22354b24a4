/* SPDX-License-Identifier: BSD-2-Clause */
/* What hvm/ wants of VT-x: see hvm/backend.h. Registers are those of the current VMCS. */
#include "arch/x86_64/hvm/backend.h"

#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/log.h"

static uint64_t get_reg(const struct hvm_vcpu *v, enum hvm_reg reg)
{
    (void)v;
    if (reg == HVM_CR4) { /* of CPUID exits; the rest is rare */
        return vmx_guest_cr4();
    }
    switch (reg) {
    case HVM_CR0:
        return vmx_guest_cr0();
    case HVM_RFLAGS:
        return vmcs_read(GUEST_RFLAGS);
    case HVM_EFER:
        return vmcs_read(GUEST_IA32_EFER);
    case HVM_DR7:
        return vmcs_read(GUEST_DR7);
    case HVM_DEBUGCTL:
        return vmcs_read(GUEST_IA32_DEBUGCTL);
    default:
        return 0;
    }
}

static void set_reg(struct hvm_vcpu *v, enum hvm_reg reg, uint64_t value)
{
    (void)v;
    switch (reg) {
    case HVM_CR0:
        vmx_set_cr0(value);
        break;
    case HVM_EFER:
        vmx_set_efer(value);
        break;
    case HVM_DR7:
        vmcs_write(GUEST_DR7, value);
        break;
    case HVM_CR4:
    case HVM_RFLAGS:
    case HVM_DEBUGCTL:
        panic("hvm_backend: register %u is not set like that", reg);
    }
}

struct segment_fields {
    enum vmcs_field selector, base, limit, rights;
};
#define FIELDS(name)                                                                               \
    {                                                                                              \
        GUEST_##name##_SELECTOR, GUEST_##name##_BASE, GUEST_##name##_LIMIT,                        \
            GUEST_##name##_ACCESS_RIGHTS                                                           \
    }
static const struct segment_fields fields[] = {
    [SEG_ES] = FIELDS(ES), [SEG_CS] = FIELDS(CS), [SEG_SS] = FIELDS(SS),     [SEG_DS] = FIELDS(DS),
    [SEG_FS] = FIELDS(FS), [SEG_GS] = FIELDS(GS), [SEG_LDTR] = FIELDS(LDTR), [SEG_TR] = FIELDS(TR),
};

static void get_segment(const struct hvm_vcpu *v, unsigned which, struct emul_segment *out)
{
    (void)v;
    if (which >= SEG_GDTR) {
        bool gdt = which == SEG_GDTR;
        *out = (struct emul_segment){
            .base = vmcs_read(gdt ? GUEST_GDTR_BASE : GUEST_IDTR_BASE),
            .limit = (uint32_t)vmcs_read(gdt ? GUEST_GDTR_LIMIT : GUEST_IDTR_LIMIT)};
        return;
    }
    const struct segment_fields *f = &fields[which];
    *out = (struct emul_segment){.selector = (uint16_t)vmcs_read(f->selector),
                                 .base = vmcs_read(f->base),
                                 .limit = (uint32_t)vmcs_read(f->limit),
                                 .rights = (uint32_t)vmcs_read(f->rights)};
}

static void set_segment(struct hvm_vcpu *v, unsigned which, const struct emul_segment *in)
{
    (void)v;
    if (which >= SEG_GDTR) {
        bool gdt = which == SEG_GDTR;
        vmcs_write(gdt ? GUEST_GDTR_BASE : GUEST_IDTR_BASE, in->base);
        vmcs_write(gdt ? GUEST_GDTR_LIMIT : GUEST_IDTR_LIMIT, in->limit);
        return;
    }
    const struct segment_fields *f = &fields[which];
    vmcs_write(f->selector, in->selector);
    vmcs_write(f->base, in->base);
    vmcs_write(f->limit, in->limit);
    vmcs_write(f->rights, in->rights);
}

/* SDM vol. 3, 25.4.1: SS.DPL is the CPL, in all modes. */
static void load_emul(struct hvm_vcpu *v, struct emul *e)
{
    uint32_t cs = (uint32_t)vmcs_read(GUEST_CS_ACCESS_RIGHTS);

    v->gpr[RSP] = vmcs_read(GUEST_RSP);
    e->rip = vmcs_read(GUEST_RIP);
    e->rflags = vmcs_read(GUEST_RFLAGS);
    e->cr0 = vmx_guest_cr0();
    e->cr3 = vmcs_read(GUEST_CR3);
    e->cr4 = vmcs_read(GUEST_CR4);
    e->efer = vmcs_read(GUEST_IA32_EFER);
    e->has_pdptes = (e->cr0 & CR0_PG) && (e->cr4 & CR4_PAE) && !(e->efer & EFER_LMA);
    for (unsigned i = 0; e->has_pdptes && i < 4; i++) { /* SDM vol. 3, 28.3.1 */
        e->pdptes[i] = vmcs_read((enum vmcs_field)(GUEST_PDPTE0 + 2 * i));
    }
    e->mode = emul_is_code64(cs, e->efer) ? INSN_64 : (cs & SEG_DB) ? INSN_32 : INSN_16;
    e->cpl = (uint8_t)emul_dpl((uint32_t)vmcs_read(GUEST_SS_ACCESS_RIGHTS));
}

static void store_emul(struct hvm_vcpu *v, const struct emul *e)
{
    vmcs_write(GUEST_RIP, e->rip);
    vmcs_write(GUEST_RFLAGS, e->rflags);
    vmcs_write(GUEST_RSP, v->gpr[RSP]);
}

static void put_tsc_offset(struct hvm_vcpu *v)
{
    vmcs_write(TSC_OFFSET, v->tsc_offset);
}

_Static_assert(HVM_BLOCKED_BY_STI == BLOCKING_BY_STI &&
                   HVM_BLOCKED_BY_MOV_SS == BLOCKING_BY_MOV_SS &&
                   HVM_BLOCKED_BY_NMI == BLOCKING_BY_NMI,
               "the mask is the VMCS field's");

static uint32_t get_blocking(const struct hvm_vcpu *v)
{
    (void)v;
    return (uint32_t)vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
}

static void set_blocking(struct hvm_vcpu *v, uint32_t blocking)
{
    (void)v;
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE, blocking);
}

const struct hvm_backend vmx_backend = {
    .get_reg = get_reg,
    .set_reg = set_reg,
    .get_segment = get_segment,
    .set_segment = set_segment,
    .load_cr3 = vmx_load_cr3,
    .load_emul = load_emul,
    .store_emul = store_emul,
    .put_tsc_offset = put_tsc_offset,
    .advance = vmx_advance,
    .retry = vmx_retry,
    .end_element = vmx_end_element,
    .inject = vmx_inject,
    .inject_trap = vmx_inject_trap,
    .step_pending = vmx_step_pending,
    .drop_cut_short = vmx_drop_cut_short,
    .get_blocking = get_blocking,
    .set_blocking = set_blocking,
};
