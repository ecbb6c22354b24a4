/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small x86 decoder for the instructions that touch device memory: the moves (88 89 8A 8B A0-A3
 * C6 C7, MOVZX, MOVSX, MOVSXD), MOVS and STOS, XCHG, the eight arithmetic operations and TEST with
 * a memory operand (SDM vol. 2). Anything else is E_UNSUPPORTED, and the guest is told so by its
 * owner.
 *
 * Pure: the instruction's bytes come in, registers and memory values go through the caller. The
 * memory operand's linear address is not needed to emulate a single access, because the exit tells
 * its guest-physical address; MOVS alone needs its
 * other operand, which is at RSI or RDI.
 */
#ifndef ARCH_DECODE_INSN_H
#define ARCH_DECODE_INSN_H

#include "base/status.h"
#include "base/types.h"

#define INSN_MAX 15

enum insn_mode { INSN_16 = 2, INSN_32 = 4, INSN_64 = 8 }; /* the code segment's default */

enum insn_op {
    INSN_LOAD,  /* register := memory, widened as `extend` says */
    INSN_STORE, /* memory := register or immediate */
    INSN_XCHG,
    INSN_ALU,  /* register or memory := it `alu` the other; flags */
    INSN_TEST, /* flags only */
    INSN_STOS,
    INSN_MOVS,
};

enum insn_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum insn_extend { EXTEND_NONE, EXTEND_ZERO, EXTEND_SIGN };

struct insn {
    uint8_t length;
    enum insn_op op;
    enum insn_alu alu;
    enum insn_extend extend;
    uint8_t size;     /* of the memory operand: 1, 2, 4, 8 */
    uint8_t reg_size; /* of the register operand: differs for the widening loads */
    uint8_t reg;      /* 0..15 in the order rax rcx rdx rbx rsp rbp rsi rdi r8.. */
    bool reg_high;    /* ah, ch, dh, bh: `reg` is then 0..3 */
    bool has_imm;     /* the other operand is imm, not reg */
    bool to_memory;   /* ALU: memory is the destination */
    bool rep;
    uint8_t address_size; /* 2, 4, 8 */
    uint64_t imm;         /* sign-extended */
};

/* Decodes the first instruction of bytes[0..n). E_RANGE: it is longer than n; E_UNSUPPORTED: not
 * one of ours, or no memory operand; E_INVAL: not an instruction (too long, LOCK where it is
 * illegal). */
enum status insn_decode(const uint8_t *bytes, unsigned n, enum insn_mode mode,
                        struct insn *out) MUST_CHECK;

/* The register operand's value, and its replacement (a 32-bit write clears the upper half). */
uint64_t insn_reg_read(const struct insn *i, const uint64_t gpr[16]);
void insn_reg_write(const struct insn *i, uint64_t gpr[16], uint64_t value, unsigned size);

/* One ALU or TEST operation on `size` bytes: the result, and RFLAGS with CF PF AF ZF SF OF set as
 * the SDM says (AF is cleared where it is undefined). */
uint64_t insn_alu(enum insn_alu alu, uint64_t dest, uint64_t src, unsigned size, uint64_t *rflags);

/* The value that a load of `raw` (size bytes) puts into the register. */
uint64_t insn_widen(const struct insn *i, uint64_t raw);

#endif
