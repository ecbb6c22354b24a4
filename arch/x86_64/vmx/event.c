/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction that exited, and the events that wait for the next entry. */
#include "arch/x86_64/vmx/vmx.h"

void vmx_step_pending(struct hvm_vcpu *v)
{
    (void)v;
    vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS,
               vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_DEBUG_BS);
}

void vmx_advance(struct hvm_vcpu *v)
{
    uint64_t old = vmcs_read(GUEST_RIP), rip = old + vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
    uint32_t blocking = (uint32_t)vmcs_read(GUEST_INTERRUPTIBILITY_STATE);

    if ((old ^ rip) >> 32 && !vmx_is_code64()) {
        rip = (uint32_t)rip; /* outside 64-bit mode RIP wraps at 32 bits */
    }
    vmcs_write(GUEST_RIP, rip);
    if (blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) {
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE,
                   blocking & ~(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS));
    }
    uint64_t flags = vmcs_read(GUEST_RFLAGS);
    if (flags & (RFLAGS_RF | RFLAGS_TF)) {
        /* RF ends with the instruction: SDM vol. 3, 18.3.1.1. */
        vmcs_write(GUEST_RFLAGS, flags & ~(uint64_t)RFLAGS_RF);
        if (flags & RFLAGS_TF) {
            vmx_step_pending(v);
        }
    }
}

bool vmx_retry(struct hvm_vcpu *v, enum hvm_exit why, enum hvm_exit *out)
{
    (void)v;
    /* An exit for an instruction has cleared RF, without which its code breakpoint would hit again:
     * SDM vol. 3, 28.3.3. */
    vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
    *out = why;
    return false;
}

bool vmx_end_element(struct hvm_vcpu *v)
{
    uint64_t flags = vmcs_read(GUEST_RFLAGS);

    if (!(flags & RFLAGS_TF)) {
        return false;
    }
    /* The trap's frame has RF, as any between two elements: SDM vol. 3, 18.3.1.1. */
    vmcs_write(GUEST_RFLAGS, flags | RFLAGS_RF);
    vmx_step_pending(v);
    return true;
}

void vmx_inject(struct hvm_vcpu *v, unsigned vector, bool has_error, uint32_t error)
{
    /* In real mode exceptions push no error code: SDM vol. 3, 27.2.1.3. */
    has_error = has_error && (vmcs_read(GUEST_CR0) & CR0_PE);
    /* All that come this way are faults, which push RF set: no code breakpoint hits twice. */
    vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
    struct vmx_vcpu *x = to_vmx(v);
    x->reinject_info =
        INTR_VALID | INTR_HARD_EXCEPTION | vector | (has_error ? INTR_ERROR_CODE : 0);
    x->reinject_error = error;
    x->reinject_len = 0;
}

void vmx_inject_trap(struct hvm_vcpu *v, unsigned vector)
{
    struct vmx_vcpu *x = to_vmx(v);

    x->reinject_info = INTR_VALID | INTR_HARD_EXCEPTION | vector;
    x->reinject_error = x->reinject_len = 0;
}

bool vmx_inject_gp(struct hvm_vcpu *v)
{
    vmx_inject(v, EXC_GP, true, 0);
    return true;
}

/* A single step, or a data breakpoint that MOV SS held back. */
bool vmx_debug_pending(void)
{
    return vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) &
           (PENDING_DEBUG_BS | PENDING_DEBUG_BREAKPOINT);
}

bool vmx_can_wake(struct hvm_vcpu *v)
{
    if (vmx_debug_pending()) {
        return true;
    }
    if (v->nmi_pending && !(vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & BLOCKING_BY_NMI)) {
        return true;
    }
    return v->ops->irq_pending(v->ctx) && (vmcs_read(GUEST_RFLAGS) & RFLAGS_IF);
}

void vmx_block_nmis(void)
{
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE,
               vmcs_read(GUEST_INTERRUPTIBILITY_STATE) | BLOCKING_BY_NMI);
}

void vmx_drop_cut_short(struct hvm_vcpu *v)
{
    struct vmx_vcpu *x = to_vmx(v);

    if (x->reinject_info && (x->reinject_info & INTR_TYPE_MASK) == INTR_NMI) {
        vmx_block_nmis();
    }
    x->reinject_info = 0;
}
