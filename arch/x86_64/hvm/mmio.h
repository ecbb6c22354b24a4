/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator (decode/emul.h) for a vCPU. */
#ifndef ARCH_HVM_MMIO_H
#define ARCH_HVM_MMIO_H

#include "arch/x86_64/decode/emul.h"
#include "arch/x86_64/hvm/exit_info.h"
#include "arch/x86_64/hvm/vcpu.h"

/* Fills `e` with the vCPU's registers. Those that change, v->gpr[RSP] included, are the caller's to
 * write back. */
void hvm_emul_begin(struct hvm_vcpu *v, struct emul *e);
/* Raises an exception in the guest. */
void hvm_emul_fault(struct hvm_vcpu *v, const struct emul_fault *f);
/*
 * Carries out the instruction at RIP, which touches what is not RAM (`a`):
 * true with the guest's state as after it, or an exception or a part of a string instruction; false
 * with *out as for an exit's handler.
 */
bool hvm_emulate(struct hvm_vcpu *v, const struct hvm_access_info *a, enum hvm_exit *out);

#endif
