/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way into the guest and back.
 *
 *     int vmx_enter(struct hvm_vcpu *v, bool launched, uint64_t *flags)
 *
 * struct hvm_vcpu begins with gpr[16] in the order of the instruction formats. RSP, RIP and RFLAGS
 * travel in the VMCS. The vector and x87 state stays as it is: the hypervisor does not touch it
 * (it is built with -mgeneral-regs-only), and xstate.c swaps it when another vCPU runs.
 */
#define HOST_RSP 0x6c14

    .text
    .globl vmx_enter
    .type vmx_enter, @function
vmx_enter:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdx
    push %rdi
    mov $HOST_RSP, %eax
    vmwrite %rsp, %rax
    jbe 2f
    test %sil, %sil
    mov 0*8(%rdi), %rax
    mov 1*8(%rdi), %rcx
    mov 2*8(%rdi), %rdx
    mov 3*8(%rdi), %rbx
    mov 5*8(%rdi), %rbp
    mov 6*8(%rdi), %rsi
    mov 8*8(%rdi), %r8
    mov 9*8(%rdi), %r9
    mov 10*8(%rdi), %r10
    mov 11*8(%rdi), %r11
    mov 12*8(%rdi), %r12
    mov 13*8(%rdi), %r13
    mov 14*8(%rdi), %r14
    mov 15*8(%rdi), %r15
    mov 7*8(%rdi), %rdi
    jz 1f
    vmresume
    jmp 2f
1:  vmlaunch
    /* Only a failed VMX instruction comes here: CF or ZF says how. */
2:  pushfq
    pop %rax
    pop %rdi
    pop %rdx
    mov %rax, (%rdx)
    mov $1, %eax
    jmp 3f

    .globl vmx_exit_stub /* HOST_RIP */
vmx_exit_stub:
    push %rdi
    mov 8(%rsp), %rdi
    mov %rax, 0*8(%rdi)
    mov %rcx, 1*8(%rdi)
    mov %rdx, 2*8(%rdi)
    mov %rbx, 3*8(%rdi)
    mov %rbp, 5*8(%rdi)
    mov %rsi, 6*8(%rdi)
    pop %rax
    mov %rax, 7*8(%rdi)
    mov %r8, 8*8(%rdi)
    mov %r9, 9*8(%rdi)
    mov %r10, 10*8(%rdi)
    mov %r11, 11*8(%rdi)
    mov %r12, 12*8(%rdi)
    mov %r13, 13*8(%rdi)
    mov %r14, 14*8(%rdi)
    mov %r15, 15*8(%rdi)
    add $16, %rsp
    xor %eax, %eax
3:  pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size vmx_enter, . - vmx_enter
    .section .note.GNU-stack, "", @progbits
