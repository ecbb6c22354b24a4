/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to CR0 and CR4: see cr.h. */
#include "arch/x86_64/hvm/cr.h"

#include "arch/x86_64/decode/crbits.h"

/* Bits of CR0 that exist. Writes to the others vanish, or are #GP above 31. */
#define CR0_DEFINED                                                                                \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)
/* Bits whose change reloads the PDPTEs; those of CR4 drop translations as well. */
#define CR0_PDPTES (CR0_CD | CR0_NW | CR0_PG)
#define CR4_PDPTES (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)

#define TYPE_BUSY_TSS 11u /* of 32 or 64 bits */

static bool is_pae(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

static struct cr_change unchanged(const struct cr_state *s)
{
    return (struct cr_change){.cr0 = s->cr0, .cr4 = s->cr4, .efer = s->efer};
}

enum cr_result cr_write_cr0(const struct cr_state *s, uint64_t value, struct cr_change *out)
{
    struct cr_change c = unchanged(s);

    if ((value >> 32) || ((value & CR0_PG) && !(value & CR0_PE)) ||
        ((value & CR0_NW) && !(value & CR0_CD))) {
        return CR_FAULT;
    }
    c.cr0 = (value & CR0_DEFINED) | CR0_ET;
    uint64_t changed = c.cr0 ^ s->cr0;
    if ((changed & c.cr0 & CR0_PG) && (s->efer & EFER_LME)) {
        if (!(s->cr4 & CR4_PAE) || s->cs_l || s->tr_type != TYPE_BUSY_TSS) {
            return CR_FAULT;
        }
        c.efer |= EFER_LMA;
    } else if (changed & s->cr0 & CR0_PG) {
        if ((s->efer & EFER_LMA) && (s->cs_l || (s->cr4 & CR4_PCIDE))) {
            return CR_FAULT;
        }
        c.efer &= ~EFER_LMA;
        c.flush = true;
    }
    c.load_pdptes = is_pae(c.cr0, c.cr4, c.efer) && (changed & CR0_PDPTES);
    *out = c;
    return CR_DONE;
}

enum cr_result cr_write_cr4(const struct cr_state *s, uint64_t value, uint64_t offered,
                            struct cr_change *out)
{
    uint64_t changed = s->cr4 ^ value;
    bool long_mode = s->efer & EFER_LMA;
    struct cr_change c = unchanged(s);

    if ((value & ~offered) || (long_mode && !(value & CR4_PAE))) {
        return CR_FAULT;
    }
    if ((changed & value & CR4_PCIDE) && (!long_mode || (s->cr3 & 0xfff))) {
        return CR_FAULT;
    }
    c.cr4 = value;
    c.load_pdptes = is_pae(s->cr0, value, s->efer) && (changed & CR4_PDPTES);
    c.flush = changed & (CR4_PDPTES | CR4_PCIDE);
    *out = c;
    return CR_DONE;
}

uint64_t cr_of_lmsw(uint64_t cr0, uint16_t source)
{
    /* MP, EM and TS; PE can only be set. */
    return (cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (source & (CR0_PE | CR0_MP | CR0_EM | CR0_TS));
}

bool cr_pdptes_legal(const uint64_t pdpte[4], unsigned phys_bits)
{
    uint64_t reserved = PDPTE_RESERVED | ~(BIT(phys_bits) - 1);

    for (unsigned i = 0; i < 4; i++) {
        if ((pdpte[i] & 1) && (pdpte[i] & reserved)) {
            return false;
        }
    }
    return true;
}
