/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI fixed registers and the reset ports of a PC. */
#include "drivers/guest/vacpi_pm.h"

#include "base/bits.h"
#include "drivers/guest/iobytes.h"
#include "drivers/guest/ticks.h"

/* PM1 status and enable (ACPI 6.4, tables 4.13 and 4.14) */
#define PM1_TMR 0x0001u
#define PM1_GBL 0x0020u
#define PM1_PWRBTN 0x0100u
#define PM1_RTC 0x0400u
#define PM1_WAK 0x8000u
#define PM1_ENABLE_BITS (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_RTC)
#define CNT_SCI_EN 0x0001u
#define CNT_SLP_TYP(v) ((v) >> 10 & 7u)
#define CNT_SLP_EN 0x2000u
#define CNT_BITS 0x1c03u /* SCI_EN, BM_RLD, SLP_TYP; the rest is write-only or reserved */

#define TMR_CARRY_SHIFT 31 /* the timer is 32 bits wide; the status bit follows its top bit */

#define CF9_SYS_RST 0x02u
#define CF9_RST_CPU 0x04u
#define PORT92_RESET 0x01u
#define PORT92_A20 0x02u
#define KBD_PULSE_MASK 0xf1u
#define KBD_PULSE_RESET 0xf0u /* 0xf0..0xfe, even: bit 0 low pulses the reset line */

static uint64_t now_ticks(const struct vacpi_pm *p)
{
    uint64_t now = p->frozen ? p->frozen_ns : p->q->now_ns();

    return ticks_from_ns(now - p->skipped_ns, VACPI_PM_TMR_HZ);
}

/* Takes notice of the timer's carry. */
static void settle(struct vacpi_pm *p)
{
    uint64_t now = now_ticks(p);

    if (now >> TMR_CARRY_SHIFT != p->seen_ticks >> TMR_CARRY_SHIFT) {
        p->status |= PM1_TMR;
    }
    p->seen_ticks = now;
}

static void update(struct vacpi_pm *p)
{
    bool level = (p->status & p->enable & PM1_ENABLE_BITS) != 0 && p->control & CNT_SCI_EN;

    if (p->enable & PM1_TMR && !(p->status & PM1_TMR) && !p->frozen) {
        uint64_t next = ((p->seen_ticks >> TMR_CARRY_SHIFT) + 1) << TMR_CARRY_SHIFT;
        timerq_arm(p->q, &p->timer, ticks_to_ns(next, VACPI_PM_TMR_HZ) + p->skipped_ns);
    } else {
        timerq_cancel(p->q, &p->timer);
    }
    if (level != p->level) {
        p->level = level;
        p->irqs.set_line(p->irqs.ctx, VACPI_PM_SCI, level);
    }
}

static void timer_fired(void *ctx, uint64_t now_ns)
{
    struct vacpi_pm *p = ctx;

    (void)now_ns;
    settle(p);
    update(p);
}

static uint8_t read_evt(void *dev, unsigned port)
{
    struct vacpi_pm *p = dev;
    uint16_t reg;

    settle(p);
    reg = port < 2 ? p->status : p->enable;
    return (uint8_t)(port & 1 ? reg >> 8 : reg);
}

static void write_evt(void *dev, unsigned port, uint8_t value)
{
    struct vacpi_pm *p = dev;
    unsigned shift = port & 1 ? 8 : 0;
    uint16_t bits = (uint16_t)(value << shift);

    settle(p);
    if (port < 2) {
        p->status &= (uint16_t)~bits; /* write one to clear */
    } else {
        p->enable = (uint16_t)((p->enable & ~(0xffu << shift)) | bits) & PM1_ENABLE_BITS;
    }
    update(p);
}

static uint8_t read_cnt(void *dev, unsigned port)
{
    const struct vacpi_pm *p = dev;

    return (uint8_t)(port & 1 ? p->control >> 8 : p->control);
}

static void write_cnt(void *dev, unsigned port, uint8_t value)
{
    struct vacpi_pm *p = dev;
    unsigned shift = port & 1 ? 8 : 0;
    uint16_t reg = (uint16_t)((p->control & ~(0xffu << shift)) | (unsigned)value << shift);

    /* ACPI mode is the only one: there is no SMI command port to switch it, so SCI_EN stays. */
    p->control = (reg & CNT_BITS) | CNT_SCI_EN;
    update(p);
    if (reg & CNT_SLP_EN && CNT_SLP_TYP(reg) == VACPI_PM_SLP_TYP_S5) {
        p->ops->power_off(p->ctx);
    }
}

static uint64_t evt_io_read(void *dev, uint64_t addr, unsigned size)
{
    return io_split_read(read_evt, dev, 4, addr, size);
}

static void evt_io_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    io_split_write(write_evt, dev, 4, addr, size, value);
}

static uint64_t cnt_io_read(void *dev, uint64_t addr, unsigned size)
{
    return io_split_read(read_cnt, dev, 2, addr, size);
}

static void cnt_io_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    io_split_write(write_cnt, dev, 2, addr, size, value);
}

static uint64_t tmr_io_read(void *dev, uint64_t addr, unsigned size)
{
    const struct vacpi_pm *p = dev;

    (void)size;
    return addr < 4 ? (uint32_t)now_ticks(p) >> 8 * addr : 0;
}

/* ---- reset ---- */

static uint64_t cf9_read(void *dev, uint64_t addr, unsigned size)
{
    const struct vacpi_pm *p = dev;

    (void)addr;
    (void)size;
    return p->reset_control;
}

static void cf9_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct vacpi_pm *p = dev;
    bool pulse = value & CF9_RST_CPU && !(p->reset_control & CF9_RST_CPU);

    (void)addr;
    (void)size;
    p->reset_control = value & CF9_SYS_RST;
    if (pulse) {
        p->ops->reset(p->ctx);
    }
}

static uint64_t port92_read(void *dev, uint64_t addr, unsigned size)
{
    const struct vacpi_pm *p = dev;

    (void)addr;
    (void)size;
    return p->port92;
}

static void port92_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct vacpi_pm *p = dev;

    (void)addr;
    (void)size;
    p->port92 = (uint8_t)((value & ~PORT92_RESET) | PORT92_A20); /* A20 is never masked */
    if (value & PORT92_RESET) {
        p->ops->reset(p->ctx);
    }
}

static uint64_t kbd_read(void *dev, uint64_t addr, unsigned size)
{
    (void)dev;
    (void)addr;
    (void)size;
    return UINT64_MAX;
}

static void kbd_command_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    struct vacpi_pm *p = dev;

    (void)addr;
    (void)size;
    if ((value & KBD_PULSE_MASK) == KBD_PULSE_RESET) {
        p->ops->reset(p->ctx);
    }
}

void vacpi_pm_press_power(struct vacpi_pm *p)
{
    p->status |= PM1_PWRBTN;
    settle(p);
    update(p);
}

void vacpi_pm_rtc_alarm(struct vacpi_pm *p)
{
    p->status |= PM1_RTC;
    settle(p);
    update(p);
}

void vacpi_pm_freeze(struct vacpi_pm *p)
{
    settle(p);
    timerq_cancel(p->q, &p->timer);
    p->frozen = true;
    p->frozen_ns = p->q->now_ns();
}

void vacpi_pm_thaw(struct vacpi_pm *p)
{
    p->frozen = false;
    p->skipped_ns += p->q->now_ns() - p->frozen_ns;
    update(p);
}

void vacpi_pm_stop(struct vacpi_pm *p)
{
    timerq_cancel(p->q, &p->timer);
}

void vacpi_pm_init(struct vacpi_pm *p, struct timerq *q, const struct irq_sink *irqs,
                   const struct vacpi_pm_ops *ops, void *ctx)
{
    *p = (struct vacpi_pm){
        .ops = ops, .ctx = ctx, .irqs = *irqs, .q = q, .control = CNT_SCI_EN, .port92 = PORT92_A20};
    timer_init(&p->timer, timer_fired, p);
    p->seen_ticks = now_ticks(p);
}

enum status vacpi_pm_attach(struct vacpi_pm *p, struct iobus *ports)
{
    const struct io_range ranges[] = {
        {VACPI_PM_EVT_PORT, 4, evt_io_read, evt_io_write, p},
        {VACPI_PM_CNT_PORT, 2, cnt_io_read, cnt_io_write, p},
        {VACPI_PM_TMR_PORT, 4, tmr_io_read, NULL, p},
        {VACPI_PM_RESET_PORT, 1, cf9_read, cf9_write, p},
        {0x92, 1, port92_read, port92_write, p},
        {0x60, 1, kbd_read, NULL, p},
        {0x64, 1, kbd_read, kbd_command_write, p},
    };

    for (unsigned i = 0; i < ARRAY_LEN(ranges); i++) {
        const struct io_range *r = &ranges[i];
        enum status s = iobus_add(ports, r->base, r->len, r->read, r->write, r->dev);
        if (s != OK) {
            return s;
        }
    }
    return OK;
}
