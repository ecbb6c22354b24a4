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

#define ACPIPM_EVT_PORT 0x600 /* status, enable: two words */
#define ACPIPM_CNT_PORT 0x604 /* one word */
#define ACPIPM_TMR_PORT 0x608 /* one dword */
#define ACPIPM_SCI 9
#define ACPIPM_TMR_HZ 3579545u
#define ACPIPM_SLP_TYP_S5 5 /* what \_S5 in guests/acpi/dsdt.asl says */
#define ACPIPM_RESET_PORT 0xcf9
#define ACPIPM_RESET_VALUE 6

/* Called from inside the guest's access: note it, and act when the access is over. */
struct acpipm_ops {
    void (*power_off)(void *ctx);
    void (*reset)(void *ctx);
};

struct acpipm {
    const struct acpipm_ops *ops;
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
void acpipm_init(struct acpipm *p, struct timerq *q, const struct irq_sink *irqs,
                 const struct acpipm_ops *ops, void *ctx);
/* Puts its ports on the bus. */
enum status acpipm_attach(struct acpipm *p, struct iobus *ports) MUST_CHECK;
/* The power button: asks a guest that listens to shut down. */
void acpipm_press_power(struct acpipm *p);
/* The RTC's alarm has come (ACPI 6.4, 4.8.3.1): wakes a guest that enabled it. */
void acpipm_rtc_alarm(struct acpipm *p);
/* The PM timer stands still until acpipm_thaw; events still come. */
void acpipm_freeze(struct acpipm *p);
void acpipm_thaw(struct acpipm *p);
/* Takes its timer off the queue. */
void acpipm_stop(struct acpipm *p);

#endif
