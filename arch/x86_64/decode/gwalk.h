/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's linear addresses through its own page tables (SDM vol. 3, chapter 5): no paging, 32-bit
 * with 4 MiB pages, PAE, 4-level and 5-level.
 *
 * The tables are the guest's and hostile: at most five entries are read, through a callback, and
 * whatever they hold is followed without trust. Accessed and dirty bits are set through the caller,
 * if it wants that; protection keys are not looked at.
 */
#ifndef ARCH_DECODE_GWALK_H
#define ARCH_DECODE_GWALK_H

#include "base/status.h"
#include "base/types.h"

/* The guest's control registers and what else decides. */
struct gwalk_mode {
    uint64_t cr0, cr3, cr4, efer;
    bool ac;            /* RFLAGS.AC: suspends SMAP for explicit accesses */
    unsigned phys_bits; /* the guest's MAXPHYADDR: higher bits of entries are reserved; 0: 52 */
    /* PAE's four top entries as the CPU holds them since CR3 was written, or NULL: those in memory
     * (SDM vol. 3, 4.4.1). */
    const uint64_t *pdptes;
};

/* Reads n bytes (4 or 8, aligned, so within one page) of guest-physical memory. */
struct gwalk_reader {
    enum status (*read)(void *ctx, gpa_t at, void *to, unsigned n);
    void *ctx;
    /* Sets bits in the byte at `at`, if it is not NULL: once a translation is allowed, each entry
     * is accessed, and the last one dirty for a write. No other CPU may be changing the tables. */
    enum status (*mark)(void *ctx, gpa_t at, uint8_t bits);
};

/* The access, in the bits of the page-fault error code (SDM vol. 3, section 5.7). */
#define GWALK_WRITE 0x02u
#define GWALK_USER 0x04u /* at privilege level 3 */
#define GWALK_FETCH 0x10u
/* Not one of them: a supervisor's access to a descriptor or a TSS, which RFLAGS.AC does not free of
 * SMAP (SDM vol. 3, 5.6.1). */
#define GWALK_IMPLICIT 0x100u

/* The other bits of an error code. */
#define PF_PRESENT 0x01u
#define PF_RESERVED 0x08u

/*
 * Translates `linear` for `access` (a mask of GWALK_*; 0 is a supervisor's read). OK: *gpa is set.
 * E_FAULT: the guest gets a page fault with *error. E_RANGE: the address is not canonical, or an
 * entry lies where the reader says E_FAULT. Else what the reader returned.
 */
enum status gwalk(const struct gwalk_mode *mode, const struct gwalk_reader *reader, uint64_t linear,
                  unsigned access, gpa_t *gpa, uint32_t *error) MUST_CHECK;

#endif
