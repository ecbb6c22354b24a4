/* SPDX-License-Identifier: BSD-2-Clause */
/* How a VM ends: `how` is 0 it does not, 1 triple fault, 2 the reset port, 3 power-off, 4 the
 * keyboard controller's pulse, 5 port 0x92, 6 power-off when its power button is pressed, 7 reset
 * then. It touches `mib` MiB first and lives for `ms`
 * milliseconds. */
#include "kit.h"

#define PM1_STATUS 0x600
#define PM1_POWER_BUTTON 0x100

void guest_main(const uint8_t *boot_params)
{
    uint64_t ms = kit_option(boot_params, "ms", 100), mib = kit_option(boot_params, "mib", 4);

    apic_init();
    print("life: begins\n");
    for (uint64_t at = KIT_HEAP; at < KIT_HEAP + (mib << 20); at += PAGE) {
        *(volatile uint64_t *)at = at;
    }
    kit_sleep_ms(ms);
    switch (kit_option(boot_params, "how", 0)) {
    case 0:
        for (uint64_t n = 0;; n++) {
            print("life: tick %lu\n", n);
            kit_sleep_ms(ms);
        }
    case 1:
        kit_triple_fault();
    case 2:
        kit_reset();
    case 3:
        kit_power_off();
    case 4:
        for (;;) {
            outb(0x64, 0xfe);
        }
    case 5:
        for (;;) {
            outb(0x92, 1);
        }
    case 6:
    case 7:
        while (!(inw(PM1_STATUS) & PM1_POWER_BUTTON)) {
            kit_sleep_ms(10);
        }
        print("life: the power button\n");
        kit_sleep_ms(200); /* there is always something to finish */
        if (kit_option(boot_params, "how", 0) == 6) {
            kit_power_off();
        }
        kit_reset();
    }
}
