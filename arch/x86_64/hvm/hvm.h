/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only door to hardware virtualisation. Behind it: Intel VT-x with EPT (../vmx/).
 *
 * A vCPU runs from hvm_run until something happens that its caller must decide on. Everything that
 * a guest can provoke is either handled behind the door, or handed to struct hvm_ops, or ends the
 * run with HVM_EXIT_CRASH and a reason: nothing a guest does panics.
 *
 * Locking: a vCPU is used by one CPU at a time; all of it runs with interrupts off.
 */
#ifndef ARCH_HVM_HVM_H
#define ARCH_HVM_HVM_H

#include "base/deadline.h"
#include "base/status.h"
#include "base/types.h"
#include "mm/p2m.h"

/* Why hvm_run came back. */
enum hvm_exit {
    HVM_EXIT_DEADLINE,  /* the deadline passed, or the host has an interrupt to take */
    HVM_EXIT_HALT,      /* HLT with nothing to deliver: wake it when an interrupt is pending */
    HVM_EXIT_PAUSE,     /* it spins: somebody else may have the CPU */
    HVM_EXIT_NO_MEMORY, /* it needs a frame and there is none; the access is retried at re-entry */
    HVM_EXIT_WORK,     /* an hvm_ops callback asked for its caller's attention (hvm_request_exit) */
    HVM_EXIT_SHUTDOWN, /* triple fault: a PC resets */
    HVM_EXIT_CRASH,    /* cannot go on; hvm_crash_reason says why */
};

/* What a vCPU's owner does for it. `ctx` is the one given to hvm_vcpu_init. */
struct hvm_ops {
    uint64_t (*pio_read)(void *ctx, uint16_t port, unsigned size);
    void (*pio_write)(void *ctx, uint16_t port, unsigned size, uint64_t value);
    uint64_t (*mmio_read)(void *ctx, gpa_t addr, unsigned size);
    void (*mmio_write)(void *ctx, gpa_t addr, unsigned size, uint64_t value);
    /* The local APIC's MSRs: IA32_APIC_BASE, IA32_TSC_DEADLINE, 0x800-0x8ff. Failure is #GP. */
    enum status (*apic_msr_read)(void *ctx, uint32_t msr, uint64_t *value);
    enum status (*apic_msr_write)(void *ctx, uint32_t msr, uint64_t value);
    /* KVM's paravirtual MSRs, 0x4b564d00-0x4b564dff. As above; E_NOMEM: the access is retried. */
    enum status (*pv_msr_read)(void *ctx, uint32_t msr, uint64_t *value);
    enum status (*pv_msr_write)(void *ctx, uint32_t msr, uint64_t value);
    /* The guest has added `by` to its TSC: an armed TSC deadline may be due, or later than it was.
     */
    void (*tsc_moved)(void *ctx, uint64_t by);
    uint8_t (*get_cr8)(void *ctx);
    void (*set_cr8)(void *ctx, uint8_t value);
    /* Whether an external interrupt wants delivery, and its acknowledge (-1: it went away). */
    bool (*irq_pending)(void *ctx);
    int (*irq_ack)(void *ctx);
    /* Something about this guest that its owner should know: one line for the log. */
    void (*warn)(void *ctx, const char *text);
    /* Likewise what may help to find out why it fails; few in all, as no limit of the VM's counts
     * these. */
    void (*note)(void *ctx, const char *text);
};

struct hvm_vcpu;

/* Guests' low RAM ends here at the highest; from here to 4 GiB there are devices. */
#define HVM_DEVICE_HOLE 0xe0000000u

/* Counters by kind of exit, for `stats`; index by enum below. */
enum hvm_count {
    HVM_N_CPUID,
    HVM_N_IO,
    HVM_N_MMIO,
    HVM_N_MSR,
    HVM_N_EPT,
    HVM_N_HLT,
    HVM_N_IRQ,    /* host interrupts and the preemption timer */
    HVM_N_WINDOW, /* interrupt windows */
    HVM_N_OTHER,
    HVM_COUNTS
};

/*
 * Turns VT-x on, on this CPU, and settles the controls from the capability MSRs. Frames for the
 * VMXON region and shared bitmaps come from f. Failure has been logged by name.
 */
enum status hvm_init(struct frames *f) MUST_CHECK;

/* The local APIC timer's clock, as CPUID tells it to guests. */
uint64_t hvm_apic_bus_hz(void);

/* The p2m backend: one address space, its root and its tables. */
struct hvm_space;
size_t hvm_space_bytes(void);
enum status hvm_space_init(struct hvm_space *s, struct frames *f) MUST_CHECK;
/* Frees the tables; the p2m over it must be empty. hvm_space_trim is the bounded form: frees tables
 * until the time is over, and returns whether any but a few are left. */
void hvm_space_fini(struct hvm_space *s);
bool hvm_space_trim(struct hvm_space *s, const struct deadline *d);
const struct p2m_ops *hvm_space_ops(void); /* ctx: the struct hvm_space */
/* Table frames in use, for the audit. */
uint64_t hvm_space_tables(const struct hvm_space *s);

/* What hvm_vcpu_init wants. */
size_t hvm_vcpu_bytes(void);
/*
 * Makes a vCPU in `v` (hvm_vcpu_bytes() zeroed bytes) that runs in `space`, whose p2m is `p2m`. It
 * is in the SDM's RESET state until one of the hvm_vcpu_boot_* is called.
 */
enum status hvm_vcpu_init(struct hvm_vcpu *v, struct hvm_space *space, struct p2m *p2m,
                          const struct hvm_ops *ops, void *ctx, unsigned vcpu_id) MUST_CHECK;
void hvm_vcpu_fini(struct hvm_vcpu *v);
/* Frames that a vCPU takes. */
unsigned hvm_vcpu_frames(void);

/* 64-bit mode, flat segments of the given GDT (in guest memory; CS 0x10, data 0x18), paging by cr3,
 * interrupts off: the state that the 64-bit Linux boot protocol asks for. */
struct hvm_boot64 {
    uint64_t rip, rsp, rsi, cr3;
    uint64_t gdt_base;
    uint32_t gdt_limit;
};
void hvm_vcpu_boot64(struct hvm_vcpu *v, const struct hvm_boot64 *b);
/* 32-bit protected mode without paging, flat segments, rip, ebx and esi as given. */
struct hvm_boot32 {
    uint32_t rip, esp, eax, ebx, esi;
    uint64_t gdt_base;
    uint32_t gdt_limit;
};
void hvm_vcpu_boot32(struct hvm_vcpu *v, const struct hvm_boot32 *b);

/*
 * Runs the guest. Comes back no later than shortly after TSC `*deadline_tsc`, which is read anew
 * at each entry (a callback may move it).
 */
enum hvm_exit hvm_run(struct hvm_vcpu *v, const volatile uint64_t *deadline_tsc);
/* Callbacks: come back with HVM_EXIT_WORK instead of entering the guest again. */
void hvm_request_exit(struct hvm_vcpu *v);
/* Whether it can go on: false for one that halted and has no event that it takes. Another vCPU may
 * be in the CPU. */
bool hvm_can_wake(const struct hvm_vcpu *v);
/* False for one that halted with interrupts off: only an NMI wakes it. */
bool hvm_hears_irqs(const struct hvm_vcpu *v);
/* An interrupt may have become deliverable: look before the next entry. */
void hvm_irq_kick(struct hvm_vcpu *v);
void hvm_nmi(struct hvm_vcpu *v);
/* Whether it is in HLT with interrupts off and no NMI pending: only an NMI yet to come wakes it. */
bool hvm_halt_is_final(struct hvm_vcpu *v);
const char *hvm_crash_reason(const struct hvm_vcpu *v);
const uint64_t *hvm_counts(const struct hvm_vcpu *v); /* HVM_COUNTS of them */
/* Instructions on device memory that are not emulated: the guest got #UD for each. */
uint64_t hvm_unemulated(const struct hvm_vcpu *v);
/* The longest that the handling of one exit took so far, in ticks, and the exit's reason. */
uint64_t hvm_longest_exit(const struct hvm_vcpu *v);
const char *hvm_longest_exit_name(const struct hvm_vcpu *v);
uint64_t hvm_guest_tsc(const struct hvm_vcpu *v);
/* Adds to the vCPU's TSC, modulo 2^64, without a trace in its IA32_TSC_ADJUST. */
void hvm_tsc_skip(struct hvm_vcpu *v, uint64_t by);
/* The guest's CR3 while it is in long mode with paging on; else 0. */
uint64_t hvm_guest_cr3(struct hvm_vcpu *v);
/* Registers and stack in short, to the log: for `vms`-level diagnosis of a stopped guest. */
void hvm_dump(struct hvm_vcpu *v);

#endif
