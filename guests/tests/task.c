/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware task switches in 32-bit protected mode: by CALL, JMP and IRET, and by task gates for an
 * interrupt, an exception with an error code, and a double fault, as 32-bit Linux takes it.
 */
#include "kit.h"

/* Selectors of the GDT below; code and data of the loader stay where they are. */
#define CODE64 0x10
#define CODE32 0x20
#define MAIN 0x28  /* the TSS of the program */
#define OTHER 0x30 /* of the task that is switched to */
#define FAULT 0x38 /* of the task for double faults */
#define DATA32 0x18

struct tss {
    uint32_t link, stacks[6], cr3, eip, eflags, gpr[8], segments[6], ldt, trap;
} __attribute__((aligned(128)));

struct tss task_main, task_other, task_fault;
static uint64_t gdt[8] = {
    [2] = 0x00af9b000000ffff, [3] = 0x00cf93000000ffff, [4] = 0x00cf9b000000ffff};
static uint64_t idt[256];
static uint8_t stacks[2][4096] __attribute__((aligned(16)));
static uint8_t fault_stack[4096] __attribute__((aligned(16)));

struct {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed)) gdtr32 = {sizeof(gdt) - 1, 0}, idtr32 = {sizeof(idt) - 1, 0};

/* What the 32-bit program leaves behind. */
uint32_t seen_calls, seen_flags, seen_jumps, seen_interrupts, seen_error, seen_fault_eip,
    seen_fault_link, seen_faults, seen_busy_error, seen_back, seen_kept, seen_rf, saved_esp,
    recover_eip;

void task_program(void);
void task_entry(void);
void task_fault_entry(void);
void task_gp_handler(void);

__asm__(
    ".text\n"
    ".globl task_program, task_entry, task_fault_entry, task_gp_handler\n"
    "task_program:\n"
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, task_rsp\n"
    "sidt task_idtr64\n"
    "lgdt task_gdtr64\n"
    "pushq $0x20\npushq $1f\nlretq\n"
    ".code32\n"
    "1: mov %cr0, %eax\nbtr $31, %eax\nmov %eax, %cr0\n" /* out of long mode */
    "mov $0x18, %eax\nmov %eax, %ds\nmov %eax, %es\nmov %eax, %ss\nmov %eax, %fs\nmov %eax, %gs\n"
    "mov task_rsp, %esp\n"
    "lgdt gdtr32\nlidt idtr32\n"
    "mov $0x28, %eax\nltr %ax\n"
    "xor %edi, %edi\n"
    /* Two calls: the second goes on where the task's IRET left off. */
    "mov $0x1234, %esi\n"
    "lcall $0x30, $0\n"
    "lcall $0x30, $0\n"
    "mov %esi, seen_kept\n"
    /* An interrupt by a task gate. */
    "mov $1, %edi\n"
    "int $0x40\n"
    "movl $1, seen_interrupts\n"
    /* An exception by a task gate, which moves EIP on. */
    "movl $2, task_how\n"
    "movl $1f, recover_eip\n"
    "ud2\n"
    "1: movl $0x8500, idt+6*8+4\nmovl $0x200000, idt+6*8\n" /* not present from here on */
    "andl $0xffff7fff, idt+6*8+4\n"
    /* JMP there; it jumps back. */
    "movl $1, task_how\n"
    "ljmp $0x30, $0\n"
    "movl $1, seen_jumps\n"
    /* JMP to a task that is busy: this one. #GP with its selector. */
    "movl $2f, recover_eip\n"
    "ljmp $0x28, $0\n"
    "2:\n"
    /* #UD, #NP of its gate, #NP again: a double fault, whose task repairs EIP. */
    "mov %esp, saved_esp\n"
    "movl $3f, recover_eip\n"
    "ud2\n"
    "3: mov saved_esp, %esp\n"
    "movl $1, seen_back\n"
    /* Back to long mode. */
    "lidt task_idtr64\n" /* only its low half counts here */
    "mov %cr0, %eax\nbts $31, %eax\nmov %eax, %cr0\n"
    "ljmp $0x10, $4f\n"
    ".code64\n"
    "4: lidt task_idtr64\n"
    "mov $0x18, %eax\nmov %eax, %ds\nmov %eax, %es\nmov %eax, %ss\n"
    "mov task_rsp, %rsp\nclts\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n"
    ".code32\n"
    "task_entry:\n"
    "incl seen_calls\npushf\npopl seen_flags\n"
    "cmpl $1, task_how\nje 5f\n"
    "cmpl $2, task_how\njne 6f\n"
    "mov task_main+36, %eax\nmov %eax, seen_rf\n"
    "mov recover_eip, %eax\nmov %eax, task_main+32\n"
    "6: iret\njmp task_entry\n"
    "5: ljmp $0x28, $0\njmp task_entry\n"
    "task_fault_entry:\n"
    "popl seen_error\nincl seen_faults\n"
    "mov task_main+32, %eax\nmov %eax, seen_fault_eip\n"
    "mov task_fault, %eax\nmov %eax, seen_fault_link\n"
    "mov recover_eip, %eax\nmov %eax, task_main+32\n"
    "iret\njmp task_fault_entry\n"
    "task_gp_handler:\n"
    "popl seen_busy_error\n"
    "mov recover_eip, %eax\nmov %eax, (%esp)\niret\n"
    ".code64\n");

uint64_t task_rsp;
uint32_t task_how;
struct {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed)) task_idtr64, task_gdtr64;

static void set_tss(unsigned selector, struct tss *t, void (*entry)(void), uint8_t *stack)
{
    uint64_t base = (uint64_t)t;

    gdt[selector / 8] = 103 | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    t->eip = (uint32_t)(uint64_t)entry;
    t->eflags = 2;
    t->gpr[4] = (uint32_t)(uint64_t)(stack + 4096);
    for (unsigned n = 0; n < 6; n++) {
        t->segments[n] = n == 1 ? CODE32 : DATA32;
    }
    t->trap = 104u << 16;
}

static void task_gate(unsigned vector, unsigned tss)
{
    idt[vector] = (uint64_t)tss << 16 | 0x8500ul << 32;
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    set_tss(MAIN, &task_main, NULL, stacks[0]);
    set_tss(OTHER, &task_other, task_entry, stacks[1]);
    set_tss(FAULT, &task_fault, task_fault_entry, fault_stack);
    task_gate(8, FAULT);
    task_gate(0x40, OTHER);
    uint64_t gp = (uint64_t)task_gp_handler;
    idt[13] = (gp & 0xffff) | CODE32 << 16 | 0x8e00ul << 32 | (gp >> 16) << 48;
    idt[11] = CODE32 << 16 | 0x0e00ul << 32; /* not present */
    task_gate(6, OTHER);
    gdtr32.base = (uint32_t)(uint64_t)gdt;
    idtr32.base = (uint32_t)(uint64_t)idt;
    task_gdtr64.limit = sizeof(gdt) - 1;
    task_gdtr64.base = (uint64_t)gdt;
    task_program();
    tap_ok(seen_calls == 5, "the other task ran five times: %u", seen_calls);
    tap_ok(seen_kept == 0x1234, "registers are kept over it: %x", seen_kept);
    tap_ok(seen_interrupts == 1, "INT through a task gate comes back");
    tap_ok(seen_rf & 1 << 16, "a fault through a task gate saves RF: flags %x", seen_rf);
    tap_ok((seen_flags & 1 << 14) == 0, "by JMP it is not nested: flags %x", seen_flags);
    tap_ok(seen_jumps == 1, "JMP there and JMP back");
    tap_ok(seen_busy_error == MAIN, "JMP to a busy task: #GP(%x)", seen_busy_error);
    tap_ok(seen_faults == 1 && seen_error == 0, "one double fault, with error code %x", seen_error);
    tap_ok((seen_fault_link & 0xffff) == MAIN, "linked to the task that faulted: %x",
           seen_fault_link);
    tap_ok(seen_fault_eip < recover_eip && recover_eip - seen_fault_eip == 2,
           "which was at its UD2: %x before %x", seen_fault_eip, recover_eip);
    tap_ok(seen_back == 1, "and went on");
    tap_ok((gdt[MAIN / 8] >> 40 & 0xff) == 0x8b && (gdt[OTHER / 8] >> 40 & 0xff) == 0x89 &&
               (gdt[FAULT / 8] >> 40 & 0xff) == 0x89,
           "busy is the one that runs");
}
