/* SPDX-License-Identifier: BSD-2-Clause */
/* The SDM's words for VMCS fields, VM-instruction errors and exit reasons. */
#include "arch/x86_64/vmx/exit_reasons.h"
#include "arch/x86_64/vmx/vmx.h"

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

const char *vmx_reason_name(uint32_t reason)
{
    static const char *const names[] = {
#define X(name, number, words) [number] = words,
        VMX_EXIT_REASONS(X)
#undef X
    };
    return reason < ARRAY_LEN(names) && names[reason] ? names[reason] : "unknown exit";
}
