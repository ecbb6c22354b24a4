/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's two 8259 interrupt controllers, lines 0 to 15 on vectors 0x20 to 0x2f. */
#ifndef ARCH_PIC_H
#define ARCH_PIC_H

#include "arch/x86_64/irq.h"

#define PIC_LINES 16u

/* Sets both up, everything masked. */
void host_pic_init(void);
/* To be added for the PIC_LINES vectors from VECTOR_PIC_BASE on. */
extern const struct irq_chip host_pic_chip;

#endif
