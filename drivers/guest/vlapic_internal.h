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
#define ICR_MODE(v) ((enum vlapic_mode)((v) >> 8 & 7u))
#define ICR_LOGICAL 0x800u
#define ICR_ASSERT 0x4000u
#define ICR_LEVEL 0x8000u
#define ICR_SHORTHAND(v) ((unsigned)((v) >> 18) & 3u)
enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

#define DEST_BROADCAST UINT32_MAX

static inline bool vlapic_is_present(const struct vlapic *l)
{
    return l->base_msr & BASE_ENABLE;
}

static inline bool vlapic_is_x2apic(const struct vlapic *l)
{
    return l->base_msr & BASE_EXTD;
}

/* Hardware-enabled and software-enabled. */
static inline bool vlapic_is_on(const struct vlapic *l)
{
    return vlapic_is_present(l) && l->svr & SVR_ENABLE;
}

/* ---- vlapic.c ---- */
void vlapic_error(struct vlapic *l, uint32_t bits);
/* An interrupt of a local source, unless its entry is masked. */
void vlapic_local(struct vlapic *l, unsigned lvt);
uint32_t vlapic_ppr(const struct vlapic *l);
void vlapic_eoi(struct vlapic *l);
uint32_t vlapic_x2apic_ldr(const struct vlapic *l);
/* The registers as after reset; IA32_APIC_BASE stays. */
void vlapic_clear(struct vlapic *l);

/* ---- vlapic_timer.c ---- */
void vlapic_timer_fired(void *ctx, uint64_t now_ns);
/* An expiry that is due but was not run yet happens now; before the timer's set-up changes. */
void vlapic_timer_settle(struct vlapic *l);
/* Arms or cancels according to the registers. */
void vlapic_timer_update(struct vlapic *l);
/* The mode in the LVT entry changes to that of `lvt`, the timer being settled. */
void vlapic_timer_change_mode(struct vlapic *l, uint32_t lvt);
void vlapic_timer_write_initial(struct vlapic *l, uint32_t count);
void vlapic_timer_write_divide(struct vlapic *l, uint32_t value);
uint32_t vlapic_timer_count(const struct vlapic *l);
void vlapic_timer_write_deadline(struct vlapic *l, uint64_t tsc);

/* ---- vlapic_route.c ---- */
void vlapic_send(struct vlapic *l, uint64_t icr);

#endif
