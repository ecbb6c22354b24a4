/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction decoder against Zydis, on random bytes: every instruction that it takes, and all
 * that it is to take. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>
#include <cmocka.h>

#include "arch/x86_64/decode/insn.h"
#include "base/bits.h"
#include "rnd.h"

static const enum insn_mode modes[] = {INSN_16, INSN_32, INSN_64};
static ZydisDecoder decoders[3];

static struct rnd sequence = {88172645463325252u};

static uint64_t rnd(void)
{
    return rnd_next(&sequence);
}

static int setup(void **state)
{
    (void)state;
    ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return 0;
}

static void random_bytes(uint8_t *b)
{
    static const uint8_t prefix[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e,
                                     0x26, 0x64, 0x65, 0x40, 0x48, 0x4f, 0x44, 0x41};
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
    switch (rnd() % 8) {
    case 0:
    case 1:
    case 2:
        b[at] = 0x0f;
        break;
    case 3:
        b[at] = rnd() % 2 ? 0xc5 : 0xc4;
        b[at + 1] = (uint8_t)(b[at] == 0xc4 ? (rnd() & 0xe0) | (1 + rnd() % 2) : rnd() | 0x78);
        b[at + 2] |= b[at] == 0xc4 ? 0x78 : 0;
        break;
    case 4:
        b[at] = 0x0f;
        b[at + 1] = 0x38;
        b[at + 2] = rnd() % 2 ? 0x2a : 0xf0 | (rnd() & 1);
        break;
    default:
        break;
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

/* ---- which instructions must be known ------------------------------------------------------ */

#define M(name) ZYDIS_MNEMONIC_##name
static const ZydisMnemonic always[] = {
    M(ADD),        M(OR),          M(ADC),        M(SBB),     M(AND),        M(SUB),
    M(XOR),        M(CMP),         M(TEST),       M(NOT),     M(NEG),        M(INC),
    M(DEC),        M(ROL),         M(ROR),        M(RCL),     M(RCR),        M(SHL),
    M(SHR),        M(SAR),         M(SHLD),       M(SHRD),    M(MUL),        M(IMUL),
    M(DIV),        M(IDIV),        M(BT),         M(BTS),     M(BTR),        M(BTC),
    M(BSF),        M(BSR),         M(TZCNT),      M(LZCNT),   M(POPCNT),     M(XADD),
    M(CMPXCHG),    M(CMPXCHG8B),   M(CMPXCHG16B), M(XCHG),    M(SETO),       M(SETNO),
    M(SETB),       M(SETNB),       M(SETZ),       M(SETNZ),   M(SETBE),      M(SETNBE),
    M(SETS),       M(SETNS),       M(SETP),       M(SETNP),   M(SETL),       M(SETNL),
    M(SETLE),      M(SETNLE),      M(CMOVO),      M(CMOVNO),  M(CMOVB),      M(CMOVNB),
    M(CMOVZ),      M(CMOVNZ),      M(CMOVBE),     M(CMOVNBE), M(CMOVS),      M(CMOVNS),
    M(CMOVP),      M(CMOVNP),      M(CMOVL),      M(CMOVNL),  M(CMOVLE),     M(CMOVNLE),
    M(MOVZX),      M(MOVSX),       M(MOVSXD),     M(MOVBE),   M(MOVNTI),     M(PUSH),
    M(POP),        M(LODSB),       M(LODSW),      M(LODSD),   M(LODSQ),      M(STOSB),
    M(STOSW),      M(STOSD),       M(STOSQ),      M(MOVSB),   M(MOVSW),      M(MOVSQ),
    M(CMPSB),      M(CMPSW),       M(CMPSQ),      M(SCASB),   M(SCASW),      M(SCASD),
    M(SCASQ),      M(CLFLUSH),     M(CLFLUSHOPT), M(CLWB),    M(PREFETCHT0), M(PREFETCHT1),
    M(PREFETCHT2), M(PREFETCHNTA), M(PREFETCHW),  M(SGDT),    M(SIDT),       M(LGDT),
    M(LIDT),       M(SMSW),        M(SLDT),       M(STR),     M(LES),        M(LDS),
    M(LSS),        M(LFS),         M(LGS),        M(ENTER),   M(LEAVE),      M(PUSHF),
    M(PUSHFD),     M(PUSHFQ),      M(POPF),       M(POPFD),   M(POPFQ),      M(PUSHA),
    M(PUSHAD),     M(POPA),        M(POPAD),      M(MOVUPS),  M(MOVUPD),     M(MOVSS),
    M(MOVLPS),     M(MOVLPD),      M(MOVHPS),     M(MOVHPD),  M(MOVAPS),     M(MOVAPD),
    M(MOVNTPS),    M(MOVNTPD),     M(MOVDQA),     M(MOVDQU),  M(MOVNTDQ),    M(LDDQU),
    M(MOVNTDQA),   M(VMOVUPS),     M(VMOVUPD),    M(VMOVSS),  M(VMOVSD),     M(VMOVLPS),
    M(VMOVLPD),    M(VMOVHPS),     M(VMOVHPD),    M(VMOVAPS), M(VMOVAPD),    M(VMOVNTPS),
    M(VMOVNTPD),   M(VMOVD),       M(VMOVQ),      M(VMOVDQA), M(VMOVDQU),    M(VMOVNTDQ),
    M(VLDDQU),     M(VMOVNTDQA),
};

static bool uses_mmx(const ZydisDecodedOperand *ops, unsigned n)
{
    for (unsigned o = 0; o < n; o++) {
        if (ops[o].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(ops[o].reg.value) == ZYDIS_REGCLASS_MMX) {
            return true;
        }
    }
    return false;
}

/* The memory operand that counts: for MOVS and the like there are two. */
static const ZydisDecodedOperand *memory_of(const ZydisDecodedInstruction *z,
                                            const ZydisDecodedOperand *ops)
{
    for (unsigned o = 0; o < z->operand_count; o++) {
        if (ops[o].type == ZYDIS_OPERAND_TYPE_MEMORY) {
            return &ops[o];
        }
    }
    return NULL;
}

static bool expected(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
    const ZydisDecodedOperand *m = memory_of(z, ops);
    ZydisMnemonic name = z->mnemonic;

    if (!m ||
        (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
         z->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) ||
        uses_mmx(ops, z->operand_count)) {
        return false;
    }
    if (name == M(MOVSXD) && z->machine_mode != 64) {
        return false;
    }
    if (name == M(MOV) || name == M(MOVD) || name == M(MOVQ) || name == M(MOVSD) ||
        name == M(CMPSD)) {
        return z->opcode_map != ZYDIS_OPCODE_MAP_0F || name == M(MOVD) || name == M(MOVQ) ||
               (name == M(MOVSD) && z->opcode <= 0x11);
    }
    if (name == M(CALL) || name == M(RET)) {
        return z->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR;
    }
    if (name == M(JMP)) {
        return z->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR && z->opcode == 0xff;
    }
    for (unsigned k = 0; k < ARRAY_LEN(always); k++) {
        if (always[k] == name) {
            return true;
        }
    }
    return false;
}

/* ---- comparing ----------------------------------------------------------------------------- */

static bool is_string(const struct insn *i)
{
    return i->op >= INSN_MOVS && i->op <= INSN_SCAS;
}

static ZydisRegister zydis_gpr(unsigned reg, unsigned size, bool rex)
{
    static const ZydisRegisterClass classes[9] = {
        [2] = ZYDIS_REGCLASS_GPR16, [4] = ZYDIS_REGCLASS_GPR32, [8] = ZYDIS_REGCLASS_GPR64};
    static const ZydisRegister high[] = {ZYDIS_REGISTER_AH, ZYDIS_REGISTER_CH, ZYDIS_REGISTER_DH,
                                         ZYDIS_REGISTER_BH};
    static const ZydisRegister low[] = {
        ZYDIS_REGISTER_AL,   ZYDIS_REGISTER_CL,   ZYDIS_REGISTER_DL,   ZYDIS_REGISTER_BL,
        ZYDIS_REGISTER_SPL,  ZYDIS_REGISTER_BPL,  ZYDIS_REGISTER_SIL,  ZYDIS_REGISTER_DIL,
        ZYDIS_REGISTER_R8B,  ZYDIS_REGISTER_R9B,  ZYDIS_REGISTER_R10B, ZYDIS_REGISTER_R11B,
        ZYDIS_REGISTER_R12B, ZYDIS_REGISTER_R13B, ZYDIS_REGISTER_R14B, ZYDIS_REGISTER_R15B};

    if (size == 1) {
        return !rex && reg >= 4 && reg < 8 ? high[reg & 3] : low[reg];
    }
    return size <= 8 ? ZydisRegisterEncode(classes[size], (ZyanU8)reg) : ZYDIS_REGISTER_NONE;
}

static ZydisRegister address_register(int reg, unsigned size)
{
    if (reg == INSN_NO_REG) {
        return ZYDIS_REGISTER_NONE;
    }
    if (reg == INSN_RIP) {
        return size == 8 ? ZYDIS_REGISTER_RIP : ZYDIS_REGISTER_EIP;
    }
    return zydis_gpr((unsigned)reg, size, true);
}

static void compare_memory(const uint8_t *b, unsigned m, const struct insn *i,
                           const ZydisDecodedOperand *op)
{
    static const ZydisRegister segments[] = {ZYDIS_REGISTER_ES, ZYDIS_REGISTER_CS,
                                             ZYDIS_REGISTER_SS, ZYDIS_REGISTER_DS,
                                             ZYDIS_REGISTER_FS, ZYDIS_REGISTER_GS};
    uint64_t mask = i->address_size == 8 ? UINT64_MAX : BIT(8 * i->address_size) - 1;

    if (op->mem.base != address_register(i->base, i->address_size) ||
        op->mem.index != address_register(i->index, i->address_size)) {
        explain(b, m, "base or index differs");
    }
    if (i->index != INSN_NO_REG && op->mem.scale != 1 << i->scale) {
        explain(b, m, "scale differs");
    }
    if (((uint64_t)op->mem.disp.value & mask) != (i->disp & mask)) {
        explain(b, m, "displacement differs");
    }
    /* Zydis takes 3e before an indirect jump for CET's no-track prefix alone. */
    bool track = i->op == INSN_CALL || i->op == INSN_JMP;
    if (op->mem.segment != segments[i->segment] && !track) {
        explain(b, m, "segment differs");
    }
}

static void compare_operand(const uint8_t *b, unsigned m, const struct insn *i,
                            enum insn_operand which, unsigned size, const ZydisDecodedOperand *op)
{
    bool vector = i->op == INSN_VLOAD || i->op == INSN_VSTORE;
    unsigned reg = which == OPERAND_REG ? i->reg : which == OPERAND_RM ? i->rm : 0;

    switch (which) {
    case OPERAND_RM:
        if (i->memory) {
            if (op->type != ZYDIS_OPERAND_TYPE_MEMORY) {
                explain(b, m, "memory is not there");
            }
            compare_memory(b, m, i, op);
            /* MOVSXD of 16 bits reads 16 says the SDM, 32 says Zydis; far pointers and table
             * registers have sizes of their own. */
            if (op->size != size * 8 && i->op != INSN_MOVSX && i->op != INSN_LOAD_FAR) {
                explain(b, m, "size of the memory operand differs");
            }
            return;
        }
        /* fall through */
    case OPERAND_REG:
    case OPERAND_ACC:
        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER) {
            explain(b, m, "a register is not there");
        }
        if (vector ? (unsigned)ZydisRegisterGetId(op->reg.value) != reg
                   : op->reg.value != zydis_gpr(reg, size, i->rex)) {
            explain(b, m, "register differs");
        }
        return;
    case OPERAND_IMM: {
        /* Counts and bit offsets are bytes without a sign. */
        bool count = i->op == INSN_SHIFT || i->op == INSN_BIT;
        uint64_t mask = count ? 0xff : size == 8 ? UINT64_MAX : BIT(8 * size) - 1;
        if (op->type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
            (op->imm.value.u & mask) != (i->imm & mask)) {
            explain(b, m, "immediate differs");
        }
        return;
    }
    case OPERAND_SREG:
        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER ||
            ZydisRegisterGetClass(op->reg.value) != ZYDIS_REGCLASS_SEGMENT ||
            (unsigned)ZydisRegisterGetId(op->reg.value) != i->sub) {
            explain(b, m, "segment register differs");
        }
        return;
    default:
        return;
    }
}

static void compare(const uint8_t *b, unsigned m, const struct insn *i,
                    const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
    bool sreg_from_memory = i->op == INSN_MOV_TO_SREG && !i->memory;

    if (i->length != z->length) {
        explain(b, m, "length differs");
    }
    if (i->address_size * 8 != z->address_width) {
        explain(b, m, "address size differs");
    }
    if (is_string(i)) {
        bool rep =
            z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_REPE);
        const ZydisDecodedOperand *from = &ops[i->op == INSN_MOVS ? 1 : 0];

        /* Zydis has no REPNE MOVS; the CPU repeats it. */
        if ((i->repe || i->repne) != rep && !(i->repne && !rep)) {
            explain(b, m, "REP differs");
        }
        if (i->size * 8 != memory_of(z, ops)->size) {
            explain(b, m, "size of a string instruction differs");
        }
        if ((i->op == INSN_MOVS || i->op == INSN_CMPS) &&
            from->mem.segment != (ZydisRegister)(ZYDIS_REGISTER_ES + i->segment)) {
            explain(b, m, "segment of a string instruction differs");
        }
        return;
    }
    if (i->op == INSN_ENTER) {
        if (ops[0].imm.value.u != i->imm || ops[1].imm.value.u != i->sub) {
            explain(b, m, "ENTER's immediates differ");
        }
        return;
    }
    if (i->dst != OPERAND_NONE) {
        compare_operand(b, m, i, i->dst, i->size, &ops[0]);
        if (i->src != OPERAND_NONE && !sreg_from_memory) {
            /* The merging loads of VEX have another register between. */
            unsigned nth = i->vex && i->op == INSN_VLOAD && i->sub >= VECTOR_LOW ? 2 : 1;
            compare_operand(b, m, i, i->src, i->src_size ? i->src_size : i->size, &ops[nth]);
        }
    } else if (i->src != OPERAND_NONE) {
        compare_operand(b, m, i, i->src, i->size, &ops[0]);
    }
}

static void test_against_zydis(void **state)
{
    static unsigned seen[ZYDIS_MNEMONIC_MAX_VALUE + 1];
    unsigned decoded = 0;
    (void)state;

    for (unsigned round = 0; round < 4000000; round++) {
        ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
        ZydisDecodedInstruction z;
        unsigned m = (unsigned)(rnd() % 3);
        struct insn i;
        uint8_t b[24];

        random_bytes(b);
        enum status s = insn_decode(b, 16, modes[m], &i);
        bool known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[m], b, 16, &z, ops));
        if (s == OK && !known) {
            explain(b, m, "Zydis knows no such instruction");
        }
        if (s != OK && known && expected(&z, ops)) {
            explain(b, m, "not decoded");
        }
        if (s != OK) {
            continue;
        }
        decoded++;
        seen[z.mnemonic]++;
        compare(b, m, &i, &z, ops);
        for (unsigned n = 0; n < i.length && decoded % 8 == 0; n++) { /* no guess from a part */
            struct insn part;
            assert_int_equal(insn_decode(b, n, modes[m], &part), E_RANGE);
        }
        struct insn again;
        assert_int_equal(insn_decode(b, i.length, modes[m], &again), OK);
        assert_int_equal(again.length, i.length);
    }
    assert_true(decoded > 1000000);
    for (unsigned k = 0; k < ARRAY_LEN(always); k++) {
        if (seen[always[k]] == 0) {
            fail_msg("%s was never met", ZydisMnemonicGetString(always[k]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_zydis),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
