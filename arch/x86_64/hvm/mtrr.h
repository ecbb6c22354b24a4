/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's memory type range registers: kept and checked, without effect.
 *
 * Nested paging gives all of a guest's memory the type write-back, and the guest's PAT does the
 * rest. The registers are there because systems look at them: Linux uses its PAT only where the
 * MTRRs are enabled. Source: SDM vol. 3, 12.11.
 */
#ifndef ARCH_HVM_MTRR_H
#define ARCH_HVM_MTRR_H

#include "base/status.h"
#include "base/types.h"

#define MTRR_VARIABLE 8u /* ranges, each a base and a mask */
#define MTRR_FIXED 11u

struct mtrrs {
    uint64_t def_type;
    uint64_t fixed[MTRR_FIXED];
    uint64_t variable[2 * MTRR_VARIABLE];
    unsigned phys_bits; /* width of a guest-physical address, as CPUID tells the guest */
};

/* As a PC's firmware leaves them: enabled, RAM write-back, write-protected below 1 MiB where ROMs
 * are, uncached where devices are: the VGA hole, and hole_base (a power of two's multiple) to
 * 4 GiB. */
void mtrrs_reset(struct mtrrs *m, unsigned phys_bits, uint32_t hole_base);
/* E_NOTFOUND: no MTRR; E_FAULT: the guest gets #GP(0). */
enum status mtrrs_read(const struct mtrrs *m, uint32_t msr, uint64_t *value) MUST_CHECK;
enum status mtrrs_write(struct mtrrs *m, uint32_t msr, uint64_t value) MUST_CHECK;

#endif
