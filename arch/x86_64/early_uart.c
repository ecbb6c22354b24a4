/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550 at 0x3f8, polled. */
#include "arch/x86_64/early_uart.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"

#define COM1 0x3f8
#define UART_DATA (COM1 + 0)
#define UART_IER (COM1 + 1)
#define UART_FCR (COM1 + 2)
#define UART_LCR (COM1 + 3)
#define UART_MCR (COM1 + 4)
#define UART_LSR (COM1 + 5)
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define POLLS 200000 /* far more than a character takes at 115200 baud */

static bool present;
static const char *own_mark = "";

void early_uart_init(void)
{
    out8(UART_LCR, 0x80); /* divisor latch */
    out8(UART_DATA, 1);
    out8(UART_IER, 0);
    out8(UART_LCR, 0x03);
    out8(UART_IER, 0);
    out8(UART_FCR, 0x07);
    out8(UART_MCR, 0x0b);            /* DTR, RTS, OUT2 */
    present = in8(UART_LSR) != 0xff; /* an empty bus reads ones */
}

static void wait_for(uint8_t bits)
{
    for (unsigned i = 0; i < POLLS; i++) {
        if (in8(UART_LSR) & bits) {
            return;
        }
        cpu_pause();
    }
    present = false; /* a dead one must not slow everything else down */
}

void early_uart_put(char c)
{
    if (c == '\n') {
        early_uart_put('\r');
    }
    if (present) {
        wait_for(LSR_THRE);
        out8(UART_DATA, (uint8_t)c);
    }
}

void early_uart_puts(const char *s)
{
    for (; *s; s++) {
        early_uart_put(*s);
    }
}

void early_uart_drain(void)
{
    if (present) {
        wait_for(LSR_TEMT);
    }
}

void early_uart_set_mark(const char *mark)
{
    own_mark = mark;
}

void early_uart_mark(void)
{
    early_uart_puts(own_mark);
}
