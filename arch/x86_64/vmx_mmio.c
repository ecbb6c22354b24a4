/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions that touch device memory: fetched, decoded (decode/insn.h) and carried out here. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/decode/insn.h"
#include "arch/x86_64/vmx.h"
#include "arch/x86_64/vmx_mem.h"

static enum insn_mode code_mode(void)
{
    if (vmx_in_64bit_code()) {
        return INSN_64;
    }
    return (vmcs_read(GUEST_CS_ACCESS_RIGHTS) & BIT(14)) ? INSN_32 : INSN_16;
}

/* A string operand's linear address. */
static uint64_t string_operand(uint64_t index, uint64_t mask, enum vmcs_field base)
{
    return vmx_in_64bit_code() ? index & mask : (uint32_t)((index & mask) + vmcs_read(base));
}

/* By `by` in an address size's mask: 32-bit addressing clears the upper half, 16-bit keeps it. */
static void string_move(uint64_t *reg, uint64_t by, uint64_t mask)
{
    *reg = mask == 0xffff ? (*reg & ~mask) | ((*reg + by) & mask) : (*reg + by) & mask;
}

/* STOS and MOVS: one element, then the registers. The instruction is done when RCX says so. */
static bool string_element(struct hvm_vcpu *v, const struct insn *i, gpa_t gpa, enum hvm_exit *out)
{
    uint64_t mask = i->address_size == 2 ? 0xffff : i->address_size == 4 ? UINT32_MAX : UINT64_MAX;
    uint64_t step = (vmcs_read(GUEST_RFLAGS) & RFLAGS_DF) ? (uint64_t) - (int64_t)i->size : i->size;
    bool write = vmcs_read(EXIT_QUALIFICATION) & BIT(1);
    uint64_t value = v->gpr[RAX];
    enum vmx_mem m = VMX_MEM_OK;

    if (i->rep && (v->gpr[RCX] & mask) == 0) {
        vmx_advance_by(i->length);
        return true;
    }
    if (i->op == INSN_MOVS && write) {
        /* Source: DS:RSI; in 64-bit mode its base is 0 but for FS and GS, which no driver uses for
         * a copy to a device. */
        value = 0;
        m = vmx_mem_read(v, string_operand(v->gpr[RSI], mask, GUEST_DS_BASE), &value, i->size);
    }
    if (m == VMX_MEM_OK && write) {
        v->ops->mmio_write(v->ctx, gpa, i->size, value);
    } else if (m == VMX_MEM_OK) {
        uint64_t to = string_operand(v->gpr[RDI], mask, GUEST_ES_BASE);
        /* The memory must be writable before the device is read: a read may have an effect. */
        m = vmx_mem_read(v, to, &value, i->size);
        if (m == VMX_MEM_OK) {
            m = vmx_mem_write(v, to, &value, i->size);
        }
        if (m == VMX_MEM_OK) {
            value = v->ops->mmio_read(v->ctx, gpa, i->size);
            m = vmx_mem_write(v, to, &value, i->size);
        }
    }
    if (m == VMX_MEM_FAULT) {
        return true;
    }
    if (m == VMX_MEM_NO_MEMORY) {
        *out = HVM_EXIT_NO_MEMORY;
        return false;
    }
    if (m == VMX_MEM_NOT_RAM) {
        return vmx_break(v, out, "copies from device memory to device memory at rip %#llx",
                         (unsigned long long)vmcs_read(GUEST_RIP));
    }
    string_move(&v->gpr[RDI], step, mask);
    if (i->op == INSN_MOVS) {
        string_move(&v->gpr[RSI], step, mask);
    }
    if (!i->rep) {
        vmx_advance_by(i->length);
        return true;
    }
    string_move(&v->gpr[RCX], UINT64_MAX, mask);
    if ((v->gpr[RCX] & mask) == 0) {
        vmx_advance_by(i->length);
    }
    return true;
}

static void carry_out(struct hvm_vcpu *v, const struct insn *i, gpa_t gpa)
{
    uint64_t other = i->has_imm ? i->imm : insn_reg_read(i, v->gpr), memory, result, rflags;

    switch (i->op) {
    case INSN_LOAD:
        memory = v->ops->mmio_read(v->ctx, gpa, i->size);
        insn_reg_write(i, v->gpr, insn_widen(i, memory), i->reg_size);
        break;
    case INSN_STORE:
        v->ops->mmio_write(v->ctx, gpa, i->size, other);
        break;
    case INSN_XCHG:
        memory = v->ops->mmio_read(v->ctx, gpa, i->size);
        v->ops->mmio_write(v->ctx, gpa, i->size, other);
        insn_reg_write(i, v->gpr, memory, i->size);
        break;
    case INSN_TEST:
    case INSN_ALU:
        memory = v->ops->mmio_read(v->ctx, gpa, i->size);
        rflags = vmcs_read(GUEST_RFLAGS);
        if (i->op == INSN_TEST) {
            (void)insn_alu(ALU_AND, memory, other, i->size, &rflags);
        } else if (i->to_memory) {
            result = insn_alu(i->alu, memory, other, i->size, &rflags);
            if (i->alu != ALU_CMP) {
                v->ops->mmio_write(v->ctx, gpa, i->size, result);
            }
        } else {
            result = insn_alu(i->alu, other, memory, i->size, &rflags);
            if (i->alu != ALU_CMP) {
                insn_reg_write(i, v->gpr, result, i->size);
            }
        }
        vmcs_write(GUEST_RFLAGS, rflags);
        break;
    case INSN_STOS:
    case INSN_MOVS:
        break; /* string_element */
    }
}

bool vmx_emulate_mmio(struct hvm_vcpu *v, enum hvm_exit *out)
{
    gpa_t gpa = GPA(vmcs_read(GUEST_PHYSICAL_ADDRESS));
    uint8_t bytes[INSN_MAX];
    struct insn i;
    unsigned n;

    switch (vmx_mem_fetch(v, bytes, sizeof(bytes), &n)) {
    case VMX_MEM_OK:
        break;
    case VMX_MEM_FAULT:
        return true;
    case VMX_MEM_NO_MEMORY:
        *out = HVM_EXIT_NO_MEMORY;
        return false;
    case VMX_MEM_NOT_RAM:
        return vmx_break(v, out, "executes outside its memory at rip %#llx",
                         (unsigned long long)vmcs_read(GUEST_RIP));
    }
    enum status s = insn_decode(bytes, n, code_mode(), &i);
    if (s != OK) {
        return vmx_break(v, out,
                         "instruction at rip %#llx (%02x %02x %02x %02x) on device memory %#llx is "
                         "not emulated",
                         (unsigned long long)vmcs_read(GUEST_RIP), bytes[0], bytes[1], bytes[2],
                         bytes[3], (unsigned long long)gpa.a);
    }
    /* RSP is in the VMCS; lend it to the register file. */
    v->gpr[4] = vmcs_read(GUEST_RSP);
    if (i.op == INSN_STOS || i.op == INSN_MOVS) {
        return string_element(v, &i, gpa, out);
    }
    carry_out(v, &i, gpa);
    if (v->gpr[4] != vmcs_read(GUEST_RSP)) {
        vmcs_write(GUEST_RSP, v->gpr[4]);
    }
    vmx_advance_by(i.length);
    return true;
}
