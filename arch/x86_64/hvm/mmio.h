/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator (decode/emul.h) for a vCPU whose registers are in the current VMCS. */
#ifndef ARCH_HVM_MMIO_H
#define ARCH_HVM_MMIO_H

#include "arch/x86_64/decode/emul.h"
#include "arch/x86_64/decode/exitqual.h"
#include "arch/x86_64/vmx/vmx.h"

/* Fills `e` from the VMCS. RSP is in v->gpr then, and is the caller's to write back. */
void vmx_emul_begin(struct hvm_vcpu *v, struct emul *e);
/* Raises an exception in the guest. */
void vmx_emul_fault(struct hvm_vcpu *v, const struct emul_fault *f);
/*
 * Carries out the instruction at RIP, which touches what is not RAM (`q` of its EPT violation):
 * true with the guest's state as after it, or an exception or a part of a string instruction; false
 * with *out as for an exit's handler.
 */
bool vmx_emulate(struct hvm_vcpu *v, struct exitqual_ept q, enum hvm_exit *out);

#endif
