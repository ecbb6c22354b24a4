/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and dumps: what a failed VMX instruction, a failed entry or a broken guest looks like. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/log.h"

const char *vmx_field_name(uint32_t field)
{
    switch (field) {
#define F(name, code)                                                                              \
    case code:                                                                                     \
        return #name;
        VMCS_FIELDS(F)
#undef F
    }
    return "unknown field";
}

/* SDM vol. 3, 31.4. */
const char *vmx_error_name(uint32_t error)
{
    static const char *const names[] = {
        [1] = "VMCALL in VMX root operation",
        [2] = "VMCLEAR with invalid physical address",
        [3] = "VMCLEAR with VMXON pointer",
        [4] = "VMLAUNCH with non-clear VMCS",
        [5] = "VMRESUME with non-launched VMCS",
        [6] = "VMRESUME after VMXOFF",
        [7] = "VM entry with invalid control fields",
        [8] = "VM entry with invalid host-state fields",
        [9] = "VMPTRLD with invalid physical address",
        [10] = "VMPTRLD with VMXON pointer",
        [11] = "VMPTRLD with incorrect VMCS revision identifier",
        [12] = "VMREAD/VMWRITE from/to unsupported VMCS component",
        [13] = "VMWRITE to read-only VMCS component",
        [15] = "VMXON executed in VMX root operation",
        [16] = "VM entry with invalid executive-VMCS pointer",
        [17] = "VM entry with non-launched executive VMCS",
        [18] = "VM entry with executive-VMCS pointer not VMXON pointer",
        [19] = "VMCALL with non-clear VMCS",
        [20] = "VMCALL with invalid VM-exit control fields",
        [22] = "VMCALL with incorrect MSEG revision identifier",
        [23] = "VMXOFF under dual-monitor treatment",
        [24] = "VMCALL with invalid SMM-monitor features",
        [25] = "VM entry with invalid VM-execution control fields in executive VMCS",
        [26] = "VM entry with events blocked by MOV SS",
        [28] = "invalid operand to INVEPT/INVVPID",
    };
    return error < ARRAY_LEN(names) && names[error] ? names[error] : "unknown VM-instruction error";
}

/* SDM vol. 3, appendix C. */
const char *vmx_reason_name(uint32_t reason)
{
    static const char *const names[] = {
        [0] = "exception or NMI",
        [1] = "external interrupt",
        [2] = "triple fault",
        [3] = "INIT signal",
        [4] = "start-up IPI",
        [5] = "I/O SMI",
        [6] = "other SMI",
        [7] = "interrupt window",
        [8] = "NMI window",
        [9] = "task switch",
        [10] = "CPUID",
        [11] = "GETSEC",
        [12] = "HLT",
        [13] = "INVD",
        [14] = "INVLPG",
        [15] = "RDPMC",
        [16] = "RDTSC",
        [17] = "RSM",
        [18] = "VMCALL",
        [28] = "control-register access",
        [29] = "MOV DR",
        [30] = "I/O instruction",
        [31] = "RDMSR",
        [32] = "WRMSR",
        [33] = "invalid guest state",
        [34] = "MSR loading",
        [36] = "MWAIT",
        [37] = "monitor trap flag",
        [39] = "MONITOR",
        [40] = "PAUSE",
        [41] = "machine check during entry",
        [43] = "TPR below threshold",
        [44] = "APIC access",
        [45] = "virtualized EOI",
        [46] = "access to GDTR or IDTR",
        [47] = "access to LDTR or TR",
        [48] = "EPT violation",
        [49] = "EPT misconfiguration",
        [50] = "INVEPT",
        [51] = "RDTSCP",
        [52] = "preemption timer",
        [53] = "INVVPID",
        [54] = "WBINVD",
        [55] = "XSETBV",
        [56] = "APIC write",
        [57] = "RDRAND",
        [58] = "INVPCID",
        [59] = "VMFUNC",
        [60] = "ENCLS",
        [61] = "RDSEED",
        [62] = "PML full",
        [63] = "XSAVES",
        [64] = "XRSTORS",
    };
    return reason < ARRAY_LEN(names) && names[reason] ? names[reason] : "unknown exit";
}

/* A VMREAD that must not recurse into vmx_insn_failed. */
static bool try_vmread(uint32_t field, uint64_t *value)
{
    bool fail;
    __asm__ volatile("vmread %2, %0" : "=r"(*value), "=@ccbe"(fail) : "r"((uint64_t)field));
    return !fail;
}

void vmx_dump_vmcs(void)
{
    static const uint32_t fields[] = {
#define F(name, code) code,
        VMCS_FIELDS(F)
#undef F
    };

    log_error("VMCS:");
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        uint64_t value;
        if (try_vmread(fields[i], &value)) {
            log_error("  %-34s %#llx", vmx_field_name(fields[i]), (unsigned long long)value);
        }
    }
}

_Noreturn void vmx_insn_failed(const char *insn, uint64_t operand)
{
    uint64_t error = 0;

    /* VMfailInvalid leaves no error number; then the current VMCS is what is missing. */
    if (!try_vmread(VM_INSTRUCTION_ERROR, &error) || error == 0) {
        panic("%s of %#llx (%s) failed: no current VMCS", insn, (unsigned long long)operand,
              vmx_field_name((uint32_t)operand));
    }
    panic("%s of %#llx (%s) failed: %s", insn, (unsigned long long)operand,
          vmx_field_name((uint32_t)operand), vmx_error_name((uint32_t)error));
}

void hvm_dump(struct hvm_vcpu *v)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "---", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

    vmx_make_current(v);
    log_error("  rip %04llx:%016llx rsp %016llx rflags %llx",
              (unsigned long long)vmcs_read(GUEST_CS_SELECTOR),
              (unsigned long long)vmcs_read(GUEST_RIP), (unsigned long long)vmcs_read(GUEST_RSP),
              (unsigned long long)vmcs_read(GUEST_RFLAGS));
    for (unsigned i = 0; i < 16; i += 4) {
        log_error("  %3s %016llx %3s %016llx %3s %016llx %3s %016llx", names[i],
                  (unsigned long long)v->gpr[i], names[i + 1], (unsigned long long)v->gpr[i + 1],
                  names[i + 2], (unsigned long long)v->gpr[i + 2], names[i + 3],
                  (unsigned long long)v->gpr[i + 3]);
    }
    log_error("  cr0 %llx cr3 %llx cr4 %llx efer %llx", (unsigned long long)vmcs_read(GUEST_CR0),
              (unsigned long long)vmcs_read(GUEST_CR3), (unsigned long long)vmcs_read(GUEST_CR4),
              (unsigned long long)vmcs_read(GUEST_IA32_EFER));
}
