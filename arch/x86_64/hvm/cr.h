/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest's write to CR0 or CR4 comes to: #GP(0), or new values and what they entail (SDM vol.
 * 3, 2.5, 4.4.1, 5.10.4.1 and 11.8.5; vol. 2, MOV to control registers, LMSW). Pure, and the same
 * for all vendors' backends, which keep bits of their own out of it.
 */
#ifndef ARCH_HVM_CR_H
#define ARCH_HVM_CR_H

#include "base/types.h"

/* All as the guest sees it. */
struct cr_state {
    uint64_t cr0, cr3, cr4, efer;
    bool cs_l;       /* CS.L, which means something outside IA-32e mode, too: it bars the way in */
    uint8_t tr_type; /* TR's segment type */
};

enum cr_result {
    CR_DONE,
    CR_FAULT, /* #GP(0), and nothing changes */
};

struct cr_change {
    uint64_t cr0, cr4, efer; /* afterwards */
    /* With PAE paging, from where CR3 points: an illegal one is #GP(0), and nothing changes. */
    bool load_pdptes;
    bool flush; /* all translations of the guest go */
};

enum cr_result cr_write_cr0(const struct cr_state *s, uint64_t value, struct cr_change *out);
/* offered: the bits that CPUID lets the guest set. */
enum cr_result cr_write_cr4(const struct cr_state *s, uint64_t value, uint64_t offered,
                            struct cr_change *out);
/* The value that LMSW of `source` writes to CR0. */
uint64_t cr_of_lmsw(uint64_t cr0, uint16_t source);
/* Whether the four top entries of PAE paging are legal. phys_bits: the guest's MAXPHYADDR. */
bool cr_pdptes_legal(const uint64_t pdpte[4], unsigned phys_bits);

#endif
