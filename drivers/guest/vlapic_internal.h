/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the local APIC know of each other. */
#ifndef DRIVERS_GUEST_VLAPIC_INTERNAL_H
#define DRIVERS_GUEST_VLAPIC_INTERNAL_H

#include "drivers/guest/vlapic.h"

/* IA32_APIC_BASE */
#define BASE_BSP 0x100u
#define BASE_EXTD 0x400u
#define BASE_ENABLE 0x800u
#define BASE_ADDRESS UINT64_C(0xffffffffff000)

#define SVR_ENABLE 0x100u

/* lvt[] */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
#define LVT_VECTOR 0xffu
#define LVT_MODE(v) ((v) >> 8 & 7u)
#define LVT_MASKED 0x10000u
#define LVT_TIMER_MODE(v) ((v) >> 17 & 3u)
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE, TIMER_RESERVED };

/* ESR */
#define ESR_SEND_ILLEGAL 0x20u
#define ESR_RECEIVE_ILLEGAL 0x40u
#define ESR_ILLEGAL_REGISTER 0x80u

/* ICR */
#define ICR_VECTOR(v) ((uint8_t)(v))
#define ICR_MODE(v) ((enum lapic_mode)((v) >> 8 & 7u))
#define ICR_LOGICAL 0x800u
#define ICR_ASSERT 0x4000u
#define ICR_LEVEL 0x8000u
#define ICR_SHORTHAND(v) ((unsigned)((v) >> 18) & 3u)
enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

#define DEST_BROADCAST UINT32_MAX

static inline bool lapic_is_present(const struct lapic *l)
{
    return l->base_msr & BASE_ENABLE;
}

static inline bool lapic_is_x2apic(const struct lapic *l)
{
    return l->base_msr & BASE_EXTD;
}

/* Hardware-enabled and software-enabled. */
static inline bool lapic_is_on(const struct lapic *l)
{
    return lapic_is_present(l) && l->svr & SVR_ENABLE;
}

/* ---- vlapic.c ---- */
void lapic_error(struct lapic *l, uint32_t bits);
/* An interrupt of a local source, unless its entry is masked. */
void lapic_local(struct lapic *l, unsigned lvt);
uint32_t lapic_ppr(const struct lapic *l);
void lapic_eoi(struct lapic *l);
uint32_t lapic_x2apic_ldr(const struct lapic *l);
/* The registers as after reset; IA32_APIC_BASE stays. */
void lapic_clear(struct lapic *l);

/* ---- vlapic_timer.c ---- */
void lapic_timer_fired(void *ctx, uint64_t now_ns);
/* An expiry that is due but was not run yet happens now; before the timer's set-up changes. */
void lapic_timer_settle(struct lapic *l);
/* Arms or cancels according to the registers. */
void lapic_timer_update(struct lapic *l);
/* The mode in the LVT entry changes to that of `lvt`, the timer being settled. */
void lapic_timer_change_mode(struct lapic *l, uint32_t lvt);
void lapic_timer_write_initial(struct lapic *l, uint32_t count);
void lapic_timer_write_divide(struct lapic *l, uint32_t value);
uint32_t lapic_timer_count(const struct lapic *l);
void lapic_timer_write_deadline(struct lapic *l, uint64_t tsc);

/* ---- vlapic_route.c ---- */
void lapic_send(struct lapic *l, uint64_t icr);

#endif
