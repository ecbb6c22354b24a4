/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest state that is in registers of the CPU and in no control block: who holds it, and when. */
#ifndef ARCH_HVM_XSTATE_H
#define ARCH_HVM_XSTATE_H

#include "arch/x86_64/hvm/vcpu.h"

/* Sets hvm_caps.xcr0_may. */
void xstate_init_machine(void);
void xstate_reset(struct hvm_vcpu *v);
/* Puts to's state into the CPU in place of from's (either may be NULL), but for the vector
 * registers and XCR0: these wait for xstate_load. */
void xstate_switch(struct hvm_vcpu *from, struct hvm_vcpu *to);
/* Puts the current vCPU's vector registers and XCR0 into the CPU, to stay until xstate_release.
 * Afterwards they are still there if nobody has borrowed the registers. */
void xstate_load(struct hvm_vcpu *v);
void xstate_release(void);
/* The vector registers are the hypervisor's between these two, which do not nest, and not while a
 * vCPU holds them. */
void xstate_borrow(void);
void xstate_give_back(void);
/* All 64 bytes of vector register n (0 to 15) of the vCPU that holds the registers; what the CPU
 * does not have of them reads as 0. */
void xstate_read_vector(struct hvm_vcpu *v, unsigned n, uint8_t to[64]);
void xstate_write_vector(struct hvm_vcpu *v, unsigned n, const uint8_t from[64]);
/* Whether XSETBV of XCR0 to `value` is legal for a guest. */
bool xstate_xcr0_valid(uint64_t value);

#endif
