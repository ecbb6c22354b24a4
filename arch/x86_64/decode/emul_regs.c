/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's general registers, and the addresses that are made of them. */
#include "arch/x86_64/decode/alu.h"
#include "arch/x86_64/decode/emul_priv.h"

static bool is_high_byte(unsigned reg, unsigned size, bool rex)
{
    return size == 1 && !rex && reg >= 4;
}

uint64_t emul_reg_read(const struct emul *e, unsigned reg, unsigned size, bool rex)
{
    if (is_high_byte(reg, size, rex)) {
        return e->gpr[reg & 3] >> 8 & 0xff;
    }
    return e->gpr[reg & 15] & alu_mask(size);
}

void emul_reg_write(struct emul *e, unsigned reg, unsigned size, bool rex, uint64_t value)
{
    uint64_t mask = alu_mask(size), *r = &e->gpr[reg & 15];

    if (is_high_byte(reg, size, rex)) {
        r = &e->gpr[reg & 3];
        *r = (*r & ~UINT64_C(0xff00)) | (value & 0xff) << 8;
    } else if (size == 4) {
        *r = value & mask;
    } else {
        *r = (*r & ~mask) | (value & mask);
    }
}

uint64_t emul_address_mask(unsigned address_size)
{
    return alu_mask(address_size);
}

void emul_reg_add(uint64_t *reg, uint64_t by, unsigned address_size)
{
    uint64_t mask = alu_mask(address_size);

    *reg = address_size == 2 ? (*reg & ~mask) | ((*reg + by) & mask) : (*reg + by) & mask;
}

uint64_t emul_address(const struct emul *e, const struct insn *i)
{
    uint64_t at = i->disp;

    if (i->base == INSN_RIP) {
        at += e->rip + i->length;
    } else if (i->base != INSN_NO_REG) {
        at += e->gpr[i->base & 15];
    }
    if (i->index != INSN_NO_REG) {
        at += e->gpr[i->index & 15] << i->scale;
    }
    return at & alu_mask(i->address_size);
}
