/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the VT-x backend: the vCPU's VT-x part, the controls' bits, and checked VMCS access.
 */
#ifndef ARCH_VMX_VMX_H
#define ARCH_VMX_VMX_H

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/hvm/backend.h"
#include "arch/x86_64/percpu.h"
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

/* Guest interruptibility state, which is hvm/backend.h's mask, and pending debug exceptions: SDM
 * vol. 3, 25.4.2. */
#define BLOCKING_BY_STI BIT32(0)
#define BLOCKING_BY_MOV_SS BIT32(1)
#define BLOCKING_BY_NMI BIT32(3)
#define PENDING_DEBUG_BREAKPOINT BIT(12)
#define PENDING_DEBUG_BS BIT(14)

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
    uint64_t cr4_owned; /* the guest reads and writes these of the shadow: hvm_init sets it */
};
extern struct vmx_caps vmx_caps;

/* A CPU's VT-x (vmcs.c). */
struct vmx_cpu {
    struct hvm_vcpu *current; /* whose VMCS it holds, and registers: see hvm/xstate.c */
    mfn_t vmxon;              /* its VMXON region */
};
extern PERCPU struct vmx_cpu vmx_cpu;

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

struct vmx_vcpu {
    struct hvm_vcpu hvm; /* first: entry.S */
    bool launched;       /* VMRESUME, not VMLAUNCH */
    /* An event for the next entry, in the format of the VMCS: one whose delivery was cut short, or
     * an exception that a handler raises. */
    uint32_t reinject_info, reinject_error, reinject_len;
    mfn_t vmcs;
    uint32_t cpu_controls; /* last written primary controls */
    uint16_t vpid;
};

static inline struct vmx_vcpu *to_vmx(struct hvm_vcpu *v)
{
    return (struct vmx_vcpu *)v;
}

/* entry.S: enters the guest; returns 0 after an exit, 1 when VMLAUNCH/VMRESUME itself failed (its
 * RFLAGS are in *flags then). */
int vmx_enter(struct hvm_vcpu *v, bool launched, uint64_t *flags);

/* caps.c */
enum status vmx_caps_init(void) MUST_CHECK;
/* names.c */
const char *vmx_field_name(uint32_t field);
const char *vmx_error_name(uint32_t error);
const char *vmx_reason_name(uint32_t reason);
/* dump.c */
void vmx_dump_vmcs(void);
/* vmcs.c */
void vmx_vmclear(uint64_t pa);
void vmx_make_current(struct hvm_vcpu *v);
/* Before the vCPU ends: neither its VMCS nor its registers are in the CPU any more. */
void vmx_forget(struct hvm_vcpu *v);
/* A VMREAD that may fail: false then. */
bool vmx_try_read(uint32_t field, uint64_t *value);
/* A VMX instruction failed: says which, on what field, and why. Fatal only for our own bugs. */
_Noreturn void vmx_insn_failed(const char *insn, uint64_t operand);
/* vpid.c: drops the vCPU's own translations, as its control registers may ask for. */
void vmx_flush_vpid(struct hvm_vcpu *v);
/* msr_bitmap.c */
mfn_t vmx_msr_bitmap(void);
enum status vmx_msr_bitmap_init(struct frames *f) MUST_CHECK;
/* exit.c: handles the exit of the current VMCS. True: enter again. False: *out says why not. */
bool vmx_handle_exit(struct hvm_vcpu *v, enum hvm_exit *out);
/* backend.c */
extern const struct hvm_backend vmx_backend;

/* event.c. As in hvm/backend.h: */
void vmx_advance(struct hvm_vcpu *v);
bool vmx_retry(struct hvm_vcpu *v, enum hvm_exit why, enum hvm_exit *out);
bool vmx_end_element(struct hvm_vcpu *v);
void vmx_inject(struct hvm_vcpu *v, unsigned vector, bool has_error, uint32_t error);
void vmx_inject_trap(struct hvm_vcpu *v, unsigned vector);
void vmx_step_pending(struct hvm_vcpu *v);
/* After an NMI others stay blocked as if it had been delivered: SDM vol. 3, 28.1. */
void vmx_drop_cut_short(struct hvm_vcpu *v);
bool vmx_inject_gp(struct hvm_vcpu *v); /* always true */
/* No NMI before the next IRET: as after the delivery of one, or before an IRET that is executed
 * again though the CPU has unblocked them already (SDM vol. 3, 28.2.2, bit 12). */
void vmx_block_nmis(void);
/* Whether a debug exception is delivered at the next entry, which ends HLT. */
bool vmx_debug_pending(void);
/* Whether something that wakes it from HLT can be delivered. */
bool vmx_can_wake(struct hvm_vcpu *v);

/* cr.c. These three make the guest see `cr0`, `cr4`, `efer`. */
#define VMX_CR0_OWNED (CR0_NE | CR0_NW | CR0_CD)
void vmx_set_cr0(uint64_t cr0);
void vmx_set_cr4(uint64_t cr4);
void vmx_set_efer(uint64_t efer);
/* Loads CR3 with what hangs on it. The four top entries of PAE paging are read from guest memory:
 * E_INVAL for an illegal one, E_NOMEM; nothing has changed then. */
enum status vmx_load_cr3(struct hvm_vcpu *v, uint64_t cr3) MUST_CHECK;
bool vmx_exit_cr(struct hvm_vcpu *v, enum hvm_exit *out);

/* ept_violation.c */
bool vmx_exit_ept_violation(struct hvm_vcpu *v, enum hvm_exit *out);
/* ept.c */
uint64_t ept_pointer(const struct hvm_space *s);
void ept_flush_if_stale(struct hvm_space *s);

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

/* CR0 and CR4 as the guest sees them: the bits that the hypervisor owns are the shadow's. */
static inline uint64_t vmx_guest_cr0(void)
{
    return (vmcs_read(GUEST_CR0) & ~(uint64_t)VMX_CR0_OWNED) |
           (vmcs_read(CR0_READ_SHADOW) & VMX_CR0_OWNED);
}

static inline uint64_t vmx_guest_cr4(void)
{
    uint64_t owned = vmx_caps.cr4_owned;

    return (vmcs_read(GUEST_CR4) & ~owned) | (vmcs_read(CR4_READ_SHADOW) & owned);
}

/* Whether the guest executes 64-bit code. */
static inline bool vmx_is_code64(void)
{
    return emul_is_code64((uint32_t)vmcs_read(GUEST_CS_ACCESS_RIGHTS), vmcs_read(GUEST_IA32_EFER));
}

#endif
