/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction decoder against Zydis on random bytes; arithmetic against this very CPU. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>
#include <cmocka.h>

#include "arch/x86_64/decode/insn.h"
#include "base/bits.h"

static const enum insn_mode modes[] = {INSN_16, INSN_32, INSN_64};
static ZydisDecoder decoders[3];

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static int setup(void **state)
{
    (void)state;
    ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return 0;
}

/* Prefixes and opcodes that we know are more likely than the rest. */
static void random_bytes(uint8_t *b)
{
    static const uint8_t prefix[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e,
                                     0x26, 0x64, 0x65, 0x40, 0x48, 0x4f, 0x44, 0x41};
    static const uint8_t opcode[] = {0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3,
                                     0xa4, 0xa5, 0xaa, 0xab, 0xc6, 0xc7, 0x80, 0x81,
                                     0x83, 0x84, 0x85, 0x86, 0x87, 0xf6, 0xf7, 0x63,
                                     0x0f, 0x0f, 0x0f, 0x01, 0x0b, 0x23, 0x38};
    static const uint8_t second[] = {0xb6, 0xb7, 0xbe, 0xbf};
    unsigned n = (unsigned)(rnd() % 4), at = 0;

    for (unsigned i = 0; i < 24; i++) {
        b[i] = (uint8_t)rnd();
    }
    if (rnd() % 64 == 0) {
        n = 10 + (unsigned)(rnd() % 6); /* near the limit of 15 bytes */
    }
    for (; at < n; at++) {
        b[at] = prefix[rnd() % ARRAY_LEN(prefix)];
    }
    if (rnd() % 8 != 0) {
        b[at] = opcode[rnd() % ARRAY_LEN(opcode)];
        if (b[at] == 0x0f && rnd() % 8 != 0) {
            b[at + 1] = second[rnd() % ARRAY_LEN(second)];
        }
    }
}

static void explain(const uint8_t *b, unsigned mode, const char *what)
{
    char text[64] = "";

    for (unsigned i = 0; i < 16; i++) {
        snprintf(text + 3 * i, sizeof(text) - 3 * i, "%02x ", b[i]);
    }
    fail_msg("mode %u: %s: %s", modes[mode] * 8, text, what);
}

static bool expected(const ZydisDecodedInstruction *z)
{
    uint8_t op = z->opcode;

    if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        return false;
    }
    if (z->opcode_map == ZYDIS_OPCODE_MAP_0F) {
        return op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf;
    }
    if (z->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) {
        return false;
    }
    return (op < 0x40 && (op & 7) < 4) || (op == 0x63 && z->machine_mode == 64) || op == 0x80 ||
           op == 0x81 || op == 0x83 || (op >= 0x84 && op <= 0x8b) || (op >= 0xa0 && op <= 0xa5) ||
           op == 0xaa || op == 0xab || op == 0xc6 || op == 0xc7 ||
           ((op == 0xf6 || op == 0xf7) && z->mnemonic == ZYDIS_MNEMONIC_TEST);
}

/* Name and width of a register as Zydis has them. */
static ZydisRegister zydis_register(const struct insn *i)
{
    static const ZydisRegisterClass classes[9] = {
        [2] = ZYDIS_REGCLASS_GPR16, [4] = ZYDIS_REGCLASS_GPR32, [8] = ZYDIS_REGCLASS_GPR64};
    if (i->reg_size == 1) {
        static const ZydisRegister high[] = {ZYDIS_REGISTER_AH, ZYDIS_REGISTER_CH,
                                             ZYDIS_REGISTER_DH, ZYDIS_REGISTER_BH};
        static const ZydisRegister low[] = {
            ZYDIS_REGISTER_AL,   ZYDIS_REGISTER_CL,   ZYDIS_REGISTER_DL,   ZYDIS_REGISTER_BL,
            ZYDIS_REGISTER_SPL,  ZYDIS_REGISTER_BPL,  ZYDIS_REGISTER_SIL,  ZYDIS_REGISTER_DIL,
            ZYDIS_REGISTER_R8B,  ZYDIS_REGISTER_R9B,  ZYDIS_REGISTER_R10B, ZYDIS_REGISTER_R11B,
            ZYDIS_REGISTER_R12B, ZYDIS_REGISTER_R13B, ZYDIS_REGISTER_R14B, ZYDIS_REGISTER_R15B};
        return i->reg_high ? high[i->reg & 3] : low[i->reg];
    }
    return ZydisRegisterEncode(classes[i->reg_size], i->reg);
}

static void compare(const uint8_t *b, unsigned m, const struct insn *i,
                    const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
    bool memory_first = ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY, string = false;

    if (i->length != z->length) {
        explain(b, m, "length differs");
    }
    if (i->address_size * 8 != z->address_width) {
        explain(b, m, "address size differs");
    }
    string = i->op == INSN_STOS || i->op == INSN_MOVS;
    if (string) {
        if (i->rep != !!(z->attributes &
                         (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_REPE)) &&
            !(i->rep && memchr(b, 0xf2, i->length) != NULL)) {
            explain(b, m, "REP differs");
        }
        if (i->size * 8 != ops[0].size) {
            explain(b, m, "size of a string instruction differs");
        }
        return;
    }
    if (ops[0].type != ZYDIS_OPERAND_TYPE_MEMORY && ops[1].type != ZYDIS_OPERAND_TYPE_MEMORY) {
        explain(b, m, "there is no memory operand");
    }
    /* MOVSXD with a 16-bit register reads 16 bits says the SDM, 32 says Zydis. */
    if (i->size * 8 != ops[memory_first ? 0 : 1].size && !(z->opcode == 0x63 && i->size == 2)) {
        explain(b, m, "size of the memory operand differs");
    }
    if (i->op == INSN_ALU && i->to_memory != memory_first) {
        explain(b, m, "direction differs");
    }
    if ((i->op == INSN_STORE && !memory_first) || (i->op == INSN_LOAD && memory_first)) {
        explain(b, m, "load and store are confused");
    }
    const ZydisDecodedOperand *other = &ops[memory_first ? 1 : 0];
    if (i->has_imm) {
        uint64_t mask = i->size == 8 ? UINT64_MAX : BIT(8 * i->size) - 1;

        if (other->type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
            (other->imm.value.u & mask) != (i->imm & mask)) {
            explain(b, m, "immediate differs");
        }
    } else if (other->type != ZYDIS_OPERAND_TYPE_REGISTER ||
               other->reg.value != zydis_register(i)) {
        explain(b, m, "register differs");
    }
}

static void test_against_zydis(void **state)
{
    unsigned decoded = 0;
    (void)state;

    for (unsigned round = 0; round < 1500000; round++) {
        ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
        ZydisDecodedInstruction z;
        unsigned m = (unsigned)(rnd() % 3);
        bool known, in_memory = false;
        struct insn i;
        uint8_t b[24];
        enum status s;

        random_bytes(b);
        s = insn_decode(b, 16, modes[m], &i);
        known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[m], b, 16, &z, ops));
        for (unsigned o = 0; known && o < z.operand_count; o++) {
            in_memory |= ops[o].type == ZYDIS_OPERAND_TYPE_MEMORY;
        }
        if (s == OK && !known) {
            explain(b, m, "Zydis knows no such instruction");
        }
        if (s != OK && known && in_memory && expected(&z)) {
            explain(b, m, "not decoded");
        }
        if (s != OK) {
            continue;
        }
        decoded++;
        compare(b, m, &i, &z, ops);
        for (unsigned n = 0; n < i.length; n++) { /* never a guess from a part */
            struct insn part;
            assert_int_equal(insn_decode(b, n, modes[m], &part), E_RANGE);
        }
        struct insn again;
        assert_int_equal(insn_decode(b, i.length, modes[m], &again), OK);
        assert_int_equal(again.length, i.length);
    }
    assert_true(decoded > 200000);
}

#define ARITHMETIC UINT64_C(0x8d5)

#define ON_CPU(suffix, type)                                                                       \
    static uint64_t cpu_##suffix(enum insn_alu alu, uint64_t dest, uint64_t src, uint64_t *flags)  \
    {                                                                                              \
        type d = (type)dest, s = (type)src;                                                        \
        uint64_t f = *flags & ARITHMETIC;                                                          \
        switch (alu) {                                                                             \
            ON_CPU_CASE(ALU_ADD, "add" #suffix)                                                    \
            ON_CPU_CASE(ALU_OR, "or" #suffix)                                                      \
            ON_CPU_CASE(ALU_ADC, "adc" #suffix)                                                    \
            ON_CPU_CASE(ALU_SBB, "sbb" #suffix)                                                    \
            ON_CPU_CASE(ALU_AND, "and" #suffix)                                                    \
            ON_CPU_CASE(ALU_SUB, "sub" #suffix)                                                    \
            ON_CPU_CASE(ALU_XOR, "xor" #suffix)                                                    \
            ON_CPU_CASE(ALU_CMP, "cmp" #suffix)                                                    \
        }                                                                                          \
        *flags = (*flags & ~ARITHMETIC) | (f & ARITHMETIC);                                        \
        return d;                                                                                  \
    }
#define ON_CPU_CASE(op, text)                                                                      \
    case op:                                                                                       \
        __asm__ volatile(                                                                          \
            "sub $128, %%rsp\n\tpushfq\n\tandq $~0x8d5, (%%rsp)\n\torq %1, (%%rsp)\n\t"            \
            "popfq\n\t" text " %2, %0\n\tpushfq\n\tpopq %1\n\tadd $128, %%rsp"                     \
            : "+r"(d), "+r"(f)                                                                     \
            : "r"(s)                                                                               \
            : "cc", "memory");                                                                     \
        break;

ON_CPU(b, uint8_t)
ON_CPU(w, uint16_t)
ON_CPU(l, uint32_t)
ON_CPU(q, uint64_t)

static uint64_t operand(void)
{
    static const uint64_t edges[] = {0,          1,         0x7f,    0x80,      0xff,
                                     0x7fff,     0x8000,    0xffff,  INT32_MAX, 0x80000000,
                                     UINT32_MAX, INT64_MAX, BIT(63), UINT64_MAX};
    return rnd() % 2 ? edges[rnd() % ARRAY_LEN(edges)] : rnd();
}

static void test_arithmetic(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 400000; round++) {
        enum insn_alu alu = (enum insn_alu)(rnd() % 8);
        uint64_t a = operand(), b = operand(), got, want;
        uint64_t before = 0x202 | (rnd() & ARITHMETIC), mine = before, real = before;
        unsigned size = 1u << rnd() % 4;
        uint64_t mask = size == 8 ? UINT64_MAX : BIT(8 * size) - 1;
        bool logic = alu == ALU_AND || alu == ALU_OR || alu == ALU_XOR;

        a &= mask;
        b &= mask;
        want = size == 1   ? cpu_b(alu, a, b, &real)
               : size == 2 ? cpu_w(alu, a, b, &real)
               : size == 4 ? cpu_l(alu, a, b, &real)
                           : cpu_q(alu, a, b, &real);
        got = insn_alu(alu, a, b, size, &mine);
        if (alu != ALU_CMP) {
            assert_true((got & mask) == want);
        }
        /* AF is undefined after logic operations. */
        assert_true((mine & ~(logic ? UINT64_C(0x10) : 0)) ==
                    (real & ~(logic ? UINT64_C(0x10) : 0)));
    }
}

static void test_registers(void **state)
{
    uint64_t gpr[16];
    struct insn i = {.reg = 1, .size = 1, .reg_size = 1, .reg_high = true};
    (void)state;

    memset(gpr, 0xff, sizeof(gpr));
    gpr[1] = 0x1122334455667788;
    assert_int_equal(insn_reg_read(&i, gpr), 0x77);
    insn_reg_write(&i, gpr, 0xab, 1);
    assert_true(gpr[1] == 0x112233445566ab88);
    i.reg_high = false;
    insn_reg_write(&i, gpr, 0x1cd, 1);
    assert_true(gpr[1] == 0x112233445566abcd);
    insn_reg_write(&i, gpr, 0x12345, 2);
    assert_true(gpr[1] == 0x1122334455662345);
    insn_reg_write(&i, gpr, 0xfffffffff, 4); /* clears the upper half */
    assert_true(gpr[1] == 0xffffffff);
    insn_reg_write(&i, gpr, 0xfffffffff, 8);
    assert_true(gpr[1] == 0xfffffffff);
    for (unsigned r = 0; r < 16; r++) {
        assert_true(r == 1 || gpr[r] == UINT64_MAX);
    }
    i = (struct insn){.size = 1, .reg_size = 4, .extend = EXTEND_SIGN};
    assert_int_equal((uint32_t)insn_widen(&i, 0x80), 0xffffff80);
    i.extend = EXTEND_ZERO;
    assert_true(insn_widen(&i, 0x80) == 0x80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_zydis),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_registers),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
