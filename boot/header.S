/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The multiboot2 header (multiboot2 specification, 3.1): asks for what the parser in
 * boot/multiboot2.c reads, and for modules on page boundaries. No EFI tags: GRUB then leaves boot
 * services by itself and enters in i386 state from BIOS and from UEFI alike.
 */
#define MB2_HEADER_MAGIC 0xe85250d6
#define MB2_ARCH_I386 0
#define HEADER_TAG_END 0
#define HEADER_TAG_INFORMATION_REQUEST 1
#define HEADER_TAG_MODULE_ALIGN 6
#define OPTIONAL 1

    .section .multiboot, "a", @progbits
    .balign 8
header:
    .long MB2_HEADER_MAGIC
    .long MB2_ARCH_I386
    .long header_end - header
    .long -(MB2_HEADER_MAGIC + MB2_ARCH_I386 + (header_end - header))

    .balign 8
request:
    .short HEADER_TAG_INFORMATION_REQUEST
    .short OPTIONAL
    .long request_end - request
    .long 1             /* command line */
    .long 3             /* modules */
    .long 6             /* memory map */
    .long 14            /* ACPI RSDP, old */
    .long 15            /* ACPI RSDP, new */
request_end:

    .balign 8
    .short HEADER_TAG_MODULE_ALIGN
    .short OPTIONAL
    .long 8

    .balign 8
    .short HEADER_TAG_END
    .short 0
    .long 8
header_end:

    .section .note.GNU-stack, "", @progbits
