/* SPDX-License-Identifier: BSD-2-Clause */
/* page_zero and page_copy of base/page.h: 512 words of 8 bytes. */
    .text

    .globl page_zero
    .type page_zero, @function
page_zero:
    xor %eax, %eax
    mov $512, %ecx
    rep stosq
    ret
    .size page_zero, . - page_zero

    .globl page_copy
    .type page_copy, @function
page_copy:
    mov $512, %ecx
    rep movsq
    ret
    .size page_copy, . - page_copy

    .section .note.GNU-stack, "", @progbits
