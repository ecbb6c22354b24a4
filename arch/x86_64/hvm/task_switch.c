/* SPDX-License-Identifier: BSD-2-Clause */
/* The exit of a hardware task switch: decode/task.h makes it. */
#include "arch/x86_64/decode/task.h"

#include "arch/x86_64/decode/event.h"
#include "arch/x86_64/hvm/mmio.h"

#define DR6_BT BIT(15)
#define DR7_LOCAL UINT64_C(0x155) /* L0 to L3, LE */

/* What is told of the switch: SDM vol. 3, table 28-2, and the event that it is part of. */
static struct task_switch describe(const struct hvm_vcpu *v, uint32_t event)
{
    uint64_t qual = vmcs_read(EXIT_QUALIFICATION);
    uint32_t type = event & INTR_TYPE_MASK, eip = (uint32_t)vmcs_read(GUEST_RIP);
    bool software =
        type == INTR_SOFT_INTERRUPT || type == INTR_SOFT_EXCEPTION || type == INTR_PRIV_EXCEPTION;
    struct task_switch t = {.selector = (uint16_t)qual,
                            .source = (enum task_source)(qual >> 30 & 3),
                            .return_eip = eip};

    /* An instruction is done; what a fault or an interrupt met is not. */
    if (!event || software) {
        t.return_eip = eip + (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
    }
    if (event) {
        t.external = !software || type == INTR_PRIV_EXCEPTION;
        t.has_error = event & INTR_ERROR_CODE;
        t.error = v->reinject_error;
    }
    return t;
}

static void write_back(struct hvm_vcpu *v, const struct emul *e)
{
    vmcs_write(GUEST_RIP, e->rip);
    vmcs_write(GUEST_RFLAGS, e->rflags);
    vmcs_write(GUEST_RSP, v->gpr[RSP_UNUSED]);
    if (e->cr0 & CR0_TS) {
        vmcs_write(GUEST_CR0, vmcs_read(GUEST_CR0) | CR0_TS);
        vmcs_write(CR0_READ_SHADOW, vmcs_read(CR0_READ_SHADOW) | CR0_TS);
    }
}

/* Blocking by STI and MOV SS ends with the switch. IRET unblocks NMIs even if it faults (SDM vol.
 * 3, 6.7.1); this exit has left that to us. */
static void set_blocking(const struct task_switch *t)
{
    uint64_t blocking = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);

    if (t->switched) {
        blocking &= ~(uint64_t)(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS);
    }
    if (t->source == TASK_IRET) {
        blocking &= ~(uint64_t)BLOCKING_BY_NMI;
    }
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE, blocking);
}

/* A #DB trap before the new task's first instruction. */
static void debug_trap(struct hvm_vcpu *v)
{
    uint64_t dr6;

    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    __asm__ volatile("mov %0, %%dr6" : : "r"(dr6 | DR6_BT));
    v->reinject_info = INTR_VALID | INTR_HARD_EXCEPTION | VEC_DB;
    v->reinject_error = v->reinject_len = 0;
}

bool vmx_exit_task_switch(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t event = v->reinject_info;
    struct task_switch t = describe(v, event);
    bool exception = (event & INTR_TYPE_MASK) == INTR_HARD_EXCEPTION && event;
    struct emul e;

    v->counts[HVM_N_OTHER]++;
    vmx_emul_begin(v, &e);
    enum emul_result r = task_switch(&e, &t);
    if (r == EMUL_NO_MEMORY) {
        if (!event) {
            return vmx_retry(HVM_EXIT_NO_MEMORY, out);
        }
        *out = HVM_EXIT_NO_MEMORY; /* the event comes again, with the RF that it is to save */
        return false;
    }
    vmx_drop_cut_short(v);
    write_back(v, &e);
    set_blocking(&t);
    if (t.switched) {
        vmcs_write(GUEST_DR7, vmcs_read(GUEST_DR7) & ~DR7_LOCAL);
    }
    if (r == EMUL_DONE) {
        if (t.debug_trap) {
            debug_trap(v);
        }
        return true;
    }
    /* A fault of the new task is one of its own; before that it is one of the event's delivery. */
    enum event_outcome outcome =
        t.switched ? EVENT_SECOND
                   : event_combine(exception, event & INTR_VECTOR_MASK, e.fault.vector);
    if (outcome == EVENT_SHUTDOWN) {
        *out = HVM_EXIT_SHUTDOWN;
        return false;
    }
    if (outcome == EVENT_DOUBLE_FAULT) {
        e.fault = (struct emul_fault){.vector = EXC_DF, .has_error = true};
    }
    vmx_emul_fault(v, &e.fault);
    return true;
}
