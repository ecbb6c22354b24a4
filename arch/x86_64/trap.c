/* SPDX-License-Identifier: BSD-2-Clause */
/* GDT, TSS and IDT of the boot CPU, and where each vector goes. */
#include "arch/x86_64/trap.h"

#include "arch/x86_64/irq.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/stacks.h"
#include "base/bits.h"

extern char trap_stubs[];

/* SDM vol. 3, 8.7: the 64-bit TSS. Only the IST is used. */
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, iomap_base;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3, figure 8-11");

/* SDM vol. 3, 6.14.1. */
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "SDM vol. 3, figure 6-8");

#define GATE_INTERRUPT 0x8e /* present, DPL 0, interrupts off */

struct table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* The tables that a CPU has of its own: the TSS, which names its stacks, and the GDT, which names
 * the TSS. */
static PERCPU struct trap_cpu {
    uint64_t gdt[5] __attribute__((aligned(16)));
    struct tss tss;
} trap_cpu = {
    .gdt =
        {
            0, UINT64_C(0x00af9b000000ffff), /* SEL_CODE */
            UINT64_C(0x00cf93000000ffff),    /* SEL_DATA */
            0, 0,                            /* SEL_TSS */
        },
    .tss = {.iomap_base = sizeof(struct tss)},
};
static struct gate idt[256] __attribute__((aligned(16))); /* the machine's: all CPUs load it */

static void gdt_load(void)
{
    struct trap_cpu *cpu = this_cpu(trap_cpu);
    uint64_t base = (uint64_t)&cpu->tss;
    struct table_register r = {sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt};

    cpu->tss.ist[IST_DF - 1] = (uint64_t)stack_df_top;
    cpu->tss.ist[IST_NMI - 1] = (uint64_t)stack_nmi_top;
    cpu->tss.ist[IST_MC - 1] = (uint64_t)stack_mc_top;
    /* An available 64-bit TSS; its limit is the 0x67 that a VM exit sets too (SDM 28.5.2). */
    cpu->gdt[3] = (sizeof(cpu->tss) - 1) | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
                  (base >> 24 & 0xff) << 56;
    cpu->gdt[4] = base >> 32;
    __asm__ volatile("lgdt %0\n\t"
                     "push %1\n\t"
                     "lea 1f(%%rip), %%rax\n\t"
                     "push %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "mov %2, %%ds\n\t"
                     "mov %2, %%es\n\t"
                     "mov %2, %%ss\n\t"
                     "mov %3, %%fs\n\t"
                     "mov %3, %%gs\n\t"
                     "ltr %w4"
                     :
                     : "m"(r), "i"(SEL_CODE), "r"(SEL_DATA), "r"(0), "r"(SEL_TSS)
                     : "rax", "memory");
}

static void idt_load(void)
{
    struct table_register r = {sizeof(idt) - 1, (uint64_t)idt};

    for (unsigned v = 0; v < ARRAY_LEN(idt); v++) {
        uint64_t at = (uint64_t)trap_stubs + 16 * v;
        idt[v] = (struct gate){
            .offset_low = (uint16_t)at,
            .selector = SEL_CODE,
            .ist = v == VECTOR_DF    ? IST_DF
                   : v == VECTOR_NMI ? IST_NMI
                   : v == VECTOR_MC  ? IST_MC
                                     : 0,
            .type = GATE_INTERRUPT,
            .offset_mid = (uint16_t)(at >> 16),
            .offset_high = (uint32_t)(at >> 32),
        };
    }
    __asm__ volatile("lidt %0" : : "m"(r) : "memory");
}

void trap_init(void)
{
    gdt_load();
    idt_load();
}

void trap_dispatch(struct trap_frame *f)
{
    if (f->vector < 32) {
        panic_trap(f);
    }
    irq_dispatch((unsigned)f->vector);
}
