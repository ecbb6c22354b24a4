/* SPDX-License-Identifier: BSD-2-Clause */
/* The run loop: event injection, the deadline, entry, and back. */
#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/xstate.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/deadline.h"
#include "base/format.h"
#include "base/log.h"

static void set_window(struct hvm_vcpu *v, uint32_t bit, bool on)
{
    struct vmx_vcpu *x = to_vmx(v);
    uint32_t want = on ? x->cpu_controls | bit : x->cpu_controls & ~bit;

    if (want != x->cpu_controls) {
        x->cpu_controls = want;
        vmcs_write(PRIMARY_VM_EXECUTION_CONTROL, want);
    }
}

static void enter_event(uint32_t info, uint32_t error, uint32_t len)
{
    vmcs_write(VM_ENTRY_INTERRUPTION_INFO, info);
    if (info & INTR_ERROR_CODE) {
        vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, error);
    }
    vmcs_write(VM_ENTRY_INSTRUCTION_LENGTH, len);
}

/*
 * One event an entry (SDM vol. 3, 27.6): first what an exit cut short, then a debug trap that is
 * pending, then an NMI, then an external interrupt (6.9). What cannot be delivered now opens the
 * window that exits when it can. An entry that injects an event drops a pending trap (27.7.3).
 */
static void prepare_events(struct hvm_vcpu *v)
{
    struct vmx_vcpu *x = to_vmx(v);
    bool taken = x->reinject_info != 0;
    uint32_t blocking = (uint32_t)vmcs_read(GUEST_INTERRUPTIBILITY_STATE);

    if (taken) {
        if ((x->reinject_info & INTR_TYPE_MASK) == INTR_NMI) {
            /* Its delivery begins anew, so the block that it set must go: SDM vol. 3, 27.3.1.5. */
            vmcs_write(GUEST_INTERRUPTIBILITY_STATE, blocking & ~BLOCKING_BY_NMI);
        }
        enter_event(x->reinject_info, x->reinject_error, x->reinject_len);
        x->reinject_info = 0;
    } else {
        taken = vmx_debug_pending();
    }
    if (v->nmi_pending) {
        if (!taken && !(blocking & (BLOCKING_BY_NMI | BLOCKING_BY_STI | BLOCKING_BY_MOV_SS))) {
            v->nmi_pending = false;
            enter_event(INTR_VALID | INTR_NMI | 2, 0, 0);
            taken = true;
        }
        set_window(v, CPU_NMI_WINDOW_EXITING, v->nmi_pending);
    }
    if (!v->ops->irq_pending(v->ctx)) {
        v->irq_check = v->nmi_pending;
        set_window(v, CPU_INTERRUPT_WINDOW_EXITING, false);
        return;
    }
    if (!taken && (vmcs_read(GUEST_RFLAGS) & RFLAGS_IF) &&
        !(blocking & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS))) {
        int vector = v->ops->irq_ack(v->ctx);
        if (vector >= 0) {
            enter_event(INTR_VALID | INTR_EXTERNAL | (uint32_t)vector, 0, 0);
        }
        if (!v->ops->irq_pending(v->ctx)) {
            v->irq_check = v->nmi_pending;
            set_window(v, CPU_INTERRUPT_WINDOW_EXITING, false);
            return;
        }
    }
    set_window(v, CPU_INTERRUPT_WINDOW_EXITING, true);
}

static void arm_deadline(uint64_t now, uint64_t deadline)
{
    if (vmx_caps.has_preempt) {
        uint64_t left = ((deadline - now) >> vmx_caps.preempt_shift) + 1;
        vmcs_write(VMX_PREEMPTION_TIMER_VALUE, MIN(left, UINT32_MAX));
    } else {
        clock_arm(clock_tsc_to_ns(deadline));
    }
}

static void entry_failed(struct hvm_vcpu *v, uint64_t flags)
{
    uint32_t error = (flags & RFLAGS_ZF) ? (uint32_t)vmcs_read(VM_INSTRUCTION_ERROR) : 0;

    v->broken = true;
    format(v->reason, sizeof(v->reason), "%s failed: %s",
           to_vmx(v)->launched ? "VMRESUME" : "VMLAUNCH",
           error ? vmx_error_name(error) : "no current VMCS");
    log_error("VT-x: %s", v->reason);
    vmx_dump_vmcs();
}

/*
 * A pending host interrupt exits at once, whatever the guest does: SDM vol. 3, 26.2. Bochs 3.0
 * keeps it masked for as long as host and guest both run with interrupts off, so a guest that polls
 * a port with its own off would keep the host's waiting to the end of its turn. So while a guest
 * exits again and again like that, its caller gets a look at them every so often.
 */
#define LOOK_NS UINT64_C(400000)

static bool wants_look(uint64_t now, uint64_t look_tsc)
{
    return now >= look_tsc && !(vmcs_read(GUEST_RFLAGS) & RFLAGS_IF);
}

static void note_length(struct hvm_vcpu *v, uint64_t ticks)
{
    if (ticks > v->longest_exit) {
        v->longest_exit = ticks;
        v->longest_reason = (uint32_t)vmcs_read(EXIT_REASON) & 0xffff;
    }
}

static enum hvm_exit run(struct hvm_vcpu *v, const volatile uint64_t *deadline_tsc)
{
    struct vmx_vcpu *x = to_vmx(v);
    uint64_t now = rdtsc(), look_tsc = now + clock_ns_to_ticks(LOOK_NS);

    for (;;) {
        uint64_t deadline = *deadline_tsc, flags;
        enum hvm_exit out;

        if (v->yield) {
            return HVM_EXIT_WORK;
        }
        if (now >= deadline || wants_look(now, look_tsc)) {
            return HVM_EXIT_DEADLINE;
        }
        if (v->irq_check | (x->reinject_info != 0)) {
            prepare_events(v);
        }
        if (v->space->stale) {
            ept_flush_if_stale(v->space);
        }
        arm_deadline(now, deadline);
        if (vmx_enter(v, x->launched, &flags) != 0) {
            entry_failed(v, flags);
            return HVM_EXIT_CRASH;
        }
        x->launched = true;
        uint64_t begin = rdtsc();
        bool again = vmx_handle_exit(v, &out);
        now = rdtsc();
        note_length(v, now - begin);
        if (!again) {
            return out;
        }
    }
}

enum hvm_exit hvm_run(struct hvm_vcpu *v, const volatile uint64_t *deadline_tsc)
{
    vmx_make_current(v);
    if (v->broken) {
        return HVM_EXIT_CRASH;
    }
    v->yield = false;
    v->deadline_tsc = deadline_tsc;
    if (v->halted && !vmx_can_wake(v)) {
        return HVM_EXIT_HALT;
    }
    v->halted = false;
    xstate_load(v);
    enum hvm_exit why = run(v, deadline_tsc);
    xstate_release();
    return why;
}

const char *hvm_longest_exit_name(const struct hvm_vcpu *v)
{
    return vmx_reason_name(v->longest_reason);
}

bool hvm_halt_is_final(struct hvm_vcpu *v)
{
    if (!v->halted) {
        return false;
    }
    vmx_make_current(v);
    return !(vmcs_read(GUEST_RFLAGS) & RFLAGS_IF) && !vmx_can_wake(v);
}

void hvm_tsc_skip(struct hvm_vcpu *v, uint64_t by)
{
    vmx_make_current(v);
    v->tsc_offset += by;
    vmcs_write(TSC_OFFSET, v->tsc_offset);
}

uint64_t hvm_guest_cr3(struct hvm_vcpu *v)
{
    vmx_make_current(v);
    return (vmcs_read(GUEST_CR0) & CR0_PG) && (vmcs_read(GUEST_IA32_EFER) & EFER_LMA)
               ? vmcs_read(GUEST_CR3)
               : 0;
}
