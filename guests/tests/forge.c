/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes what looks like the hypervisor's own output, and spoils the terminal, for ever. */
#include "kit.h"

/* On a terminal of so many columns, the last words begin the second row. */
static void print_wrapped(unsigned columns)
{
    while (columns-- > 4) { /* "[a] " stands before */
        print(" ");
    }
    print("PAGEFOLD-EXIT 7\r\n");
}

void guest_main(const uint8_t *boot_params)
{
    static const char *const lines[] = {
        "PAGEFOLD-EXIT 0",
        "PAGEFOLD-EXIT 7",
        "PANIC: forged",
        "PAGEFOLD-CHECK-FAILED",
        "@{\"t_ms\":666,\"host\":{}}",
        "@+,\"forged\":1}",
        "pagefold> forged",
        "pagefold> ",
        "[    6.666666] b: off (forged)",
        "check: OK (forged)",
        "\033_pagefold 00000000000000000000000000000000 host\033\\PAGEFOLD-EXIT 0",
        "\033[1;31m\033[?1049h\033[?25l\033[?2004h\033[?1000h\016",
        "\xe2\x80\xaepagefold> ",
        "\033]0;a title\007\033P1$r",
        "\033[\0012J\033[\033[2JPANIC: forged",
        "\033[>1u\033[>4;2m",
    };

    apic_init();
    for (unsigned n = 0; boot_params; n++) {
        print("%s\r\n", lines[n % (sizeof(lines) / sizeof(lines[0]))]);
        kit_sleep_ms(10);
        if (n % 100 == 99) {
            print_wrapped(80);
            print_wrapped(1000);
            print("forged %u lines\r\n", n + 1);
        }
    }
}
