/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550A model: registers, FIFOs and interrupt sources (TI/National PC16550D data sheet). */
#include "drivers/guest/vuart.h"

#include "base/bits.h"
#include "drivers/guest/iobytes.h"

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RDA 0x01u
#define IER_THRE 0x02u
#define IER_RLS 0x04u
#define IER_MODEM 0x08u
#define IIR_NONE 0x01u
#define IIR_MODEM 0x00u
#define IIR_THRE 0x02u
#define IIR_RDA 0x04u
#define IIR_RLS 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO 0xc0u
#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_CLEAR_TX 0x04u
#define LCR_DLAB 0x80u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define LSR_DR 0x01u
#define LSR_OE 0x02u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u
#define MSR_DELTAS 0x0fu
#define MSR_TERI 0x04u
#define MSR_RI 0x40u
#define MSR_TERMINAL 0xb0u /* CTS, DSR, DCD: somebody is always there */

static unsigned fifo_capacity(const struct vuart *u)
{
    return u->fcr & FCR_ENABLE ? VUART_FIFO : 1;
}

static void fifo_push(struct vuart_fifo *f, uint8_t byte)
{
    f->bytes[(f->head + f->n) % VUART_FIFO] = byte;
    f->n++;
}

static uint8_t fifo_pop(struct vuart_fifo *f)
{
    uint8_t byte = f->bytes[f->head];

    f->head = (f->head + 1) % VUART_FIFO;
    f->n--;
    return byte;
}

static void fifo_clear(struct vuart_fifo *f)
{
    f->head = 0;
    f->n = 0;
}

/* The interrupt of highest priority, as IIR names it. */
static uint8_t pending_source(const struct vuart *u)
{
    static const uint8_t triggers[4] = {1, 4, 8, 14};
    bool fifo = u->fcr & FCR_ENABLE;

    if (u->ier & IER_RLS && u->lsr_errors != 0) {
        return IIR_RLS;
    }
    if (u->ier & IER_RDA && u->rx.n >= (fifo ? triggers[u->fcr >> 6] : 1u)) {
        return IIR_RDA;
    }
    if (u->ier & IER_RDA && u->rx.n > 0) {
        return IIR_TIMEOUT;
    }
    if (u->ier & IER_THRE && u->thre_pending) {
        return IIR_THRE;
    }
    if (u->ier & IER_MODEM && u->msr & MSR_DELTAS) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

/* On a PC the interrupt output goes to the bus through OUT2, which loopback holds inactive. */
static void update_line(struct vuart *u)
{
    bool level = pending_source(u) != IIR_NONE && (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    if (level != u->level) {
        u->level = level;
        u->irqs.set_line(u->irqs.ctx, u->line, level);
    }
}

/* Gives waiting characters to the console while it has room. */
static void tx_drain(struct vuart *u)
{
    if (u->draining || u->tx.n == 0) {
        return;
    }
    u->draining = true;
    while (u->tx.n > 0 && (u->ops->tx_room == NULL || u->ops->tx_room(u->ctx))) {
        u->ops->tx(u->ctx, fifo_pop(&u->tx));
    }
    u->draining = false;
    if (u->tx.n == 0) {
        u->thre_pending = true;
    }
}

static void rx_push(struct vuart *u, uint8_t byte)
{
    if (u->rx.n < fifo_capacity(u)) {
        fifo_push(&u->rx, byte);
    } else {
        u->lsr_errors |= LSR_OE;
    }
}

/* Characters that vuart_rx refused may come now. */
static void tell_rx_room(struct vuart *u)
{
    if (u->rx.n == 0 && u->ops->rx_room != NULL && !(u->mcr & MCR_LOOP)) {
        u->ops->rx_room(u->ctx);
    }
}

static void write_data(struct vuart *u, uint8_t byte)
{
    u->thre_pending = false;
    if (u->mcr & MCR_LOOP) {
        rx_push(u, byte);
        u->thre_pending = true;
        return;
    }
    if (u->tx.n < fifo_capacity(u)) { /* else lost, as on the wire: THRE was 0 */
        fifo_push(&u->tx, byte);
    }
    tx_drain(u);
}

static void write_fcr(struct vuart *u, uint8_t value)
{
    bool toggled = (u->fcr ^ value) & FCR_ENABLE;

    if (!(value & FCR_ENABLE)) {
        value = 0; /* the other bits count only together with this one */
    }
    if (toggled || value & FCR_CLEAR_RX) {
        fifo_clear(&u->rx);
    }
    if (toggled || value & FCR_CLEAR_TX) {
        if (u->tx.n > 0) {
            u->thre_pending = true;
        }
        fifo_clear(&u->tx);
    }
    u->fcr = value & (FCR_ENABLE | 0xc0);
    tell_rx_room(u);
}

/* Modem inputs follow the outputs in loopback (DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD). */
static void update_modem(struct vuart *u)
{
    uint8_t now = MSR_TERMINAL, changed;

    if (u->mcr & MCR_LOOP) {
        now = (uint8_t)((u->mcr & 0x01) << 5 | (u->mcr & 0x02) << 3 | (u->mcr & 0x0c) << 4);
    }
    changed = (uint8_t)((u->msr ^ now) & 0xf0);
    if (now & MSR_RI) {
        changed &= (uint8_t)~MSR_RI; /* only its trailing edge is reported */
    }
    u->msr = (uint8_t)(now | (u->msr & MSR_DELTAS) | changed >> 4);
}

static uint8_t read_iir(struct vuart *u)
{
    uint8_t source = pending_source(u);

    if (source == IIR_THRE) {
        u->thre_pending = false;
    }
    return (uint8_t)(source | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct vuart *u)
{
    uint8_t value = u->lsr_errors;

    u->lsr_errors = 0;
    value |= (uint8_t)(u->rx.n > 0 ? LSR_DR : 0);
    value |= (uint8_t)(u->tx.n == 0 ? LSR_THRE | LSR_TEMT : 0);
    return value;
}

static uint8_t read_data(struct vuart *u)
{
    uint8_t byte;

    if (u->rx.n == 0) {
        return 0;
    }
    byte = fifo_pop(&u->rx);
    tell_rx_room(u);
    return byte;
}

static uint8_t read_reg(void *dev, unsigned port)
{
    struct vuart *u = dev;
    bool dlab = u->lcr & LCR_DLAB;
    uint8_t value;

    switch (port) {
    case REG_DATA:
        value = dlab ? u->dll : read_data(u);
        break;
    case REG_IER:
        value = dlab ? u->dlm : u->ier;
        break;
    case REG_IIR_FCR:
        value = read_iir(u);
        break;
    case REG_LCR:
        value = u->lcr;
        break;
    case REG_MCR:
        value = u->mcr;
        break;
    case REG_LSR:
        value = read_lsr(u);
        break;
    case REG_MSR:
        value = u->msr;
        u->msr &= (uint8_t)~MSR_DELTAS;
        break;
    default:
        value = u->scr;
        break;
    }
    update_line(u);
    return value;
}

static void write_ier(struct vuart *u, uint8_t value)
{
    /* Enabling the interrupt while the transmitter is empty raises it at once: drivers start their
     * output that way, and Linux takes the port for a broken one if it does not happen each time.
     */
    if (value & IER_THRE && !(u->ier & IER_THRE) && u->tx.n == 0) {
        u->thre_pending = true;
    }
    u->ier = value & 0x0f;
}

static void write_reg(void *dev, unsigned port, uint8_t value)
{
    struct vuart *u = dev;
    bool dlab = u->lcr & LCR_DLAB;

    switch (port) {
    case REG_DATA:
        if (dlab) {
            u->dll = value;
        } else {
            write_data(u, value);
        }
        break;
    case REG_IER:
        if (dlab) {
            u->dlm = value;
        } else {
            write_ier(u, value);
        }
        break;
    case REG_IIR_FCR:
        write_fcr(u, value);
        break;
    case REG_LCR:
        u->lcr = value;
        break;
    case REG_MCR:
        u->mcr = value & 0x1f;
        update_modem(u);
        tell_rx_room(u);
        break;
    case REG_SCR:
        u->scr = value;
        break;
    default: /* LSR and MSR are read-only */
        break;
    }
    update_line(u);
}

uint64_t vuart_read(void *dev, uint64_t addr, unsigned size)
{
    return io_split_read(read_reg, dev, VUART_PORTS, addr, size);
}

void vuart_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    io_split_write(write_reg, dev, VUART_PORTS, addr, size, value);
}

void vuart_init(struct vuart *u, const struct vuart_ops *ops, void *ctx,
                const struct irq_sink *irqs, unsigned line)
{
    *u = (struct vuart){
        .ops = ops,
        .ctx = ctx,
        .irqs = *irqs,
        .line = line,
        .msr = MSR_TERMINAL,
        .dll = 1, /* 115200 baud, 8N1, as firmware would leave a console */
        .lcr = 0x03,
    };
}

enum status vuart_attach(struct vuart *u, struct iobus *ports)
{
    return iobus_add(ports, VUART_COM1, VUART_PORTS, vuart_read, vuart_write, u);
}

bool vuart_rx(struct vuart *u, uint8_t byte)
{
    if (u->mcr & MCR_LOOP || u->rx.n >= fifo_capacity(u)) {
        return false;
    }
    fifo_push(&u->rx, byte);
    update_line(u);
    return true;
}

void vuart_tx_resume(struct vuart *u)
{
    tx_drain(u);
    update_line(u);
}
