/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMCOREINFO note, in which a Linux kernel names the layout of its `struct page` to dump tools.
 *
 * The kernel keeps it twice, page-aligned: the text alone (it begins with "OSRELEASE="), and inside
 * an ELF note of that name (Linux, kernel/crash_core.c). It is lines of NAME=VALUE:
 *
 *     SYMBOL(swapper_pg_dir)=ffffffff8c622000    hexadecimal
 *     OFFSET(page._mapcount)=48                  decimal; SIZE, LENGTH and NUMBER likewise, and
 *     NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129     NUMBER may be negative, or hexadecimal behind 0x
 *
 * The text is the guest's: hostile. What is parsed is checked so far that offsets lie inside a
 * struct page and shifts are small; addresses are not checked, whoever follows them does.
 */
#ifndef MM_INTROSPECT_VMCOREINFO_H
#define MM_INTROSPECT_VMCOREINFO_H

#include "base/status.h"
#include "base/types.h"

#define VMCOREINFO_RELEASE 64     /* bytes, with its NUL */
#define VMCOREINFO_ORDERS 24u     /* orders of the page allocator at most: blocks of 32 GiB */
#define VMCOREINFO_PAGE 256u      /* bytes of a struct page at most */
#define VMCOREINFO_STEP 256u      /* bytes of text that are parsed in one step */
#define VMCOREINFO_KEYS 29u       /* lines of use */
#define VMCOREINFO_NONE UINT8_MAX /* in place of the offset of a field that the kernel lacks */

struct vmcoreinfo {
    char release[VMCOREINFO_RELEASE]; /* the kernel's: letters, digits, . - + _ ~ ? */
    /* Where its page tables and its table of sections are. */
    uint64_t swapper_pg_dir; /* linear address in the kernel's image */
    uint64_t phys_base;      /* what the image is moved by, modulo 2^64 */
    uint64_t sme_mask;       /* set in the addresses of page table entries */
    bool five_level;
    uint64_t mem_map;     /* linear address of the pointer to the one array of struct page, or 0 */
    uint64_t mem_section; /* else: linear address of the sections, or of pointers to them */
    uint64_t sections;    /* how many there can be */
    uint16_t sections_in_root; /* behind each of the pointers; 0: there are none, one flat array */
    uint16_t section_bytes;    /* of a struct mem_section */
    uint16_t section_map;      /* offset of its section_mem_map */
    uint8_t section_shift;     /* log2 of the bytes that a section describes */
    /* struct page: its size, and offsets. */
    uint16_t page_bytes;
    uint8_t flags, refcount, mapping, mapcount, private, compound_head, compound_dtor;
    uint8_t orders; /* the page allocator's blocks have fewer pages than 2^orders */
    /* Flags, as masks of `flags`; 0 where the kernel has none. */
    uint64_t lru, swapbacked, slab, hwpoison, head;
    /* Values of _mapcount that tell a type; 0 where the kernel has none. */
    uint32_t type_buddy, type_hugetlb;
    uint8_t hugetlb_dtor; /* value of compound_dtor; 0: none */
};

/*
 * Whether the page holds a VMCOREINFO, as far as its first bytes say: cheap, for a search. Sets
 * *text and *n to the text inside the page.
 */
bool vmcoreinfo_find(const uint8_t *page, const char **text, size_t *n);

/* What has been read of a text, which is parsed in steps. */
struct vmcoreinfo_lines {
    size_t at;    /* the text before is done with */
    bool in_line; /* which ends in the middle of a line that is too long to matter */
    uint32_t has; /* by key, as are the values */
    uint64_t value[VMCOREINFO_KEYS];
};
void vmcoreinfo_begin(struct vmcoreinfo_lines *l);
/*
 * One bounded step: parses VMCOREINFO_STEP bytes more, at most, of n bytes of text, up to the first
 * NUL. E_BUSY: call it again with the same text; should it have changed meanwhile, the result is a
 * mixture, checked like any other. E_INVAL: something that is needed is missing, contradicts
 * itself, or is not of a kind that this can read. *out is undefined unless it is OK.
 */
enum status vmcoreinfo_step(struct vmcoreinfo_lines *l, const char *text, size_t n,
                            struct vmcoreinfo *out) MUST_CHECK;
/* All steps at once. */
enum status vmcoreinfo_parse(const char *text, size_t n, struct vmcoreinfo *out) MUST_CHECK;

#endif
