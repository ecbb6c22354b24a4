/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the boot loader handed over: a parser of the multiboot2 information structure
 * (Multiboot2 specification 2.0, section 3.6) into plain tables of fixed size.
 *
 * Pure: it reads `max_bytes` from `info` and nothing else. A structure whose tags do not fit into
 * each other is refused; a single tag that makes no sense is dropped with a line in the log.
 */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#include "base/status.h"
#include "base/types.h"

#define MB2_LOADER_MAGIC 0x36d76289u /* in EAX at the entry */

#define MB2_CMDLINE 1024
#define MB2_MEMS 128
#define MB2_MODULES 64
#define MB2_NAME 64
#define MB2_MAX_BYTES (UINT32_C(1) << 20) /* a larger structure is absurd */

/* Types of memory; any other value is reserved memory as well. */
#define MB2_MEM_AVAILABLE 1
#define MB2_MEM_RESERVED 2
#define MB2_MEM_ACPI 3 /* usable once the ACPI tables have been read */
#define MB2_MEM_NVS 4
#define MB2_MEM_BAD 5

struct mb2_mem {
    uint64_t base, len; /* bytes */
    uint32_t type;
};

struct mb2_module {
    uint64_t start, end; /* physical, end exclusive; start < end */
    char name[MB2_NAME]; /* the first word of its string: printable, not empty, unique */
};

struct mb2_info {
    char cmdline[MB2_CMDLINE]; /* control characters replaced by `?` */
    char loader[MB2_NAME];     /* the boot loader's name, "" when it gave none */
    /* Sorted, disjoint, none empty, neighbours of one type joined. Where the loader's regions
     * overlap, the more restrictive type holds. What is in no region is not memory. */
    unsigned n_mem;
    struct mb2_mem mem[MB2_MEMS];
    /* Each in available memory, none overlapping another. */
    unsigned n_modules;
    struct mb2_module modules[MB2_MODULES];
    uint8_t rsdp[36];
    unsigned rsdp_len;      /* 36: ACPI 2.0 and later, 20: ACPI 1.0, 0: none; checksums are right */
    bool efi;               /* the firmware is UEFI */
    bool efi_boot_services; /* and its boot services still run */
    unsigned n_dropped;     /* tags and entries that made no sense */
};

/*
 * Parses the structure at `info`, of which `max_bytes` may be read (fewer than its total_size is an
 * error; so is more than MB2_MAX_BYTES). E_INVAL: malformed, with the reason in why; *out must not
 * be used then. No alignment of info is needed.
 */
enum status mb2_parse(const void *info, size_t max_bytes, struct mb2_info *out, char *why,
                      size_t why_size) MUST_CHECK;

/* The module of that name, or NULL. */
const struct mb2_module *mb2_module_find(const struct mb2_info *info, const char *name);

#endif
