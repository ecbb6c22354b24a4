/* SPDX-License-Identifier: BSD-2-Clause */
/* What the decoded instructions compute: registers, widening, arithmetic flags (SDM vol. 1, 3.4.3).
 */
#include "arch/x86_64/decode/insn.h"
#include "base/bits.h"

#define F_CF BIT(0)
#define F_PF BIT(2)
#define F_AF BIT(4)
#define F_ZF BIT(6)
#define F_SF BIT(7)
#define F_OF BIT(11)

static uint64_t mask_of(unsigned size)
{
    return size >= 8 ? UINT64_MAX : BIT(8 * size) - 1;
}

uint64_t insn_reg_read(const struct insn *i, const uint64_t gpr[16])
{
    uint64_t v = gpr[i->reg & 15];

    return (i->reg_high ? v >> 8 : v) & mask_of(i->reg_size);
}

void insn_reg_write(const struct insn *i, uint64_t gpr[16], uint64_t value, unsigned size)
{
    uint64_t *r = &gpr[i->reg & 15], mask = mask_of(size);

    if (i->reg_high) {
        *r = (*r & ~UINT64_C(0xff00)) | (value & 0xff) << 8;
    } else if (size == 4) {
        *r = value & mask;
    } else {
        *r = (*r & ~mask) | (value & mask);
    }
}

uint64_t insn_widen(const struct insn *i, uint64_t raw)
{
    raw &= mask_of(i->size);
    if (i->extend == EXTEND_SIGN && (raw & BIT(8 * i->size - 1))) {
        raw |= ~mask_of(i->size);
    }
    return raw & mask_of(i->reg_size);
}

uint64_t insn_alu(enum insn_alu alu, uint64_t dest, uint64_t src, unsigned size, uint64_t *rflags)
{
    uint64_t mask = mask_of(size), sign = BIT(8 * size - 1), flags = 0, r;
    bool carry_in = (alu == ALU_ADC || alu == ALU_SBB) && (*rflags & F_CF);

    dest &= mask;
    src &= mask;
    switch (alu) {
    case ALU_ADD:
    case ALU_ADC:
        r = (dest + src + carry_in) & mask;
        flags |= r < dest || (carry_in && r == dest) ? F_CF : 0;
        flags |= ((dest ^ r) & (src ^ r) & sign) ? F_OF : 0;
        flags |= ((dest ^ src ^ r) & 0x10) ? F_AF : 0;
        break;
    case ALU_SUB:
    case ALU_SBB:
    case ALU_CMP:
        r = (dest - src - carry_in) & mask;
        flags |= dest < src || (carry_in && dest == src) ? F_CF : 0;
        flags |= ((dest ^ src) & (dest ^ r) & sign) ? F_OF : 0;
        flags |= ((dest ^ src ^ r) & 0x10) ? F_AF : 0;
        break;
    case ALU_OR:
        r = dest | src;
        break;
    case ALU_AND:
        r = dest & src;
        break;
    default:
        r = dest ^ src;
        break;
    }
    flags |= r == 0 ? F_ZF : 0;
    flags |= (r & sign) ? F_SF : 0;
    flags |= __builtin_parity((unsigned)(r & 0xff)) ? 0 : F_PF;
    *rflags = (*rflags & ~(F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF)) | flags;
    return alu == ALU_CMP ? dest : r;
}
