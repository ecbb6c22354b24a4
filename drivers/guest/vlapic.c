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
uint32_t lapic_ppr(const struct lapic *l)
{
    int serving = highest(l->isr);
    uint32_t isrv = serving < 0 ? 0 : (uint32_t)serving;

    return l->tpr >> 4 >= isrv >> 4 ? l->tpr : isrv & 0xf0u;
}

int lapic_highest(const struct lapic *l)
{
    int vector = highest(l->irr);

    if (vector < 0 || !lapic_is_present(l)) {
        return -1;
    }
    return (uint32_t)vector >> 4 > lapic_ppr(l) >> 4 ? vector : -1;
}

void lapic_ack(struct lapic *l, unsigned vector)
{
    if (vector < 256 && test_bit(l->irr, vector)) {
        clear_bit(l->irr, vector);
        set_bit(l->isr, vector);
    }
}

void lapic_eoi(struct lapic *l)
{
    int vector = highest(l->isr);

    if (vector >= 0) {
        clear_bit(l->isr, (unsigned)vector);
        if (test_bit(l->tmr, (unsigned)vector) && l->ops->eoi) {
            l->ops->eoi(l->ctx, (uint8_t)vector); /* level-triggered: the I/O APIC waits for it */
        }
    }
}

bool lapic_accepts_extint(const struct lapic *l)
{
    uint32_t lint0 = l->lvt[LVT_LINT0];

    if (!lapic_is_present(l)) {
        return l->bsp; /* the PIC is wired to INTR then, of the boot processor only */
    }
    return !(lint0 & LVT_MASKED) && LVT_MODE(lint0) == LAPIC_EXTINT;
}

uint8_t lapic_cr8_read(const struct lapic *l)
{
    return l->tpr >> 4;
}

void lapic_cr8_write(struct lapic *l, uint8_t cr8)
{
    l->tpr = (uint8_t)(cr8 << 4);
}

static void changed(struct lapic *l)
{
    if (l->ops->changed != NULL) {
        l->ops->changed(l->ctx);
    }
}

static void accept_fixed(struct lapic *l, uint8_t vector, bool level)
{
    bool fresh;

    if (!lapic_is_on(l)) {
        return;
    }
    if (vector < 16) {
        lapic_error(l, ESR_RECEIVE_ILLEGAL);
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

void lapic_deliver(struct lapic *l, enum lapic_mode mode, uint8_t vector, bool level)
{
    switch (mode) {
    case LAPIC_FIXED:
    case LAPIC_LOWEST:
        accept_fixed(l, vector, level);
        break;
    case LAPIC_NMI:
        if (l->ops->nmi != NULL) {
            l->ops->nmi(l->ctx);
        }
        break;
    case LAPIC_INIT:
        if (l->ops->init != NULL) {
            l->ops->init(l->ctx);
        }
        break;
    case LAPIC_SIPI:
        if (l->ops->sipi != NULL) {
            l->ops->sipi(l->ctx, vector);
        }
        break;
    case LAPIC_EXTINT:
        changed(l); /* the vector comes from the PIC when the processor acknowledges */
        break;
    default: /* no SMM; one is reserved */
        break;
    }
}

void lapic_local(struct lapic *l, unsigned lvt)
{
    uint32_t entry = l->lvt[lvt];
    enum lapic_mode mode = LAPIC_FIXED;

    if (entry & LVT_MASKED) {
        return;
    }
    if (lvt != LVT_TIMER && lvt != LVT_ERROR) {
        mode = (enum lapic_mode)LVT_MODE(entry);
    }
    lapic_deliver(l, mode, (uint8_t)(entry & LVT_VECTOR), false);
}

/* Only a new error interrupts, so that an error entry with an illegal vector ends here. */
void lapic_error(struct lapic *l, uint32_t bits)
{
    bool fresh = bits & ~l->esr_pending;

    l->esr_pending |= bits;
    if (fresh) {
        lapic_local(l, LVT_ERROR);
    }
}

uint32_t lapic_x2apic_ldr(const struct lapic *l)
{
    return l->id >> 4 << 16 | 1u << (l->id & 15);
}

void lapic_clear(struct lapic *l)
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

void lapic_reset(struct lapic *l)
{
    l->base_msr = LAPIC_DEFAULT_BASE | BASE_ENABLE | (l->bsp ? BASE_BSP : 0);
    lapic_clear(l);
}

void lapic_init_signal(struct lapic *l)
{
    lapic_clear(l); /* SDM vol. 3, 11.4.7.3 */
}

void lapic_virtual_wire(struct lapic *l)
{
    l->svr = SVR_ENABLE | 0x0f;
    l->lvt[LVT_LINT0] = LAPIC_EXTINT << 8;
    l->lvt[LVT_LINT1] = LAPIC_NMI << 8;
}

void lapic_stop(struct lapic *l)
{
    timerq_cancel(l->q, &l->timer);
}

void lapic_init(struct lapic *l, uint32_t id, const struct lapic_ops *ops, void *ctx,
                struct timerq *q, uint64_t bus_hz, bool bsp)
{
    *l = (struct lapic){.id = id,
                        .xapic_id = (uint8_t)id,
                        .ops = ops,
                        .ctx = ctx,
                        .q = q,
                        .bus_hz = MAX(MIN(bus_hz, HZ_MAX), HZ_MIN),
                        .bsp = bsp};
    timer_init(&l->timer, lapic_timer_fired, l);
    lapic_reset(l);
}
