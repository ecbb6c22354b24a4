/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A decoder for the x86 instructions that may have an operand, or a stack, in device memory (SDM
 * vol. 2): integer moves and arithmetic, bit and string operations, stack operations, and the moves
 * of SSE and AVX. It says what an instruction is and where its operands are; emul.h carries it out.
 *
 * Pure: bytes in, a description out. Everything else is E_UNSUPPORTED.
 */
#ifndef ARCH_DECODE_INSN_H
#define ARCH_DECODE_INSN_H

#include "base/status.h"
#include "base/types.h"

#define INSN_MAX 15

enum insn_mode { INSN_16 = 2, INSN_32 = 4, INSN_64 = 8 }; /* the code segment's default */

/* Segment registers in the order of their encoding. */
enum insn_segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_REGISTERS };

enum insn_op {
    INSN_NONE,
    /* dst := dst op src; `sub` says which */
    INSN_ALU,   /* enum alu_op */
    INSN_SHIFT, /* enum alu_shift */
    INSN_BIT,   /* BT BTS BTR BTC */
    INSN_TEST,
    INSN_NOT,
    INSN_NEG,
    INSN_INC,
    INSN_DEC,
    INSN_SHLD,
    INSN_SHRD,
    INSN_XADD,
    INSN_CMPXCHG,
    INSN_CMPXCHG8B, /* 16B with REX.W */
    INSN_XCHG,
    /* dst := f(src) */
    INSN_MOV,
    INSN_MOVZX,
    INSN_MOVSX,
    INSN_MOVBE,
    INSN_SETCC, /* sub: the condition */
    INSN_CMOV,
    INSN_IMUL, /* with has_imm: of three operands */
    INSN_BSF,
    INSN_BSR,
    INSN_TZCNT,
    INSN_LZCNT,
    INSN_POPCNT,
    INSN_MOV_FROM_SREG, /* sub: enum insn_segment */
    INSN_MOV_TO_SREG,
    INSN_LOAD_FAR, /* LES LDS LSS LFS LGS; sub: the segment */
    /* on the accumulator */
    INSN_MUL,
    INSN_IMUL_WIDE,
    INSN_DIV,
    INSN_IDIV,
    /* the stack and jumps */
    INSN_PUSH,
    INSN_POP,
    INSN_PUSHF,
    INSN_POPF,
    INSN_PUSHA,
    INSN_POPA,
    INSN_CALL, /* src is an address, or an immediate distance */
    INSN_JMP,
    INSN_RET,   /* imm: more bytes to take from the stack */
    INSN_ENTER, /* imm: bytes, sub: nesting */
    INSN_LEAVE,
    /* strings */
    INSN_MOVS,
    INSN_CMPS,
    INSN_STOS,
    INSN_LODS,
    INSN_SCAS,
    /* the machine's registers */
    INSN_SGDT,
    INSN_SIDT,
    INSN_LGDT,
    INSN_LIDT,
    INSN_SMSW,
    INSN_SLDT,
    INSN_STR,
    /* vector moves */
    INSN_VLOAD, /* sub: enum insn_vector */
    INSN_VSTORE,
    INSN_NOTHING, /* cache hints and flushes */
};

enum insn_operand {
    OPERAND_NONE,
    OPERAND_RM,  /* memory, or register rm */
    OPERAND_REG, /* register reg */
    OPERAND_IMM,
    OPERAND_ACC, /* AL, AX, EAX, RAX */
    OPERAND_ONE,
    OPERAND_CL,
    OPERAND_SREG, /* segment register `sub` */
};

/* What of a vector register moves. */
enum insn_vector {
    VECTOR_ALL,
    VECTOR_SCALAR, /* the low `size` bytes; a load clears the rest of 16 */
    VECTOR_LOW,    /* the low 8 of 16 bytes; a load keeps the high ones */
    VECTOR_HIGH,   /* the other way round */
};

#define INSN_NO_REG (-1)
#define INSN_RIP 16 /* a base: the next instruction */

struct insn {
    uint8_t length;
    enum insn_op op;
    uint8_t sub;
    enum insn_operand dst, src;
    uint8_t size;         /* of the operands in bytes: 1 to 32 */
    uint8_t src_size;     /* of src: differs for the widening moves */
    uint8_t operand_size; /* 2, 4, 8 */
    uint8_t address_size; /* 2, 4, 8 */
    uint8_t reg, rm;      /* 0..15 in the order rax rcx rdx rbx rsp rbp rsi rdi r8.. */
    bool rex;             /* one was there: bytes 4 to 7 are spl bpl sil dil, not ah ch dh bh */
    bool memory;          /* OPERAND_RM is memory: segment:[base + index << scale + disp] */
    uint8_t segment;
    int8_t base, index;
    uint8_t scale;
    uint64_t disp;
    bool has_imm;
    uint64_t imm; /* sign-extended */
    bool lock, repe, repne;
    bool vex, aligned; /* vectors; aligned: #GP where the address is not */
    uint8_t vvvv;
};

/* Decodes the first instruction of bytes[0..n). E_RANGE: it is longer than n, or than INSN_MAX;
 * E_UNSUPPORTED: not one of ours; E_INVAL: not an instruction (LOCK where it is illegal). */
enum status insn_decode(const uint8_t *bytes, unsigned n, enum insn_mode mode,
                        struct insn *out) MUST_CHECK;

#endif
