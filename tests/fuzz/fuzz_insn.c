/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as an instruction, of any registers, on a machine whose every answer is the fuzzer's:
 * the decoder stays within its bounds, and the emulator within its work and its contract with the
 * devices.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/decode/emul.h"
#include "arch/x86_64/decode/task.h"
#include "base/bits.h"
#include "input.h"
#include "work.h"

static struct input in;
static unsigned work, stops;
static bool out_of_memory, device_touched;
static uint8_t code[32];

static uint64_t take64(void)
{
    uint64_t low = take(&in, 4);

    return low | (uint64_t)take(&in, 4) << 32;
}

static void get_segment(void *ctx, unsigned which, struct emul_segment *out)
{
    (void)ctx;
    require(which < SEG_ALL);
    work++;
    *out = (struct emul_segment){.selector = (uint16_t)take(&in, 2),
                                 .base = take64(),
                                 .limit = take(&in, 4),
                                 .rights = take(&in, 4) & 0x1f0ff};
    if (which == SEG_CS) {
        out->base = 0;
    }
}

static void set_segment(void *ctx, unsigned which, const struct emul_segment *s)
{
    (void)ctx;
    (void)s;
    require(which < SEG_ALL);
    work++;
}

static enum status ram_find(void *ctx, gpa_t at, bool write)
{
    (void)ctx;
    (void)write;
    work++;
    if (at.a < PAGE_SIZE) {
        return OK;
    }
    uint8_t b = (uint8_t)take(&in, 1);
    out_of_memory |= b == 1;
    return b == 1 ? E_NOMEM : b & 2 ? E_FAULT : OK;
}

static enum status ram_read(void *ctx, gpa_t at, void *to, unsigned n)
{
    (void)ctx;
    work++;
    require(n >= 1 && n <= 64 && at.a % PAGE_SIZE + n <= PAGE_SIZE);
    for (unsigned k = 0; k < n; k++) {
        ((uint8_t *)to)[k] =
            at.a < PAGE_SIZE ? code[(at.a + k) % sizeof(code)] : (uint8_t)take(&in, 1);
    }
    return OK;
}

static enum status ram_write(void *ctx, gpa_t at, const void *from, unsigned n)
{
    (void)ctx;
    (void)from;
    work++;
    require(n >= 1 && n <= 64 && at.a % PAGE_SIZE + n <= PAGE_SIZE);
    return OK;
}

static uint64_t device_read(void *ctx, gpa_t at, unsigned size)
{
    (void)ctx;
    work++;
    device_touched = true;
    require((size == 1 || size == 2 || size == 4 || size == 8) &&
            at.a % PAGE_SIZE + size <= PAGE_SIZE);
    return take64();
}

static void device_write(void *ctx, gpa_t at, unsigned size, uint64_t value)
{
    (void)ctx;
    (void)value;
    work++;
    device_touched = true;
    require((size == 1 || size == 2 || size == 4 || size == 8) &&
            at.a % PAGE_SIZE + size <= PAGE_SIZE);
}

static void get_vector(void *ctx, unsigned n, uint8_t to[EMUL_VECTOR_BYTES])
{
    (void)ctx;
    require(n < 16);
    memset(to, 0x5a, EMUL_VECTOR_BYTES);
}

static void set_vector(void *ctx, unsigned n, const uint8_t from[EMUL_VECTOR_BYTES])
{
    (void)ctx;
    (void)from;
    require(n < 16);
}

static enum status load_cr3(void *ctx, uint64_t cr3)
{
    (void)ctx;
    (void)cr3;
    return take(&in, 1) & 1 ? OK : E_INVAL;
}

static bool stop(void *ctx)
{
    (void)ctx;
    return ++stops >= 8;
}

static const struct emul_ops ops = {.get_segment = get_segment,
                                    .set_segment = set_segment,
                                    .ram_find = ram_find,
                                    .ram_read = ram_read,
                                    .ram_write = ram_write,
                                    .device_read = device_read,
                                    .device_write = device_write,
                                    .get_vector = get_vector,
                                    .set_vector = set_vector,
                                    .load_cr3 = load_cr3,
                                    .stop = stop};

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

static void emulate(void)
{
    static const enum insn_mode modes[] = {INSN_16, INSN_32, INSN_64, INSN_64};
    uint64_t gpr[16], before[16];
    struct emul e = {.ops = &ops, .gpr = gpr};

    for (unsigned k = 0; k < sizeof(code); k++) {
        code[k] = (uint8_t)take(&in, 1);
    }
    uint8_t how = (uint8_t)take(&in, 1);
    e.mode = modes[how & 3];
    e.cr0 = how & 4 ? 1 : 0;
    e.cr0 |= e.mode == INSN_64 ? 1 : 0;
    e.cr4 = how & 8 ? BIT(9) | BIT(18) : 0;
    e.xcr0 = 7;
    e.efer = e.mode == INSN_64 ? BIT(10) : 0;
    e.cpl = how & 16 ? 3 : 0;
    e.rflags = (take(&in, 4) & 0x254dd5) | 2;
    e.rip = 16 * (how >> 5 & 1);
    for (unsigned r = 0; r < 16; r++) {
        gpr[r] = before[r] = (uint8_t)take(&in, 1) & 1 ? take64() : (uint16_t)take(&in, 2);
    }
    work = stops = 0;
    out_of_memory = device_touched = false;
    uint64_t rip = e.rip;
    enum emul_result r = emul_step(&e);
    require(work < 1500);
    require(e.n_bytes <= INSN_MAX);
    if (r == EMUL_FAULT) {
        require(e.fault.vector < 32);
    }
    if (r != EMUL_DONE) {
        require(e.rip == rip);
    }
    bool string = e.insn.op >= INSN_MOVS && e.insn.op <= INSN_SCAS;
    if ((r == EMUL_FAULT || r == EMUL_NO_MEMORY || r == EMUL_UNKNOWN) && !string) {
        require(memcmp(gpr, before, sizeof(gpr)) == 0);
    }
    require(r != EMUL_NO_MEMORY || out_of_memory);
    /* What is tried again has had no effect on a device, but for those that have many operands. */
    if (r == EMUL_NO_MEMORY && !string && e.insn.op != INSN_ENTER &&
        e.insn.op != INSN_MOV_TO_SREG && e.insn.op != INSN_LOAD_FAR &&
        !(e.insn.op == INSN_POP && e.insn.dst == OPERAND_SREG)) {
        require(!device_touched);
    }
    require(r != EMUL_AGAIN || (e.insn.repe || e.insn.repne));
}

/* Any descriptors and any TSS. */
static void switch_task(void)
{
    uint64_t gpr[16] = {0};
    struct emul e = {.ops = &ops, .gpr = gpr, .mode = INSN_32, .cr0 = 1, .rflags = 2};
    struct task_switch t = {.selector = (uint16_t)take(&in, 2),
                            .source = (enum task_source)take(&in, 1) & 3,
                            .return_eip = take(&in, 4),
                            .has_error = take(&in, 1) & 1};

    work = stops = 0;
    out_of_memory = false;
    e.rflags |= take(&in, 4) & 0x254dd5;
    enum emul_result r = task_switch(&e, &t);
    require(work < 1500 && (e.rflags & 2) && !(e.rflags & ~UINT64_C(0x3f7fd7)));
    require(r == EMUL_DONE || r == EMUL_FAULT || (r == EMUL_NO_MEMORY && out_of_memory));
    require(t.switched || r != EMUL_DONE);
    require(!t.switched || r != EMUL_NO_MEMORY);
    for (unsigned n = 0; n < 16; n++) {
        require(t.switched || gpr[n] == 0);
    }
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
