/* SPDX-License-Identifier: BSD-2-Clause */
/* Fills all its memory with contents that no other page has, checks them, and says so. */
#include "kit.h"

void guest_main(const uint8_t *boot_params)
{
    uint64_t seed = kit_option(boot_params, "seed", 1), end = kit_ram_end(boot_params), bad = 0;

    print("oom: fills %lu MiB\n", (end - KIT_HEAP) >> 20);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint64_t at = KIT_HEAP; at < end; at += 64) {
            *(volatile uint64_t *)at = (at + pass + (seed << 48)) * 0x9e3779b97f4a7c15ul;
        }
        for (uint64_t at = KIT_HEAP; at < end; at += 64) {
            bad += *(volatile uint64_t *)at != (at + pass + (seed << 48)) * 0x9e3779b97f4a7c15ul;
        }
    }
    tap_ok(bad == 0, "all of it is right: %lu words wrong", bad);
}
