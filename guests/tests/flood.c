/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to its console as fast as it can, interrupts off: for ever, or `lines`=N of them, and says
 * how fast that was. */
#include "kit.h"

#define LINE_BYTES 59u /* at least, from line 100 on */

void guest_main(const uint8_t *boot_params)
{
    uint64_t lines = kit_option(boot_params, "lines", 0), start = 0;

    /* The first half fills the buffers on the way. */
    for (uint64_t n = 0; lines == 0 || n < lines; n++) {
        if (n == lines / 2) {
            start = rdtsc();
        }
        print("flood %lu flood flood flood flood flood flood flood flood\n", n);
    }
    uint64_t rate = (lines - lines / 2) * LINE_BYTES * kit_tsc_hz() / (rdtsc() - start);
    tap_ok(rate >= 8000, "%lu characters a second, of the 11,520 that the line carries", rate);
}
