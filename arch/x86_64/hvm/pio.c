/* SPDX-License-Identifier: BSD-2-Clause */
/* Port I/O: IN and OUT at once, INS and OUTS an element at a time with the guest's page tables. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/hvm/mmio.h"

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

/* The next element. The memory must allow it before the device is read or written: that may have an
 * effect. */
static enum emul_result element(struct hvm_vcpu *v, const struct exitqual_io *q, unsigned segment,
                                uint64_t offset)
{
    struct emul_range r;
    struct emul e;
    uint8_t bytes[8] = {0};

    vmx_emul_begin(v, &e);
    enum emul_result result = emul_map_at(&e, segment, offset, q->size, q->in, &r);
    if (result == EMUL_DONE && q->in) {
        store_le64(bytes, v->ops->pio_read(v->ctx, q->port, q->size));
        result = emul_put(&e, &r, bytes);
    } else if (result == EMUL_DONE) {
        result = emul_get(&e, &r, bytes);
        if (result == EMUL_DONE) {
            v->ops->pio_write(v->ctx, q->port, q->size, load_le64(bytes));
        }
    }
    if (result == EMUL_FAULT) {
        vmx_emul_fault(v, &e.fault);
    }
    return result;
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
    /* SDM vol. 3, table 28-9: address size and, for OUTS, the segment register. The exit comes
     * before any check of the memory. */
    uint32_t info = (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_INFO);
    unsigned address_size = info >> 7 & 7,
             segment = q->in ? SEG_ES : MIN(info >> 15 & 7, (uint32_t)SEG_GS);
    uint64_t mask = address_size == 0 ? 0xffff : address_size == 1 ? UINT32_MAX : UINT64_MAX;
    unsigned index = q->in ? RDI : RSI;
    uint64_t step = (vmcs_read(GUEST_RFLAGS) & RFLAGS_DF) ? (uint64_t) - (int64_t)q->size : q->size;
    uint64_t left = q->rep ? v->gpr[RCX] & mask : 1, begin = rdtsc();

    while (left > 0) {
        switch (element(v, q, segment, v->gpr[index] & mask)) {
        case EMUL_DONE:
            break;
        case EMUL_FAULT:
            return true; /* with RCX and the index as far as it came */
        default:
            return vmx_retry(HVM_EXIT_NO_MEMORY, out);
        }
        left--;
        v->gpr[index] = advance_reg(v->gpr[index], step, mask);
        if (q->rep) {
            v->gpr[RCX] = advance_reg(v->gpr[RCX], UINT64_MAX, mask);
        }
        if (left > 0 && vmx_end_element()) {
            return true;
        }
        if (left > 0 && vmx_must_leave(v, begin)) {
            return vmx_retry(HVM_EXIT_WORK, out);
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
