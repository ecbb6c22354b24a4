/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8259A pair: priorities, command words and the interrupt acknowledge (Intel 8259A data sheet).
 */
#include "drivers/guest/vpic.h"

#include "base/bits.h"
#include "drivers/guest/iobytes.h"

#define CASCADE 2u
#define ELCR_MASTER 0xf8u /* inputs that can be level triggered: not timer, keyboard, cascade */
#define ELCR_SLAVE 0xdeu  /* not RTC, not coprocessor */

#define ICW1 0x10u
#define ICW1_IC4 0x01u
#define ICW1_SNGL 0x02u
#define ICW4_AEOI 0x02u
#define ICW4_SFNM 0x10u
#define OCW3 0x08u

static uint8_t bit8(unsigned n)
{
    return (uint8_t)(1u << (n & 7));
}

/* Place of an input in the present order: 0 is the highest. */
static unsigned priority_of(const struct vpic_chip *c, unsigned input)
{
    return (input - c->lowest - 1u) & 7;
}

/* The input of highest priority among bits, or -1. */
static int highest(const struct vpic_chip *c, uint8_t bits)
{
    if (bits == 0) {
        return -1;
    }
    for (unsigned i = 1; i <= 8; i++) {
        unsigned input = (c->lowest + i) & 7;
        if (bits & bit8(input)) {
            return (int)input;
        }
    }
    return -1;
}

static int chip_request(const struct vpic *p, unsigned chip);

/* IRR as the chip sees it: the slave's output is the master's input 2, which stays up as long as
 * the slave asks, so that a second request of the slave needs no new edge. */
static uint8_t chip_irr(const struct vpic *p, unsigned chip)
{
    uint8_t irr = p->chips[chip].irr;

    if (chip == 0) {
        irr &= (uint8_t)~bit8(CASCADE);
        irr |= chip_request(p, 1) >= 0 ? bit8(CASCADE) : 0;
    }
    return irr;
}

/* The input for which the chip asks for service, or -1. */
static int chip_request(const struct vpic *p, unsigned chip)
{
    const struct vpic_chip *c = &p->chips[chip];
    int wants = highest(c, (uint8_t)(chip_irr(p, chip) & ~c->imr));
    uint8_t served = c->isr;
    int serving;

    if (wants < 0 || c->icw_next != 0) {
        return -1;
    }
    if (c->special_mask) {
        served &= (uint8_t)~c->imr; /* masked inputs in service do not hold up the others */
    }
    if (c->special_nested && chip == 0) {
        served &= (uint8_t)~bit8(CASCADE); /* the slave may interrupt itself */
    }
    serving = highest(c, served);
    if (serving >= 0 && priority_of(c, (unsigned)wants) >= priority_of(c, (unsigned)serving)) {
        return -1;
    }
    return wants;
}

static void update(struct vpic *p)
{
    bool intr = chip_request(p, 0) >= 0;

    if (intr != p->intr) {
        p->intr = intr;
        if (p->changed != NULL) {
            p->changed(p->ctx, intr);
        }
    }
}

/* One INTA cycle for one chip. */
static void chip_ack(struct vpic_chip *c, unsigned input)
{
    if (!(c->elcr & bit8(input))) {
        c->irr &= (uint8_t)~bit8(input);
    }
    if (!c->aeoi) {
        c->isr |= bit8(input);
    } else if (c->rotate_aeoi) {
        c->lowest = (uint8_t)input;
    }
}

uint8_t vpic_ack(struct vpic *p)
{
    int input = chip_request(p, 0);
    unsigned chip = 0;

    if (input == (int)CASCADE) {
        chip_ack(&p->chips[0], CASCADE);
        input = chip_request(p, 1);
        chip = 1;
    }
    if (input < 0) {
        input = 7; /* the request went away before the cycle: spurious, not in service */
    } else {
        chip_ack(&p->chips[chip], (unsigned)input);
    }
    update(p);
    return (uint8_t)(p->chips[chip].base | input);
}

bool vpic_pending(const struct vpic *p)
{
    return p->intr;
}

void vpic_set_line(struct vpic *p, unsigned line, bool level)
{
    struct vpic_chip *c = &p->chips[line >> 3 & 1];
    uint8_t bit = bit8(line);

    if (line > 15 || line == CASCADE) {
        return;
    }
    if (level) {
        /* An edge stays latched when the line falls again, so that a short pulse is not lost. */
        if (c->elcr & bit || !(c->lines & bit)) {
            c->irr |= bit;
        }
        c->lines |= bit;
    } else {
        if (c->elcr & bit) {
            c->irr &= (uint8_t)~bit;
        }
        c->lines &= (uint8_t)~bit;
    }
    update(p);
}

static void write_elcr(struct vpic *p, unsigned chip, uint8_t value)
{
    struct vpic_chip *c = &p->chips[chip];

    c->elcr = value & (chip == 0 ? ELCR_MASTER : ELCR_SLAVE);
    c->irr = (uint8_t)((c->irr & ~c->elcr) | (c->lines & c->elcr));
}

void vpic_set_level_triggered(struct vpic *p, unsigned line)
{
    if (line <= 15) {
        write_elcr(p, line >> 3, p->chips[line >> 3].elcr | bit8(line));
        update(p);
    }
}

static void write_icw1(struct vpic_chip *c, uint8_t value)
{
    /* LTIM is not looked at: on this chipset the ELCR decides. Edges must come anew. */
    c->irr = c->lines & c->elcr;
    c->isr = 0;
    c->imr = 0;
    c->lowest = 7;
    c->aeoi = false;
    c->rotate_aeoi = false;
    c->special_nested = false;
    c->special_mask = false;
    c->poll = false;
    c->read_isr = false;
    c->icw_next = 2;
    c->icw4_follows = value & ICW1_IC4;
    c->single = value & ICW1_SNGL;
}

/* In special mask mode a masked input in service is not what the program means to end. */
static int eoi_target(const struct vpic_chip *c)
{
    return highest(c, c->special_mask ? (uint8_t)(c->isr & ~c->imr) : c->isr);
}

static void write_ocw2(struct vpic_chip *c, uint8_t value)
{
    unsigned input = value & 7;
    int target;

    switch (value >> 5) {
    case 0: /* rotate in automatic EOI mode, off and on */
    case 4:
        c->rotate_aeoi = value >> 7;
        break;
    case 1: /* non-specific EOI, without and with rotation */
    case 5:
        target = eoi_target(c);
        if (target >= 0) {
            c->isr &= (uint8_t)~bit8((unsigned)target);
            if (value & 0x80) {
                c->lowest = (uint8_t)target;
            }
        }
        break;
    case 3: /* specific EOI, without and with rotation */
    case 7:
        c->isr &= (uint8_t)~bit8(input);
        if (value & 0x80) {
            c->lowest = (uint8_t)input;
        }
        break;
    case 6: /* set priority */
        c->lowest = (uint8_t)input;
        break;
    default: /* no operation */
        break;
    }
}

static void write_ocw3(struct vpic_chip *c, uint8_t value)
{
    c->poll = value & 0x04;
    if (value & 0x02) {
        c->read_isr = value & 0x01;
    }
    if (value & 0x40) {
        c->special_mask = value & 0x20;
    }
}

/* The odd port: the next ICW while initialising, else the mask. */
static void write_odd(struct vpic_chip *c, uint8_t value)
{
    switch (c->icw_next) {
    case 2:
        c->base = value & 0xf8;
        c->icw_next = !c->single ? 3 : c->icw4_follows ? 4 : 0;
        break;
    case 3: /* the wiring is what it is */
        c->icw_next = c->icw4_follows ? 4 : 0;
        break;
    case 4:
        c->aeoi = value & ICW4_AEOI;
        c->special_nested = value & ICW4_SFNM;
        c->icw_next = 0;
        break;
    default:
        c->imr = value;
        break;
    }
}

static void write_chip(struct vpic *p, unsigned chip, unsigned port, uint8_t value)
{
    struct vpic_chip *c = &p->chips[chip];

    if (port == 1) {
        write_odd(c, value);
    } else if (value & ICW1) {
        write_icw1(c, value);
    } else if (value & OCW3) {
        write_ocw3(c, value);
    } else {
        write_ocw2(c, value);
    }
    update(p);
}

/* A read after a poll command is an acknowledge by hand. */
static uint8_t read_poll(struct vpic *p, unsigned chip)
{
    struct vpic_chip *c = &p->chips[chip];
    int input = chip_request(p, chip);

    c->poll = false;
    if (input < 0) {
        return 0;
    }
    chip_ack(c, (unsigned)input);
    update(p);
    return (uint8_t)(0x80 | input);
}

static uint8_t read_chip(struct vpic *p, unsigned chip, unsigned port)
{
    struct vpic_chip *c = &p->chips[chip];

    if (c->poll) {
        return read_poll(p, chip);
    }
    if (port == 1) {
        return c->imr;
    }
    return c->read_isr ? c->isr : chip_irr(p, chip);
}

static uint8_t read_master(void *dev, unsigned port)
{
    return read_chip(dev, 0, port);
}

static uint8_t read_slave(void *dev, unsigned port)
{
    return read_chip(dev, 1, port);
}

static void write_master(void *dev, unsigned port, uint8_t value)
{
    write_chip(dev, 0, port, value);
}

static void write_slave(void *dev, unsigned port, uint8_t value)
{
    write_chip(dev, 1, port, value);
}

static uint8_t read_elcr_port(void *dev, unsigned port)
{
    const struct vpic *p = dev;

    return p->chips[port & 1].elcr;
}

static void write_elcr_port(void *dev, unsigned port, uint8_t value)
{
    struct vpic *p = dev;

    write_elcr(p, port & 1, value);
    update(p);
}

static uint64_t master_io_read(void *dev, uint64_t addr, unsigned size)
{
    return io_split_read(read_master, dev, 2, addr, size);
}

static void master_io_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    io_split_write(write_master, dev, 2, addr, size, value);
}

static uint64_t slave_io_read(void *dev, uint64_t addr, unsigned size)
{
    return io_split_read(read_slave, dev, 2, addr, size);
}

static void slave_io_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    io_split_write(write_slave, dev, 2, addr, size, value);
}

static uint64_t elcr_io_read(void *dev, uint64_t addr, unsigned size)
{
    return io_split_read(read_elcr_port, dev, 2, addr, size);
}

static void elcr_io_write(void *dev, uint64_t addr, unsigned size, uint64_t value)
{
    io_split_write(write_elcr_port, dev, 2, addr, size, value);
}

void vpic_init(struct vpic *p, void (*changed)(void *ctx, bool intr), void *ctx)
{
    *p = (struct vpic){.changed = changed, .ctx = ctx};
    for (unsigned i = 0; i < 2; i++) {
        p->chips[i].imr = 0xff;
        p->chips[i].lowest = 7;
        p->chips[i].base = i == 0 ? 0x08 : 0x70; /* where a PC's firmware puts them */
    }
}

enum status vpic_attach(struct vpic *p, struct iobus *ports)
{
    enum status s = iobus_add(ports, 0x20, 2, master_io_read, master_io_write, p);

    if (s == OK) {
        s = iobus_add(ports, 0xa0, 2, slave_io_read, slave_io_write, p);
    }
    if (s == OK) {
        s = iobus_add(ports, 0x4d0, 2, elcr_io_read, elcr_io_write, p);
    }
    return s;
}
