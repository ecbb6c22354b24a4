/* SPDX-License-Identifier: BSD-2-Clause */
/* What each VM exit does: the table by basic exit reason (SDM vol. 3, appendix C) and the small
 * handlers; the larger ones have files of their own. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/kvm.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/format.h"
#include "base/log.h"

#define REASON_ENTRY_FAILURE BIT32(31)

bool vmx_break(struct hvm_vcpu *v, enum hvm_exit *out, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    format_va(v->reason, sizeof(v->reason), fmt, ap);
    va_end(ap);
    v->broken = true;
    *out = HVM_EXIT_BROKEN;
    return false;
}

void vmx_advance(void)
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
            vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS,
                       vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | BIT(14)); /* BS */
        }
    }
}

bool vmx_retry(enum hvm_exit why, enum hvm_exit *out)
{
    vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
    *out = why;
    return false;
}

bool vmx_end_element(void)
{
    uint64_t flags = vmcs_read(GUEST_RFLAGS);

    if (!(flags & RFLAGS_TF)) {
        return false;
    }
    /* The trap's frame has RF, as any between two elements: SDM vol. 3, 18.3.1.1. */
    vmcs_write(GUEST_RFLAGS, flags | RFLAGS_RF);
    vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS,
               vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | BIT(14)); /* BS */
    return true;
}

void vmx_inject(struct hvm_vcpu *v, unsigned vector, bool has_error, uint32_t error)
{
    /* In real mode exceptions push no error code: SDM vol. 3, 27.2.1.3. */
    has_error = has_error && (vmcs_read(GUEST_CR0) & CR0_PE);
    /* All that come this way are faults, which push RF set: no code breakpoint hits twice. */
    vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
    v->reinject_info =
        INTR_VALID | INTR_HARD_EXCEPTION | vector | (has_error ? INTR_ERROR_CODE : 0);
    v->reinject_error = error;
    v->reinject_len = 0;
}

bool vmx_inject_gp(struct hvm_vcpu *v)
{
    vmx_inject(v, VEC_GP, true, 0);
    return true;
}

/*
 * #DB: the exit left DR6 and DR7 as they were and tells what happened instead (SDM vol. 3, 28.1).
 * INT1 comes as a privileged software exception, whose return address is behind it.
 */
static void reflect_debug(struct hvm_vcpu *v, uint32_t info)
{
    uint64_t dr6, blocking = vmcs_read(GUEST_INTERRUPTIBILITY_STATE);
    bool int1 = (info & INTR_TYPE_MASK) == INTR_PRIV_EXCEPTION;

    if (!int1) {
        __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
        dr6 = (dr6 & ~UINT64_C(0xf)) | (vmcs_read(EXIT_QUALIFICATION) & 0x600f); /* BS, BD, B3-B0 */
        __asm__ volatile("mov %0, %%dr6" : : "r"(dr6));
        vmcs_write(GUEST_DR7, vmcs_read(GUEST_DR7) & ~BIT(13)); /* GD */
    }
    /* Delivery ends these anyway; entry with TF would want a pending single step beside them. */
    if (blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) {
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE,
                   blocking & ~(uint64_t)(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS));
    }
    v->reinject_info = INTR_VALID | (info & INTR_TYPE_MASK) | VEC_DB;
    v->reinject_error = 0;
    v->reinject_len = int1 ? (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH) : 0;
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
    if ((info & INTR_VECTOR_MASK) == VEC_DB) {
        reflect_debug(v, info);
    } else {
        vmx_inject(v, VEC_AC, true, (uint32_t)vmcs_read(VM_EXIT_INTERRUPTION_ERROR_CODE));
    }
}

static bool exit_exception_or_nmi(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint32_t info = (uint32_t)vmcs_read(VM_EXIT_INTERRUPTION_INFO);
    uint32_t vector = info & INTR_VECTOR_MASK;

    if ((info & INTR_TYPE_MASK) == INTR_NMI) {
        v->counts[HVM_N_IRQ]++;
        __asm__ volatile("int $2"); /* the host's own: the exit consumed it */
    } else if (vector == VEC_MC) {
        v->counts[HVM_N_IRQ]++;
        if ((info & INTR_NMI_UNBLOCKED) && !v->reinject_info) {
            vmx_block_nmis(); /* the guest goes on with its IRET */
        }
        __asm__ volatile("int $18");
    } else if (vector == VEC_DB || vector == VEC_AC) {
        v->counts[HVM_N_OTHER]++;
        reflect(v, info);
        /* A pending debug trap comes before the host's interrupts. A guest that goes from one to
         * the next must not keep them waiting for its whole quantum. */
        if (v->counts[HVM_N_OTHER] % 8 == 0) {
            *out = HVM_EXIT_DEADLINE;
            return false;
        }
    } else {
        return vmx_break(v, out, "unexpected exception exit, interruption info %#x", info);
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

/* A single step, or a data breakpoint that MOV SS held back (SDM vol. 3, 25.4.2: BS, and bit 12 for
 * the breakpoints). */
bool vmx_debug_pending(void)
{
    return vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) & (BIT(14) | BIT(12));
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

static bool exit_hlt(struct hvm_vcpu *v, enum hvm_exit *out)
{
    v->counts[HVM_N_HLT]++;
    vmx_advance();
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
    vmx_advance();
    *out = HVM_EXIT_PAUSE;
    return false;
}

/* INVD and WBINVD: guest memory is coherent, there is nothing behind the caches to lose. */
static bool exit_nothing(struct hvm_vcpu *v, enum hvm_exit *out)
{
    (void)out;
    v->counts[HVM_N_OTHER]++;
    vmx_advance();
    return true;
}

/* VMCALL below KVM's signature: none of its calls is offered, which is told as KVM tells it. */
static bool exit_vmcall(struct hvm_vcpu *v, enum hvm_exit *out)
{
    /* SS.DPL is the CPL. */
    int64_t result = kvm_hypercall((vmcs_read(GUEST_SS_ACCESS_RIGHTS) >> 5 & 3) == 0);

    (void)out;
    v->counts[HVM_N_OTHER]++;
    v->gpr[RAX] = vmx_is_code64() ? (uint64_t)result : (uint32_t)result;
    vmx_advance();
    return true;
}

/* Instructions that CPUID tells the guest it does not have. */
static bool exit_undefined(struct hvm_vcpu *v, enum hvm_exit *out)
{
    (void)out;
    v->counts[HVM_N_OTHER]++;
    vmx_inject(v, VEC_UD, false, 0);
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
    vmx_advance();
    return true;
}

static bool exit_ept_misconfiguration(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint64_t gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
    struct p2m_entry e = {MFN(0), false};
    enum status s = hvm_space_ops()->lookup(v->space, gpa_to_gfn(GPA(gpa)), &e);

    v->counts[HVM_N_OTHER]++;
    return vmx_break(v, out, "EPT misconfiguration at guest-physical %#llx (%s, frame %#llx)",
                     (unsigned long long)gpa, status_name(s), (unsigned long long)e.mfn.n);
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
    [0] = {exit_exception_or_nmi, true},
    [1] = {exit_host_interrupt, true},
    [2] = {exit_triple_fault, false},
    [7] = {exit_window, false},
    [8] = {exit_window, false},
    [9] = {vmx_exit_task_switch, true},
    [10] = {vmx_exit_cpuid, false},
    [11] = UNDEFINED, /* GETSEC */
    [12] = {exit_hlt, false},
    [13] = {exit_nothing, false}, /* INVD */
    [15] = {exit_rdpmc, false},
    [18] = {exit_vmcall, false},
    [19] = UNDEFINED, /* VMCLEAR to VMXON */
    [20] = UNDEFINED,
    [21] = UNDEFINED,
    [22] = UNDEFINED,
    [23] = UNDEFINED,
    [24] = UNDEFINED,
    [25] = UNDEFINED,
    [26] = UNDEFINED,
    [27] = UNDEFINED,
    [28] = {vmx_exit_cr, false},
    [30] = {vmx_exit_io, false},
    [31] = {vmx_exit_rdmsr, false},
    [32] = {vmx_exit_wrmsr, false},
    [36] = UNDEFINED, /* MWAIT */
    [39] = UNDEFINED, /* MONITOR */
    [40] = {exit_pause, false},
    [48] = {vmx_exit_ept_violation, true},
    [49] = {exit_ept_misconfiguration, true},
    [50] = UNDEFINED,                   /* INVEPT */
    [52] = {exit_host_interrupt, true}, /* preemption timer */
    [53] = UNDEFINED,                   /* INVVPID */
    [54] = {exit_nothing, false},       /* WBINVD */
    [55] = {exit_xsetbv, false},
    [59] = UNDEFINED, /* VMFUNC */
};

/* An exit in the middle of delivering an event: the event is delivered again (SDM vol. 3, 28.2.4).
 */
static void save_cut_short(struct hvm_vcpu *v)
{
    uint32_t info = (uint32_t)vmcs_read(IDT_VECTORING_INFO);

    if (!(info & INTR_VALID)) {
        return;
    }
    v->reinject_info = info & (INTR_VALID | INTR_ERROR_CODE | INTR_TYPE_MASK | INTR_VECTOR_MASK);
    v->reinject_error =
        (info & INTR_ERROR_CODE) ? (uint32_t)vmcs_read(IDT_VECTORING_ERROR_CODE) : 0;
    v->reinject_len = (uint32_t)vmcs_read(VM_EXIT_INSTRUCTION_LENGTH);
}

void vmx_block_nmis(void)
{
    vmcs_write(GUEST_INTERRUPTIBILITY_STATE,
               vmcs_read(GUEST_INTERRUPTIBILITY_STATE) | BLOCKING_BY_NMI);
}

void vmx_drop_cut_short(struct hvm_vcpu *v)
{
    if (v->reinject_info && (v->reinject_info & INTR_TYPE_MASK) == INTR_NMI) {
        vmx_block_nmis();
    }
    v->reinject_info = 0;
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
        return vmx_break(v, out, "VM entry failed: %s", vmx_reason_name(basic));
    }
    vmx_dump_vmcs();
    return vmx_break(v, out, "unexpected VM exit %u (%s)", basic, vmx_reason_name(basic));
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
