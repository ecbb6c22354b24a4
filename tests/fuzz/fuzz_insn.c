/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as an instruction: within their bounds, and fields that index nothing out of range. */
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/decode/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum insn_mode modes[] = {INSN_16, INSN_32, INSN_64};
    uint8_t *copy = malloc(size + 1); /* exactly as long as it is told */

    memcpy(copy, data, size);
    for (unsigned m = 0; m < 3 && size < 64; m++) {
        uint64_t gpr[16] = {0}, flags = 2;
        struct insn i;

        if (insn_decode(copy, (unsigned)size, modes[m], &i) != OK) {
            continue;
        }
        require(i.length >= 1 && i.length <= INSN_MAX && i.length <= size && i.reg < 16);
        require(i.size == 1 || i.size == 2 || i.size == 4 || i.size == 8);
        require(i.reg_size == 1 || i.reg_size == 2 || i.reg_size == 4 || i.reg_size == 8);
        require(i.address_size == 2 || i.address_size == 4 || i.address_size == 8);
        require(!i.reg_high || (i.reg < 4 && i.reg_size == 1));
        require(modes[m] == INSN_64 || (i.reg < 8 && i.size < 8 && i.address_size < 8));
        insn_reg_write(&i, gpr, insn_widen(&i, UINT64_MAX), i.reg_size);
        (void)insn_alu(i.alu, insn_reg_read(&i, gpr), i.imm, i.size, &flags);
        require((flags & ~UINT64_C(0x8d5)) == 2);
    }
    free(copy);
    return 0;
}
