/* SPDX-License-Identifier: BSD-2-Clause */
/* Entry of a bare-metal guest (64-bit mode, the first 4 GiB mapped one to one, zero page in RSI), and
 * the stubs of its 256 vectors. */
    .section .text.start, "ax"
    .globl _start
_start:
    cli
    lea kit_stack_top(%rip), %rsp
    mov %cr0, %rax          /* SSE on: tests of the vector state want it */
    and $~4, %rax
    or $2, %rax
    mov %rax, %cr0
    mov %cr4, %rax
    or $0x600, %rax
    mov %rax, %cr4
    mov %rsi, %rdi
    xor %ebp, %ebp
    call kit_main
1:  hlt
    jmp 1b

    .text
    .macro stub vec
    .balign 16
    .if (\vec == 8) || ((\vec >= 10) && (\vec <= 14)) || (\vec == 17) || (\vec == 21)
    .else
    push $0
    .endif
    push $\vec
    jmp trap_common
    .endm

    .globl kit_stubs
    .balign 16
kit_stubs:
    .set i, 0
    .rept 256
    stub i
    .set i, i + 1
    .endr

trap_common:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rdi
    cld
    call kit_trap
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

/* int kit_try(void (*fn)(void *), void *arg): calls fn; returns -1, or the vector of the exception
 * that ended it (kit_trap jumps to kit_caught). */
    .globl kit_try
kit_try:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, kit_try_rsp(%rip)
    mov %rdi, %rax
    mov %rsi, %rdi
    sub $8, %rsp
    call *%rax
    mov $-1, %eax
    .globl kit_caught
kit_caught: /* vector in eax */
    mov kit_try_rsp(%rip), %rsp
    movq $0, kit_try_rsp(%rip)
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .bss
    .balign 16
    .globl kit_try_rsp
kit_try_rsp:
    .quad 0
    .balign 4096
    .skip 65536
kit_stack_top:
    .section .note.GNU-stack, "", @progbits
