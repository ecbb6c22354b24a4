/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to its console as fast as it can, for ever. */
#include "kit.h"

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    for (uint64_t n = 0;; n++) {
        print("flood %lu flood flood flood flood flood flood flood flood\n", n);
    }
}
