/* SPDX-License-Identifier: BSD-2-Clause */
/* The fastest timers there are: see timers.h. */
#include "timers.h"

void timers_on_irq(unsigned vector)
{
    switch (vector) {
    case 40:
        (void)cmos_read(0x0c);
        outb(0xa0, 0x20);
        outb(0x20, 0x20);
        break;
    case 32:
        outb(0x20, 0x20);
        break;
    default:
        apic_eoi();
    }
}

void timers_fastest(void)
{
    __asm__ volatile("cli");
    apic_init();
    pic_remap(0xfa, 0xfe); /* the PIT, the cascade, the RTC */
    kit_on_irq = timers_on_irq;
    outb(0x43, 0x34);
    outb(0x40, 2);
    outb(0x40, 0);
    cmos_write(0x0a, 0x23); /* 8192 Hz */
    cmos_write(0x0b, cmos_read(0x0b) | 0x40);
    (void)cmos_read(0x0c);
    wrmsr(0x83e, 0xb); /* divide by 1 */
    wrmsr(0x832, 1u << 17 | 0x50);
    wrmsr(0x838, 1);
}
