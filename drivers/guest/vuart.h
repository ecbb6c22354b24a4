/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A serial port as a guest sees it.
 *
 * Characters leave at once, as far as the console has room: while tx_room says no, they wait in the
 * transmit FIFO and THRE stays 0; the owner calls uart_tx_resume when there is room again. The
 * character time-out of the receive FIFO is immediate: there is no line speed to wait for.
 */
#ifndef DRIVERS_GUEST_VUART_H
#define DRIVERS_GUEST_VUART_H

#include "base/status.h"
#include "base/types.h"
#include "drivers/guest/iobus.h"
#include "drivers/guest/irq.h"

#define UART_COM1 0x3f8
#define UART_COM1_IRQ 4
#define UART_PORTS 8
#define UART_FIFO 16

struct uart_ops {
    void (*tx)(void *ctx, uint8_t byte); /* called only after tx_room said yes */
    bool (*tx_room)(void *ctx);          /* NULL: always */
    void (*rx_room)(void *ctx);          /* the guest has emptied the receive FIFO; may be NULL */
};

struct uart_fifo {
    uint8_t bytes[UART_FIFO];
    unsigned head, n;
};

struct uart {
    const struct uart_ops *ops;
    void *ctx;
    struct irq_sink irqs;
    unsigned line;
    bool level; /* what the line was last set to */
    uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
    uint8_t lsr_errors; /* overrun, until LSR is read */
    bool thre_pending;  /* the transmitter-empty interrupt has not been acknowledged */
    bool draining;      /* inside ops->tx */
    struct uart_fifo rx, tx;
};

/* A port after reset, with a terminal that is always ready (CTS, DSR, DCD). */
void uart_init(struct uart *u, const struct uart_ops *ops, void *ctx, const struct irq_sink *irqs,
               unsigned line);
enum status uart_attach(struct uart *u, struct iobus *ports) MUST_CHECK; /* at UART_COM1 */
/* A character from the console. False, and nothing taken, while the receive FIFO is full or the
 * port is looped back; ops->rx_room tells when to go on. */
bool uart_rx(struct uart *u, uint8_t byte);
/* The console has room again. */
void uart_tx_resume(struct uart *u);
io_read_fn uart_read;
io_write_fn uart_write;

#endif
