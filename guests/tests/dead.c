/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways to come to an end without a power-off. `how`=0: HLT with interrupts off; 1: the panic port,
 * then a loop, as Linux's panic does; 2: the panic port's other event, and on to a power-off; 3:
 * HLT with interrupts off which an NMI by the I/O APIC ends each time, and on to a power-off. */
#include "kit.h"

static volatile uint64_t nmis;

static bool on_trap(struct trap_frame *f)
{
    nmis += f->vector == 2;
    return f->vector == 2;
}

/* The PIT's line as an NMI, each 50 ms. */
static void nmi_by_pit(void)
{
    kit_on_trap = on_trap;
    apic_init();
    outb(0x43, 0x34);
    outb(0x40, 0x04);
    outb(0x40, 0xe9);
    ioapic_write(0x15, (uint32_t)rdmsr(0x802) << 24); /* input 2 */
    ioapic_write(0x14, 4u << 8);
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t how = kit_option(boot_params, "how", 0);

    print("how %lu\n", how);
    if (how == 1 || how == 2) {
        tap_ok(inb(0x505) == 3, "the panic port is there");
        outb(0x505, how == 1 ? 1 : 2);
        while (how == 1) {
            __asm__ volatile("pause");
        }
    } else if (how == 3) {
        nmi_by_pit();
        while (nmis < 40) { /* two seconds of halts, each too short to count */
            __asm__ volatile("cli; hlt");
        }
        tap_ok(true, "%lu NMIs ended a halt", nmis);
    } else {
        for (;;) {
            __asm__ volatile("cli; hlt");
        }
    }
}
