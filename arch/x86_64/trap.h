/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU's descriptor tables, and what an exception or interrupt leaves on the stack. */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include "base/types.h"

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18

/* IST slots: SDM vol. 3, 6.14.5. */
#define IST_DF 1
#define IST_NMI 2
#define IST_MC 3

#define VECTOR_NMI 2
#define VECTOR_DF 8
#define VECTOR_PF 14
#define VECTOR_MC 18
#define VECTOR_PIC_BASE 0x20 /* of its 16 lines */
#define VECTOR_TIMER 0xf0
#define VECTOR_SPURIOUS 0xff

/* As pushed by stubs.S, lowest address first. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Loads the final GDT, TSS and IDT. Exceptions print and stop the machine from here on. */
void trap_init(void);

/* Called by the stubs with interrupts off. */
void trap_dispatch(struct trap_frame *f);

/* Prints what happened, registers, backtrace and log, and stops the machine (panic.c). */
_Noreturn void panic_trap(const struct trap_frame *f);

#endif
