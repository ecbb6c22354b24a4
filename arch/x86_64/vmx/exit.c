/* SPDX-License-Identifier: BSD-2-Clause */
/* What each VM exit does: the table by basic exit reason (SDM vol. 3, appendix C) and the small
 * handlers; the larger ones have files of their own. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/hvm/kvm.h"
#include "arch/x86_64/hvm/xstate.h"
#include "arch/x86_64/vmx/exit_reasons.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/log.h"

#define REASON_ENTRY_FAILURE BIT32(31)
#define DR7_GD BIT(13)

/*
 * #DB: the exit left DR6 and DR7 as they were and tells what happened instead (SDM vol. 3, 28.1).
 * INT1 comes as a privileged software exception, whose return address is behind it.
 */
static void reflect_debug(struct hvm_vcpu *v, uint32_t info)
{
    struct vmx_vcpu *x = to_vmx(v);
    uint64_t dr6, blocking = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
    bool int1 = (info & INTR_TYPE_MASK) == INTR_PRIV_EXCEPTION;

    if (!int1) {
        __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
        dr6 = (dr6 & ~UINT64_C(0xf)) | (vmcs_read(EXIT_QUALIFICATION) & 0x600f); /* BS, BD, B3-B0 */
        __asm__ volatile("mov %0, %%dr6" : : "r"(dr6));
        vmcs_write(GUEST_DR7, vmcs_read(GUEST_DR7) & ~DR7_GD);
    }
    /* Delivery ends these anyway; entry with TF would want a pending single step beside them. */
    if (blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) {
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE,
                   blocking & ~(uint64_t)(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS));
    }
    x->reinject_info = INTR_VALID | (info & INTR_TYPE_MASK) | EXC_DB;
    x->reinject_error = 0;
    x->reinject_len = int1 ? (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH) : 0;
}

/*
 * A guest's own exception that is intercepted only to see it go by: see vmcs_init_controls.
 *
 * It takes the place of what was being delivered when it was raised, as #DB and #AC do on a CPU:
 * they are not contributory (SDM vol. 3, 6.15, table 6-5). An IRET that raised it has unblocked
 * NMIs, and they stay so: that is what a CPU does before it calls the handler (SDM vol. 3, 6.7.1).
 */
static void reflect(struct hvm_vcpu *v, uint32_t info)
{
    vmx_drop_cut_short(v);
    if ((info & INTR_VECTOR_MASK) == EXC_DB) {
        reflect_debug(v, info);
    } else {
        vmx_inject(v, EXC_AC, true, (uint32_t)vmcs_read(VM_EXIT_INTERRUPTION_ERROR_CODE));
    }
}

static bool exit_exception_or_nmi(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t info = (uint32_t)vmcs_read(VM_EXIT_INTERRUPTION_INFO);
    uint32_t vector = info & INTR_VECTOR_MASK;

    if ((info & INTR_TYPE_MASK) == INTR_NMI) {
        v->counts[HVM_N_IRQ]++;
        __asm__ volatile("int $2"); /* the host's own: the exit consumed it */
    } else if (vector == EXC_MC) {
        v->counts[HVM_N_IRQ]++;
        if ((info & INTR_NMI_UNBLOCKED) && !to_vmx(v)->reinject_info) {
            vmx_block_nmis(); /* the guest goes on with its IRET */
        }
        __asm__ volatile("int $18");
    } else if (vector == EXC_DB || vector == EXC_AC) {
        v->counts[HVM_N_OTHER]++;
        reflect(v, info);
        /* A pending debug trap comes before the host's interrupts. A guest that goes from one to
         * the next must not keep them waiting for its whole quantum. */
        if (v->counts[HVM_N_OTHER] % 8 == 0) {
            *out = HVM_EXIT_DEADLINE;
            return false;
        }
    } else {
        return hvm_crash(v, out, "unexpected exception exit, interruption info %#x", info);
    }
    return true;
}

static bool exit_host_interrupt(struct hvm_vcpu *v, enum hvm_exit *out)
{
    v->counts[HVM_N_IRQ]++;
    *out = HVM_EXIT_DEADLINE; /* it is taken in the host's next interrupt window */
    return false;
}

static bool exit_triple_fault(struct hvm_vcpu *v, enum hvm_exit *out)
{
    v->counts[HVM_N_OTHER]++;
    *out = HVM_EXIT_SHUTDOWN;
    return false;
}

static bool exit_window(struct hvm_vcpu *v, enum hvm_exit *out)
{
    (void)out;
    v->counts[HVM_N_WINDOW]++;
    v->irq_check = true;
    return true;
}

static bool exit_hlt(struct hvm_vcpu *v, enum hvm_exit *out)
{
    v->counts[HVM_N_HLT]++;
    vmx_advance(v);
    v->irq_check = true;
    if (vmx_can_wake(v)) {
        return true;
    }
    v->halted = true;
    v->halt_irqs = vmcs_read(GUEST_RFLAGS) & RFLAGS_IF;
    v->halt_nmis = !(vmcs_read(GUEST_INTERRUPTIBILITY_STATE) & BLOCKING_BY_NMI);
    *out = HVM_EXIT_HALT;
    return false;
}

static bool exit_pause(struct hvm_vcpu *v, enum hvm_exit *out)
{
    v->counts[HVM_N_OTHER]++;
    vmx_advance(v);
    *out = HVM_EXIT_PAUSE;
    return false;
}

/* INVD and WBINVD: guest memory is coherent, there is nothing behind the caches to lose. */
static bool exit_nothing(struct hvm_vcpu *v, enum hvm_exit *out)
{
    (void)out;
    v->counts[HVM_N_OTHER]++;
    vmx_advance(v);
    return true;
}

/* VMCALL below KVM's signature: none of its calls is offered, which is told as KVM tells it. */
static bool exit_vmcall(struct hvm_vcpu *v, enum hvm_exit *out)
{
    /* SS.DPL is the CPL. */
    int64_t result = kvm_hypercall(emul_dpl((uint32_t)vmcs_read(GUEST_SS_ACCESS_RIGHTS)) == 0);

    (void)out;
    v->counts[HVM_N_OTHER]++;
    v->gpr[RAX] = vmx_is_code64() ? (uint64_t)result : (uint32_t)result;
    vmx_advance(v);
    return true;
}

/* Instructions that CPUID tells the guest it does not have. */
static bool exit_undefined(struct hvm_vcpu *v, enum hvm_exit *out)
{
    (void)out;
    v->counts[HVM_N_OTHER]++;
    vmx_inject(v, EXC_UD, false, 0);
    return true;
}

static bool exit_rdpmc(struct hvm_vcpu *v, enum hvm_exit *out)
{
    (void)out;
    v->counts[HVM_N_OTHER]++;
    return vmx_inject_gp(v);
}

static bool exit_xsetbv(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint64_t value = (uint32_t)v->gpr[RAX] | v->gpr[RDX] << 32;

    (void)out;
    v->counts[HVM_N_OTHER]++;
    if ((uint32_t)v->gpr[RCX] != 0 || !xstate_xcr0_valid(value)) {
        return vmx_inject_gp(v);
    }
    v->xcr0 = value;
    write_xcr0(value);
    vmx_advance(v);
    return true;
}

static bool exit_ept_misconfiguration(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint64_t gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
    struct p2m_entry e = {MFN(0), false};
    enum status s = hvm_space_ops()->lookup(v->space, gpa_to_gfn(GPA(gpa)), &e);

    v->counts[HVM_N_OTHER]++;
    return hvm_crash(v, out, "EPT misconfiguration at guest-physical %#llx (%s, frame %#llx)",
                     (unsigned long long)gpa, status_name(s), (unsigned long long)e.mfn.n);
}

static bool exit_io(struct hvm_vcpu *v, enum hvm_exit *out)
{
    struct exitqual_io q = exitqual_io(vmcs_read(EXIT_QUALIFICATION));
    struct hvm_pio_info info = {.port = q.port, .size = q.size, .in = q.in};

    if (q.size == 0) {
        return hvm_crash(v, out, "I/O exit with an impossible size");
    }
    if (!q.string) {
        return hvm_exit_pio(v, &info, out);
    }
    /* SDM vol. 3, table 28-9: address size and, for OUTS, the segment register. The exit comes
     * before any check of the memory. */
    uint32_t more = (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_INFO);
    info.rep = q.rep;
    info.address_size = (uint8_t)(2u << MIN(more >> 7 & 7, 2u));
    info.segment = q.in ? SEG_ES : (uint8_t)MIN(more >> 15 & 7, (uint32_t)SEG_GS);
    return hvm_exit_pio_string(v, &info, out);
}

/* What is told of the switch: SDM vol. 3, table 28-2, and the event that it is part of. */
static bool exit_task_switch(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint64_t qual = vmcs_read(EXIT_QUALIFICATION);
    uint32_t event = to_vmx(v)->reinject_info, type = event & INTR_TYPE_MASK;
    bool software =
        type == INTR_SOFT_INTERRUPT || type == INTR_SOFT_EXCEPTION || type == INTR_PRIV_EXCEPTION;
    struct hvm_task_info info = {
        .task = {.selector = (uint16_t)qual,
                 .source = (enum task_source)(qual >> 30 & 3),
                 .return_eip = (uint32_t)vmcs_read(GUEST_RIP)},
        .in_event = event != 0,
        .exception = event && type == INTR_HARD_EXCEPTION,
        .vector = event & INTR_VECTOR_MASK,
    };

    /* An instruction is done; what a fault or an interrupt met is not. */
    if (!event || software) {
        info.task.return_eip += (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
    }
    if (event) {
        info.task.external = !software || type == INTR_PRIV_EXCEPTION;
        info.task.has_error = event & INTR_ERROR_CODE;
        info.task.error = to_vmx(v)->reinject_error;
    }
    return hvm_exit_task_switch(v, &info, out);
}

struct exit_entry {
    bool (*handle)(struct hvm_vcpu *v, enum hvm_exit *out);
    bool in_delivery; /* can happen while an event is delivered: look at IDT-vectoring info */
};

#define UNDEFINED                                                                                  \
    {                                                                                              \
        exit_undefined, false                                                                      \
    }

static const struct exit_entry exits[] = {
    [REASON_EXCEPTION_NMI] = {exit_exception_or_nmi, true},
    [REASON_EXTERNAL_INTERRUPT] = {exit_host_interrupt, true},
    [REASON_TRIPLE_FAULT] = {exit_triple_fault, false},
    [REASON_INTERRUPT_WINDOW] = {exit_window, false},
    [REASON_NMI_WINDOW] = {exit_window, false},
    [REASON_TASK_SWITCH] = {exit_task_switch, true},
    [REASON_CPUID] = {hvm_exit_cpuid, false},
    [REASON_GETSEC] = UNDEFINED,
    [REASON_HLT] = {exit_hlt, false},
    [REASON_INVD] = {exit_nothing, false},
    [REASON_RDPMC] = {exit_rdpmc, false},
    [REASON_VMCALL] = {exit_vmcall, false},
    [REASON_VMCLEAR] = UNDEFINED,
    [REASON_VMLAUNCH] = UNDEFINED,
    [REASON_VMPTRLD] = UNDEFINED,
    [REASON_VMPTRST] = UNDEFINED,
    [REASON_VMREAD] = UNDEFINED,
    [REASON_VMRESUME] = UNDEFINED,
    [REASON_VMWRITE] = UNDEFINED,
    [REASON_VMXOFF] = UNDEFINED,
    [REASON_VMXON] = UNDEFINED,
    [REASON_CR_ACCESS] = {vmx_exit_cr, false},
    [REASON_IO] = {exit_io, false},
    [REASON_RDMSR] = {hvm_exit_rdmsr, false},
    [REASON_WRMSR] = {hvm_exit_wrmsr, false},
    [REASON_MWAIT] = UNDEFINED,
    [REASON_MONITOR] = UNDEFINED,
    [REASON_PAUSE] = {exit_pause, false},
    [REASON_EPT_VIOLATION] = {vmx_exit_ept_violation, true},
    [REASON_EPT_MISCONFIGURATION] = {exit_ept_misconfiguration, true},
    [REASON_INVEPT] = UNDEFINED,
    [REASON_PREEMPTION_TIMER] = {exit_host_interrupt, true},
    [REASON_INVVPID] = UNDEFINED,
    [REASON_WBINVD] = {exit_nothing, false},
    [REASON_XSETBV] = {exit_xsetbv, false},
    [REASON_VMFUNC] = UNDEFINED,
};

/* An exit in the middle of delivering an event: the event is delivered again (SDM vol. 3, 28.2.4).
 */
static void save_cut_short(struct hvm_vcpu *v)
{
    struct vmx_vcpu *x = to_vmx(v);
    uint32_t info = (uint32_t)vmcs_read(IDT_VECTORING_INFO);

    if (!(info & INTR_VALID)) {
        return;
    }
    x->reinject_info = info & (INTR_VALID | INTR_ERROR_CODE | INTR_TYPE_MASK | INTR_VECTOR_MASK);
    x->reinject_error =
        (info & INTR_ERROR_CODE) ? (uint32_t)vmcs_read(IDT_VECTORING_ERROR_CODE) : 0;
    x->reinject_len = (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
}

/* Not inlined: the registers that it needs would be saved at every exit. */
static __attribute__((noinline)) bool unexpected(struct hvm_vcpu *v, uint32_t reason,
                                                 enum hvm_exit *out)
{
    uint32_t basic = reason & 0xffff;

    if (reason & REASON_ENTRY_FAILURE) {
        log_error("VT-x: entry failed: %s, qualification %#llx", vmx_reason_name(basic),
                  (unsigned long long)vmcs_read(EXIT_QUALIFICATION));
        vmx_dump_vmcs();
        return hvm_crash(v, out, "VM entry failed: %s", vmx_reason_name(basic));
    }
    vmx_dump_vmcs();
    return hvm_crash(v, out, "unexpected VM exit %u (%s)", basic, vmx_reason_name(basic));
}

bool vmx_handle_exit(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t reason = (uint32_t)vmcs_read(EXIT_REASON), basic = reason & 0xffff;

    if ((reason & REASON_ENTRY_FAILURE) || basic >= ARRAY_LEN(exits) || !exits[basic].handle) {
        return unexpected(v, reason, out);
    }
    if (exits[basic].in_delivery) {
        save_cut_short(v);
    }
    return exits[basic].handle(v, out);
}
