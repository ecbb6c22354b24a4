/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control-register accesses that exit: writes that touch a bit the hypervisor owns, and CR8.
 *
 * CR0.NE, CR0.CD, CR0.NW, CR4.MCE and the CR4 bits that CPUID does not offer are owned; everything
 * else a guest changes without an exit. When an owned bit changes together with others, the
 * consequences that the processor would draw (EFER.LMA, the PDPTEs, the TLB) are drawn here.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/vmx.h"
#include "mm/p2m.h"

/* Bits of CR0 that exist; writes to the others are ignored or #GP above 31. */
#define CR0_DEFINED                                                                                \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)

static uint64_t get_gpr(const struct hvm_vcpu *v, unsigned n)
{
    return n == 4 ? vmcs_read(GUEST_RSP) : v->gpr[n];
}

static void set_gpr(struct hvm_vcpu *v, unsigned n, uint64_t value)
{
    if (n == 4) {
        vmcs_write(GUEST_RSP, value);
    } else {
        v->gpr[n] = value;
    }
}

/* With EPT, entry takes the PDPTEs of PAE paging from the VMCS (SDM vol. 3, 27.3.2.4). */
bool vmx_load_pdptes(struct hvm_vcpu *v, uint64_t cr3, bool *no_memory)
{
    uint64_t pdpte[4];
    enum status s = p2m_read(v->p2m, GPA(cr3 & 0xffffffe0u), pdpte, sizeof(pdpte));

    *no_memory = s == E_NOMEM;
    if (s != OK) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        /* Reserved bits of a present PDPTE: 1-2, 5-8, and above the physical width. */
        uint64_t reserved = UINT64_C(0x1e6) | ~(BIT(vmx_guest_phys_bits()) - 1);
        if ((pdpte[i] & 1) && (pdpte[i] & reserved)) {
            return false;
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        vmcs_write((enum vmcs_field)(GUEST_PDPTE0 + 2 * i), pdpte[i]);
    }
    return true;
}

static bool guest_write_cr0(struct hvm_vcpu *v, uint64_t value, enum hvm_exit *out)
{
    uint64_t old = vmcs_read(GUEST_CR0), efer = vmcs_read(GUEST_IA32_EFER);
    uint64_t cr4 = vmcs_read(GUEST_CR4);
    uint64_t must = vmx_caps.cr0_must & ~(CR0_PE | CR0_PG);

    if ((value >> 32) || ((value & CR0_PG) && !(value & CR0_PE)) ||
        ((value & CR0_NW) && !(value & CR0_CD))) {
        return vmx_inject_gp(v);
    }
    value = (value & CR0_DEFINED) | CR0_ET;
    bool pg_on = (value & CR0_PG) && !(old & CR0_PG), pg_off = !(value & CR0_PG) && (old & CR0_PG);
    if (pg_on && (efer & EFER_LME)) {
        if (!(cr4 & CR4_PAE) || (vmcs_read(GUEST_CS_ACCESS_RIGHTS) & BIT(13))) {
            return vmx_inject_gp(v);
        }
        /* TR holds a 16-bit TSS (SDM vol. 2, MOV to CR0; entry would fail, 27.3.1.2). */
        if ((vmcs_read(GUEST_TR_ACCESS_RIGHTS) & 15) != 11) {
            return vmx_inject_gp(v);
        }
        vmx_set_efer(efer | EFER_LMA);
    } else if (pg_on && (cr4 & CR4_PAE)) {
        bool no_memory;
        if (!vmx_load_pdptes(v, vmcs_read(GUEST_CR3), &no_memory)) {
            if (no_memory) {
                *out = HVM_EXIT_NO_MEMORY;
                return false;
            }
            return vmx_inject_gp(v);
        }
    } else if (pg_off && (efer & EFER_LMA)) {
        if ((vmcs_read(GUEST_CS_ACCESS_RIGHTS) & BIT(13)) || (cr4 & CR4_PCIDE)) {
            return vmx_inject_gp(v);
        }
        vmx_set_efer(efer & ~EFER_LMA);
    }
    if (pg_off) {
        vmx_flush_vpid(v);
    }
    /* CD and NW stay with the shadow: caching is the machine's business. */
    vmcs_write(CR0_READ_SHADOW, value);
    vmcs_write(GUEST_CR0, (value & ~(CR0_CD | CR0_NW)) | must);
    vmx_advance();
    return true;
}

uint64_t vmx_real_cr4(uint64_t cr4)
{
    /* With MCE clear a machine check would shut the whole machine down, not just this guest. */
    return (cr4 & ~CR4_MCE) | vmx_caps.cr4_must | (vmcs_read(HOST_CR4) & CR4_MCE);
}

/* Bits whose change drops translations, and reloads the PDPTEs: SDM vol. 3, 5.4.1 and 5.10.4.1. */
#define CR4_PAGING (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)

static bool guest_write_cr4(struct hvm_vcpu *v, uint64_t value, enum hvm_exit *out)
{
    uint64_t cr3 = vmcs_read(GUEST_CR3), changed = vmcs_read(GUEST_CR4) ^ value;
    bool long_mode = vmcs_read(GUEST_IA32_EFER) & EFER_LMA, no_memory;

    if ((value & ~vmx_guest_cr4_bits()) || (long_mode && !(value & CR4_PAE))) {
        return vmx_inject_gp(v);
    }
    if ((changed & value & CR4_PCIDE) && (!long_mode || (cr3 & 0xfff))) {
        return vmx_inject_gp(v);
    }
    if (!long_mode && (vmcs_read(GUEST_CR0) & CR0_PG) && (value & CR4_PAE) &&
        (changed & CR4_PAGING) && !vmx_load_pdptes(v, cr3, &no_memory)) {
        if (no_memory) {
            *out = HVM_EXIT_NO_MEMORY;
            return false;
        }
        return vmx_inject_gp(v);
    }
    if (changed & (CR4_PAGING | CR4_PCIDE)) {
        vmx_flush_vpid(v);
    }
    vmcs_write(CR4_READ_SHADOW, value);
    vmcs_write(GUEST_CR4, vmx_real_cr4(value));
    vmx_advance();
    return true;
}

bool vmx_exit_cr(struct hvm_vcpu *v, enum hvm_exit *out)
{
    struct exitqual_cr q = exitqual_cr(vmcs_read(EXIT_QUALIFICATION));
    uint64_t shadow, value;

    v->counts[HVM_N_OTHER]++;
    switch (q.type) {
    case CR_MOV_TO:
        value = get_gpr(v, q.gpr);
        if (!(vmcs_read(GUEST_CS_ACCESS_RIGHTS) & BIT(13))) {
            value = (uint32_t)value;
        }
        if (q.cr == 0) {
            return guest_write_cr0(v, value, out);
        }
        if (q.cr == 4) {
            return guest_write_cr4(v, value, out);
        }
        if (q.cr == 8) {
            if (value & ~UINT64_C(0xf)) {
                return vmx_inject_gp(v);
            }
            v->ops->set_cr8(v->ctx, (uint8_t)value);
            v->irq_check = true;
            vmx_advance();
            return true;
        }
        break;
    case CR_MOV_FROM:
        if (q.cr == 8) {
            set_gpr(v, q.gpr, v->ops->get_cr8(v->ctx));
            vmx_advance();
            return true;
        }
        break;
    case CR_CLTS: /* exits only if TS were owned */
        break;
    case CR_LMSW: /* bits 0-3, and PE cannot be cleared */
        shadow = (vmcs_read(GUEST_CR0) & ~(CR0_NE | CR0_NW | CR0_CD)) |
                 (vmcs_read(CR0_READ_SHADOW) & (CR0_NE | CR0_NW | CR0_CD));
        value = (shadow & ~UINT64_C(0xe)) | (q.lmsw & 0xf);
        return guest_write_cr0(v, value, out);
    }
    return vmx_break(v, out, "unexpected access to CR%u (type %u)", q.cr, q.type);
}
