/* SPDX-License-Identifier: BSD-2-Clause */
/* MOVS, CMPS, STOS, LODS, SCAS, with and without REP, an element at a time. */
#include "arch/x86_64/decode/alu.h"
#include "arch/x86_64/decode/emul_priv.h"
#include "base/bits.h"

/* One element; the registers are advanced when it has succeeded. */
static enum emul_result element(struct emul *e)
{
    const struct insn *i = &e->insn;
    uint64_t mask = emul_address_mask(i->address_size);
    uint64_t from = e->gpr[RSI] & mask, to = e->gpr[RDI] & mask, a = 0, b = 0;
    uint64_t step = (e->rflags & RF_DF) ? 0 - (uint64_t)i->size : i->size;
    bool uses_si = i->op == INSN_MOVS || i->op == INSN_CMPS || i->op == INSN_LODS;
    bool uses_di = i->op != INSN_LODS, writes = i->op == INSN_MOVS || i->op == INSN_STOS;
    struct emul_range source, target;

    /* Both are known to be possible before a device sees either. */
    if (uses_si) {
        TRY(emul_map_at(e, i->segment, from, i->size, false, &source));
    }
    if (uses_di) {
        TRY(emul_map_at(e, SEG_ES, to, i->size, writes, &target));
    }
    if (uses_si) {
        TRY(emul_get_value(e, &source, &a));
    } else {
        a = emul_reg_read(e, RAX, i->size, true);
    }
    switch (i->op) {
    case INSN_MOVS:
    case INSN_STOS:
        TRY(emul_put_value(e, &target, a));
        break;
    case INSN_LODS:
        emul_reg_write(e, RAX, i->size, true, a);
        break;
    default: /* CMPS: [SI] - [DI]; SCAS: the accumulator - [DI] */
        TRY(emul_get_value(e, &target, &b));
        (void)alu_binary(ALU_CMP, a, b, i->size, &e->rflags);
        break;
    }
    if (uses_si) {
        emul_reg_add(&e->gpr[RSI], step, i->address_size);
    }
    if (uses_di) {
        emul_reg_add(&e->gpr[RDI], step, i->address_size);
    }
    return EMUL_DONE;
}

/* Whether REPE or REPNE ends by what was compared. */
static bool compare_ends(const struct emul *e)
{
    const struct insn *i = &e->insn;

    if (i->op != INSN_CMPS && i->op != INSN_SCAS) {
        return false;
    }
    return i->repe ? !(e->rflags & FLAG_ZF) : (e->rflags & FLAG_ZF) != 0;
}

enum emul_result emul_string(struct emul *e)
{
    const struct insn *i = &e->insn;
    uint64_t mask = emul_address_mask(i->address_size);

    if (!i->repe && !i->repne) {
        return element(e);
    }
    while ((e->gpr[RCX] & mask) != 0) {
        e->touched_device = false;
        TRY(element(e));
        emul_reg_add(&e->gpr[RCX], UINT64_MAX, i->address_size);
        if ((e->gpr[RCX] & mask) == 0 || compare_ends(e)) {
            break;
        }
        /* A trap comes after each element; where it is all RAM again the CPU is quicker. */
        if ((e->rflags & RF_TF) || !e->touched_device || e->ops->stop(e->ctx)) {
            return EMUL_AGAIN;
        }
    }
    return EMUL_DONE;
}
