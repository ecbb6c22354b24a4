/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's serial port: a 16550A (or an 8250 without FIFO) at 115200 8N1, by interrupts both
 * ways.
 *
 * Received bytes are handed to ops->rx; whenever the transmitter is empty, ops->tx is asked for
 * more. The owner calls host_uart_irq from the port's interrupt, and host_uart_kick after there is
 * something to send. Where interrupts do not arrive, calling host_uart_poll now and then does all
 * the same. Nothing here waits.
 *
 * A port that is not there (every register reads 0xff), or goes away later, is left alone: the
 * calls do nothing then. Locking: one CPU at a time.
 */
#ifndef DRIVERS_HOST_UART_H
#define DRIVERS_HOST_UART_H

#include "base/status.h"
#include "base/types.h"

#define HOST_UART_COM1 0x3f8
#define HOST_UART_COM1_IRQ 4
#define HOST_UART_FIFO 16

struct host_uart_ops {
    void (*rx)(void *ctx, const uint8_t *bytes, size_t n);
    /* Puts up to `max` bytes to send into buf, returns how many; 0 when there is nothing. */
    size_t (*tx)(void *ctx, uint8_t *buf, size_t max);
};

struct host_uart {
    uint16_t base;
    bool present;
    uint8_t ier;
    unsigned depth; /* bytes that the empty transmitter takes */
    const struct host_uart_ops *ops;
    void *ctx;
    uint64_t rx_bytes, tx_bytes, overruns;
};

/* Sets the port up and opens its interrupts. E_NOTFOUND: there is no port at base. */
enum status host_uart_init(struct host_uart *u, uint16_t base, const struct host_uart_ops *ops,
                           void *ctx) MUST_CHECK;
/* The port's interrupt. Does a bounded amount of work; what is left raises a new interrupt. */
void host_uart_irq(struct host_uart *u);
/* There is something to send: starts the transmitter if it rests. */
void host_uart_kick(struct host_uart *u);
/* Receives and sends what is possible now, interrupts or not. */
void host_uart_poll(struct host_uart *u);

/* Whether the transmitter is at work and will ask for more by itself. */
bool host_uart_sending(const struct host_uart *u);
/* Whether the last byte written has left the wire; true for a port that is not there. */
bool host_uart_idle(const struct host_uart *u);

#endif
