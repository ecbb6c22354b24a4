/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EPT violations: memory on first touch, copy-on-write, and what is not RAM: devices, or nothing.
 *
 * Nothing there reads as all ones, as on a PC. That is so for code, for page tables, and for the
 * tables that the delivery of an event reads, and the exceptions that follow are the guest's.
 */
#include "arch/x86_64/decode/event.h"
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/hvm/mmio.h"
#include "arch/x86_64/vmx/vmx.h"
#include "mm/p2m.h"

/* Whether the access that failed was to a table that a base and a limit describe. */
static bool in_table(uint64_t linear, enum vmcs_field base, enum vmcs_field limit)
{
    return linear - vmcs_read(base) <= vmcs_read(limit);
}

/* The fault that a PC would see: descriptors of all ones are invalid. A stack where nothing is
 * would swallow the frame there; here it is #SS, so that no handler runs without one. E_NOMEM: not
 * now. */
static enum status fault_of_delivery(struct hvm_vcpu *v, const struct hvm_access_info *a,
                                     uint32_t event, struct emul_fault *f)
{
    uint32_t type = event & INTR_TYPE_MASK;
    uint32_t external = type != INTR_SOFT_INTERRUPT && type != INTR_SOFT_EXCEPTION;
    bool idt = in_table(a->linear, GUEST_IDTR_BASE, GUEST_IDTR_LIMIT);
    bool gdt = in_table(a->linear, GUEST_GDTR_BASE, GUEST_GDTR_LIMIT);
    bool tss = in_table(a->linear, GUEST_TR_BASE, GUEST_TR_LIMIT);

    if (!(a->linear_valid && a->translated)) { /* its page tables are nowhere */
        unsigned access = idt || gdt || tss ? GWALK_IMPLICIT : GWALK_WRITE;
        struct emul_range r;
        struct emul e;

        hvm_emul_begin(v, &e);
        enum emul_result mapped = emul_map(&e, a->linear, 1, access, &r);
        if (mapped == EMUL_NO_MEMORY) {
            return E_NOMEM;
        }
        if (mapped == EMUL_FAULT) {
            *f = e.fault;
            return OK;
        }
    }
    *f = (struct emul_fault){.vector = EXC_SS, .has_error = true, .error = external};
    if (idt) {
        f->vector = EXC_GP;
        f->error |= (event & INTR_VECTOR_MASK) << 3 | 2;
    } else if (gdt) {
        f->vector = EXC_GP;
    } else if (tss) {
        f->vector = EXC_TS;
        f->error |= (uint32_t)vmcs_read(GUEST_TR_SELECTOR) & 0xfff8u;
    }
    return OK;
}

/* An event could not be delivered, because something that it needs is not RAM. */
static bool delivery_failed(struct hvm_vcpu *v, const struct hvm_access_info *a, enum hvm_exit *out)
{
    uint32_t event = to_vmx(v)->reinject_info;
    bool exception = (event & INTR_TYPE_MASK) == INTR_HARD_EXCEPTION;
    struct emul_fault f;

    if (fault_of_delivery(v, a, event, &f) != OK) {
        *out = HVM_EXIT_NO_MEMORY;
        return false;
    }
    vmx_drop_cut_short(v);
    switch (event_combine(exception, event & INTR_VECTOR_MASK, f.vector)) {
    case EVENT_SECOND:
        hvm_emul_fault(v, &f);
        return true;
    case EVENT_DOUBLE_FAULT:
        vmx_inject(v, EXC_DF, true, 0);
        return true;
    case EVENT_SHUTDOWN:
        break;
    }
    *out = HVM_EXIT_SHUTDOWN;
    return false;
}

/* A device, or nothing. Not inlined: what it needs, RAM's faults would decode and save for it. */
static __attribute__((noinline)) bool not_ram(struct hvm_vcpu *v, gpa_t gpa, uint64_t qual,
                                              enum hvm_exit *out)
{
    struct exitqual_ept q = exitqual_ept(qual);
    struct hvm_access_info a = {
        .gpa = gpa,
        .linear = vmcs_read(GUEST_LINEAR_ADDRESS),
        .linear_valid = q.linear_valid,
        .translated = q.translated,
        .fetch = q.fetch,
        .nmi_unblocked = q.nmi_unblocked,
    };

    v->counts[HVM_N_MMIO]++;
    if (to_vmx(v)->reinject_info) {
        return delivery_failed(v, &a, out);
    }
    if (!a.linear_valid) {
        return vmx_inject_gp(v); /* MOV to CR: PAE's four top entries, all ones */
    }
    return hvm_emulate(v, &a, out);
}

bool vmx_exit_ept_violation(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint64_t qual = vmcs_read(EXIT_QUALIFICATION);
    struct exitqual_ept q = exitqual_ept(qual);
    gpa_t gpa = GPA(vmcs_read(GUEST_PHYSICAL_ADDRESS));

    v->counts[HVM_N_EPT]++;
    enum status s = p2m_fault(v->p2m, gpa_to_gfn(gpa), q.write);
    if (q.nmi_unblocked && !to_vmx(v)->reinject_info && (s == OK || s == E_NOMEM)) {
        vmx_block_nmis(); /* the IRET is executed again */
    }
    switch (s) {
    case OK:
        return true;
    case E_NOMEM:
        *out = HVM_EXIT_NO_MEMORY;
        return false;
    default:
        return not_ram(v, gpa, qual, out);
    }
}
