/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's 16550A: see uart.h. Registers as in National's PC16550D data sheet. */
#include "drivers/host/uart.h"

#include "base/portio.h"

/* registers */
#define RBR 0 /* read */
#define THR 0 /* write */
#define DLL 0 /* with LCR_DLAB */
#define IER 1
#define DLM 1 /* with LCR_DLAB */
#define IIR 2 /* read */
#define FCR 2 /* write */
#define LCR 3
#define MCR 4
#define LSR 5

#define IER_RX 0x01
#define IER_THRE 0x02
#define IIR_NONE 0x01       /* no interrupt pending */
#define IIR_FIFO 0xc0       /* both set: a 16550A with its FIFO on */
#define FCR_ON_CLEAR_1 0x07 /* FIFOs on and emptied, interrupt at the first byte received */
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define MCR_DTR_RTS_OUT2 0x0b /* OUT2 lets the interrupt out on a PC */
#define LSR_DR 0x01
#define LSR_OE 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define BUS_EMPTY 0xff /* what every register reads when there is no port */

#define DIVISOR 1 /* 115200 baud */

/* Rounds of one interrupt, and bytes received in one round. */
#define ROUNDS 8
#define RX_MAX 64

static uint8_t get(const struct host_uart *u, unsigned reg)
{
    return port_in8((uint16_t)(u->base + reg));
}

static void put(const struct host_uart *u, unsigned reg, uint8_t value)
{
    port_out8((uint16_t)(u->base + reg), value);
}

static void set_ier(struct host_uart *u, uint8_t ier)
{
    if (u->ier != ier) {
        u->ier = ier;
        put(u, IER, ier);
    }
}

enum status host_uart_init(struct host_uart *u, uint16_t base, const struct host_uart_ops *ops,
                           void *ctx)
{
    *u = (struct host_uart){.base = base, .ops = ops, .ctx = ctx, .depth = 1};
    if (get(u, LSR) == BUS_EMPTY) {
        return E_NOTFOUND;
    }
    put(u, IER, 0);
    put(u, LCR, LCR_DLAB);
    put(u, DLL, DIVISOR & 0xff);
    put(u, DLM, DIVISOR >> 8);
    put(u, LCR, LCR_8N1);
    put(u, FCR, FCR_ON_CLEAR_1);
    put(u, MCR, MCR_DTR_RTS_OUT2);
    if ((get(u, IIR) & IIR_FIFO) == IIR_FIFO) {
        u->depth = HOST_UART_FIFO;
    }
    u->present = true;
    set_ier(u, IER_RX);
    return OK;
}

static void receive(struct host_uart *u, uint8_t lsr)
{
    uint8_t buf[RX_MAX];
    size_t n = 0;

    while ((lsr & LSR_DR) && n < sizeof(buf)) {
        if (lsr & LSR_OE) {
            u->overruns++;
        }
        buf[n++] = get(u, RBR);
        lsr = get(u, LSR);
        if (lsr == BUS_EMPTY) {
            u->present = false;
            break;
        }
    }
    if (n > 0) {
        u->rx_bytes += n;
        u->ops->rx(u->ctx, buf, n);
    }
}

/* The transmitter is empty: fills it, or closes its interrupt when there is nothing to send. */
static void transmit(struct host_uart *u)
{
    uint8_t buf[HOST_UART_FIFO];
    size_t n = u->ops->tx(u->ctx, buf, u->depth);

    for (size_t i = 0; i < n; i++) {
        put(u, THR, buf[i]);
    }
    u->tx_bytes += n;
    set_ier(u, n > 0 ? IER_RX | IER_THRE : IER_RX);
}

/* One round both ways; false when the port has gone. */
static bool serve(struct host_uart *u)
{
    uint8_t lsr = get(u, LSR);

    if (lsr == BUS_EMPTY) {
        u->present = false;
        return false;
    }
    receive(u, lsr);
    if (u->present && (lsr & LSR_THRE)) {
        transmit(u);
    }
    return u->present;
}

void host_uart_irq(struct host_uart *u)
{
    for (unsigned i = 0; u->present && i < ROUNDS; i++) {
        uint8_t iir = get(u, IIR); /* the read acknowledges THRE */
        if ((iir & IIR_NONE) && iir != BUS_EMPTY) {
            return;
        }
        serve(u);
    }
    if (u->present) {
        /* The line is edge-triggered at the PIC: let it fall and rise again for what is left. */
        put(u, IER, 0);
        put(u, IER, u->ier);
    }
}

void host_uart_kick(struct host_uart *u)
{
    /* Opening the THRE interrupt while the transmitter is empty raises it at once, but some ports
     * forget to: so the first bytes are written from here. */
    if (u->present && !(u->ier & IER_THRE)) {
        uint8_t lsr = get(u, LSR);
        if (lsr == BUS_EMPTY) {
            u->present = false;
        } else if (lsr & LSR_THRE) {
            transmit(u);
        } else {
            set_ier(u, IER_RX | IER_THRE);
        }
    }
}

void host_uart_poll(struct host_uart *u)
{
    if (u->present) {
        serve(u);
    }
}

bool host_uart_sending(const struct host_uart *u)
{
    return u->present && (u->ier & IER_THRE);
}

bool host_uart_idle(const struct host_uart *u)
{
    return !u->present || (get(u, LSR) & LSR_TEMT); /* also when it has gone: all ones */
}
