/* SPDX-License-Identifier: BSD-2-Clause */
/* EPT violations: memory on first touch, copy-on-write, and device memory. */
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/vmx.h"
#include "mm/p2m.h"

/* IRET that unblocked NMIs and then faulted did not finish: SDM vol. 3, 28.2.3. */
#define QUAL_NMI_UNBLOCKED BIT(12)

bool vmx_exit_ept_violation(struct hvm_vcpu *v, enum hvm_exit *out)
{
    uint64_t qual = vmcs_read(EXIT_QUALIFICATION);
    struct exitqual_ept q = exitqual_ept(qual);
    gpa_t gpa = GPA(vmcs_read(GUEST_PHYSICAL_ADDRESS));

    v->counts[HVM_N_EPT]++;
    if ((qual & QUAL_NMI_UNBLOCKED) && !v->reinject_info) {
        vmcs_write(GUEST_INTERRUPTIBILITY_STATE,
                   vmcs_read(GUEST_INTERRUPTIBILITY_STATE) | BLOCKING_BY_NMI);
    }
    switch (p2m_fault(v->p2m, gpa_to_gfn(gpa), q.write)) {
    case OK:
        return true;
    case E_NOMEM:
        *out = HVM_EXIT_NO_MEMORY;
        return false;
    default:
        break;
    }
    /* Not RAM. Data accesses are a device's; code, page tables, and the tables and stacks that the
     * delivery of an event uses cannot be there. */
    if (v->reinject_info) {
        return vmx_break(v, out, "vector %u delivered through guest-physical %#llx, not its memory",
                         v->reinject_info & INTR_VECTOR_MASK, (unsigned long long)gpa.a);
    }
    if (q.fetch || !q.linear_valid || !q.translated) {
        return vmx_break(v, out, "%s outside its memory, at guest-physical %#llx (rip %#llx)",
                         q.fetch ? "instruction fetch" : "page table", (unsigned long long)gpa.a,
                         (unsigned long long)vmcs_read(GUEST_RIP));
    }
    v->counts[HVM_N_MMIO]++;
    return vmx_emulate_mmio(v, out);
}
