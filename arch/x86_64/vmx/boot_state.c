/* SPDX-License-Identifier: BSD-2-Clause */
/* The register states in which a boot loader leaves a vCPU. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/vmx/vmx.h"

/* Segment access rights: SDM vol. 3, 25.4.1. */
#define TYPE_CODE 0xbu /* readable, accessed */
#define TYPE_DATA 0x3u /* writable, accessed */
#define TYPE_TSS_BUSY 0xbu
#define AR_CODE64 (SEG_G | SEG_L | SEG_P | SEG_S | TYPE_CODE)
#define AR_CODE32 (SEG_G | SEG_DB | SEG_P | SEG_S | TYPE_CODE)
#define AR_DATA (SEG_G | SEG_DB | SEG_P | SEG_S | TYPE_DATA)
#define AR_TSS_BUSY (SEG_P | TYPE_TSS_BUSY)

#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_TR 0x20

static void set_flat_segments(uint32_t code_rights)
{
    static const struct {
        enum vmcs_field selector, base, limit, rights;
    } data[] = {
        {GUEST_ES_SELECTOR, GUEST_ES_BASE, GUEST_ES_LIMIT, GUEST_ES_ACCESS_RIGHTS},
        {GUEST_SS_SELECTOR, GUEST_SS_BASE, GUEST_SS_LIMIT, GUEST_SS_ACCESS_RIGHTS},
        {GUEST_DS_SELECTOR, GUEST_DS_BASE, GUEST_DS_LIMIT, GUEST_DS_ACCESS_RIGHTS},
        {GUEST_FS_SELECTOR, GUEST_FS_BASE, GUEST_FS_LIMIT, GUEST_FS_ACCESS_RIGHTS},
        {GUEST_GS_SELECTOR, GUEST_GS_BASE, GUEST_GS_LIMIT, GUEST_GS_ACCESS_RIGHTS},
    };

    vmcs_write(GUEST_CS_SELECTOR, BOOT_CS);
    vmcs_write(GUEST_CS_BASE, 0);
    vmcs_write(GUEST_CS_LIMIT, 0xffffffff);
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, code_rights);
    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        vmcs_write(data[i].selector, BOOT_DS);
        vmcs_write(data[i].base, 0);
        vmcs_write(data[i].limit, 0xffffffff);
        vmcs_write(data[i].rights, AR_DATA);
    }
    vmcs_write(GUEST_LDTR_SELECTOR, 0);
    vmcs_write(GUEST_LDTR_BASE, 0);
    vmcs_write(GUEST_LDTR_LIMIT, 0);
    vmcs_write(GUEST_LDTR_ACCESS_RIGHTS, SEG_UNUSABLE);
    vmcs_write(GUEST_TR_SELECTOR, BOOT_TR);
    vmcs_write(GUEST_TR_BASE, 0);
    vmcs_write(GUEST_TR_LIMIT, 0xffff);
    vmcs_write(GUEST_TR_ACCESS_RIGHTS, AR_TSS_BUSY);
    vmcs_write(GUEST_IDTR_BASE, 0);
    vmcs_write(GUEST_IDTR_LIMIT, 0);
}

static void set_control_registers(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
    vmx_set_cr0(cr0);
    vmcs_write(GUEST_CR3, cr3);
    vmx_set_cr4(cr4);
    vmx_set_efer(efer);
}

static void set_entry_point(struct hvm_vcpu *v, uint64_t rip, uint64_t rsp, uint64_t gdt_base,
                            uint32_t gdt_limit)
{
    vmcs_write(GUEST_GDTR_BASE, gdt_base);
    vmcs_write(GUEST_GDTR_LIMIT, gdt_limit);
    vmcs_write(GUEST_RIP, rip);
    vmcs_write(GUEST_RSP, rsp);
    vmcs_write(GUEST_RFLAGS, 2);
    for (unsigned i = 0; i < ARRAY_LEN(v->gpr); i++) {
        v->gpr[i] = 0;
    }
}

void hvm_vcpu_boot64(struct hvm_vcpu *v, const struct hvm_boot64 *b)
{
    vmx_make_current(v);
    set_flat_segments(AR_CODE64);
    set_control_registers(CR0_PE | CR0_ET | CR0_PG, b->cr3, CR4_PAE, EFER_LME | EFER_LMA);
    set_entry_point(v, b->rip, b->rsp, b->gdt_base, b->gdt_limit);
    v->gpr[RSI] = b->rsi;
}

void hvm_vcpu_boot32(struct hvm_vcpu *v, const struct hvm_boot32 *b)
{
    vmx_make_current(v);
    set_flat_segments(AR_CODE32);
    set_control_registers(CR0_PE | CR0_ET, 0, 0, 0);
    set_entry_point(v, b->rip, b->esp, b->gdt_base, b->gdt_limit);
    v->gpr[RAX] = b->eax;
    v->gpr[RBX] = b->ebx;
    v->gpr[RSI] = b->esi;
}
