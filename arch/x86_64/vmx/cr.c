/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control-register accesses that exit: writes that touch a bit the hypervisor owns, and CR8.
 *
 * CR0.NE, CR0.CD, CR0.NW, CR4.MCE and the CR4 bits that CPUID does not offer are owned; everything
 * else a guest changes without an exit. When an owned bit changes together with others, the
 * consequences that the processor would draw (EFER.LMA, the PDPTEs, the TLB) are drawn here.
 */
#include "arch/x86_64/hvm/cr.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/vmx/vmx.h"
#include "mm/p2m.h"

static uint64_t get_gpr(const struct hvm_vcpu *v, unsigned n)
{
    return n == RSP ? vmcs_read(GUEST_RSP) : v->gpr[n];
}

static void set_gpr(struct hvm_vcpu *v, unsigned n, uint64_t value)
{
    if (n == RSP) {
        vmcs_write(GUEST_RSP, value);
    } else {
        v->gpr[n] = value;
    }
}

/* With EPT, entry takes the PDPTEs of PAE paging from the VMCS (SDM vol. 3, 27.3.2.4). */
static enum status load_pdptes(struct hvm_vcpu *v, uint64_t cr3)
{
    uint64_t pdpte[4];
    enum status s = p2m_read(v->p2m, GPA(cr3 & 0xffffffe0u), pdpte, sizeof(pdpte));

    if (s == E_NOMEM) {
        return s;
    }
    if (s != OK || !cr_pdptes_legal(pdpte, hvm_guest_phys_bits())) {
        return E_INVAL;
    }
    for (unsigned i = 0; i < 4; i++) {
        vmcs_write((enum vmcs_field)(GUEST_PDPTE0 + 2 * i), pdpte[i]);
    }
    return OK;
}

enum status vmx_load_cr3(struct hvm_vcpu *v, uint64_t cr3)
{
    bool pae = vmcs_read(GUEST_CR4) & CR4_PAE;
    enum status s = pae ? load_pdptes(v, cr3) : OK;

    if (s == OK) {
        vmcs_write(GUEST_CR3, cr3);
        vmx_flush_vpid(v);
    }
    return s;
}

void vmx_set_cr0(uint64_t cr0)
{
    /* CD and NW stay with the shadow: caching is the machine's business. PE and PG are the guest's:
     * it is an unrestricted one. */
    vmcs_write(CR0_READ_SHADOW, cr0);
    vmcs_write(GUEST_CR0, (cr0 & ~(CR0_CD | CR0_NW)) | (vmx_caps.cr0_must & ~(CR0_PE | CR0_PG)));
}

void vmx_set_cr4(uint64_t cr4)
{
    vmcs_write(CR4_READ_SHADOW, cr4);
    /* With MCE clear a machine check would shut the whole machine down, not just this guest. */
    vmcs_write(GUEST_CR4, (cr4 & ~CR4_MCE) | vmx_caps.cr4_must | (vmcs_read(HOST_CR4) & CR4_MCE));
}

void vmx_set_efer(uint64_t efer)
{
    uint64_t entry = vmcs_read(VM_ENTRY_CONTROLS) & ~(uint64_t)ENTRY_IA32E_MODE_GUEST;

    vmcs_write(GUEST_IA32_EFER, efer);
    vmcs_write(VM_ENTRY_CONTROLS, entry | ((efer & EFER_LMA) ? ENTRY_IA32E_MODE_GUEST : 0));
}

static struct cr_state state_of(void)
{
    return (struct cr_state){
        .cr0 = vmx_guest_cr0(),
        .cr3 = vmcs_read(GUEST_CR3),
        .cr4 = vmx_guest_cr4(),
        .efer = vmcs_read(GUEST_IA32_EFER),
        .cs_l = vmcs_read(GUEST_CS_ACCESS_RIGHTS) & SEG_L,
        .tr_type = vmcs_read(GUEST_TR_ACCESS_RIGHTS) & SEG_TYPE,
    };
}

/* Carries out what a write has come to, past the instruction. */
static bool apply(struct hvm_vcpu *v, const struct cr_state *old, const struct cr_change *c,
                  enum hvm_exit *out)
{
    enum status s = c->load_pdptes ? load_pdptes(v, old->cr3) : OK;

    if (s != OK) {
        return s == E_NOMEM ? vmx_retry(v, HVM_EXIT_NO_MEMORY, out) : vmx_inject_gp(v);
    }
    if (c->efer != old->efer) {
        vmx_set_efer(c->efer);
    }
    if (c->flush) {
        vmx_flush_vpid(v);
    }
    vmx_set_cr0(c->cr0);
    if (c->cr4 != old->cr4) {
        vmx_set_cr4(c->cr4);
    }
    vmx_advance(v);
    return true;
}

static bool guest_write_cr0(struct hvm_vcpu *v, uint64_t value, enum hvm_exit *out)
{
    struct cr_state old = state_of();
    struct cr_change c;

    return cr_write_cr0(&old, value, &c) == CR_DONE ? apply(v, &old, &c, out) : vmx_inject_gp(v);
}

static bool guest_write_cr4(struct hvm_vcpu *v, uint64_t value, enum hvm_exit *out)
{
    struct cr_state old = state_of();
    struct cr_change c;

    return cr_write_cr4(&old, value, hvm_guest_cr4_bits(), &c) == CR_DONE ? apply(v, &old, &c, out)
                                                                          : vmx_inject_gp(v);
}

bool vmx_exit_cr(struct hvm_vcpu *v, enum hvm_exit *out)
{
    struct exitqual_cr q = exitqual_cr(vmcs_read(EXIT_QUALIFICATION));
    uint64_t value;

    v->counts[HVM_N_OTHER]++;
    switch (q.type) {
    case CR_MOV_TO:
        value = get_gpr(v, q.gpr);
        if (!vmx_is_code64()) {
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
            vmx_advance(v);
            return true;
        }
        break;
    case CR_MOV_FROM:
        if (q.cr == 8) {
            set_gpr(v, q.gpr, v->ops->get_cr8(v->ctx));
            vmx_advance(v);
            return true;
        }
        break;
    case CR_CLTS: /* exits only if TS were owned */
        break;
    case CR_LMSW:
        return guest_write_cr0(v, cr_of_lmsw(vmx_guest_cr0(), q.lmsw), out);
    }
    return hvm_crash(v, out, "unexpected access to CR%u (type %u)", q.cr, q.type);
}
