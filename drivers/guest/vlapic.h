/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One vCPU's local APIC: xAPIC by MMIO, x2APIC by MSRs, with its timer.
 *
 * The vCPU loop asks lapic_highest before each entry and calls lapic_ack when it injects; the PIC's
 * output counts only while lapic_accepts_extint. Messages and IPIs are routed over all APICs of the
 * VM, which the owner names. Everything runs under the VM's lock.
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

#define LAPIC_DEFAULT_BASE 0xfee00000u
#define LAPIC_MSR_BASE 0x1bu /* IA32_APIC_BASE */
#define LAPIC_MSR_TSC_DEADLINE 0x6e0u
#define LAPIC_MSR_X2APIC 0x800u /* .. 0x8ff */
/* Without a floor (tickfloor.h) a periodic timer fires at most this often: missed periods are
 * coalesced. The phase is kept. */
#define LAPIC_MIN_PERIOD_NS 50000u

/* Delivery modes, as in ICR, LVT and MSI data bits 10:8. */
enum lapic_mode {
    LAPIC_FIXED,
    LAPIC_LOWEST,
    LAPIC_SMI,
    LAPIC_RESERVED,
    LAPIC_NMI,
    LAPIC_INIT,
    LAPIC_SIPI,
    LAPIC_EXTINT
};

struct lapic;

/* All get the ctx of lapic_init. `ipi`, `nmi`, `init`, `sipi`, `changed` may be NULL. */
struct lapic_ops {
    /* An interrupt command with more targets than the sender: the owner calls lapic_route_ipi with
     * all APICs of the VM. NULL: the sender is the only one. */
    void (*ipi)(void *ctx, struct lapic *from, uint64_t icr);
    void (*nmi)(void *ctx);
    void (*init)(void *ctx);
    void (*sipi)(void *ctx, uint8_t vector);
    /* The end of a level-triggered interrupt, for the I/O APIC. May be NULL. */
    void (*eoi)(void *ctx, uint8_t vector);
    /* lapic_highest or lapic_accepts_extint may answer otherwise now: wake or kick the vCPU. */
    void (*changed)(void *ctx);
    /* The moment of the timer queue's clock at which this vCPU's TSC reads `tsc` (its current
     * moment or earlier if that is past; TIMER_NEVER if out of reach). */
    uint64_t (*tsc_to_ns)(void *ctx, uint64_t tsc);
};

struct lapic {
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
    struct tick_floor *floor; /* the VM's, or NULL; to be set after lapic_init */
    uint64_t ticks_given;     /* periods since timer_start_ns that need no interrupt any more */
    uint64_t bus_hz;
    bool bsp;
    struct timerq *q;
    struct timer timer;
    const struct lapic_ops *ops;
    void *ctx;
};

/*
 * After power-up. bus_hz is the timer's input before its divider: what CPUID 15h tells the guest as
 * its crystal (1 GHz makes one count a nanosecond); 1 .. 4 GHz.
 */
void lapic_init(struct lapic *l, uint32_t id, const struct lapic_ops *ops, void *ctx,
                struct timerq *q, uint64_t bus_hz, bool bsp);
/* The reset state: xAPIC, software-disabled, all masked. Timer stopped. */
void lapic_reset(struct lapic *l);
/* What firmware leaves on the boot processor: enabled, LINT0 = ExtINT (virtual wire), LINT1 = NMI.
 */
void lapic_virtual_wire(struct lapic *l);
/* An INIT signal: as reset, but keeps the id, the mode and the enable bits of IA32_APIC_BASE. */
void lapic_init_signal(struct lapic *l);
/* Takes its timer off the queue. */
void lapic_stop(struct lapic *l);

/* ---- the vCPU loop ---- */
/* The vector that can be delivered now (above the processor priority), or -1. */
int lapic_highest(const struct lapic *l);
/* Moves that vector from IRR to ISR: it has been injected. */
void lapic_ack(struct lapic *l, unsigned vector);
/* Whether the PIC's INTR reaches the processor by the APIC's own wire: APIC hardware-disabled, or
 * LINT0 open as ExtINT. */
bool lapic_accepts_extint(const struct lapic *l);
/* CR8 and TPR are one register: bits 7:4 of the TPR. */
uint8_t lapic_cr8_read(const struct lapic *l);
void lapic_cr8_write(struct lapic *l, uint8_t cr8); /* low 4 bits */

/* ---- the guest's accesses ---- */
/* Whether this CPU's xAPIC page answers at gpa; it comes before anything else in the MMIO space. */
bool lapic_claims(const struct lapic *l, uint64_t gpa);
/* `offset` within the page; only aligned 32-bit accesses do anything (SDM 11.4.1). */
uint32_t lapic_mmio_read(struct lapic *l, uint64_t offset, unsigned size);
void lapic_mmio_write(struct lapic *l, uint64_t offset, unsigned size, uint64_t value);
/* Whether lapic_msr_* is responsible for an MSR: IA32_APIC_BASE, TSC_DEADLINE, 0x800..0x8ff. */
bool lapic_has_msr(uint32_t msr);
/* E_FAULT: the guest gets #GP(0). */
enum status lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *value) MUST_CHECK;
enum status lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value) MUST_CHECK;

/* The vCPU's TSC was set: an armed TSC deadline is worked out anew (SDM vol. 3, 11.5.4.1). */
void lapic_tsc_moved(struct lapic *l);
/* After lapic_stop, ns ago: the timer goes on as if that time had not been. */
void lapic_skip(struct lapic *l, uint64_t ns);

/* ---- interrupts from elsewhere ---- */
/* For irq_sink.message: routes an MSI over the VM's n APICs. Malformed ones are dropped. */
void lapic_message(struct lapic *const *apics, unsigned n, uint64_t addr, uint32_t data);
/* For lapic_ops.ipi. */
void lapic_route_ipi(struct lapic *const *apics, unsigned n, struct lapic *from, uint64_t icr);
/* Hands an interrupt to this APIC. Vectors below 16 are an error (ESR). */
void lapic_deliver(struct lapic *l, enum lapic_mode mode, uint8_t vector, bool level);
/* Whether a destination field (as in x2APIC: 32 bits; an xAPIC's 8 bits zero-extended) names it. */
bool lapic_matches(const struct lapic *l, uint32_t dest, bool logical);

#endif
