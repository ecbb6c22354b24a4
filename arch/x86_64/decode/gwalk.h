/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's page tables, walked as its processor would (SDM vol. 3, chapter 4): no paging, 32-bit
 * with 4 MiB pages, PAE, four and five levels. Pure: entries are read through a callback. Accessed
 * and dirty bits are not set, as the instructions emulated with this touch pages that the processor
 * has just translated itself.
 */
#ifndef ARCH_DECODE_GWALK_H
#define ARCH_DECODE_GWALK_H

#include "base/status.h"
#include "base/types.h"

/* Accesses. */
#define GWALK_WRITE 1u
#define GWALK_USER 2u  /* at privilege level 3 */
#define GWALK_FETCH 4u

/* Page-fault error code bits: SDM vol. 3, 4.7. */
#define GWALK_PF_PRESENT 0x01u
#define GWALK_PF_WRITE 0x02u
#define GWALK_PF_USER 0x04u
#define GWALK_PF_RESERVED 0x08u
#define GWALK_PF_FETCH 0x10u

struct gwalk_mode {
    uint64_t cr0, cr3, cr4, efer;
    bool ac; /* RFLAGS.AC: suspends SMAP for data */
};

struct gwalk_reader {
    /* n is 4 or 8, gpa aligned to it. Its failure ends the walk with that status. */
    enum status (*read)(void *ctx, gpa_t at, void *to, unsigned n);
    void *ctx;
};

/*
 * Translates a linear address. OK: *gpa. E_FAULT: a page fault, *error its error code. Otherwise the
 * reader's error (E_FAULT from the reader comes as E_RANGE: a table outside memory).
 */
enum status gwalk(const struct gwalk_mode *m, const struct gwalk_reader *r, uint64_t linear,
                  unsigned access, gpa_t *gpa, uint32_t *error) MUST_CHECK;

#endif
