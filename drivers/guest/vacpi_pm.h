/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI fixed hardware (PM1a, PM timer) and the PC's ways to reset: 0xcf9, 0x92 and the keyboard
 * controller's pulse.
 *
 * There is no keyboard controller: its ports read all ones, as an empty bus does, which probes take
 * for what it is; its command port takes the pulse that resets. Source: ACPI 6.4, section 4.8.
 */
#ifndef DRIVERS_GUEST_VACPI_PM_H
#define DRIVERS_GUEST_VACPI_PM_H

#include "base/status.h"
#include "base/timer.h"
#include "base/types.h"
#include "drivers/guest/iobus.h"
#include "drivers/guest/irq.h"

#define VACPI_PM_EVT_PORT 0x600 /* status, enable: two words */
#define VACPI_PM_CNT_PORT 0x604 /* one word */
#define VACPI_PM_TMR_PORT 0x608 /* one dword */
#define VACPI_PM_SCI 9
#define VACPI_PM_TMR_HZ 3579545u
#define VACPI_PM_SLP_TYP_S5 5 /* what \_S5 in guests/acpi/dsdt.asl says */
#define VACPI_PM_RESET_PORT 0xcf9
#define VACPI_PM_RESET_VALUE 6

/* Called from inside the guest's access: note it, and act when the access is over. */
struct vacpi_pm_ops {
    void (*power_off)(void *ctx);
    void (*reset)(void *ctx);
};

struct vacpi_pm {
    const struct vacpi_pm_ops *ops;
    void *ctx;
    struct irq_sink irqs;
    struct timerq *q;
    struct timer timer; /* the PM timer's carry, armed only while its interrupt is enabled */
    bool frozen;
    uint64_t frozen_ns, skipped_ns; /* since when; what its clock is behind the queue's */
    uint64_t seen_ticks;
    uint16_t status, enable, control;
    uint8_t reset_control, port92;
    bool level;
};

/* After power-up. `ops` say what a guest's power-off and resets do; called with ctx. */
void vacpi_pm_init(struct vacpi_pm *p, struct timerq *q, const struct irq_sink *irqs,
                   const struct vacpi_pm_ops *ops, void *ctx);
/* Puts its ports on the bus. */
enum status vacpi_pm_attach(struct vacpi_pm *p, struct iobus *ports) MUST_CHECK;
/* The power button: asks a guest that listens to shut down. */
void vacpi_pm_press_power(struct vacpi_pm *p);
/* The RTC's alarm has come (ACPI 6.4, 4.8.3.1): wakes a guest that enabled it. */
void vacpi_pm_rtc_alarm(struct vacpi_pm *p);
/* The PM timer stands still until vacpi_pm_thaw; events still come. */
void vacpi_pm_freeze(struct vacpi_pm *p);
void vacpi_pm_thaw(struct vacpi_pm *p);
/* Takes its timer off the queue. */
void vacpi_pm_stop(struct vacpi_pm *p);

#endif
