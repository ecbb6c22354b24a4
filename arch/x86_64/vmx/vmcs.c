/* SPDX-License-Identifier: BSD-2-Clause */
/* Which VMCS is current, and what a VMX instruction that failed comes to. */
#include "arch/x86_64/hvm/xstate.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/log.h"

PERCPU struct vmx_cpu vmx_cpu;

void vmx_vmclear(uint64_t pa)
{
    bool fail;
    __asm__ volatile("vmclear %1" : "=@ccbe"(fail) : "m"(pa) : "memory");
    if (fail) {
        vmx_insn_failed("VMCLEAR", pa);
    }
}

static void vmptrld(uint64_t pa)
{
    bool fail;
    __asm__ volatile("vmptrld %1" : "=@ccbe"(fail) : "m"(pa) : "memory");
    if (fail) {
        vmx_insn_failed("VMPTRLD", pa);
    }
}

void vmx_make_current(struct hvm_vcpu *v)
{
    struct vmx_cpu *cpu = this_cpu(vmx_cpu);

    if (cpu->current == v) {
        return;
    }
    xstate_switch(cpu->current, v);
    cpu->current = v;
    vmptrld(mfn_to_hpa(to_vmx(v)->vmcs).a);
}

void vmx_forget(struct hvm_vcpu *v)
{
    struct vmx_cpu *cpu = this_cpu(vmx_cpu);

    if (cpu->current == v) {
        xstate_switch(v, NULL);
        cpu->current = NULL;
    }
    vmx_vmclear(mfn_to_hpa(to_vmx(v)->vmcs).a);
}

bool vmx_try_read(uint32_t field, uint64_t *value)
{
    bool fail;
    __asm__ volatile("vmread %2, %0" : "=r"(*value), "=@ccbe"(fail) : "r"((uint64_t)field));
    return !fail;
}

_Noreturn void vmx_insn_failed(const char *insn, uint64_t operand)
{
    uint64_t error = 0;

    /* VMfailInvalid leaves no error number; then the current VMCS is what is missing. */
    if (!vmx_try_read(VM_INSTRUCTION_ERROR, &error) || error == 0) {
        panic("%s of %#llx (%s) failed: no current VMCS", insn, (unsigned long long)operand,
              vmx_field_name((uint32_t)operand));
    }
    panic("%s of %#llx (%s) failed: %s", insn, (unsigned long long)operand,
          vmx_field_name((uint32_t)operand), vmx_error_name((uint32_t)error));
}
