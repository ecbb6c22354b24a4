/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC's state: acceptance, priorities, end of interrupt, reset. */
#include "drivers/guest/vlapic.h"

#include "base/bits.h"
#include "drivers/guest/vlapic_internal.h"

#define LVT_RESET LVT_MASKED
#define SVR_RESET 0xffu
#define DFR_FLAT UINT32_MAX
#define HZ_MIN UINT64_C(1000000)
#define HZ_MAX UINT64_C(4000000000)

static bool test_bit(const uint64_t *set, unsigned v)
{
    return set[v / 64] & BIT(v % 64);
}

static void set_bit(uint64_t *set, unsigned v)
{
    set[v / 64] |= BIT(v % 64);
}

static void clear_bit(uint64_t *set, unsigned v)
{
    set[v / 64] &= ~BIT(v % 64);
}

/* The highest vector in a set, or -1. */
static int highest(const uint64_t *set)
{
    for (int w = 3; w >= 0; w--) {
        if (set[w] != 0) {
            return w * 64 + 63 - __builtin_clzll(set[w]);
        }
    }
    return -1;
}

/* SDM vol. 3, 11.8.3.1: the class of the TPR or of what is being served, whichever is higher. */
uint32_t vlapic_ppr(const struct vlapic *l)
{
    int serving = highest(l->isr);
    uint32_t isrv = serving < 0 ? 0 : (uint32_t)serving;

    return l->tpr >> 4 >= isrv >> 4 ? l->tpr : isrv & 0xf0u;
}

int vlapic_highest(const struct vlapic *l)
{
    int vector = highest(l->irr);

    if (vector < 0 || !vlapic_is_present(l)) {
        return -1;
    }
    return (uint32_t)vector >> 4 > vlapic_ppr(l) >> 4 ? vector : -1;
}

void vlapic_ack(struct vlapic *l, unsigned vector)
{
    if (vector < 256 && test_bit(l->irr, vector)) {
        clear_bit(l->irr, vector);
        set_bit(l->isr, vector);
    }
}

void vlapic_eoi(struct vlapic *l)
{
    int vector = highest(l->isr);

    if (vector >= 0) {
        clear_bit(l->isr, (unsigned)vector);
        if (test_bit(l->tmr, (unsigned)vector) && l->ops->eoi) {
            l->ops->eoi(l->ctx, (uint8_t)vector); /* level-triggered: the I/O APIC waits for it */
        }
    }
}

bool vlapic_accepts_extint(const struct vlapic *l)
{
    uint32_t lint0 = l->lvt[LVT_LINT0];

    if (!vlapic_is_present(l)) {
        return l->bsp; /* the PIC is wired to INTR then, of the boot processor only */
    }
    return !(lint0 & LVT_MASKED) && LVT_MODE(lint0) == VLAPIC_EXTINT;
}

uint8_t vlapic_cr8_read(const struct vlapic *l)
{
    return l->tpr >> 4;
}

void vlapic_cr8_write(struct vlapic *l, uint8_t cr8)
{
    l->tpr = (uint8_t)(cr8 << 4);
}

static void changed(struct vlapic *l)
{
    if (l->ops->changed != NULL) {
        l->ops->changed(l->ctx);
    }
}

static void accept_fixed(struct vlapic *l, uint8_t vector, bool level)
{
    bool fresh;

    if (!vlapic_is_on(l)) {
        return;
    }
    if (vector < 16) {
        vlapic_error(l, ESR_RECEIVE_ILLEGAL);
        return;
    }
    fresh = !test_bit(l->irr, vector);
    set_bit(l->irr, vector);
    if (level) {
        set_bit(l->tmr, vector);
    } else {
        clear_bit(l->tmr, vector);
    }
    if (fresh) {
        changed(l);
    }
}

void vlapic_deliver(struct vlapic *l, enum vlapic_mode mode, uint8_t vector, bool level)
{
    switch (mode) {
    case VLAPIC_FIXED:
    case VLAPIC_LOWEST:
        accept_fixed(l, vector, level);
        break;
    case VLAPIC_NMI:
        if (l->ops->nmi != NULL) {
            l->ops->nmi(l->ctx);
        }
        break;
    case VLAPIC_INIT:
        if (l->ops->init != NULL) {
            l->ops->init(l->ctx);
        }
        break;
    case VLAPIC_SIPI:
        if (l->ops->sipi != NULL) {
            l->ops->sipi(l->ctx, vector);
        }
        break;
    case VLAPIC_EXTINT:
        changed(l); /* the vector comes from the PIC when the processor acknowledges */
        break;
    default: /* no SMM; one is reserved */
        break;
    }
}

void vlapic_local(struct vlapic *l, unsigned lvt)
{
    uint32_t entry = l->lvt[lvt];
    enum vlapic_mode mode = VLAPIC_FIXED;

    if (entry & LVT_MASKED) {
        return;
    }
    if (lvt != LVT_TIMER && lvt != LVT_ERROR) {
        mode = (enum vlapic_mode)LVT_MODE(entry);
    }
    vlapic_deliver(l, mode, (uint8_t)(entry & LVT_VECTOR), false);
}

/* Only a new error interrupts, so that an error entry with an illegal vector ends here. */
void vlapic_error(struct vlapic *l, uint32_t bits)
{
    bool fresh = bits & ~l->esr_pending;

    l->esr_pending |= bits;
    if (fresh) {
        vlapic_local(l, LVT_ERROR);
    }
}

uint32_t vlapic_x2apic_ldr(const struct vlapic *l)
{
    return l->id >> 4 << 16 | 1u << (l->id & 15);
}

void vlapic_clear(struct vlapic *l)
{
    timerq_cancel(l->q, &l->timer);
    for (unsigned w = 0; w < 4; w++) {
        l->irr[w] = 0;
        l->isr[w] = 0;
        l->tmr[w] = 0;
    }
    for (unsigned i = 0; i < LVT_COUNT; i++) {
        l->lvt[i] = LVT_RESET;
    }
    l->icr = 0;
    l->tsc_deadline = 0;
    l->tpr = 0;
    l->svr = SVR_RESET;
    l->ldr = 0;
    l->dfr = DFR_FLAT;
    l->esr = 0;
    l->esr_pending = 0;
    l->divide = 0;
    l->initial = 0;
    l->timer_start_ns = 0;
    l->timer_done = false;
}

void vlapic_reset(struct vlapic *l)
{
    l->base_msr = VLAPIC_DEFAULT_BASE | BASE_ENABLE | (l->bsp ? BASE_BSP : 0);
    vlapic_clear(l);
}

void vlapic_init_signal(struct vlapic *l)
{
    vlapic_clear(l); /* SDM vol. 3, 11.4.7.3 */
}

void vlapic_virtual_wire(struct vlapic *l)
{
    l->svr = SVR_ENABLE | 0x0f;
    l->lvt[LVT_LINT0] = VLAPIC_EXTINT << 8;
    l->lvt[LVT_LINT1] = VLAPIC_NMI << 8;
}

void vlapic_stop(struct vlapic *l)
{
    timerq_cancel(l->q, &l->timer);
}

void vlapic_init(struct vlapic *l, uint32_t id, const struct vlapic_ops *ops, void *ctx,
                 struct timerq *q, uint64_t bus_hz, bool bsp)
{
    *l = (struct vlapic){.id = id,
                         .xapic_id = (uint8_t)id,
                         .ops = ops,
                         .ctx = ctx,
                         .q = q,
                         .bus_hz = MAX(MIN(bus_hz, HZ_MAX), HZ_MIN),
                         .bsp = bsp};
    timer_init(&l->timer, vlapic_timer_fired, l);
    vlapic_reset(l);
}
