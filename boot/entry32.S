/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From multiboot2's i386 machine state (specification, 3.3: protected mode, no paging, interrupts
 * off, EAX the magic, EBX the boot information) to C in the higher half.
 *
 * The tables made here map the first 4 GiB three times, with 2 MiB pages: at 0, in the window
 * (arch/x86_64/paging.h), and the first GiB at the kernel's link address. paging_init replaces them.
 */
#define VIRT 0xffffffff80000000
#define PHYS(sym) ((sym) - VIRT)

#define MSR_IA32_EFER 0xc0000080
#define EFER_LME_NXE 0x900
#define CR0_PG_WP_NE_PE 0x80010021
#define CR4_PAE 0x20
#define COM1 0x3f8

    .section .boot, "ax", @progbits
    .code32
    .globl boot_entry32
boot_entry32:
    cli
    cld
    mov %eax, %edi                  /* kernel_main's arguments, as the 64-bit ABI passes them */
    mov %ebx, %esi
    mov $PHYS(stack_main_top), %esp
    push %edi
    push %esi

    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb no_long_mode
    mov $0x80000001, %eax
    cpuid
    test $0x20000000, %edx          /* LM */
    jz no_long_mode
    test $0x00100000, %edx          /* NX */
    jz no_nx

    mov $PHYS(early_pd), %edi       /* 2048 entries of 2 MiB: 4 GiB */
    mov $0x83, %eax                 /* present, writable, large */
    xor %edx, %edx
    mov $2048, %ecx
1:  mov %eax, (%edi)
    mov %edx, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b

    mov $PHYS(early_pdpt), %edi
    mov $(PHYS(early_pd) + 3), %eax
    mov $4, %ecx
2:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 2b
    movl $(PHYS(early_pd) + 3), PHYS(early_pdpt_high) + 510 * 8
    movl $(PHYS(early_pdpt) + 3), PHYS(early_pml4)
    movl $(PHYS(early_pdpt) + 3), PHYS(early_pml4) + 256 * 8
    movl $(PHYS(early_pdpt_high) + 3), PHYS(early_pml4) + 511 * 8

    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $PHYS(early_pml4), %eax
    mov %eax, %cr3
    mov $MSR_IA32_EFER, %ecx
    rdmsr
    or $EFER_LME_NXE, %eax
    wrmsr
    mov $CR0_PG_WP_NE_PE, %eax
    pop %esi
    pop %edi
    mov %eax, %cr0
    lgdt early_gdtr
    ljmp $8, $entry64

no_long_mode:
    mov $text_no_long_mode, %esi
    jmp refuse
no_nx:
    mov $text_no_nx, %esi
refuse:                             /* a line on COM1, as the firmware left it, and the end */
    mov $(COM1 + 5), %dx
    mov $0x100000, %ecx
3:  in %dx, %al
    test $0x20, %al
    loopz 3b
    mov $COM1, %dx
    lodsb
    test %al, %al
    jz 4f
    out %al, %dx
    jmp refuse
4:  hlt
    jmp 4b

text_no_long_mode:
    .asciz "Pagefold: this CPU has no 64-bit mode, which Pagefold needs.\r\nPAGEFOLD-EXIT 1\r\n"
text_no_nx:
    .asciz "Pagefold: this CPU has no NX (or the firmware hides it), which Pagefold needs.\r\nPAGEFOLD-EXIT 1\r\n"

    .code64
entry64:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $entry_high, %rax
    jmp *%rax

    .balign 8
early_gdt:
    .quad 0
    .quad 0x00af9b000000ffff        /* 64-bit code */
    .quad 0x00cf93000000ffff        /* data */
early_gdtr:
    .short . - early_gdt - 1
    .long early_gdt

    .text
entry_high:
    mov $stack_main_top, %rsp
    xor %ebp, %ebp                  /* the backtrace ends here */
    mov %edi, %edi
    mov %esi, %esi
    call kernel_main
    ud2

    .section .bss.early, "aw", @nobits
    .balign 4096
early_pml4:
    .skip 4096
early_pdpt:
    .skip 4096
early_pdpt_high:
    .skip 4096
early_pd:
    .skip 4 * 4096

    .section .note.GNU-stack, "", @progbits
