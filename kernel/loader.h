/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts a kernel into a new guest's memory and says where it is to be entered.
 *
 * Two formats, told apart by their contents: a Linux bzImage (the boot protocol of Linux's
 * Documentation/arch/x86/boot.rst; 64-bit entry where the image has one, else 32-bit), and a static
 * ELF64 executable, entered in 64-bit mode with the first 4 GiB mapped one to one and a Linux zero
 * page in RSI.
 */
#ifndef KERNEL_LOADER_H
#define KERNEL_LOADER_H

#include "base/status.h"
#include "base/types.h"
#include "mm/p2m.h"

/* Guest-physical layout below 1 MiB, ours to choose. */
#define LOADER_GDT 0x6000u
#define LOADER_ZERO_PAGE 0x7000u
#define LOADER_STACK 0x9000u       /* grows down; entry code sets its own */
#define LOADER_PAGE_TABLES 0xa000u /* PML4, PDPT, four PDs */
#define LOADER_CMDLINE 0x20000u
#define LOADER_LOW_END 0x9f000u
#define LOADER_ACPI 0xe0000u
#define LOADER_ACPI_BYTES 0x4000u

/* RAM below this, the rest from 4 GiB up; PCI memory BARs live between. */
#define LOADER_LOW_RAM_MAX UINT64_C(0xe0000000)
#define LOADER_HIGH_RAM UINT64_C(0x100000000)

struct loader_input {
    const uint8_t *kernel, *initrd;
    uint64_t kernel_bytes, initrd_bytes; /* initrd_bytes 0: none */
    const char *cmdline;
    gpa_t rsdp;
};

struct loader_entry {
    bool long_mode; /* else 32-bit protected mode without paging */
    uint64_t rip, rsp, rsi, cr3;
    uint64_t gdt_base;
    uint32_t gdt_limit;
};

/*
 * Errors carry a line for the user in why: E_INVAL (not a kernel, or a broken one), E_RANGE (does
 * not fit this guest's memory), E_NOMEM (out of frames).
 */
enum status loader_load(struct p2m *p, const struct loader_input *in, struct loader_entry *out,
                        char *why, size_t why_size) MUST_CHECK;

#endif
