/* SPDX-License-Identifier: BSD-2-Clause */
/* Decoding: see insn.h. */
#include "arch/x86_64/decode/insn.h"

#include "base/bits.h"
#include "base/string.h"

#define REX_W 8u
#define REX_R 4u
#define REX_B 1u

struct cursor {
    const uint8_t *bytes;
    unsigned n, at;
    enum status status;
};

static uint8_t next(struct cursor *c)
{
    if (c->at >= INSN_MAX) {
        c->status = E_INVAL;
        return 0;
    }
    if (c->at >= c->n) {
        if (c->status == OK) {
            c->status = E_RANGE;
        }
        return 0;
    }
    return c->bytes[c->at++];
}

/* A little-endian, sign-extended immediate or displacement. */
static uint64_t next_signed(struct cursor *c, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++) {
        v |= (uint64_t)next(c) << 8 * i;
    }
    if (size > 0 && size < 8 && (v & BIT(8 * size - 1))) {
        v |= ~(BIT(8 * size) - 1);
    }
    return v;
}

struct prefixes {
    bool operand, address, lock, rep;
    uint8_t rex;
};

static uint8_t take_prefixes(struct cursor *c, enum insn_mode mode, struct prefixes *p)
{
    for (;;) {
        uint8_t b = next(c);
        switch (b) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
            break; /* segments: the exit's address has them already */
        case 0x66:
            p->operand = true;
            break;
        case 0x67:
            p->address = true;
            break;
        case 0xf0:
            p->lock = true;
            break;
        case 0xf2:
        case 0xf3:
            p->rep = true;
            break;
        default:
            if (mode == INSN_64 && (b & 0xf0) == 0x40) {
                p->rex = b;
                b = next(c); /* REX counts only right before the opcode */
                if ((b & 0xf0) == 0x40 || b == 0x66 || b == 0x67 || b == 0xf0 || b == 0xf2 ||
                    b == 0xf3 || b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x64 ||
                    b == 0x65) {
                    p->rex = 0;
                    c->at--;
                    continue;
                }
            }
            return b;
        }
        if (c->status != OK) {
            return 0;
        }
    }
}

/* Takes ModRM, SIB and displacement. False: the operand is a register. */
static bool take_modrm(struct cursor *c, unsigned address_size, uint8_t *reg)
{
    uint8_t modrm = next(c), mod = modrm >> 6, rm = modrm & 7;

    *reg = modrm >> 3 & 7;
    if (mod == 3) {
        return false;
    }
    if (address_size == 2) {
        (void)next_signed(c, mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
        return true;
    }
    unsigned disp = mod == 1 ? 1 : mod == 2 ? 4 : rm == 5 ? 4 : 0;
    if (rm == 4) {
        uint8_t sib = next(c);
        if (mod == 0 && (sib & 7) == 5) {
            disp = 4;
        }
    }
    (void)next_signed(c, disp);
    return true;
}

static void set_reg(struct insn *i, uint8_t reg, uint8_t size, const struct prefixes *p)
{
    i->reg_size = size;
    i->reg_high = size == 1 && !p->rex && reg >= 4;
    i->reg = i->reg_high ? reg - 4 : (uint8_t)(reg | ((p->rex & REX_R) ? 8 : 0));
}

/* Opcodes with 0x0f before them: the widening loads. */
static enum status decode_0f(struct cursor *c, struct insn *i, const struct prefixes *p,
                             uint8_t operand)
{
    uint8_t op = next(c), reg;

    if (op != 0xb6 && op != 0xb7 && op != 0xbe && op != 0xbf) {
        return c->status != OK ? c->status : E_UNSUPPORTED;
    }
    if (!take_modrm(c, i->address_size, &reg)) {
        return c->status != OK ? c->status : E_UNSUPPORTED;
    }
    i->op = INSN_LOAD;
    i->extend = op >= 0xbe ? EXTEND_SIGN : EXTEND_ZERO;
    i->size = (op & 1) ? 2 : 1;
    set_reg(i, reg, operand, p);
    if (i->reg_size == 1) {
        return E_UNSUPPORTED;
    }
    return OK;
}

static enum status decode_group1(struct cursor *c, struct insn *i, uint8_t op, uint8_t operand)
{
    uint8_t reg;

    if (!take_modrm(c, i->address_size, &reg)) {
        return E_UNSUPPORTED;
    }
    i->op = INSN_ALU;
    i->alu = (enum insn_alu)reg;
    i->to_memory = true;
    i->has_imm = true;
    i->size = i->reg_size = op == 0x80 ? 1 : operand;
    i->imm = next_signed(c, op == 0x81 ? MIN(operand, 4u) : 1u);
    return OK;
}

/* MOV, XCHG, TEST, ALU between a register and memory. */
static enum status decode_reg(struct cursor *c, struct insn *i, const struct prefixes *p,
                              uint8_t op, uint8_t operand)
{
    uint8_t reg, size = (op & 1) ? operand : 1;

    if (!take_modrm(c, i->address_size, &reg)) {
        return E_UNSUPPORTED;
    }
    i->size = size;
    set_reg(i, reg, size, p);
    return OK;
}

static enum status decode_op(struct cursor *c, struct insn *i, const struct prefixes *p, uint8_t op,
                             uint8_t operand)
{
    uint8_t reg, size = (op & 1) ? operand : 1;

    if (op < 0x40 && (op & 7) < 4) { /* ALU r/m,r and r,r/m */
        i->op = INSN_ALU;
        i->alu = (enum insn_alu)(op >> 3);
        i->to_memory = !(op & 2);
        return decode_reg(c, i, p, op, operand);
    }
    switch (op) {
    case 0x0f:
        return decode_0f(c, i, p, operand);
    case 0x63: /* MOVSXD */
        if (!take_modrm(c, i->address_size, &reg)) {
            return E_UNSUPPORTED;
        }
        i->op = INSN_LOAD;
        i->extend = EXTEND_SIGN;
        i->size = operand == 2 ? 2 : 4;
        set_reg(i, reg, operand, p);
        return OK;
    case 0x80:
    case 0x81:
    case 0x83:
        return decode_group1(c, i, op, operand);
    case 0x84:
    case 0x85:
        i->op = INSN_TEST;
        return decode_reg(c, i, p, op, operand);
    case 0x86:
    case 0x87:
        i->op = INSN_XCHG;
        return decode_reg(c, i, p, op, operand);
    case 0x88:
    case 0x89:
        i->op = INSN_STORE;
        return decode_reg(c, i, p, op, operand);
    case 0x8a:
    case 0x8b:
        i->op = INSN_LOAD;
        return decode_reg(c, i, p, op, operand);
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa3: /* accumulator and an absolute address */
        (void)next_signed(c, i->address_size);
        i->op = (op & 2) ? INSN_STORE : INSN_LOAD;
        i->size = i->reg_size = size;
        return OK;
    case 0xa4:
    case 0xa5:
        i->op = INSN_MOVS;
        i->size = i->reg_size = size;
        i->rep = p->rep;
        return OK;
    case 0xaa:
    case 0xab:
        i->op = INSN_STOS;
        i->size = i->reg_size = size;
        i->rep = p->rep;
        return OK;
    case 0xc6:
    case 0xc7:
    case 0xf6:
    case 0xf7:
        if (!take_modrm(c, i->address_size, &reg) || reg > (op >= 0xf6 ? 1 : 0)) {
            return E_UNSUPPORTED;
        }
        i->op = op >= 0xf6 ? INSN_TEST : INSN_STORE;
        i->has_imm = true;
        i->size = i->reg_size = size;
        i->imm = next_signed(c, MIN(size, 4u));
        return OK;
    default:
        return E_UNSUPPORTED;
    }
}

enum status insn_decode(const uint8_t *bytes, unsigned n, enum insn_mode mode, struct insn *out)
{
    struct cursor c = {bytes, n, 0, OK};
    struct prefixes p = {0};
    struct insn i;

    memset(&i, 0, sizeof(i));
    uint8_t op = take_prefixes(&c, mode, &p);
    if (c.status != OK) {
        return c.status;
    }
    uint8_t operand = (p.rex & REX_W)   ? 8
                      : mode == INSN_16 ? (p.operand ? 4 : 2)
                      : p.operand       ? 2
                                        : 4;
    i.address_size = mode == INSN_64   ? (p.address ? 4 : 8)
                     : mode == INSN_32 ? (p.address ? 2 : 4)
                                       : (p.address ? 4 : 2);
    if (mode != INSN_64 && op == 0x63) {
        return E_UNSUPPORTED; /* ARPL */
    }
    enum status s = decode_op(&c, &i, &p, op, operand);
    if (c.status != OK) {
        return c.status;
    }
    if (s != OK) {
        return s;
    }
    /* LOCK is #UD but for read-modify-write of memory. */
    bool lockable = i.op == INSN_XCHG || (i.op == INSN_ALU && i.to_memory && i.alu != ALU_CMP);
    if (p.lock && !lockable) {
        return E_INVAL;
    }
    i.length = (uint8_t)c.at;
    *out = i;
    return OK;
}
