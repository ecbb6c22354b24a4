/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's tag in the TLB, and the translations under it: SDM vol. 3, 29.4. */
#include "arch/x86_64/vmx/vmx.h"

void vmx_flush_vpid(struct hvm_vcpu *v)
{
    struct {
        uint64_t vpid, gva;
    } d = {to_vmx(v)->vpid, 0};
    bool fail;

    if (!vmx_caps.has_vpid) {
        return; /* every entry and exit flushes */
    }
    __asm__ volatile("invvpid %1, %2"
                     : "=@ccbe"(fail)
                     : "m"(d), "r"(UINT64_C(1)) /* single-context */
                     : "memory");
    if (fail) {
        vmx_insn_failed("INVVPID", d.vpid);
    }
}
