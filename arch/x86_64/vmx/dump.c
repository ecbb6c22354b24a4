/* SPDX-License-Identifier: BSD-2-Clause */
/* Dumps: what a failed entry or a broken guest looks like. */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/vmx/vmx.h"
#include "base/log.h"

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
        if (vmx_try_read(fields[i], &value)) {
            log_error("  %-34s %#llx", vmx_field_name(fields[i]), (unsigned long long)value);
        }
    }
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
