/* SPDX-License-Identifier: BSD-2-Clause */
/* The general registers in the order in which instructions number them: SDM vol. 2, table 2-2. */
#ifndef ARCH_DECODE_REGS_H
#define ARCH_DECODE_REGS_H

enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

#endif
