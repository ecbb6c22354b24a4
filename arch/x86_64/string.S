/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memcpy, memmove, memset, memcmp: string instructions in 8-byte units, the rest by the byte.
 * The direction flag is clear on entry and on exit, as the ABI has it.
 */
    .text

    .globl memcpy
    .type memcpy, @function
memcpy:
    mov %rdi, %rax
    mov %rdx, %rcx
    shr $3, %rcx
    rep movsq
    mov %edx, %ecx
    and $7, %ecx
    rep movsb
    ret
    .size memcpy, . - memcpy

    .globl memmove
    .type memmove, @function
memmove:
    mov %rdi, %rax
    sub %rsi, %rax      /* dst - src, unsigned: below n only when dst lies inside src's bytes */
    cmp %rdx, %rax
    jae memcpy
    mov %rdi, %rax
    std                 /* backwards: the odd bytes at the end, then whole words */
    mov %edx, %ecx
    and $7, %ecx
    lea -1(%rdi, %rdx), %rdi
    lea -1(%rsi, %rdx), %rsi
    rep movsb
    sub $7, %rdi
    sub $7, %rsi
    mov %rdx, %rcx
    shr $3, %rcx
    rep movsq
    cld
    ret
    .size memmove, . - memmove

    .globl memset
    .type memset, @function
memset:
    mov %rdi, %r8
    movzbl %sil, %eax
    mov $0x0101010101010101, %rcx
    imul %rcx, %rax
    mov %rdx, %rcx
    shr $3, %rcx
    rep stosq
    mov %edx, %ecx
    and $7, %ecx
    rep stosb
    mov %r8, %rax
    ret
    .size memset, . - memset

/* Words in big-endian order compare as their bytes do. */
    .globl memcmp
    .type memcmp, @function
memcmp:
    mov %rdx, %rcx
    shr $3, %rcx
    jz 2f
1:  mov (%rdi), %rax
    mov (%rsi), %r8
    cmp %r8, %rax
    jne 4f
    add $8, %rdi
    add $8, %rsi
    dec %rcx
    jnz 1b
2:  mov %edx, %ecx
    and $7, %ecx
    jz 3f
5:  movzbl (%rdi), %eax
    movzbl (%rsi), %r8d
    sub %r8d, %eax
    jne 6f
    inc %rdi
    inc %rsi
    dec %ecx
    jnz 5b
3:  xor %eax, %eax
6:  ret
4:  bswap %rax
    bswap %r8
    cmp %r8, %rax
    sbb %eax, %eax      /* below: -1, above: 0 */
    or $1, %eax
    ret
    .size memcmp, . - memcmp

    .section .note.GNU-stack, "", @progbits
