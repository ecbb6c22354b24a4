/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's frame and its integer instructions: see emul.h. */
#include "arch/x86_64/decode/emul.h"

#include "arch/x86_64/decode/alu.h"
#include "arch/x86_64/decode/emul_priv.h"
#include "base/bits.h"
#include "base/string.h"

/* ---- operands ------------------------------------------------------------------------------ */

static bool writes_dst(const struct insn *i)
{
    switch (i->op) {
    case INSN_TEST:
        return false;
    case INSN_ALU:
        return i->sub != ALU_CMP;
    case INSN_BIT:
        return i->sub != 0;
    default:
        return i->dst != OPERAND_NONE;
    }
}

static bool reads_dst(const struct insn *i)
{
    return i->op < INSN_MOV || i->op == INSN_CMOV;
}

static enum emul_result read_operand(struct emul *e, enum insn_operand which, unsigned size,
                                     const struct emul_range *m, uint64_t *value)
{
    const struct insn *i = &e->insn;

    switch (which) {
    case OPERAND_RM:
        if (i->memory) {
            return emul_get_value(e, m, value);
        }
        *value = emul_reg_read(e, i->rm, size, i->rex);
        break;
    case OPERAND_REG:
        *value = emul_reg_read(e, i->reg, size, i->rex);
        break;
    case OPERAND_IMM:
        *value = i->imm;
        break;
    case OPERAND_ACC:
        *value = emul_reg_read(e, RAX, size, true);
        break;
    case OPERAND_ONE:
        *value = 1;
        break;
    case OPERAND_CL:
        *value = e->gpr[RCX] & 0xff;
        break;
    default:
        *value = 0;
        break;
    }
    return EMUL_DONE;
}

static enum emul_result write_dst(struct emul *e, const struct emul_range *m, uint64_t value)
{
    const struct insn *i = &e->insn;

    if (i->dst == OPERAND_RM && i->memory) {
        return emul_put_value(e, m, value);
    }
    unsigned reg = i->dst == OPERAND_RM ? i->rm : i->dst == OPERAND_REG ? i->reg : RAX;
    emul_reg_write(e, reg, i->size, i->rex, value);
    return EMUL_DONE;
}

/* The memory operand, translated. A register's bit offset reaches beyond it: SDM vol. 2, BT. */
static enum emul_result map_memory(struct emul *e, struct emul_range *m)
{
    const struct insn *i = &e->insn;
    uint64_t at = emul_address(e, i);
    bool is_dst = i->dst == OPERAND_RM;

    if (i->op == INSN_BIT && i->src == OPERAND_REG) {
        int64_t bit = (int64_t)alu_sign_extend(e->gpr[i->reg & 15], i->size);
        at = (at + (uint64_t)(bit >> (i->size == 2   ? 4
                                      : i->size == 4 ? 5
                                                     : 6)) *
                       i->size) &
             alu_mask(i->address_size);
    }
    return emul_map_at(e, i->segment, at, is_dst ? i->size : i->src_size, is_dst && writes_dst(i),
                       m);
}

/* ---- integer instructions ------------------------------------------------------------------ */

/* dst op src; false: dst is not written. */
static bool compute(struct emul *e, uint64_t dst, uint64_t src, uint64_t *r, uint64_t *flags)
{
    const struct insn *i = &e->insn;
    uint64_t high, acc;
    enum insn_op op = i->op;

    if (op == INSN_TZCNT && !e->has_tzcnt) {
        op = INSN_BSF;
    } else if (op == INSN_LZCNT && !e->has_lzcnt) {
        op = INSN_BSR;
    }
    switch (op) {
    case INSN_ALU:
        *r = alu_binary((enum alu_op)i->sub, dst, src, i->size, flags);
        break;
    case INSN_TEST:
        *r = alu_binary(ALU_AND, dst, src, i->size, flags);
        break;
    case INSN_SHIFT:
        *r = alu_shift((enum alu_shift)i->sub, dst, src, i->size, flags);
        break;
    case INSN_BIT:
        *r = alu_bit(i->sub, dst, (unsigned)src & (8u * i->size - 1), flags);
        break;
    case INSN_NOT:
        *r = ~dst;
        break;
    case INSN_NEG:
        *r = alu_binary(ALU_SUB, 0, dst, i->size, flags);
        break;
    case INSN_INC:
    case INSN_DEC:
        *r = alu_step(op == INSN_INC, dst, i->size, flags);
        break;
    case INSN_SHLD:
    case INSN_SHRD:
        *r = alu_double_shift(op == INSN_SHLD, dst, src, i->has_imm ? i->imm : e->gpr[RCX], i->size,
                              flags);
        break;
    case INSN_XADD:
        *r = alu_binary(ALU_ADD, dst, src, i->size, flags);
        break;
    case INSN_CMPXCHG:
        acc = emul_reg_read(e, RAX, i->size, true);
        (void)alu_binary(ALU_CMP, acc, dst, i->size, flags);
        *r = (*flags & FLAG_ZF) ? src : dst;
        break;
    case INSN_MOVZX:
    case INSN_XCHG:
    case INSN_MOV:
        *r = src;
        break;
    case INSN_MOVSX:
        *r = alu_sign_extend(src, i->src_size);
        break;
    case INSN_MOVBE:
        *r = __builtin_bswap64(src) >> (64 - 8 * i->size);
        break;
    case INSN_SETCC:
        *r = alu_condition(i->sub, *flags);
        break;
    case INSN_CMOV:
        *r = alu_condition(i->sub, *flags) ? src : dst;
        break;
    case INSN_IMUL:
        alu_multiply(true, i->has_imm ? i->imm : emul_reg_read(e, i->reg, i->size, true), src,
                     i->size, r, &high, flags);
        break;
    case INSN_BSF:
    case INSN_BSR:
        *flags = (*flags & ~(uint64_t)FLAG_ZF) | (src == 0 ? FLAG_ZF : 0);
        if (src == 0) {
            return false;
        }
        *r = op == INSN_BSF ? alu_lowest(src) : alu_highest(src);
        break;
    case INSN_TZCNT:
    case INSN_LZCNT:
        *r = alu_count_zeros(op == INSN_TZCNT, src, i->size, flags);
        break;
    case INSN_POPCNT:
        *r = alu_popcnt(src, i->size, flags);
        break;
    default:
        return false;
    }
    return writes_dst(i);
}

static enum emul_result integer(struct emul *e)
{
    const struct insn *i = &e->insn;
    uint64_t dst = 0, src = 0, r = 0, flags = e->rflags;
    struct emul_range m;

    if (i->memory) {
        TRY(map_memory(e, &m));
    }
    TRY(read_operand(e, i->src, i->src_size, &m, &src));
    if (reads_dst(i)) {
        TRY(read_operand(e, i->dst, i->size, &m, &dst));
    }
    if (compute(e, dst, src, &r, &flags)) {
        bool swaps = i->op == INSN_XCHG || i->op == INSN_XADD;

        if (swaps && i->memory) {
            TRY(write_dst(e, &m, r));
        }
        if (swaps) {
            emul_reg_write(e, i->reg, i->size, i->rex, dst);
        }
        if (!(swaps && i->memory)) {
            TRY(write_dst(e, &m, r));
        }
    }
    if (i->op == INSN_CMPXCHG && !(flags & FLAG_ZF)) {
        emul_reg_write(e, RAX, i->size, true, dst);
    }
    e->rflags = flags;
    return EMUL_DONE;
}

/* MUL, IMUL, DIV, IDIV with the accumulator: AX, or DX:AX and wider. */
static enum emul_result wide(struct emul *e)
{
    const struct insn *i = &e->insn;
    bool is_signed = i->op == INSN_IMUL_WIDE || i->op == INSN_IDIV;
    uint64_t operand = 0, low = e->gpr[RAX], high = e->gpr[RDX], flags = e->rflags;
    struct emul_range m;

    if (i->memory) {
        TRY(emul_map_at(e, i->segment, emul_address(e, i), i->size, false, &m));
    }
    TRY(read_operand(e, OPERAND_RM, i->size, &m, &operand));
    if (i->op == INSN_MUL || i->op == INSN_IMUL_WIDE) {
        alu_multiply(is_signed, low, operand, i->size, &low, &high, &flags);
    } else {
        high = i->size == 1 ? low >> 8 : high;
        if (!alu_divide(is_signed, high, low, operand, i->size, &low, &high)) {
            return emul_raise(e, EXC_DE, false, 0);
        }
    }
    if (i->size == 1) {
        emul_reg_write(e, RAX, 2, true, low | high << 8);
    } else {
        emul_reg_write(e, RAX, i->size, true, low);
        emul_reg_write(e, RDX, i->size, true, high);
    }
    e->rflags = flags;
    return EMUL_DONE;
}

/* EDX:EAX or RDX:RAX with memory, for ECX:EBX or RCX:RBX. */
static enum emul_result cmpxchg8b(struct emul *e)
{
    const struct insn *i = &e->insn;
    unsigned half = i->size / 2u;
    uint8_t bytes[16] = {0};
    struct emul_range m;
    uint64_t at = 0;

    TRY(emul_linear(e, i->segment, emul_address(e, i), i->size, true, &at));
    if (i->size == 16 && at % 16 != 0) {
        return emul_raise(e, EXC_GP, true, 0);
    }
    TRY(emul_map_at(e, i->segment, emul_address(e, i), i->size, true, &m));
    TRY(emul_get(e, &m, bytes));
    uint64_t low = load_le64(bytes) & alu_mask(half);
    uint64_t high = load_le64(bytes + half) & alu_mask(half);
    bool equal =
        low == emul_reg_read(e, RAX, half, true) && high == emul_reg_read(e, RDX, half, true);
    if (equal) {
        uint8_t to[16];
        store_le64(to, e->gpr[RBX]);
        store_le64(to + half, e->gpr[RCX]);
        memcpy(bytes, to, i->size);
    } else {
        emul_reg_write(e, RAX, half, true, low);
        emul_reg_write(e, RDX, half, true, high);
    }
    TRY(emul_put(e, &m, bytes)); /* the CPU writes in either case */
    e->rflags = (e->rflags & ~(uint64_t)FLAG_ZF) | (equal ? FLAG_ZF : 0);
    return EMUL_DONE;
}

/* ---- the frame ----------------------------------------------------------------------------- */

/* The instruction's bytes up to the page's end, and beyond if that can be read. What is not RAM is
 * all ones. *rest: what a fetch beyond e->n_bytes comes to. */
static enum emul_result fetch(struct emul *e, enum emul_result *rest)
{
    unsigned access = GWALK_FETCH | (e->cpl == 3 ? GWALK_USER : 0);
    uint64_t linear = e->rip;

    if (e->mode != INSN_64) {
        struct emul_segment cs;
        e->ops->get_segment(e->ctx, SEG_CS, &cs);
        linear = (uint32_t)(cs.base + e->rip);
    }
    *rest = EMUL_DONE;
    e->n_bytes = 0;
    while (e->n_bytes < INSN_MAX && *rest == EMUL_DONE) {
        unsigned left = INSN_MAX - e->n_bytes;
        unsigned part = MIN(left, (unsigned)(PAGE_SIZE - (linear & PAGE_MASK)));
        struct emul_range r;

        *rest = emul_map(e, linear, part, access, &r);
        if (*rest == EMUL_DONE && !r.part[0].ram) {
            memset(e->bytes + e->n_bytes, 0xff, part);
        } else if (*rest == EMUL_DONE) {
            *rest = emul_get(e, &r, e->bytes + e->n_bytes);
        }
        if (*rest == EMUL_DONE) {
            e->n_bytes += part;
            linear = e->mode == INSN_64 ? linear + part : (uint32_t)(linear + part);
        }
    }
    return e->n_bytes > 0 ? EMUL_DONE : *rest;
}

static enum emul_result carry_out(struct emul *e, uint64_t *next)
{
    switch (e->insn.op) {
    case INSN_NOTHING:
        return EMUL_DONE;
    case INSN_MUL:
    case INSN_IMUL_WIDE:
    case INSN_DIV:
    case INSN_IDIV:
        return wide(e);
    case INSN_CMPXCHG8B:
        return cmpxchg8b(e);
    case INSN_PUSH:
    case INSN_POP:
    case INSN_PUSHF:
    case INSN_POPF:
    case INSN_PUSHA:
    case INSN_POPA:
    case INSN_CALL:
    case INSN_JMP:
    case INSN_RET:
    case INSN_ENTER:
    case INSN_LEAVE:
        return emul_stack(e, next);
    case INSN_MOVS:
    case INSN_CMPS:
    case INSN_STOS:
    case INSN_LODS:
    case INSN_SCAS:
        return emul_string(e);
    case INSN_VLOAD:
    case INSN_VSTORE:
        return emul_vector(e);
    case INSN_MOV_FROM_SREG:
    case INSN_MOV_TO_SREG:
    case INSN_LOAD_FAR:
    case INSN_SGDT:
    case INSN_SIDT:
    case INSN_LGDT:
    case INSN_LIDT:
    case INSN_SMSW:
    case INSN_SLDT:
    case INSN_STR:
        return emul_system(e);
    default:
        return integer(e);
    }
}

enum emul_result emul_step(struct emul *e)
{
    enum emul_result rest, r;
    uint64_t tf = e->rflags & RF_TF;

    emul_forget(e);
    e->blocks_ss = e->single_step = e->touched_device = false;
    e->fault = (struct emul_fault){0};
    memset(&e->insn, 0, sizeof(e->insn));
    TRY(fetch(e, &rest));
    switch (insn_decode(e->bytes, e->n_bytes, e->mode, &e->insn)) {
    case OK:
        break;
    case E_RANGE:
        /* All 15 bytes are there and do not suffice: SDM vol. 3, 6.15, #GP. */
        return rest == EMUL_DONE ? emul_raise(e, EXC_GP, true, 0) : rest;
    case E_INVAL:
        return emul_raise(e, EXC_UD, false, 0);
    default:
        return EMUL_UNKNOWN;
    }
    uint64_t next = e->rip + e->insn.length;
    if (e->mode != INSN_64) {
        next = (uint32_t)next;
    }
    r = carry_out(e, &next);
    if (r == EMUL_DONE) {
        e->rip = next;
        e->rflags &= ~RF_RF;
    } else if (r == EMUL_AGAIN) {
        e->rflags |= RF_RF; /* an instruction breakpoint there has been taken */
    }
    e->single_step = tf && (r == EMUL_DONE || r == EMUL_AGAIN);
    return r;
}
