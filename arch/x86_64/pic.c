/* SPDX-License-Identifier: BSD-2-Clause */
/* 8259A (Intel 231468): initialisation, masks, specific EOI. */
#include "arch/x86_64/pic.h"

#include "arch/x86_64/io.h"
#include "arch/x86_64/trap.h"

#define CASCADE 2u /* the line that the second controller hangs on */
#define PIC1 0x20
#define PIC2 0xa0
#define DATA 1
#define ICW1_INIT_ICW4 0x11
#define ICW4_8086 0x01
#define OCW2_SPECIFIC_EOI 0x60
#define OCW3_READ_ISR 0x0b

static uint16_t masked = 0xffff; /* the lines of both; the machine's */

static void write_masks(void)
{
    out8(PIC1 + DATA, (uint8_t)masked);
    out8(PIC2 + DATA, (uint8_t)(masked >> 8));
}

/* Old controllers want a moment between two writes; port 0x80 (POST code) is one bus cycle. */
static void slow_out8(uint16_t port, uint8_t v)
{
    out8(port, v);
    out8(0x80, 0);
}

void host_pic_init(void)
{
    slow_out8(PIC1, ICW1_INIT_ICW4);
    slow_out8(PIC2, ICW1_INIT_ICW4);
    slow_out8(PIC1 + DATA, VECTOR_PIC_BASE);
    slow_out8(PIC2 + DATA, VECTOR_PIC_BASE + 8);
    slow_out8(PIC1 + DATA, 1 << CASCADE);
    slow_out8(PIC2 + DATA, CASCADE);
    slow_out8(PIC1 + DATA, ICW4_8086);
    slow_out8(PIC2 + DATA, ICW4_8086);
    masked = 0xffff & ~(1u << CASCADE);
    write_masks();
}

static void mask(unsigned vector)
{
    masked |= (uint16_t)(1u << (vector - VECTOR_PIC_BASE));
    write_masks();
}

static void unmask(unsigned vector)
{
    masked &= (uint16_t) ~(1u << (vector - VECTOR_PIC_BASE));
    write_masks();
}

static void eoi(unsigned vector)
{
    unsigned line = vector - VECTOR_PIC_BASE;

    if (line >= 8) {
        out8(PIC2, (uint8_t)(OCW2_SPECIFIC_EOI | (line - 8)));
        line = CASCADE;
    }
    out8(PIC1, (uint8_t)(OCW2_SPECIFIC_EOI | line));
}

/*
 * When a line falls before it is acknowledged, the controller answers with its lowest priority (7
 * or 15). The first controller still wants an EOI for a spurious 15.
 */
static bool is_spurious(unsigned vector)
{
    unsigned line = vector - VECTOR_PIC_BASE;

    if (line != 7 && line != 15) {
        return false;
    }
    uint16_t port = line == 7 ? PIC1 : PIC2;
    out8(port, OCW3_READ_ISR);
    if (in8(port) & 0x80) {
        return false;
    }
    if (line == 15) {
        out8(PIC1, OCW2_SPECIFIC_EOI | CASCADE);
    }
    return true;
}

static enum status route(unsigned line, unsigned *vector)
{
    if (line >= PIC_LINES || line == CASCADE) {
        return E_RANGE;
    }
    *vector = VECTOR_PIC_BASE + line;
    return OK;
}

const struct irq_chip host_pic_chip = {
    .name = "PIC",
    .mask = mask,
    .unmask = unmask,
    .eoi = eoi,
    .is_spurious = is_spurious,
    .route = route,
};
