/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One vCPU's local APIC: xAPIC by MMIO, x2APIC by MSRs, with its timer.
 *
 * The vCPU loop asks vlapic_highest before each entry and calls vlapic_ack when it injects; the
 * PIC's output counts only while vlapic_accepts_extint. Messages and IPIs are routed over all APICs
 * of the VM, which the owner names. Everything runs under the VM's lock.
 *
 * States: disabled <-> xAPIC -> x2APIC -> disabled (IA32_APIC_BASE). Source: SDM vol. 3, chapter 11
 * ("APIC").
 */
#ifndef DRIVERS_GUEST_VLAPIC_H
#define DRIVERS_GUEST_VLAPIC_H

#include "base/status.h"
#include "base/timer.h"
#include "base/types.h"
#include "drivers/guest/tickfloor.h"

#define VLAPIC_DEFAULT_BASE 0xfee00000u
#define VLAPIC_MSR_BASE 0x1bu /* IA32_APIC_BASE */
#define VLAPIC_MSR_TSC_DEADLINE 0x6e0u
#define VLAPIC_MSR_X2APIC 0x800u /* .. 0x8ff */
/* Without a floor (tickfloor.h) a periodic timer fires at most this often: missed periods are
 * coalesced. The phase is kept. */
#define VLAPIC_MIN_PERIOD_NS 50000u

/* Delivery modes, as in ICR, LVT and MSI data bits 10:8. */
enum vlapic_mode {
    VLAPIC_FIXED,
    VLAPIC_LOWEST,
    VLAPIC_SMI,
    VLAPIC_RESERVED,
    VLAPIC_NMI,
    VLAPIC_INIT,
    VLAPIC_SIPI,
    VLAPIC_EXTINT
};

struct vlapic;

/* All get the ctx of vlapic_init. `ipi`, `nmi`, `init`, `sipi`, `changed` may be NULL. */
struct vlapic_ops {
    /* An interrupt command with more targets than the sender: the owner calls vlapic_route_ipi with
     * all APICs of the VM. NULL: the sender is the only one. */
    void (*ipi)(void *ctx, struct vlapic *from, uint64_t icr);
    void (*nmi)(void *ctx);
    void (*init)(void *ctx);
    void (*sipi)(void *ctx, uint8_t vector);
    /* The end of a level-triggered interrupt, for the I/O APIC. May be NULL. */
    void (*eoi)(void *ctx, uint8_t vector);
    /* vlapic_highest or vlapic_accepts_extint may answer otherwise now: wake or kick the vCPU. */
    void (*changed)(void *ctx);
    /* The moment of the timer queue's clock at which this vCPU's TSC reads `tsc` (its current
     * moment or earlier if that is past; TIMER_NEVER if out of reach). */
    uint64_t (*tsc_to_ns)(void *ctx, uint64_t tsc);
};

struct vlapic {
    uint64_t irr[4], isr[4], tmr[4]; /* bit v % 64 of word v / 64 */
    uint64_t base_msr;               /* IA32_APIC_BASE */
    uint64_t icr;
    uint64_t tsc_deadline;
    uint32_t id; /* x2APIC id; the xAPIC id is xapic_id */
    uint8_t xapic_id;
    uint8_t tpr;
    uint32_t svr, ldr, dfr, esr, esr_pending;
    uint32_t lvt[6]; /* timer, thermal, performance, LINT0, LINT1, error */
    uint32_t divide, initial;
    uint64_t timer_start_ns;  /* when the present period began */
    bool timer_done;          /* a one-shot has expired: nothing counts until a count is written */
    struct tick_floor *floor; /* the VM's, or NULL; to be set after vlapic_init */
    uint64_t ticks_given;     /* periods since timer_start_ns that need no interrupt any more */
    uint64_t bus_hz;
    bool bsp;
    struct timerq *q;
    struct timer timer;
    const struct vlapic_ops *ops;
    void *ctx;
};

/*
 * After power-up. bus_hz is the timer's input before its divider: what CPUID 15h tells the guest as
 * its crystal (1 GHz makes one count a nanosecond); 1 .. 4 GHz.
 */
void vlapic_init(struct vlapic *l, uint32_t id, const struct vlapic_ops *ops, void *ctx,
                 struct timerq *q, uint64_t bus_hz, bool bsp);
/* The reset state: xAPIC, software-disabled, all masked. Timer stopped. */
void vlapic_reset(struct vlapic *l);
/* What firmware leaves on the boot processor: enabled, LINT0 = ExtINT (virtual wire), LINT1 = NMI.
 */
void vlapic_virtual_wire(struct vlapic *l);
/* An INIT signal: as reset, but keeps the id, the mode and the enable bits of IA32_APIC_BASE. */
void vlapic_init_signal(struct vlapic *l);
/* Takes its timer off the queue. */
void vlapic_stop(struct vlapic *l);

/* ---- the vCPU loop ---- */
/* The vector that can be delivered now (above the processor priority), or -1. */
int vlapic_highest(const struct vlapic *l);
/* Moves that vector from IRR to ISR: it has been injected. */
void vlapic_ack(struct vlapic *l, unsigned vector);
/* Whether the PIC's INTR reaches the processor by the APIC's own wire: APIC hardware-disabled, or
 * LINT0 open as ExtINT. */
bool vlapic_accepts_extint(const struct vlapic *l);
/* CR8 and TPR are one register: bits 7:4 of the TPR. */
uint8_t vlapic_cr8_read(const struct vlapic *l);
void vlapic_cr8_write(struct vlapic *l, uint8_t cr8); /* low 4 bits */

/* ---- the guest's accesses ---- */
/* Whether this CPU's xAPIC page answers at gpa; it comes before anything else in the MMIO space. */
bool vlapic_claims(const struct vlapic *l, uint64_t gpa);
/* `offset` within the page; only aligned 32-bit accesses do anything (SDM 11.4.1). */
uint32_t vlapic_mmio_read(struct vlapic *l, uint64_t offset, unsigned size);
void vlapic_mmio_write(struct vlapic *l, uint64_t offset, unsigned size, uint64_t value);
/* Whether lapic_msr_* is responsible for an MSR: IA32_APIC_BASE, TSC_DEADLINE, 0x800..0x8ff. */
bool vlapic_has_msr(uint32_t msr);
/* E_FAULT: the guest gets #GP(0). */
enum status vlapic_msr_read(struct vlapic *l, uint32_t msr, uint64_t *value) MUST_CHECK;
enum status vlapic_msr_write(struct vlapic *l, uint32_t msr, uint64_t value) MUST_CHECK;

/* The vCPU's TSC was set: an armed TSC deadline is worked out anew (SDM vol. 3, 11.5.4.1). */
void vlapic_tsc_moved(struct vlapic *l);
/* After vlapic_stop, ns ago: the timer goes on as if that time had not been. */
void vlapic_skip(struct vlapic *l, uint64_t ns);

/* ---- interrupts from elsewhere ---- */
/* For irq_sink.message: routes an MSI over the VM's n APICs. Malformed ones are dropped. */
void vlapic_message(struct vlapic *const *apics, unsigned n, uint64_t addr, uint32_t data);
/* For vlapic_ops.ipi. */
void vlapic_route_ipi(struct vlapic *const *apics, unsigned n, struct vlapic *from, uint64_t icr);
/* Hands an interrupt to this APIC. Vectors below 16 are an error (ESR). */
void vlapic_deliver(struct vlapic *l, enum vlapic_mode mode, uint8_t vector, bool level);
/* Whether a destination field (as in x2APIC: 32 bits; an xAPIC's 8 bits zero-extended) names it. */
bool vlapic_matches(const struct vlapic *l, uint32_t dest, bool logical);

#endif
