/* SPDX-License-Identifier: BSD-2-Clause */
/* The MTRRs' values: see mtrr.h. */
#include "arch/x86_64/hvm/mtrr.h"

#include "base/bits.h"

#define MSR_IA32_MTRRCAP 0xfeu
#define MSR_IA32_MTRR_PHYSBASE0 0x200u
#define MSR_IA32_MTRR_FIX64K 0x250u
#define MSR_IA32_MTRR_FIX16K 0x258u
#define MSR_IA32_MTRR_FIX4K 0x268u
#define MSR_IA32_MTRR_DEF_TYPE 0x2ffu

#define CAP_FIXED BIT(8)
#define CAP_WC BIT(10)
#define DEF_FIXED_ENABLE BIT(10)
#define DEF_ENABLE BIT(11)
#define MASK_VALID BIT(11)

#define UNCACHED 0u
#define WRITE_PROTECTED 5u
#define WRITE_BACK 6u
#define EIGHT_OF(type) ((type)*UINT64_C(0x0101010101010101))

/* Uncached, write-combining, write-through, write-protected, write-back; 2, 3 and 7 up are none. */
static bool type_exists(uint64_t type)
{
    return type < 7 && type != 2 && type != 3;
}

static uint64_t beyond_address(const struct mtrrs *m)
{
    return ~(BIT(m->phys_bits) - 1);
}

/* The slot of a fixed range's register, or -1. */
static int fixed_slot(uint32_t msr)
{
    if (msr == MSR_IA32_MTRR_FIX64K) {
        return 0;
    }
    if (msr - MSR_IA32_MTRR_FIX16K < 2) {
        return (int)(1 + msr - MSR_IA32_MTRR_FIX16K);
    }
    if (msr - MSR_IA32_MTRR_FIX4K < 8) {
        return (int)(3 + msr - MSR_IA32_MTRR_FIX4K);
    }
    return -1;
}

static bool fixed_valid(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!type_exists(value >> 8 * i & 0xff)) {
            return false;
        }
    }
    return true;
}

static bool variable_valid(const struct mtrrs *m, uint32_t n, uint64_t value)
{
    if (value & beyond_address(m)) {
        return false;
    }
    return n % 2 ? !(value & 0x7ff) : !(value & 0xf00) && type_exists(value & 0xff);
}

void mtrrs_reset(struct mtrrs *m, unsigned phys_bits, uint32_t hole_base)
{
    *m = (struct mtrrs){.phys_bits = phys_bits,
                        .def_type = DEF_ENABLE | DEF_FIXED_ENABLE | WRITE_BACK};
    for (unsigned i = 0; i < MTRR_FIXED; i++) {
        m->fixed[i] = EIGHT_OF(i < 2 ? WRITE_BACK : i == 2 ? UNCACHED : WRITE_PROTECTED);
    }
    m->variable[0] = hole_base | UNCACHED;
    m->variable[1] = (~(UINT64_C(0x100000000) - hole_base - 1) & ~beyond_address(m)) | MASK_VALID;
}

enum status mtrrs_read(const struct mtrrs *m, uint32_t msr, uint64_t *value)
{
    int fixed = fixed_slot(msr);

    if (fixed >= 0) {
        *value = m->fixed[fixed];
    } else if (msr - MSR_IA32_MTRR_PHYSBASE0 < 2 * MTRR_VARIABLE) {
        *value = m->variable[msr - MSR_IA32_MTRR_PHYSBASE0];
    } else if (msr == MSR_IA32_MTRR_DEF_TYPE) {
        *value = m->def_type;
    } else if (msr == MSR_IA32_MTRRCAP) {
        *value = MTRR_VARIABLE | CAP_FIXED | CAP_WC;
    } else {
        return E_NOTFOUND;
    }
    return OK;
}

enum status mtrrs_write(struct mtrrs *m, uint32_t msr, uint64_t value)
{
    int fixed = fixed_slot(msr);

    if (fixed >= 0) {
        if (!fixed_valid(value)) {
            return E_FAULT;
        }
        m->fixed[fixed] = value;
    } else if (msr - MSR_IA32_MTRR_PHYSBASE0 < 2 * MTRR_VARIABLE) {
        if (!variable_valid(m, msr - MSR_IA32_MTRR_PHYSBASE0, value)) {
            return E_FAULT;
        }
        m->variable[msr - MSR_IA32_MTRR_PHYSBASE0] = value;
    } else if (msr == MSR_IA32_MTRR_DEF_TYPE) {
        if ((value & ~(DEF_ENABLE | DEF_FIXED_ENABLE | 0xff)) || !type_exists(value & 0xff)) {
            return E_FAULT;
        }
        m->def_type = value;
    } else {
        return msr == MSR_IA32_MTRRCAP ? E_FAULT : E_NOTFOUND; /* read-only */
    }
    return OK;
}
