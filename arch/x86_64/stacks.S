/* SPDX-License-Identifier: BSD-2-Clause */
/* The stacks, each above a page that paging_init leaves unmapped. stacks.h names them for C. */
    .macro stack name, bytes
    .balign 4096
    .globl stack_\name\()_guard
stack_\name\()_guard:
    .skip 4096
    .skip \bytes
    .globl stack_\name\()_top
stack_\name\()_top:
    .endm

    .section .bss.stacks, "aw", @nobits
    .balign 4096
    .globl stacks_start
stacks_start:
    stack main, 65536
    stack nmi, 16384
    stack df, 16384
    stack mc, 16384
    .globl stacks_end
stacks_end:

    .section .note.GNU-stack, "", @progbits
