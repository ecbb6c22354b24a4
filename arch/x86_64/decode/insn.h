/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instructions with which guests access device memory: a decoder for 16-, 32- and 64-bit code,
 * and the pure part of carrying one out.
 *
 *     insn_decode -> insn_linear (where) -> caller reads memory if insn_reads -> insn_emulate
 *     -> caller writes memory if insn_writes, then takes over the new registers
 *
 * Covered: MOV (also moffs, MOVNTI), MOVZX, MOVSX, MOVSXD, STOS, LODS, MOVS (one element at a time,
 * with REP), XCHG, XADD, CMPXCHG, ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NOT NEG, BT BTS BTR
 * BTC; each only with an operand in memory. Anything else is E_UNSUPPORTED. SDM vol. 2, chapter 2.
 */
#ifndef ARCH_DECODE_INSN_H
#define ARCH_DECODE_INSN_H

#include "base/status.h"
#include "base/types.h"

#define INSN_MAX 15 /* bytes */

enum insn_op {
    /* In the order of their encoding (opcode bits 5:3), do not reorder. */
    INSN_ADD,
    INSN_OR,
    INSN_ADC,
    INSN_SBB,
    INSN_AND,
    INSN_SUB,
    INSN_XOR,
    INSN_CMP,
    INSN_TEST,
    INSN_INC,
    INSN_DEC,
    INSN_NOT,
    INSN_NEG,
    INSN_MOV,
    INSN_MOVZX,
    INSN_MOVSX, /* and MOVSXD */
    INSN_XCHG,
    INSN_XADD,
    INSN_CMPXCHG,
    INSN_BT, /* the next three in the order of encoding as well */
    INSN_BTS,
    INSN_BTR,
    INSN_BTC,
    INSN_STOS,
    INSN_LODS,
    INSN_MOVS,
};

enum insn_seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEGS };

#define INSN_NONE 0xff /* no such register */

struct insn {
    enum insn_op op;
    uint8_t length;      /* bytes */
    uint8_t code_bits;   /* 16, 32 or 64: the mode it was decoded for */
    uint8_t size;        /* bytes of the memory operand: 1, 2, 4 or 8 */
    uint8_t reg_size;    /* bytes of the register operand; differs for MOVZX, MOVSX, MOVSXD */
    uint8_t reg;         /* the register operand, 0 (RAX) to 15; INSN_NONE: immediate or none */
    bool reg_high;       /* AH, CH, DH or BH: bits 15:8 of register 0 to 3 */
    bool memory_is_dest; /* the memory operand is the first one; for MOVS both are */
    bool has_imm;
    bool lock, rep; /* rep: F2 or F3 before a string instruction */
    uint64_t imm;   /* sign-extended to 64 bits */
    /* The address. String instructions: of the source (SI) for LODS and MOVS, else of the
     * destination; MOVS's destination is always ES:DI. */
    uint8_t address_size; /* bytes: 2, 4 or 8 */
    enum insn_seg seg;
    uint8_t base, index; /* registers or INSN_NONE */
    uint8_t scale;       /* of the index: 1, 2, 4 or 8 */
    bool rip_relative;   /* the base is the address of the next instruction */
    int64_t disp;
};

struct guest_regs {
    uint64_t gpr[16]; /* in the order of encoding: RAX RCX RDX RBX RSP RBP RSI RDI R8 ... R15 */
    uint64_t rip;
    uint64_t rflags;
};

/*
 * Decodes the instruction at `bytes`, of which n (any number; more than INSN_MAX are not looked at)
 * are there, for code of code_bits (16, 32 or 64). E_RANGE: it goes on beyond n bytes. E_INVAL: not
 * an instruction (too long, bad LOCK, reserved encoding). E_UNSUPPORTED: none of the above.
 */
enum status insn_decode(const uint8_t *bytes, size_t n, unsigned code_bits,
                        struct insn *out) MUST_CHECK;

/* Whether the CPU reads, and whether it writes, the memory operand (for MOVS: source, destination).
 */
bool insn_reads(const struct insn *i);
bool insn_writes(const struct insn *i);
/* A repeated string instruction whose count is 0: no memory is accessed. */
bool insn_is_empty_rep(const struct insn *i, const struct guest_regs *regs);

/*
 * The linear address of the memory operand; `dest` asks for MOVS's destination. seg_base holds
 * SEGS bases; in 64-bit code only those of FS and GS count. regs->rip is the instruction's own.
 * Limits and canonical form are not checked: the CPU has done that before it exits.
 */
uint64_t insn_linear(const struct insn *i, const struct guest_regs *regs, const uint64_t *seg_base,
                     bool dest);

/*
 * Carries it out: `memory` is what was read (low `size` bytes count; 0 if insn_reads is false),
 * *result what is to be written if insn_writes (its high bytes are 0). Registers, flags and RIP
 * become those after the instruction; after one element of a REP that goes on, RIP stays. A flag
 * that the SDM leaves undefined becomes 0 (AF of logic operations) or stays (BT family).
 */
void insn_emulate(const struct insn *i, struct guest_regs *regs, uint64_t memory, uint64_t *result);

#endif
