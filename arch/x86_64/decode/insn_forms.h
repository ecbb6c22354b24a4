/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the decoder: what an opcode means, behind its prefixes and its ModRM. */
#ifndef ARCH_DECODE_INSN_FORMS_H
#define ARCH_DECODE_INSN_FORMS_H

#include "arch/x86_64/decode/insn.h"

/* In the order of VEX.pp. */
enum insn_mandatory { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 };

struct insn_opcode {
    uint8_t map; /* 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a */
    uint8_t opcode;
    uint8_t prefix; /* enum insn_mandatory */
    enum insn_mode mode;
    bool rex_w, vex, vex_256;
    uint8_t vvvv;
};

/* What is left to do for the decoder once the form is known, beside its own flags. */
enum {
    FORM_IMM8 = 1 << 0,
    FORM_IMM16 = 1 << 1,
    FORM_IMMZ = 1 << 2, /* of the operand's size, 4 bytes at most */
    FORM_IMM_MOFFS = 1 << 3,
    FORM_NESTING = 1 << 4, /* ENTER's second immediate */
    FORM_OPREG = 1 << 5,   /* OPERAND_RM is a register, in the opcode */
    FORM_LOCK = 1 << 6,    /* may have LOCK */
};

bool insn_has_modrm(const struct insn_opcode *o);
/* Fills op, sub, operands and sizes of `i`, whose ModRM has been taken. False: not one of ours. */
bool insn_form(const struct insn_opcode *o, struct insn *i, unsigned *flags);

#endif
