/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as an instruction, of any registers, on a machine whose segments and memory are the
 * fuzzer's: the decoder stays within its bounds, and the emulator within its work and its contract
 * with the devices.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/decode/emul.h"
#include "arch/x86_64/decode/task.h"
#include "base/bits.h"
#include "fake_emul.h"
#include "input.h"
#include "work.h"

static struct input in;

static uint64_t take64(void)
{
    uint64_t low = take(&in, 4);

    return low | (uint64_t)take(&in, 4) << 32;
}

/* Which pages are a device's, and which of the others lack a frame; a mask that is 0 in half of all
 * cases. */
static unsigned take_mask(void)
{
    uint8_t b = (uint8_t)take(&in, 1);

    return b & 0x10 ? b & 0xf : 0;
}

/* Segments, and memory that repeats what is left of the input. Every address is in it. */
static void take_machine(enum insn_mode mode)
{
    fake_reset(mode);
    fake.aliased = true;
    fake.calls = fake.stops = fake.device_accesses = 0;
    fake.device_pages = take_mask();
    fake.frameless = take_mask();
    fake.unreadable = take_mask();
    fake.cr3_status = take(&in, 1) & 1 ? OK : E_INVAL;
    for (unsigned n = 0; n < SEG_ALL; n++) {
        uint8_t how = (uint8_t)take(&in, 1);

        if (how & 1) { /* else flat, as it is */
            fake.segments[n] = (struct emul_segment){.selector = (uint16_t)take(&in, 2),
                                                     .base = n == SEG_CS ? 0 : take64(),
                                                     .limit = take(&in, how & 2 ? 4 : 2),
                                                     .rights = take(&in, 4) & 0x1f0ff};
        }
    }
    memset(fake.memory, 0, sizeof(fake.memory));
    for (size_t at = 0, part; at < sizeof(fake.memory) && in.n > 0; at += part) {
        part = MIN(in.n, sizeof(fake.memory) - at);
        memcpy(fake.memory + at, in.p, part);
    }
}

static void decode(const uint8_t *bytes, size_t n)
{
    static const enum insn_mode modes[] = {INSN_16, INSN_32, INSN_64};
    uint8_t *copy = malloc(n + 1); /* exactly as long as it is told */

    memcpy(copy, bytes, n);
    for (unsigned m = 0; m < 3; m++) {
        struct insn i;

        if (insn_decode(copy, (unsigned)n, modes[m], &i) != OK) {
            continue;
        }
        require(i.length >= 1 && i.length <= INSN_MAX && i.length <= n);
        require(i.reg < 16 && i.rm < 16 && i.base <= INSN_RIP && i.index < 16 && i.scale < 4);
        require(i.segment < SEG_REGISTERS && i.vvvv < 16 && i.size <= 32);
        require(i.address_size == 2 || i.address_size == 4 || i.address_size == 8);
        require(modes[m] == INSN_64 || (i.address_size < 8 && i.operand_size < 8));
    }
    free(copy);
}

static bool lacks_frames(void)
{
    return (fake.frameless | fake.unreadable) != 0;
}

static void emulate(void)
{
    static const enum insn_mode modes[] = {INSN_16, INSN_32, INSN_64, INSN_64};
    uint64_t before[16];
    struct emul *e = &fake.e;
    uint8_t code[32];

    for (unsigned k = 0; k < sizeof(code); k++) {
        code[k] = (uint8_t)take(&in, 1);
    }
    uint8_t how = (uint8_t)take(&in, 1);
    uint32_t flags = take(&in, 4);
    for (unsigned r = 0; r < 16; r++) {
        before[r] = (uint8_t)take(&in, 1) & 1 ? take64() : (uint16_t)take(&in, 2);
    }
    take_machine(modes[how & 3]);
    memcpy(fake.gpr, before, sizeof(before));
    e->cr0 = (how & 4) || e->mode == INSN_64 ? 1 : 0;
    e->cr0 |= how & 0x40 ? BIT(31) : 0;
    e->cr4 = how & 8 ? BIT(9) | BIT(18) : 0;
    e->cr4 |= (how & 0x80) || e->mode == INSN_64 ? BIT(5) : 0;
    e->cr3 = take(&in, 2);
    e->cpl = how & 16 ? 3 : 0;
    e->rflags = (flags & 0x254dd5) | 2;
    e->rip = PAGE_SIZE - 16 * (how >> 5 & 1); /* across two pages, or not */
    memcpy(fake.memory + e->rip, code, sizeof(code));
    uint64_t rip = e->rip;
    enum emul_result r = emul_step(e);
    require(fake.calls < 2500);
    require(e->n_bytes <= INSN_MAX);
    if (r == EMUL_FAULT) {
        require(e->fault.vector < 32);
    }
    if (r != EMUL_DONE) {
        require(e->rip == rip);
    }
    bool string = e->insn.op >= INSN_MOVS && e->insn.op <= INSN_SCAS;
    if ((r == EMUL_FAULT || r == EMUL_NO_MEMORY || r == EMUL_UNKNOWN) && !string) {
        require(memcmp(fake.gpr, before, sizeof(before)) == 0);
    }
    require(r != EMUL_NO_MEMORY || lacks_frames());
    /* What is tried again has had no effect on a device, but for those that have many operands. */
    if (r == EMUL_NO_MEMORY && !string && e->insn.op != INSN_ENTER &&
        e->insn.op != INSN_MOV_TO_SREG && e->insn.op != INSN_LOAD_FAR &&
        !(e->insn.op == INSN_POP && e->insn.dst == OPERAND_SREG)) {
        require(fake.device_accesses == 0);
    }
    require(r != EMUL_AGAIN || (e->insn.repe || e->insn.repne));
}

/* Any descriptors and any TSS. */
static void switch_task(void)
{
    struct task_switch t = {.selector = (uint16_t)take(&in, 2),
                            .source = (enum task_source)take(&in, 1) & 3,
                            .return_eip = take(&in, 4),
                            .has_error = take(&in, 1) & 1};
    struct emul_segment was[SEG_ALL];
    struct emul *e = &fake.e;
    uint32_t flags = take(&in, 4);
    uint8_t how = (uint8_t)take(&in, 1);

    take_machine(INSN_32);
    memset(fake.gpr, 0, sizeof(fake.gpr));
    memcpy(was, fake.segments, sizeof(was));
    e->rflags |= flags & 0x254dd5;
    e->cr0 |= how & 1 ? BIT(31) : 0;
    e->cr4 |= how & 2 ? BIT(5) : 0;
    enum emul_result r = task_switch(e, &t);
    require(fake.calls < 2500 && (e->rflags & 2) && !(e->rflags & ~UINT64_C(0x3f7fd7)));
    require(r == EMUL_DONE || r == EMUL_FAULT || (r == EMUL_NO_MEMORY && lacks_frames()));
    require(t.switched || r != EMUL_DONE);
    require(!t.switched || r != EMUL_NO_MEMORY);
    for (unsigned n = 0; n < 16; n++) {
        require(t.switched || fake.gpr[n] == 0);
    }
    require(t.switched || memcmp(was, fake.segments, sizeof(was)) == 0);
}

static int one_input(const uint8_t *data, size_t size)
{
    if (size < 64) {
        decode(data, size);
    }
    in = (struct input){data, size};
    emulate();
    in = (struct input){data, size};
    switch_task();
    return 0;
}

FUZZ_ENTRY(one_input, 30000, 4000)
