/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC's registers, through its MMIO page and through MSRs (SDM vol. 3, 11.4 and 11.12).
 */
#include "base/bits.h"
#include "drivers/guest/vlapic.h"
#include "drivers/guest/vlapic_internal.h"

/* Register numbers: MMIO offset / 16, MSR - 0x800. */
enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32, /* six of them */
    REG_INITIAL = 0x38,
    REG_CURRENT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
};

#define VERSION                                                                                    \
    (0x14u | (LVT_COUNT - 1) << 16) /* an integrated APIC; no EOI-broadcast suppression */
#define SVR_BITS 0x3ffu
#define ICR_BITS 0x000ccfffu /* what can be written of the low word */
#define DIVIDE_BITS 0xbu
#define LVT_READ_ONLY 0x5000u /* delivery status, remote IRR */

/* Bits that can be written in each LVT entry. */
static const uint32_t lvt_bits[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERFORMANCE] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

static uint32_t set_word(const uint64_t *set, unsigned word)
{
    return (uint32_t)(set[word / 2] >> 32 * (word % 2));
}

/* ---- what is the same in both modes ---- */

/* Reads a register; false when there is none of that number. */
static bool read_reg(const struct vlapic *l, unsigned reg, uint32_t *value)
{
    if (reg >= REG_ISR && reg < REG_ESR) {
        const uint64_t *set = reg < REG_TMR ? l->isr : reg < REG_IRR ? l->tmr : l->irr;
        *value = set_word(set, reg % 8);
        return true;
    }
    if (reg >= REG_LVT && reg < REG_LVT + LVT_COUNT) {
        *value = l->lvt[reg - REG_LVT];
        return true;
    }
    switch (reg) {
    case REG_VERSION:
        *value = VERSION;
        return true;
    case REG_TPR:
        *value = l->tpr;
        return true;
    case REG_PPR:
        *value = vlapic_ppr(l);
        return true;
    case REG_SVR:
        *value = l->svr;
        return true;
    case REG_ESR:
        *value = l->esr;
        return true;
    case REG_INITIAL:
        *value = l->initial;
        return true;
    case REG_CURRENT:
        *value = vlapic_timer_count(l);
        return true;
    case REG_DIVIDE:
        *value = l->divide;
        return true;
    default:
        return false;
    }
}

static void write_lvt(struct vlapic *l, unsigned i, uint32_t value)
{
    value &= lvt_bits[i];
    if (!(l->svr & SVR_ENABLE)) {
        value |= LVT_MASKED;
    }
    if (i != LVT_TIMER) {
        l->lvt[i] = value;
        return;
    }
    vlapic_timer_settle(l);
    vlapic_timer_change_mode(l, value);
    l->lvt[i] = value;
    vlapic_timer_update(l);
}

static void write_svr(struct vlapic *l, uint32_t value)
{
    l->svr = value & SVR_BITS;
    if (!(l->svr & SVR_ENABLE)) {
        vlapic_timer_settle(l);
        for (unsigned i = 0; i < LVT_COUNT; i++) {
            l->lvt[i] |= LVT_MASKED;
        }
        vlapic_timer_update(l);
    }
}

static void write_esr(struct vlapic *l)
{
    l->esr = l->esr_pending; /* a write makes what has gathered readable */
    l->esr_pending = 0;
}

/* Writes a register that both modes have and that needs no check; false when there is none. */
static bool write_reg(struct vlapic *l, unsigned reg, uint32_t value)
{
    if (reg >= REG_LVT && reg < REG_LVT + LVT_COUNT) {
        write_lvt(l, reg - REG_LVT, value);
        return true;
    }
    switch (reg) {
    case REG_TPR:
        l->tpr = (uint8_t)value;
        return true;
    case REG_EOI:
        vlapic_eoi(l);
        return true;
    case REG_SVR:
        write_svr(l, value);
        return true;
    case REG_ESR:
        write_esr(l);
        return true;
    case REG_INITIAL:
        vlapic_timer_write_initial(l, value);
        return true;
    case REG_DIVIDE:
        vlapic_timer_write_divide(l, value);
        return true;
    default:
        return false;
    }
}

/* The timer mode that does not exist, or that the owner gave us no TSC for, is taken as one-shot.
 */
static bool timer_mode_exists(const struct vlapic *l, uint32_t value)
{
    unsigned mode = LVT_TIMER_MODE(value);

    return mode < TIMER_DEADLINE || (mode == TIMER_DEADLINE && l->ops->tsc_to_ns != NULL);
}

/* ---- xAPIC ---- */

bool vlapic_claims(const struct vlapic *l, uint64_t gpa)
{
    return vlapic_is_present(l) && !vlapic_is_x2apic(l) &&
           (gpa & ~(uint64_t)PAGE_MASK) == (l->base_msr & BASE_ADDRESS);
}

uint32_t vlapic_mmio_read(struct vlapic *l, uint64_t offset, unsigned size)
{
    uint32_t value = 0;

    if (size != 4 || offset % 16 != 0 || offset >= PAGE_SIZE || !vlapic_is_present(l) ||
        vlapic_is_x2apic(l)) {
        return 0;
    }
    switch (offset / 16) {
    case REG_ID:
        return (uint32_t)l->xapic_id << 24;
    case REG_LDR:
        return l->ldr;
    case REG_DFR:
        return l->dfr;
    case REG_ICR:
        return (uint32_t)l->icr;
    case REG_ICR_HIGH:
        return (uint32_t)(l->icr >> 32);
    default:
        if (!read_reg(l, (unsigned)(offset / 16), &value)) {
            vlapic_error(l, ESR_ILLEGAL_REGISTER);
        }
        return value;
    }
}

void vlapic_mmio_write(struct vlapic *l, uint64_t offset, unsigned size, uint64_t value64)
{
    uint32_t value = (uint32_t)value64;

    if (size != 4 || offset % 16 != 0 || offset >= PAGE_SIZE || !vlapic_is_present(l) ||
        vlapic_is_x2apic(l)) {
        return;
    }
    switch (offset / 16) {
    case REG_ID: /* the id is fixed, as on current processors */
    case REG_VERSION:
        break;
    case REG_LDR:
        l->ldr = value & 0xff000000u;
        break;
    case REG_DFR:
        l->dfr = value | 0x0fffffffu;
        break;
    case REG_ICR:
        l->icr = (l->icr & ~UINT64_C(0xffffffff)) | (value & ICR_BITS);
        vlapic_send(l, l->icr);
        break;
    case REG_ICR_HIGH:
        l->icr = (uint32_t)l->icr | (uint64_t)(value & 0xff000000u) << 32;
        break;
    case REG_LVT + LVT_TIMER:
        write_lvt(l, LVT_TIMER, timer_mode_exists(l, value) ? value : value & ~0x60000u);
        break;
    default:
        if (!write_reg(l, (unsigned)(offset / 16), value)) {
            vlapic_error(l, ESR_ILLEGAL_REGISTER);
        }
        break;
    }
}

/* ---- MSRs ---- */

bool vlapic_has_msr(uint32_t msr)
{
    return msr == VLAPIC_MSR_BASE || msr == VLAPIC_MSR_TSC_DEADLINE ||
           (msr >= VLAPIC_MSR_X2APIC && msr < VLAPIC_MSR_X2APIC + 0x100);
}

static enum status read_x2apic(const struct vlapic *l, unsigned reg, uint64_t *value)
{
    uint32_t v;

    switch (reg) {
    case REG_ID:
        *value = l->id;
        return OK;
    case REG_LDR:
        *value = vlapic_x2apic_ldr(l);
        return OK;
    case REG_ICR:
        *value = l->icr;
        return OK;
    default: /* EOI and SELF IPI are write-only: read_reg does not know them */
        if (!read_reg(l, reg, &v)) {
            return E_FAULT;
        }
        *value = v;
        return OK;
    }
}

enum status vlapic_msr_read(struct vlapic *l, uint32_t msr, uint64_t *value)
{
    if (msr == VLAPIC_MSR_BASE) {
        *value = l->base_msr;
        return OK;
    }
    if (msr == VLAPIC_MSR_TSC_DEADLINE && l->ops->tsc_to_ns != NULL) {
        *value = l->tsc_deadline;
        return OK;
    }
    if (msr < VLAPIC_MSR_X2APIC || msr >= VLAPIC_MSR_X2APIC + 0x100 || !vlapic_is_x2apic(l)) {
        return E_FAULT;
    }
    return read_x2apic(l, msr - VLAPIC_MSR_X2APIC, value);
}

/* SDM vol. 3, 11.12.5 and figure 11-27: which changes of mode there are. */
static enum status write_base(struct vlapic *l, uint64_t value)
{
    uint64_t old = l->base_msr;
    bool enable = value & BASE_ENABLE, extended = value & BASE_EXTD;

    if (value & ~(BASE_ADDRESS | BASE_ENABLE | BASE_EXTD | BASE_BSP) || (extended && !enable)) {
        return E_FAULT;
    }
    if (extended && !(old & BASE_ENABLE)) {
        return E_FAULT; /* from disabled one gets to x2APIC by way of xAPIC only */
    }
    if (old & BASE_EXTD && enable && !extended) {
        return E_FAULT; /* and from x2APIC to xAPIC by way of disabled only */
    }
    l->base_msr = value;
    if (old & BASE_ENABLE && !enable) {
        vlapic_clear(l);
    }
    if (extended && !(old & BASE_EXTD)) {
        l->icr = (uint32_t)l->icr; /* the destination has another format */
    }
    return OK;
}

/* Bits that may be 1 in an x2APIC write; 0 for what cannot be written (or only with 0). */
static uint64_t x2apic_writable(unsigned reg)
{
    if (reg >= REG_LVT && reg < REG_LVT + LVT_COUNT) {
        return lvt_bits[reg - REG_LVT] | LVT_READ_ONLY;
    }
    switch (reg) {
    case REG_TPR:
    case REG_SELF_IPI:
        return 0xff;
    case REG_SVR:
        return SVR_BITS;
    case REG_ICR:
        return UINT64_C(0xffffffff00000000) | ICR_BITS;
    case REG_INITIAL:
        return 0xffffffffu;
    case REG_DIVIDE:
        return DIVIDE_BITS;
    default: /* EOI, ESR: 0 only */
        return 0;
    }
}

static enum status write_x2apic(struct vlapic *l, unsigned reg, uint64_t value)
{
    if (value & ~x2apic_writable(reg)) {
        return E_FAULT;
    }
    if (reg == REG_LVT + LVT_TIMER && !timer_mode_exists(l, (uint32_t)value)) {
        return E_FAULT;
    }
    if (reg == REG_ICR) {
        l->icr = value;
        vlapic_send(l, value);
        return OK;
    }
    if (reg == REG_SELF_IPI) {
        vlapic_send(l, SHORTHAND_SELF << 18 | value);
        return OK;
    }
    return write_reg(l, reg, (uint32_t)value) ? OK : E_FAULT;
}

enum status vlapic_msr_write(struct vlapic *l, uint32_t msr, uint64_t value)
{
    if (msr == VLAPIC_MSR_BASE) {
        return write_base(l, value);
    }
    if (msr == VLAPIC_MSR_TSC_DEADLINE && l->ops->tsc_to_ns != NULL) {
        vlapic_timer_write_deadline(l, value);
        return OK;
    }
    if (msr < VLAPIC_MSR_X2APIC || msr >= VLAPIC_MSR_X2APIC + 0x100 || !vlapic_is_x2apic(l)) {
        return E_FAULT;
    }
    return write_x2apic(l, msr - VLAPIC_MSR_X2APIC, value);
}
