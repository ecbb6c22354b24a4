/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A serial port as a guest sees it.
 *
 * Characters leave at once, as far as the console has room: while tx_room says no, they wait in the
 * transmit FIFO and THRE stays 0; the owner calls vuart_tx_resume when there is room again. The
 * character time-out of the receive FIFO is immediate: there is no line speed to wait for.
 */
#ifndef DRIVERS_GUEST_VUART_H
#define DRIVERS_GUEST_VUART_H

#include "base/status.h"
#include "base/types.h"
#include "drivers/guest/iobus.h"
#include "drivers/guest/irq.h"

#define VUART_COM1 0x3f8
#define VUART_COM1_IRQ 4
#define VUART_PORTS 8
#define VUART_FIFO 16

struct vuart_ops {
    void (*tx)(void *ctx, uint8_t byte); /* called only after tx_room said yes */
    bool (*tx_room)(void *ctx);          /* NULL: always */
    void (*rx_room)(void *ctx);          /* the guest has emptied the receive FIFO; may be NULL */
};

struct vuart_fifo {
    uint8_t bytes[VUART_FIFO];
    unsigned head, n;
};

struct vuart {
    const struct vuart_ops *ops;
    void *ctx;
    struct irq_sink irqs;
    unsigned line;
    bool level; /* what the line was last set to */
    uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
    uint8_t lsr_errors; /* overrun, until LSR is read */
    bool thre_pending;  /* the transmitter-empty interrupt has not been acknowledged */
    bool draining;      /* inside ops->tx */
    struct vuart_fifo rx, tx;
};

/* A port after reset, with a terminal that is always ready (CTS, DSR, DCD). */
void vuart_init(struct vuart *u, const struct vuart_ops *ops, void *ctx,
                const struct irq_sink *irqs, unsigned line);
enum status vuart_attach(struct vuart *u, struct iobus *ports) MUST_CHECK; /* at VUART_COM1 */
/* A character from the console. False, and nothing taken, while the receive FIFO is full or the
 * port is looped back; ops->rx_room tells when to go on. */
bool vuart_rx(struct vuart *u, uint8_t byte);
/* The console has room again. */
void vuart_tx_resume(struct vuart *u);
io_read_fn vuart_read;
io_write_fn vuart_write;

#endif
