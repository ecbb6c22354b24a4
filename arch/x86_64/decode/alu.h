/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the integer instructions compute, and RFLAGS' CF PF AF ZF SF OF after them (SDM vol. 1,
 * 3.4.3.1, and vol. 2 for each). Operands are the low `size` bytes (1, 2, 4, 8) of the arguments;
 * results are zero-extended. A flag that the SDM leaves undefined is as Intel's processors set it
 * where that is known, else unchanged; tests/host/arch/x86_64/decode/test_emul.c has the list.
 */
#ifndef ARCH_DECODE_ALU_H
#define ARCH_DECODE_ALU_H

#include "base/types.h"

enum alu_op { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum alu_shift { ALU_ROL, ALU_ROR, ALU_RCL, ALU_RCR, ALU_SHL, ALU_SHR, ALU_SAL, ALU_SAR };

#define FLAG_CF (1u << 0)
#define FLAG_PF (1u << 2)
#define FLAG_AF (1u << 4)
#define FLAG_ZF (1u << 6)
#define FLAG_SF (1u << 7)
#define FLAG_OF (1u << 11)

static inline uint64_t alu_mask(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
}

uint64_t alu_sign_extend(uint64_t value, unsigned size);
/* CMP returns dest. */
uint64_t alu_binary(enum alu_op op, uint64_t dest, uint64_t src, unsigned size, uint64_t *rflags);
/* INC or DEC: CF stays. */
uint64_t alu_step(bool up, uint64_t dest, unsigned size, uint64_t *rflags);
uint64_t alu_shift(enum alu_shift op, uint64_t dest, uint64_t count, unsigned size,
                   uint64_t *rflags);
/* SHLD (left) and SHRD. */
uint64_t alu_double_shift(bool left, uint64_t dest, uint64_t src, uint64_t count, unsigned size,
                          uint64_t *rflags);
/* The product's two halves. */
void alu_multiply(bool is_signed, uint64_t a, uint64_t b, unsigned size, uint64_t *low,
                  uint64_t *high, uint64_t *rflags);
/* high:low / divisor. False is #DE. Flags stay. */
bool alu_divide(bool is_signed, uint64_t high, uint64_t low, uint64_t divisor, unsigned size,
                uint64_t *quotient, uint64_t *remainder);
/* BT BTS BTR BTC (0 to 3) of a bit below 8 * size. */
uint64_t alu_bit(unsigned op, uint64_t dest, unsigned bit, uint64_t *rflags);
/* Index of the lowest or highest set bit; src is not 0 and fits its size. */
unsigned alu_lowest(uint64_t src);
unsigned alu_highest(uint64_t src);
/* TZCNT (up) and LZCNT. */
uint64_t alu_count_zeros(bool up, uint64_t src, unsigned size, uint64_t *rflags);
uint64_t alu_popcnt(uint64_t src, unsigned size, uint64_t *rflags);
/* Whether condition cc (the low half of Jcc's opcode) holds. */
bool alu_condition(unsigned cc, uint64_t rflags);

#endif
