/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU as far as it is the same for all vendors: what hvm/ and a vendor's folder know of it. A
 * vendor's own struct begins with this one and goes on with what its control block needs.
 */
#ifndef ARCH_HVM_VCPU_H
#define ARCH_HVM_VCPU_H

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/decode/regs.h"
#include "arch/x86_64/hvm/guest_msrs.h"
#include "arch/x86_64/hvm/hvm.h"

struct hvm_vcpu {
    /* At offset 0, for the entry code. gpr[RSP] is in the control block, and here only while an
     * instruction is emulated. */
    uint64_t gpr[16];
    bool irq_check; /* look at irq_pending before the next entry */
    bool nmi_pending;
    bool yield;
    bool broken;
    bool halted;               /* in HLT: nothing but an event that it takes lets it go on */
    bool halt_irqs, halt_nmis; /* which ones: as its registers were then */
    bool told_unemulated;
    uint64_t emul_begin_tsc;               /* of the instruction that is emulated */
    const volatile uint64_t *deadline_tsc; /* hvm_run's */
    struct hvm_space *space;
    struct p2m *p2m;
    struct frames *frames;
    const struct hvm_ops *ops;
    void *ctx;
    unsigned id;
    mfn_t xsave; /* x87/SSE/AVX... state while it is not in a CPU */
    uint64_t tsc_offset;
    uint64_t tsc_adjust; /* IA32_TSC_ADJUST: what the guest has added to its TSC */
    uint64_t xcr0;
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
    uint64_t dr[4], dr6, cr2;
    struct guest_msrs msrs;
    uint64_t counts[HVM_COUNTS];
    uint64_t unemulated;
    uint64_t longest_exit;   /* ticks that its handling took */
    uint32_t longest_reason; /* the vendor's number */
    char reason[160];
};

/* Of the machine, for what guests are offered: the vendor's hvm_init sets it, read-only afterwards.
 */
struct hvm_caps {
    bool has_rdtscp, has_invpcid; /* guests may use them */
    uint64_t cr4_may;             /* bits that CR4 may have while a guest runs */
    uint64_t xcr0_may;            /* XSAVE features that guests get */
};
extern struct hvm_caps hvm_caps;

/* Stops this guest with a reason (printf); returns false for use as a handler's result. */
bool hvm_crash(struct hvm_vcpu *v, enum hvm_exit *out, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* For a handler that does its work in pieces, after each: whether it is to end, so that hvm_run can
 * come back, because its caller is wanted, the deadline has passed, or it has taken STEP_MAX_NS
 * since `begin_tsc`. What is left is done when the guest's instruction exits again. */
bool hvm_must_leave(const struct hvm_vcpu *v, uint64_t begin_tsc);

#endif
