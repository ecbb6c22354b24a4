/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's paravirtual clock: two pages of the guest that say what its TSC means in nanoseconds, and
 * what the time of day was when that clock stood at 0. Source: Linux,
 * Documentation/virt/kvm/x86/msr.rst.
 *
 * It is offered for one flag, PVCLOCK_GUEST_STOPPED: the guest was stopped from outside. Linux asks
 * for it before its watchdogs (soft lockup, RCU stall, hung task, workqueue) complain of time that
 * passed without them. Its clock source stays the TSC, which is invariant.
 *
 * The clock is a fixed function of the guest's TSC, so it never goes back: it is written anew only
 * when the guest registers it, sets its TSC, or was stopped. One for each VM, which has one vCPU;
 * the guest must not run during a call. The guest names the addresses: each write is checked by the
 * p2m.
 */
#ifndef DRIVERS_GUEST_PVCLOCK_H
#define DRIVERS_GUEST_PVCLOCK_H

#include "base/status.h"
#include "base/types.h"
#include "mm/p2m.h"

#define PVCLOCK_MSR_WALL_CLOCK 0x4b564d00u
#define PVCLOCK_MSR_SYSTEM_TIME 0x4b564d01u

struct pvclock {
    struct p2m *p2m;
    uint64_t tsc_base; /* the guest's TSC when the clock stood at 0 */
    uint64_t wall_ns;  /* the time since 1970 at that moment */
    uint64_t wall_msr, system_msr;
    uint32_t mul, version;
    int8_t shift;
    bool stopped; /* GUEST_STOPPED is still to be told */
    bool owed;    /* the page is behind: no frame could be had to write it */
};

/* A clock for a TSC of `tsc_hz` that reads 0 now. */
void pvclock_init(struct pvclock *c, struct p2m *p2m, uint64_t tsc_hz, uint64_t wall_ns);
bool pvclock_has_msr(uint32_t msr);
/* E_FAULT: the guest gets #GP; E_NOMEM: nothing has happened, try again when there is memory. */
enum status pvclock_msr_read(const struct pvclock *c, uint32_t msr, uint64_t *value) MUST_CHECK;
enum status pvclock_msr_write(struct pvclock *c, uint32_t msr, uint64_t value) MUST_CHECK;
/* Whether the guest listens. */
bool pvclock_is_on(const struct pvclock *c);
/* The guest has added `by` to its TSC: the clock goes on from where it is. */
void pvclock_tsc_moved(struct pvclock *c, uint64_t by);
/* The guest did not run for a while, and its TSC went on. */
void pvclock_guest_stopped(struct pvclock *c);
/* Writes what is owed, if anything; to be called now and then while c->owed. */
void pvclock_settle(struct pvclock *c);
/* What the clock reads at a value of the guest's TSC, in nanoseconds. */
uint64_t pvclock_ns(const struct pvclock *c, uint64_t tsc);

#endif
