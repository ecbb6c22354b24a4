/* SPDX-License-Identifier: BSD-2-Clause */
/* Opcodes and their meaning: tables after SDM vol. 2, appendix A. */
#include "arch/x86_64/decode/insn_forms.h"

#include "base/bits.h"

/* Further flags of a form, beside FORM_*. */
enum {
    BYTE = 1 << 8,     /* operands of one byte */
    SRC8 = 1 << 9,     /* src is 1 or 2 bytes, dst the operand size */
    SRC16 = 1 << 10,   /* */
    MEMORY = 1 << 11,  /* no register instead */
    DEF64 = 1 << 12,   /* in 64-bit mode 8 bytes, or 2 */
    FORCE64 = 1 << 13, /* in 64-bit mode 8 bytes, whatever the prefixes say */
    ONLY64 = 1 << 14,
    NOT64 = 1 << 15,
    MODRM = 1 << 16,
    GROUP = 1 << 17, /* `op` is an enum group; ModRM's reg field decides */
};
#define I8 FORM_IMM8
#define IZ FORM_IMMZ
#define LOCK FORM_LOCK

#define RM OPERAND_RM
#define REG OPERAND_REG
#define ACC OPERAND_ACC
#define IMM OPERAND_IMM
#define SREG OPERAND_SREG
#define NONE OPERAND_NONE

struct form {
    uint8_t op, dst, src;
    uint32_t flags;
};

enum group { G_ALU, G_MOV, G_UNARY, G_CALL, G_POP, G_BIT, G_CMPXCHG8B, G_FLUSH, G_TABLES, G_TASK };

static const struct form one_byte[256] = {
    [0x06] = {INSN_PUSH, NONE, SREG, NOT64},
    [0x07] = {INSN_POP, SREG, NONE, NOT64},
    [0x0e] = {INSN_PUSH, NONE, SREG, NOT64},
    [0x16] = {INSN_PUSH, NONE, SREG, NOT64},
    [0x17] = {INSN_POP, SREG, NONE, NOT64},
    [0x1e] = {INSN_PUSH, NONE, SREG, NOT64},
    [0x1f] = {INSN_POP, SREG, NONE, NOT64},
    [0x50 ... 0x57] = {INSN_PUSH, NONE, RM, DEF64 | FORM_OPREG},
    [0x58 ... 0x5f] = {INSN_POP, RM, NONE, DEF64 | FORM_OPREG},
    [0x60] = {INSN_PUSHA, NONE, NONE, NOT64},
    [0x61] = {INSN_POPA, NONE, NONE, NOT64},
    [0x63] = {INSN_MOVSX, REG, RM, MODRM | ONLY64},
    [0x68] = {INSN_PUSH, NONE, IMM, DEF64 | IZ},
    [0x69] = {INSN_IMUL, REG, RM, MODRM | IZ},
    [0x6a] = {INSN_PUSH, NONE, IMM, DEF64 | I8},
    [0x6b] = {INSN_IMUL, REG, RM, MODRM | I8},
    [0x80] = {G_ALU, RM, IMM, GROUP | BYTE | I8 | LOCK},
    [0x81] = {G_ALU, RM, IMM, GROUP | IZ | LOCK},
    [0x82] = {G_ALU, RM, IMM, GROUP | BYTE | I8 | LOCK | NOT64},
    [0x83] = {G_ALU, RM, IMM, GROUP | I8 | LOCK},
    [0x84] = {INSN_TEST, RM, REG, MODRM | BYTE},
    [0x85] = {INSN_TEST, RM, REG, MODRM},
    [0x86] = {INSN_XCHG, RM, REG, MODRM | BYTE | LOCK},
    [0x87] = {INSN_XCHG, RM, REG, MODRM | LOCK},
    [0x88] = {INSN_MOV, RM, REG, MODRM | BYTE},
    [0x89] = {INSN_MOV, RM, REG, MODRM},
    [0x8a] = {INSN_MOV, REG, RM, MODRM | BYTE},
    [0x8b] = {INSN_MOV, REG, RM, MODRM},
    [0x8c] = {INSN_MOV_FROM_SREG, RM, SREG, MODRM},
    [0x8e] = {INSN_MOV_TO_SREG, SREG, RM, MODRM},
    [0x8f] = {G_POP, RM, NONE, GROUP | DEF64},
    [0x9c] = {INSN_PUSHF, NONE, NONE, DEF64},
    [0x9d] = {INSN_POPF, NONE, NONE, DEF64},
    [0xa0] = {INSN_MOV, ACC, RM, BYTE | FORM_IMM_MOFFS},
    [0xa1] = {INSN_MOV, ACC, RM, FORM_IMM_MOFFS},
    [0xa2] = {INSN_MOV, RM, ACC, BYTE | FORM_IMM_MOFFS},
    [0xa3] = {INSN_MOV, RM, ACC, FORM_IMM_MOFFS},
    [0xa4] = {INSN_MOVS, NONE, NONE, BYTE},
    [0xa5] = {INSN_MOVS, NONE, NONE, 0},
    [0xa6] = {INSN_CMPS, NONE, NONE, BYTE},
    [0xa7] = {INSN_CMPS, NONE, NONE, 0},
    [0xaa] = {INSN_STOS, NONE, NONE, BYTE},
    [0xab] = {INSN_STOS, NONE, NONE, 0},
    [0xac] = {INSN_LODS, NONE, NONE, BYTE},
    [0xad] = {INSN_LODS, NONE, NONE, 0},
    [0xae] = {INSN_SCAS, NONE, NONE, BYTE},
    [0xaf] = {INSN_SCAS, NONE, NONE, 0},
    [0xc0] = {INSN_SHIFT, RM, IMM, MODRM | BYTE | I8},
    [0xc1] = {INSN_SHIFT, RM, IMM, MODRM | I8},
    [0xc2] = {INSN_RET, NONE, NONE, FORCE64 | FORM_IMM16},
    [0xc3] = {INSN_RET, NONE, NONE, FORCE64},
    [0xc4] = {INSN_LOAD_FAR, REG, RM, MODRM | MEMORY | NOT64},
    [0xc5] = {INSN_LOAD_FAR, REG, RM, MODRM | MEMORY | NOT64},
    [0xc6] = {G_MOV, RM, IMM, GROUP | BYTE | I8},
    [0xc7] = {G_MOV, RM, IMM, GROUP | IZ},
    [0xc8] = {INSN_ENTER, NONE, NONE, DEF64 | FORM_IMM16 | FORM_NESTING},
    [0xc9] = {INSN_LEAVE, NONE, NONE, DEF64},
    [0xd0] = {INSN_SHIFT, RM, OPERAND_ONE, MODRM | BYTE},
    [0xd1] = {INSN_SHIFT, RM, OPERAND_ONE, MODRM},
    [0xd2] = {INSN_SHIFT, RM, OPERAND_CL, MODRM | BYTE},
    [0xd3] = {INSN_SHIFT, RM, OPERAND_CL, MODRM},
    [0xe8] = {INSN_CALL, NONE, IMM, FORCE64 | IZ},
    [0xf6] = {G_UNARY, RM, NONE, GROUP | BYTE},
    [0xf7] = {G_UNARY, RM, NONE, GROUP},
    [0xfe] = {G_CALL, RM, NONE, GROUP | BYTE},
    [0xff] = {G_CALL, RM, NONE, GROUP},
};

static const struct form two_byte[256] = {
    [0x00] = {G_TASK, RM, NONE, GROUP},
    [0x01] = {G_TABLES, RM, NONE, GROUP},
    [0x0d] = {INSN_NOTHING, NONE, NONE, MODRM | MEMORY},
    [0x18] = {INSN_NOTHING, NONE, NONE, MODRM | MEMORY},
    [0x40 ... 0x4f] = {INSN_CMOV, REG, RM, MODRM},
    [0x90 ... 0x9f] = {INSN_SETCC, RM, NONE, MODRM | BYTE},
    [0xa0] = {INSN_PUSH, NONE, SREG, DEF64},
    [0xa1] = {INSN_POP, SREG, NONE, DEF64},
    [0xa3] = {INSN_BIT, RM, REG, MODRM},
    [0xa4] = {INSN_SHLD, RM, REG, MODRM | I8},
    [0xa5] = {INSN_SHLD, RM, REG, MODRM},
    [0xa8] = {INSN_PUSH, NONE, SREG, DEF64},
    [0xa9] = {INSN_POP, SREG, NONE, DEF64},
    [0xab] = {INSN_BIT, RM, REG, MODRM | LOCK},
    [0xac] = {INSN_SHRD, RM, REG, MODRM | I8},
    [0xad] = {INSN_SHRD, RM, REG, MODRM},
    [0xae] = {G_FLUSH, NONE, NONE, GROUP | MEMORY},
    [0xaf] = {INSN_IMUL, REG, RM, MODRM},
    [0xb0] = {INSN_CMPXCHG, RM, REG, MODRM | BYTE | LOCK},
    [0xb1] = {INSN_CMPXCHG, RM, REG, MODRM | LOCK},
    [0xb2] = {INSN_LOAD_FAR, REG, RM, MODRM | MEMORY},
    [0xb3] = {INSN_BIT, RM, REG, MODRM | LOCK},
    [0xb4] = {INSN_LOAD_FAR, REG, RM, MODRM | MEMORY},
    [0xb5] = {INSN_LOAD_FAR, REG, RM, MODRM | MEMORY},
    [0xb6] = {INSN_MOVZX, REG, RM, MODRM | SRC8},
    [0xb7] = {INSN_MOVZX, REG, RM, MODRM | SRC16},
    [0xb8] = {INSN_POPCNT, REG, RM, MODRM},
    [0xba] = {G_BIT, RM, IMM, GROUP | I8},
    [0xbb] = {INSN_BIT, RM, REG, MODRM | LOCK},
    [0xbc] = {INSN_BSF, REG, RM, MODRM},
    [0xbd] = {INSN_BSR, REG, RM, MODRM},
    [0xbe] = {INSN_MOVSX, REG, RM, MODRM | SRC8},
    [0xbf] = {INSN_MOVSX, REG, RM, MODRM | SRC16},
    [0xc0] = {INSN_XADD, RM, REG, MODRM | BYTE | LOCK},
    [0xc1] = {INSN_XADD, RM, REG, MODRM | LOCK},
    [0xc3] = {INSN_MOV, RM, REG, MODRM | MEMORY}, /* MOVNTI */
    [0xc7] = {G_CMPXCHG8B, RM, NONE, GROUP | MEMORY | LOCK},
};

static const struct form alu_forms[6] = {
    {INSN_ALU, RM, REG, MODRM | BYTE | LOCK}, {INSN_ALU, RM, REG, MODRM | LOCK},
    {INSN_ALU, REG, RM, MODRM | BYTE},        {INSN_ALU, REG, RM, MODRM},
    {INSN_ALU, ACC, IMM, BYTE | I8},          {INSN_ALU, ACC, IMM, IZ},
};

static const struct form movbe_load = {INSN_MOVBE, REG, RM, MODRM | MEMORY};
static const struct form movbe_store = {INSN_MOVBE, RM, REG, MODRM | MEMORY};

/* Moves of vector registers from or to memory; `size` 0 is all of the register. */
struct vector_form {
    uint8_t map, opcode, prefix;
    bool store, aligned;
    uint8_t kind, size;
};
#define SIZE_D_OR_Q 255 /* 4, or 8 with REX.W or VEX.W */

static const struct vector_form vector_forms[] = {
    {1, 0x10, PREFIX_NONE, false, false, VECTOR_ALL, 0}, /* MOVUPS */
    {1, 0x11, PREFIX_NONE, true, false, VECTOR_ALL, 0},
    {1, 0x10, PREFIX_66, false, false, VECTOR_ALL, 0}, /* MOVUPD */
    {1, 0x11, PREFIX_66, true, false, VECTOR_ALL, 0},
    {1, 0x10, PREFIX_F3, false, false, VECTOR_SCALAR, 4}, /* MOVSS */
    {1, 0x11, PREFIX_F3, true, false, VECTOR_SCALAR, 4},
    {1, 0x10, PREFIX_F2, false, false, VECTOR_SCALAR, 8}, /* MOVSD */
    {1, 0x11, PREFIX_F2, true, false, VECTOR_SCALAR, 8},
    {1, 0x12, PREFIX_NONE, false, false, VECTOR_LOW, 8}, /* MOVLPS */
    {1, 0x13, PREFIX_NONE, true, false, VECTOR_LOW, 8},
    {1, 0x12, PREFIX_66, false, false, VECTOR_LOW, 8}, /* MOVLPD */
    {1, 0x13, PREFIX_66, true, false, VECTOR_LOW, 8},
    {1, 0x16, PREFIX_NONE, false, false, VECTOR_HIGH, 8}, /* MOVHPS */
    {1, 0x17, PREFIX_NONE, true, false, VECTOR_HIGH, 8},
    {1, 0x16, PREFIX_66, false, false, VECTOR_HIGH, 8}, /* MOVHPD */
    {1, 0x17, PREFIX_66, true, false, VECTOR_HIGH, 8},
    {1, 0x28, PREFIX_NONE, false, true, VECTOR_ALL, 0}, /* MOVAPS */
    {1, 0x29, PREFIX_NONE, true, true, VECTOR_ALL, 0},
    {1, 0x28, PREFIX_66, false, true, VECTOR_ALL, 0}, /* MOVAPD */
    {1, 0x29, PREFIX_66, true, true, VECTOR_ALL, 0},
    {1, 0x2b, PREFIX_NONE, true, true, VECTOR_ALL, 0},              /* MOVNTPS */
    {1, 0x2b, PREFIX_66, true, true, VECTOR_ALL, 0},                /* MOVNTPD */
    {1, 0x6e, PREFIX_66, false, false, VECTOR_SCALAR, SIZE_D_OR_Q}, /* MOVD, MOVQ */
    {1, 0x7e, PREFIX_66, true, false, VECTOR_SCALAR, SIZE_D_OR_Q},
    {1, 0x7e, PREFIX_F3, false, false, VECTOR_SCALAR, 8}, /* MOVQ */
    {1, 0xd6, PREFIX_66, true, false, VECTOR_SCALAR, 8},
    {1, 0x6f, PREFIX_66, false, true, VECTOR_ALL, 0}, /* MOVDQA */
    {1, 0x7f, PREFIX_66, true, true, VECTOR_ALL, 0},
    {1, 0x6f, PREFIX_F3, false, false, VECTOR_ALL, 0}, /* MOVDQU */
    {1, 0x7f, PREFIX_F3, true, false, VECTOR_ALL, 0},
    {1, 0xe7, PREFIX_66, true, true, VECTOR_ALL, 0},   /* MOVNTDQ */
    {1, 0xf0, PREFIX_F2, false, false, VECTOR_ALL, 0}, /* LDDQU */
    {2, 0x2a, PREFIX_66, false, true, VECTOR_ALL, 0},  /* MOVNTDQA */
};

static const struct vector_form *find_vector(const struct insn_opcode *o)
{
    for (unsigned n = 0; n < ARRAY_LEN(vector_forms); n++) {
        const struct vector_form *f = &vector_forms[n];

        if (f->map == o->map && f->opcode == o->opcode && f->prefix == o->prefix) {
            return f;
        }
    }
    return NULL;
}

static const struct form *find(const struct insn_opcode *o)
{
    const struct form *f = NULL;

    if (o->vex) {
        return NULL;
    }
    if (o->map == 0) {
        f = o->opcode < 0x40 && (o->opcode & 7) < 6 ? &alu_forms[o->opcode & 7]
                                                    : &one_byte[o->opcode];
    } else if (o->map == 1) {
        f = &two_byte[o->opcode];
    } else if (o->map == 2 && o->prefix <= PREFIX_66 && (o->opcode & 0xfe) == 0xf0) {
        f = o->opcode == 0xf0 ? &movbe_load : &movbe_store;
    }
    /* Operation and flags 0 is an empty entry: no instruction of ours has neither. */
    return f && (f->op || f->flags) ? f : NULL;
}

bool insn_has_modrm(const struct insn_opcode *o)
{
    const struct form *f = find(o);

    return find_vector(o) || (f && (f->flags & (MODRM | GROUP)));
}

static bool vector_form(const struct insn_opcode *o, const struct vector_form *f, struct insn *i)
{
    bool merges = !f->store && (f->kind == VECTOR_LOW || f->kind == VECTOR_HIGH);

    if (!i->memory) {
        return false;
    }
    i->op = f->store ? INSN_VSTORE : INSN_VLOAD;
    i->sub = f->kind;
    i->aligned = f->aligned;
    i->size = f->size;
    if (f->size == 0) {
        i->size = o->vex_256 ? 32 : 16;
    } else if (f->size == SIZE_D_OR_Q) {
        /* Outside 64-bit mode REX is not there and VEX.W is ignored. */
        i->size = o->rex_w ? 8 : 4;
    }
    i->dst = f->store ? RM : REG;
    i->src = f->store ? REG : RM;
    if (o->vex) {
        /* A second source exists for the merging loads only; no 256-bit form but of whole
         * registers; MOVSS and MOVSD ignore VEX.L. */
        bool ignores_l = f->opcode == 0x10 || f->opcode == 0x11;
        if ((o->vvvv != 0 && !merges) || (o->vex_256 && f->kind != VECTOR_ALL && !ignores_l)) {
            return false;
        }
    }
    return true;
}

/* ModRM's reg field decides; 0 in `op` of the result: not one of ours. */
static struct form in_group(const struct form *g, const struct insn_opcode *o, const struct insn *i)
{
    static const uint8_t unary[8] = {INSN_TEST, INSN_TEST,      INSN_NOT, INSN_NEG,
                                     INSN_MUL,  INSN_IMUL_WIDE, INSN_DIV, INSN_IDIV};
    static const uint8_t calls[8] = {INSN_INC, INSN_DEC,  INSN_CALL, INSN_NONE,
                                     INSN_JMP, INSN_NONE, INSN_PUSH, INSN_NONE};
    static const uint8_t tables[8] = {INSN_SGDT, INSN_SIDT, INSN_LGDT, INSN_LIDT,
                                      INSN_SMSW, INSN_NONE, INSN_NONE, INSN_NONE};
    struct form f = *g;
    uint8_t reg = i->reg & 7;

    f.op = INSN_NONE;
    switch ((enum group)g->op) {
    case G_ALU:
        f.op = INSN_ALU;
        break;
    case G_MOV:
        f.op = reg == 0 ? INSN_MOV : INSN_NONE;
        break;
    case G_POP:
        f.op = reg == 0 ? INSN_POP : INSN_NONE;
        break;
    case G_UNARY:
        f.op = unary[reg];
        if (f.op == INSN_TEST) {
            f.src = IMM;
            f.flags |= (f.flags & BYTE) ? I8 : IZ;
        } else if (f.op == INSN_NOT || f.op == INSN_NEG) {
            f.flags |= LOCK;
        }
        break;
    case G_CALL:
        f.op = reg < 2 || !(f.flags & BYTE) ? calls[reg] : INSN_NONE;
        if (f.op == INSN_INC || f.op == INSN_DEC) {
            f.flags |= LOCK;
        } else {
            f.dst = NONE;
            f.src = RM;
            f.flags |= f.op == INSN_PUSH ? DEF64 : FORCE64;
        }
        break;
    case G_BIT:
        f.op = reg >= 4 ? INSN_BIT : INSN_NONE;
        f.flags |= reg >= 5 ? LOCK : 0;
        break;
    case G_CMPXCHG8B:
        f.op = reg == 1 ? INSN_CMPXCHG8B : INSN_NONE;
        break;
    case G_FLUSH: /* CLFLUSH, CLFLUSHOPT; CLWB */
        f.op = (reg == 7 && o->prefix <= PREFIX_66) || (reg == 6 && o->prefix == PREFIX_66)
                   ? INSN_NOTHING
                   : INSN_NONE;
        break;
    case G_TABLES:
        f.op = i->memory ? tables[reg] : INSN_NONE;
        break;
    case G_TASK:
        f.op = i->memory && reg < 2 ? (reg == 0 ? INSN_SLDT : INSN_STR) : INSN_NONE;
        break;
    }
    return f;
}

/* Which of its family an instruction is: from the opcode or ModRM's reg field. */
static bool set_sub(const struct insn_opcode *o, struct insn *i)
{
    static const uint8_t far[8] = {SEG_ES, SEG_DS, SEG_SS, 0, SEG_FS, SEG_GS, 0, 0};
    uint8_t reg = i->reg & 7;

    switch (i->op) {
    case INSN_ALU:
        i->sub = o->opcode < 0x40 ? o->opcode >> 3 : reg;
        break;
    case INSN_SHIFT:
        i->sub = reg;
        break;
    case INSN_BIT:
        i->sub = o->opcode == 0xba ? reg & 3 : o->opcode >> 3 & 3;
        break;
    case INSN_SETCC:
    case INSN_CMOV:
        i->sub = o->opcode & 15;
        break;
    case INSN_PUSH:
    case INSN_POP:
        i->sub = o->opcode >> 3 & 7;
        break;
    case INSN_MOV_FROM_SREG:
    case INSN_MOV_TO_SREG:
        i->sub = reg;
        return reg < SEG_REGISTERS && !(i->op == INSN_MOV_TO_SREG && reg == SEG_CS);
    case INSN_LOAD_FAR:
        i->sub = far[o->map == 0 ? o->opcode & 1 : o->opcode & 7];
        break;
    case INSN_POPCNT:
        return o->prefix == PREFIX_F3;
    case INSN_BSF:
    case INSN_BSR:
        if (o->prefix == PREFIX_F3) {
            i->op = i->op == INSN_BSF ? INSN_TZCNT : INSN_LZCNT;
        }
        break;
    case INSN_MOV: /* MOVNTI has no other prefix */
        return !(o->map == 1 && o->prefix != PREFIX_NONE);
    default:
        break;
    }
    return true;
}

static void set_size(const struct insn_opcode *o, const struct form *f, struct insn *i)
{
    if (o->mode == INSN_64 && (f->flags & FORCE64)) {
        i->operand_size = 8;
    } else if (o->mode == INSN_64 && (f->flags & DEF64) && i->operand_size == 4) {
        i->operand_size = 8;
    }
    i->size = (f->flags & BYTE) ? 1 : i->operand_size;
    i->src_size = (f->flags & SRC8) ? 1 : (f->flags & SRC16) ? 2 : i->size;
    if (o->map == 0 && o->opcode == 0x63) {
        i->src_size = (uint8_t)MIN(i->size, 4);
    } else if (i->op == INSN_MOV && o->map == 1) { /* MOVNTI */
        i->size = i->src_size = o->rex_w ? 8 : 4;
    } else if (i->op == INSN_MOV_TO_SREG) {
        i->size = i->src_size = 2;
    } else if (i->op == INSN_MOV_FROM_SREG || i->op == INSN_SMSW || i->op == INSN_SLDT ||
               i->op == INSN_STR) {
        i->size = i->src_size = i->memory ? 2 : i->operand_size;
    } else if (i->op == INSN_CMPXCHG8B) {
        i->size = i->src_size = o->rex_w ? 16 : 8;
    } else if (i->op >= INSN_SGDT && i->op <= INSN_LIDT) {
        i->size = i->src_size = o->mode == INSN_64 ? 10 : 6;
    }
}

bool insn_form(const struct insn_opcode *o, struct insn *i, unsigned *flags)
{
    const struct vector_form *v = find_vector(o);
    const struct form *g = v ? NULL : find(o);

    *flags = 0;
    if (v) {
        return vector_form(o, v, i);
    }
    if (!g) {
        return false;
    }
    struct form f = (g->flags & GROUP) ? in_group(g, o, i) : *g;
    if (f.op == INSN_NONE || ((f.flags & MEMORY) && !i->memory) ||
        ((f.flags & NOT64) && o->mode == INSN_64) || ((f.flags & ONLY64) && o->mode != INSN_64)) {
        return false;
    }
    i->op = (enum insn_op)f.op;
    i->dst = (enum insn_operand)f.dst;
    i->src = (enum insn_operand)f.src;
    if (!set_sub(o, i)) {
        return false;
    }
    set_size(o, &f, i);
    if ((i->op == INSN_ALU && i->sub == 7) || (i->op == INSN_BIT && i->sub == 0)) {
        f.flags &= ~(uint32_t)LOCK; /* CMP and BT write nothing */
    }
    *flags = f.flags & (FORM_LOCK * 2 - 1);
    return true;
}
