/* SPDX-License-Identifier: BSD-2-Clause */
/* Port I/O: IN and OUT at once, INS and OUTS an element at a time with the guest's page tables. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/vmx.h"
#include "arch/x86_64/vmx_mem.h"

static uint64_t size_mask(unsigned size)
{
    return size == 4 ? UINT32_MAX : BIT(8 * size) - 1;
}

static void plain(struct hvm_vcpu *v, const struct exitqual_io *q)
{
    uint64_t mask = size_mask(q->size);

    if (!q->in) {
        v->ops->pio_write(v->ctx, q->port, q->size, v->gpr[RAX] & mask);
        return;
    }
    uint64_t value = v->ops->pio_read(v->ctx, q->port, q->size) & mask;
    /* A 32-bit result clears the upper half, smaller ones leave it. */
    v->gpr[RAX] = q->size == 4 ? value : (v->gpr[RAX] & ~mask) | value;
}

/* One element; the linear address is the caller's. */
static enum vmx_mem element(struct hvm_vcpu *v, const struct exitqual_io *q, uint64_t linear)
{
    uint64_t value = 0;
    enum vmx_mem m;

    if (q->in) {
        /* The memory must be writable before the device is read: a read may have an effect. */
        m = vmx_mem_prepare_write(v, linear, q->size);
        if (m == VMX_MEM_OK) {
            value = v->ops->pio_read(v->ctx, q->port, q->size);
            m = vmx_mem_write(v, linear, &value, q->size);
        }
    } else {
        m = vmx_mem_read(v, linear, &value, q->size);
        if (m == VMX_MEM_OK) {
            v->ops->pio_write(v->ctx, q->port, q->size, value & size_mask(q->size));
        }
    }
    return m;
}

static uint64_t advance_reg(uint64_t reg, uint64_t by, uint64_t mask)
{
    /* 64-bit addressing moves the whole register, 32-bit clears the upper half, 16-bit keeps it. */
    return mask == 0xffff ? (reg & ~mask) | ((reg + by) & mask) : (reg + by) & mask;
}

/* As much of it as there is time for. It exits again for the rest, so that a long one neither holds
 * up the host nor loses an interrupt. */
static bool string(struct hvm_vcpu *v, const struct exitqual_io *q, enum hvm_exit *out)
{
    /* SDM vol. 3, 28.2.5: address size in the instruction information, address of the first
     * element, with the segment's base, in the guest-linear-address field. */
    unsigned address_size = vmcs_read(VM_EXIT_INSTRUCTION_INFO) >> 7 & 7;
    uint64_t mask = address_size == 0 ? 0xffff : address_size == 1 ? UINT32_MAX : UINT64_MAX;
    uint64_t linear = vmcs_read(GUEST_LINEAR_ADDRESS);
    unsigned index = q->in ? RDI : RSI;
    uint64_t step = (vmcs_read(GUEST_RFLAGS) & RFLAGS_DF) ? (uint64_t) - (int64_t)q->size : q->size;
    uint64_t left = q->rep ? v->gpr[RCX] & mask : 1, begin = rdtsc();

    while (left > 0) {
        switch (element(v, q, linear)) {
        case VMX_MEM_OK:
            break;
        case VMX_MEM_FAULT:
            return true; /* with RCX and the index as far as it came */
        case VMX_MEM_NO_MEMORY:
            *out = HVM_EXIT_NO_MEMORY;
            return false;
        }
        uint64_t before = v->gpr[index] & mask;
        left--;
        linear += step;
        v->gpr[index] = advance_reg(v->gpr[index], step, mask);
        if (q->rep) {
            v->gpr[RCX] = advance_reg(v->gpr[RCX], UINT64_MAX, mask);
        }
        if ((v->gpr[index] & mask) != before + step) {
            break; /* it wrapped: the next exit has the address anew */
        }
        if (left > 0 && vmx_end_element()) {
            return true;
        }
        if (left > 0 && vmx_must_leave(v, begin)) {
            *out = HVM_EXIT_WORK;
            return false;
        }
    }
    if (left == 0) {
        vmx_advance();
    }
    return true;
}

bool vmx_exit_io(struct hvm_vcpu *v, enum hvm_exit *out)
{
    struct exitqual_io q = exitqual_io(vmcs_read(EXIT_QUALIFICATION));

    v->counts[HVM_N_IO]++;
    if (q.size == 0) {
        return vmx_break(v, out, "I/O exit with an impossible size");
    }
    if (q.string) {
        return string(v, &q, out);
    }
    plain(v, &q);
    vmx_advance();
    return true;
}
