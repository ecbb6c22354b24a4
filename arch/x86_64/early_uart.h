/* SPDX-License-Identifier: BSD-2-Clause */
/* COM1 by polling: for the log before there is a console, and for a panic. */
#ifndef ARCH_EARLY_UART_H
#define ARCH_EARLY_UART_H

/* 115200 8N1, FIFO on, interrupts off. Without a UART everything below does nothing. */
void early_uart_init(void);
/* The sequence that tells the far end that the bytes that follow are our own; kept by reference.
 * early_uart_mark sends it, before last words that may come in the middle of a guest's. */
void early_uart_set_mark(const char *mark);
void early_uart_mark(void);
/* Waits for room, but not for ever. A newline is sent as CR LF. */
void early_uart_put(char c);
void early_uart_puts(const char *s);
/* Waits until the last character has left, but not for ever. */
void early_uart_drain(void);

#endif
