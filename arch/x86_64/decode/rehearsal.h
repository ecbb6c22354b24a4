/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A copy of the machine to try something on that has no way back: it writes nothing, but asks for
 * the frames that the writes need, so that the real thing afterwards finds them.
 *
 * Registers and segments are the copy's own. RAM and devices are read as they are; a device sees
 * these reads, and no writes. What is written is not read back.
 */
#ifndef ARCH_DECODE_REHEARSAL_H
#define ARCH_DECODE_REHEARSAL_H

#include "arch/x86_64/decode/emul.h"

struct rehearsal {
    struct emul e; /* the copy */
    const struct emul *real;
    uint64_t gpr[16];
    struct emul_segment segments[SEG_ALL];
};

/* Makes r->e the copy of `real`. Both stay where they are while it is used. It moves no vector
 * registers, and has no ops->stop: it is not for string instructions. */
void rehearsal_begin(struct rehearsal *r, const struct emul *real);

#endif
