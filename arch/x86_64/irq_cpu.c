/* SPDX-License-Identifier: BSD-2-Clause */
/* The chips that this machine's interrupts come through, and the CPU's door for them. */
#include "arch/x86_64/irq.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/pic.h"
#include "arch/x86_64/trap.h"

void irq_init(void)
{
    host_pic_init();
    host_lapic_init();
    /* All vectors but the spurious one, which wants no EOI; then the PIC's. */
    irq_add_chip(&host_lapic_chip, IRQ_FIRST_VECTOR, VECTOR_SPURIOUS - IRQ_FIRST_VECTOR);
    irq_add_chip(&host_pic_chip, VECTOR_PIC_BASE, PIC_LINES);
}

void irq_window(void)
{
    __asm__ volatile("sti; nop; cli" : : : "memory");
}

void irq_idle(void)
{
    /* STI holds interrupts off for one instruction, so none is lost between it and HLT. */
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}
