/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inner door: what hvm/ wants of the CPU vendor's part. A vCPU's registers that are in the
 * vendor's control block, the instruction that exited, and the events that the next entry delivers.
 *
 * The functions are for the vCPU that has just exited, or is about to enter. hvm_init chooses the
 * backend. hvm/ calls it once or twice an exit; the emulator takes all registers in one call.
 */
#ifndef ARCH_HVM_BACKEND_H
#define ARCH_HVM_BACKEND_H

#include "arch/x86_64/decode/emul.h"
#include "arch/x86_64/hvm/vcpu.h"

/* All as the guest sees them. */
enum hvm_reg { HVM_RFLAGS, HVM_CR0, HVM_CR4, HVM_EFER, HVM_DR7, HVM_DEBUGCTL };

/* What keeps events back: a mask. */
#define HVM_BLOCKED_BY_STI BIT32(0)
#define HVM_BLOCKED_BY_MOV_SS BIT32(1)
#define HVM_BLOCKED_BY_NMI BIT32(3)

struct hvm_backend {
    uint64_t (*get_reg)(const struct hvm_vcpu *v, enum hvm_reg reg);
    /* HVM_CR0, HVM_EFER and HVM_DR7 only; without what a guest's write of them entails. */
    void (*set_reg)(struct hvm_vcpu *v, enum hvm_reg reg, uint64_t value);
    /* As emul_ops has them. */
    void (*get_segment)(const struct hvm_vcpu *v, unsigned which, struct emul_segment *out);
    void (*set_segment)(struct hvm_vcpu *v, unsigned which, const struct emul_segment *in);
    enum status (*load_cr3)(struct hvm_vcpu *v, uint64_t cr3) MUST_CHECK;
    /* All registers of `e`, with gpr[RSP], and back: RIP, RFLAGS and RSP. */
    void (*load_emul)(struct hvm_vcpu *v, struct emul *e);
    void (*store_emul)(struct hvm_vcpu *v, const struct emul *e);
    /* v->tsc_offset has changed. */
    void (*put_tsc_offset)(struct hvm_vcpu *v);

    /* Past the instruction that exited. */
    void (*advance)(struct hvm_vcpu *v);
    /* The instruction that exited, or what is left of it, is executed again after hvm_run has
     * returned `why`; false, for use as a handler's result. */
    bool (*retry)(struct hvm_vcpu *v, enum hvm_exit why, enum hvm_exit *out);
    /* After an element of a REP that is not the last: whether a single step traps here, which has
     * been made pending then. */
    bool (*end_element)(struct hvm_vcpu *v);

    /* An exception for the next entry: a fault, which pushes RF, or a trap without error code. */
    void (*inject)(struct hvm_vcpu *v, unsigned vector, bool has_error, uint32_t error);
    void (*inject_trap)(struct hvm_vcpu *v, unsigned vector);
    /* A single step traps before the next instruction. */
    void (*step_pending)(struct hvm_vcpu *v);
    /* The event whose delivery was cut short, if there is one, is not delivered again. */
    void (*drop_cut_short)(struct hvm_vcpu *v);
    uint32_t (*get_blocking)(const struct hvm_vcpu *v);
    void (*set_blocking)(struct hvm_vcpu *v, uint32_t blocking);
};

extern const struct hvm_backend *hvm_backend;

/* #GP(0); always true, for use as a handler's result. */
static inline bool hvm_inject_gp(struct hvm_vcpu *v)
{
    hvm_backend->inject(v, EXC_GP, true, 0);
    return true;
}

#endif
