/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the VT-x backend: the vCPU, the controls' bits, and checked VMCS access. */
#ifndef ARCH_VMX_VMX_H
#define ARCH_VMX_VMX_H

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/guest_msrs.h"
#include "arch/x86_64/hvm/hvm.h"
#include "arch/x86_64/vmx/vmcs_fields.h"
#include "base/bits.h"

/* VM-execution, exit and entry controls: SDM vol. 3, 25.6 to 25.8. */
enum {
    PIN_EXTERNAL_INTERRUPT_EXITING = 1 << 0,
    PIN_NMI_EXITING = 1 << 3,
    PIN_VIRTUAL_NMIS = 1 << 5,
    PIN_PREEMPTION_TIMER = 1 << 6,

    CPU_INTERRUPT_WINDOW_EXITING = 1 << 2,
    CPU_USE_TSC_OFFSETTING = 1 << 3,
    CPU_HLT_EXITING = 1 << 7,
    CPU_MWAIT_EXITING = 1 << 10,
    CPU_CR3_LOAD_EXITING = 1 << 15,
    CPU_CR3_STORE_EXITING = 1 << 16,
    CPU_CR8_LOAD_EXITING = 1 << 19,
    CPU_CR8_STORE_EXITING = 1 << 20,
    CPU_NMI_WINDOW_EXITING = 1 << 22,
    CPU_UNCONDITIONAL_IO_EXITING = 1 << 24,
    CPU_USE_MSR_BITMAPS = 1 << 28,
    CPU_MONITOR_EXITING = 1 << 29,

    CPU2_ENABLE_EPT = 1 << 1,
    CPU2_DESCRIPTOR_TABLE_EXITING = 1 << 2,
    CPU2_ENABLE_RDTSCP = 1 << 3,
    CPU2_ENABLE_VPID = 1 << 5,
    CPU2_WBINVD_EXITING = 1 << 6,
    CPU2_UNRESTRICTED_GUEST = 1 << 7,
    CPU2_PAUSE_LOOP_EXITING = 1 << 10,
    CPU2_ENABLE_INVPCID = 1 << 12,
    CPU2_ENABLE_XSAVES = 1 << 20,

    EXIT_SAVE_DEBUG_CONTROLS = 1 << 2,
    EXIT_HOST_ADDRESS_SPACE_SIZE = 1 << 9,
    EXIT_SAVE_IA32_PAT = 1 << 18,
    EXIT_LOAD_IA32_PAT = 1 << 19,
    EXIT_SAVE_IA32_EFER = 1 << 20,
    EXIT_LOAD_IA32_EFER = 1 << 21,

    ENTRY_LOAD_DEBUG_CONTROLS = 1 << 2,
    ENTRY_IA32E_MODE_GUEST = 1 << 9,
    ENTRY_LOAD_IA32_PAT = 1 << 14,
    ENTRY_LOAD_IA32_EFER = 1 << 15,
};
#define CPU_ACTIVATE_SECONDARY_CONTROLS BIT32(31)
#define CPU_PAUSE_EXITING BIT32(30)

/* Interruption information: SDM vol. 3, 25.8.3 and 25.9.2. */
#define INTR_VALID BIT32(31)
#define INTR_ERROR_CODE BIT32(11)
#define INTR_NMI_UNBLOCKED BIT32(12) /* of an exit: by an IRET that faulted */
#define INTR_TYPE_MASK 0x700u
#define INTR_VECTOR_MASK 0xffu
#define INTR_EXTERNAL (0u << 8)
#define INTR_NMI (2u << 8)
#define INTR_HARD_EXCEPTION (3u << 8)
#define INTR_SOFT_INTERRUPT (4u << 8)
#define INTR_PRIV_EXCEPTION (5u << 8)
#define INTR_SOFT_EXCEPTION (6u << 8)

/* Guest interruptibility state: SDM vol. 3, 25.4.2. */
#define BLOCKING_BY_STI BIT32(0)
#define BLOCKING_BY_MOV_SS BIT32(1)
#define BLOCKING_BY_NMI BIT32(3)

enum {
    VEC_DB = 1,
    VEC_UD = 6,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_AC = 17,
    VEC_MC = 18,
};

/* Order of the general registers as the instruction formats number them. */
enum { RAX, RCX, RDX, RBX, RSP_UNUSED, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

struct vmx_controls {
    uint32_t pin, cpu, cpu2, exit, entry;
};

/* What the whole machine's VT-x looks like; set once by vmx_caps_init, read-only afterwards. */
struct vmx_caps {
    struct vmx_controls controls;
    uint32_t revision;
    bool has_ad, has_vpid, has_preempt, has_invept_single;
    unsigned preempt_shift; /* the timer counts TSC bits above this one */
    uint64_t cr0_must, cr0_may, cr4_must, cr4_may;
    uint64_t xcr0_may; /* XSAVE features that guests get */
};
extern struct vmx_caps vmx_caps;

struct hvm_space {
    struct frames *frames;
    mfn_t root;
    uint64_t tables;
    bool stale; /* translations may be cached that the tables no longer hold: INVEPT at entry */
    /* The leaf table found last, and the guest frames >> 9 that it maps. Tables are not freed
     * before the space is. */
    uint64_t leaf_block;
    uint64_t *leaf_table;
};

struct hvm_vcpu {
    uint64_t gpr[16]; /* at offset 0: entry.S; gpr[4] is unused (RSP is in the VMCS) */
    bool launched;    /* VMRESUME, not VMLAUNCH */
    bool irq_check;   /* look at irq_pending before the next entry */
    bool nmi_pending;
    bool yield;
    bool broken;
    bool halted;               /* in HLT: nothing but an event that it takes lets it go on */
    bool halt_irqs, halt_nmis; /* which ones: as its registers were then */
    bool told_unemulated;
    uint64_t emul_begin_tsc;               /* of the instruction that is emulated */
    const volatile uint64_t *deadline_tsc; /* hvm_run's */
    uint32_t reinject_info, reinject_error,
        reinject_len; /* an event whose delivery was cut short */
    struct hvm_space *space;
    struct p2m *p2m;
    struct frames *frames;
    const struct hvm_ops *ops;
    void *ctx;
    unsigned id;
    mfn_t vmcs, xsave;     /* xsave: x87/SSE/AVX... state while it is not in a CPU */
    uint32_t cpu_controls; /* last written primary controls */
    uint64_t tsc_offset;
    uint64_t tsc_adjust; /* IA32_TSC_ADJUST: what the guest has added to its TSC */
    uint64_t xcr0;
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
    uint64_t dr[4], dr6, cr2;
    struct guest_msrs msrs;
    uint64_t counts[HVM_COUNTS];
    uint64_t unemulated;
    uint64_t longest_exit; /* ticks that its handling took */
    uint32_t longest_reason;
    uint16_t vpid;
    char reason[160];
};

/* entry.S: enters the guest; returns 0 after an exit, 1 when VMLAUNCH/VMRESUME itself failed
 * (its RFLAGS are in *flags then). */
int vmx_enter(struct hvm_vcpu *v, bool launched, uint64_t *flags);

/* caps.c */
enum status vmx_caps_init(void) MUST_CHECK;
/* dump.c */
const char *vmx_field_name(uint32_t field);
const char *vmx_error_name(uint32_t error);
const char *vmx_reason_name(uint32_t reason);
void vmx_dump_vmcs(void);
/* A VMX instruction failed: says which, on what field, and why. Fatal only for our own bugs. */
_Noreturn void vmx_insn_failed(const char *insn, uint64_t operand);
/* vcpu.c */
void vmx_vmcs_init(struct hvm_vcpu *v);
void vmx_make_current(struct hvm_vcpu *v);
/* Drops the vCPU's own translations, as its control registers may ask for. */
void vmx_flush_vpid(const struct hvm_vcpu *v);
/* hvm/xstate.c */
void xstate_init_machine(void);
void xstate_reset(struct hvm_vcpu *v);
/* Puts to's state into the CPU in place of from's (either may be NULL), but for the vector
 * registers and XCR0: these wait for xstate_hold. */
void xstate_switch(struct hvm_vcpu *from, struct hvm_vcpu *to);
/* Puts the current vCPU's vector registers and XCR0 into the CPU, to stay until xstate_release.
 * Afterwards they are still there if nobody has borrowed the registers. */
void xstate_hold(struct hvm_vcpu *v);
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
/* exit.c: handles the exit of the current VMCS. True: enter again. False: *out says why not. */
bool vmx_handle_exit(struct hvm_vcpu *v, enum hvm_exit *out);
/* For a handler that does its work in pieces, after each: whether it is to end, so that hvm_run can
 * come back, because its caller is wanted, the deadline has passed, or it has taken STEP_MAX_NS
 * since `begin_tsc`. What is left is done when the guest's instruction exits again. */
bool vmx_must_leave(const struct hvm_vcpu *v, uint64_t begin_tsc);
/* Stops this guest with a reason (printf); returns false for use as a handler's result. */
bool vmx_break(struct hvm_vcpu *v, enum hvm_exit *out, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void vmx_advance(void); /* past the instruction that exited */
/* The instruction that exited, or what is left of it, is executed again after hvm_run has returned
 * `why`; false, for use as a handler's result. An exit for an instruction has cleared RF, without
 * which its code breakpoint would hit again (SDM vol. 3, 28.3.3). */
bool vmx_retry(enum hvm_exit why, enum hvm_exit *out);
/* After an element of a REP that is not the last: whether a single step traps here, which has been
 * made pending then. */
bool vmx_end_element(void);
void vmx_inject(struct hvm_vcpu *v, unsigned vector, bool has_error, uint32_t error);
bool vmx_inject_gp(struct hvm_vcpu *v); /* always true */
/* No NMI before the next IRET: as after the delivery of one, or before an IRET that is executed
 * again though the CPU has unblocked them already (SDM vol. 3, 28.2.2, bit 12). */
void vmx_block_nmis(void);
/* The event whose delivery was cut short, if there is one, is not delivered again: its delivery has
 * come to a fault, or to a task switch. After an NMI others stay blocked as if it had been
 * delivered: SDM vol. 3, 28.1. */
void vmx_drop_cut_short(struct hvm_vcpu *v);
/* Whether a debug exception is delivered at the next entry, which ends HLT. */
bool vmx_debug_pending(void);
/* Whether something that wakes it from HLT can be delivered. */
bool vmx_can_wake(struct hvm_vcpu *v);
/* Handlers in files of their own. */
bool vmx_exit_cpuid(struct hvm_vcpu *v, enum hvm_exit *out);
void vmx_cpuid_init(void);
void vmx_cpuid(struct hvm_vcpu *v, uint32_t leaf, uint32_t sub, uint32_t r[4]);
bool vmx_exit_rdmsr(struct hvm_vcpu *v, enum hvm_exit *out);
bool vmx_exit_wrmsr(struct hvm_vcpu *v, enum hvm_exit *out);
mfn_t vmx_msr_bitmap(void);
enum status vmx_msr_init(struct frames *f) MUST_CHECK;
bool vmx_exit_task_switch(struct hvm_vcpu *v, enum hvm_exit *out);
/* The four top entries of PAE paging, into the VMCS. False: an illegal one, or no memory. */
bool vmx_load_pdptes(struct hvm_vcpu *v, uint64_t cr3, bool *no_memory);
/* CR0 and CR4 as the guest sees them: the bits that the hypervisor owns are the shadow's. */
#define VMX_CR0_OWNED (CR0_NE | CR0_NW | CR0_CD)
uint64_t vmx_guest_cr0(void);
uint64_t vmx_guest_cr4(void);
bool vmx_exit_cr(struct hvm_vcpu *v, enum hvm_exit *out);
bool vmx_exit_io(struct hvm_vcpu *v, enum hvm_exit *out);
bool vmx_exit_ept_violation(struct hvm_vcpu *v, enum hvm_exit *out);
void vmx_set_efer(uint64_t efer);
/* Width of a guest-physical address, as CPUID tells guests. */
unsigned vmx_guest_phys_bits(void);
/* CR4 bits that a guest may set by itself, by what CPUID shows it. */
uint64_t vmx_guest_cr4_bits(void);
/* What CR4 holds in the CPU while the guest believes that it is `cr4`. */
uint64_t vmx_real_cr4(uint64_t cr4);
/* ept.c */
uint64_t ept_pointer(const struct hvm_space *s);
void ept_flush_if_stale(struct hvm_space *s);

static inline void cpuid_into(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    struct cpuid_regs c = cpuid(leaf, sub);

    r[0] = c.eax;
    r[1] = c.ebx;
    r[2] = c.ecx;
    r[3] = c.edx;
}

static inline uint64_t vmcs_read(enum vmcs_field f)
{
    uint64_t value;
    bool fail;
    __asm__ volatile("vmread %2, %0" : "=r"(value), "=@ccbe"(fail) : "r"((uint64_t)f));
    if (__builtin_expect(fail, 0)) {
        vmx_insn_failed("VMREAD", f);
    }
    return value;
}

static inline void vmcs_write(enum vmcs_field f, uint64_t value)
{
    bool fail;
    __asm__ volatile("vmwrite %1, %2" : "=@ccbe"(fail) : "r"(value), "r"((uint64_t)f) : "memory");
    if (__builtin_expect(fail, 0)) {
        vmx_insn_failed("VMWRITE", f);
    }
}

/* Whether the guest executes 64-bit code. CS.L means that in IA-32e mode only. */
static inline bool vmx_is_code64(void)
{
    return (vmcs_read(GUEST_CS_ACCESS_RIGHTS) & BIT(13)) && (vmcs_read(GUEST_IA32_EFER) & EFER_LMA);
}

#endif
