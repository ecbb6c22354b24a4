/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator where the host's 64-bit mode cannot be asked: segments, faults, lack of memory,
 * single steps, and what it does not emulate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/decode/event.h"
#include "base/bits.h"
#include "fake_emul.h"

static enum emul_result step_bytes(enum insn_mode mode, const char *bytes, unsigned n)
{
    memset((void *)FAKE_CODE, 0x90, 32);
    memcpy((void *)FAKE_CODE, bytes, n);
    fake.e.mode = mode;
    fake.e.rip = FAKE_CODE;
    fake.segments[SEG_CS].base = 0;
    return emul_step(&fake.e);
}

static void start(enum insn_mode mode)
{
    fake_reset(mode);
    memset(fake.gpr, 0, sizeof(fake.gpr));
    memset(fake.memory, 0, sizeof(fake.memory));
    fake.device_pages = 1;
    fake.device_accesses = 0;
    fake.frameless = 0;
}

static void test_overrides(void **state)
{
    (void)state;
    /* rep movsb %cs:, %ss:, %es: in 32-bit code; the source's base counts, the target is ES's. */
    for (unsigned k = 0; k < 3; k++) {
        static const char *code[] = {"\x2e\xa4", "\x36\xa4", "\x26\xa4"};
        static const unsigned which[] = {SEG_CS, SEG_SS, SEG_ES};
        start(INSN_32);
        fake.memory[2 * PAGE_SIZE] = (uint8_t)(0x11 * (k + 1));
        fake.gpr[6] = FAKE_DATA + PAGE_SIZE;
        fake.gpr[7] = FAKE_DATA;
        memcpy((void *)FAKE_CODE, code[k], 2);
        fake.segments[which[k]].base = which[k] == SEG_CS ? 0 : PAGE_SIZE;
        if (which[k] == SEG_CS) { /* code's own base shifts the fetch as well */
            fake.gpr[6] += PAGE_SIZE;
        } else if (which[k] == SEG_ES) {
            fake.gpr[7] -= PAGE_SIZE;
        }
        assert_int_equal(emul_step(&fake.e), EMUL_DONE);
        assert_int_equal(fake.memory[0], 0x11 * (k + 1));
        assert_int_equal(fake.e.rip, FAKE_CODE + 2);
    }
    /* In 16-bit code: %gs:(%bp) is GS's, (%bp) is SS's. */
    start(INSN_16);
    fake.segments[SEG_CS].rights = 0x9b;
    fake.segments[SEG_GS].base = FAKE_DATA;
    fake.segments[SEG_SS].base = FAKE_DATA + PAGE_SIZE;
    fake.memory[4] = 0x44;
    fake.memory[PAGE_SIZE + 4] = 0x55;
    fake.gpr[5] = 0xabcd0000; /* the upper half does not count */
    assert_int_equal(step_bytes(INSN_16, "\x65\x8a\x46\x04", 4), EMUL_DONE);
    assert_int_equal(fake.gpr[0], 0x44);
    assert_int_equal(step_bytes(INSN_16, "\x8a\x46\x04", 3), EMUL_DONE);
    assert_int_equal(fake.gpr[0], 0x55);
}

static void faults(const char *bytes, unsigned n, unsigned vector)
{
    uint64_t was[16], rip = FAKE_CODE, flags = fake.e.rflags;

    memcpy(was, fake.gpr, sizeof(was));
    assert_int_equal(step_bytes(fake.e.mode, bytes, n), EMUL_FAULT);
    assert_int_equal(fake.e.fault.vector, vector);
    assert_true(fake.e.rip == rip && fake.e.rflags == flags);
    assert_memory_equal(fake.gpr, was, sizeof(was));
    assert_int_equal(fake.device_accesses, 0);
}

static void test_segment_faults(void **state)
{
    (void)state;
    start(INSN_32);
    fake.gpr[3] = FAKE_DATA;
    fake.segments[SEG_DS].limit = FAKE_DATA + 2;
    faults("\x8b\x03", 2, EXC_GP); /* mov (%ebx), %eax: beyond the limit */
    faults("\x89\x03", 2, EXC_GP);
    fake.segments[SEG_DS].limit = FAKE_DATA + 3;
    assert_int_equal(step_bytes(INSN_32, "\x8b\x03", 2), EMUL_DONE);
    start(INSN_32);
    fake.gpr[3] = FAKE_DATA;
    fake.segments[SEG_DS].rights = 0xc091; /* read-only */
    faults("\x89\x03", 2, EXC_GP);
    assert_int_equal(step_bytes(INSN_32, "\x8b\x03", 2), EMUL_DONE);
    start(INSN_32);
    fake.gpr[3] = FAKE_DATA;
    fake.segments[SEG_DS].rights = SEG_UNUSABLE;
    faults("\x8b\x03", 2, EXC_GP);
    start(INSN_32);
    fake.gpr[3] = FAKE_DATA;
    fake.segments[SEG_DS].rights = 0xc097; /* grows down: from above the limit */
    fake.segments[SEG_DS].limit = FAKE_DATA + 8;
    faults("\x8b\x03", 2, EXC_GP);
    fake.segments[SEG_DS].limit = FAKE_DATA - 1;
    assert_int_equal(step_bytes(INSN_32, "\x8b\x03", 2), EMUL_DONE);
    start(INSN_32);
    fake.gpr[4] = FAKE_DATA + 4;
    fake.segments[SEG_SS].limit = FAKE_DATA - 1;
    faults("\x50", 1, EXC_SS); /* push %eax */
    start(INSN_64);
    fake.gpr[3] = BIT(47);
    faults("\x8b\x03", 2, EXC_GP);
    fake.gpr[5] = BIT(47);
    faults("\x8b\x45\x00", 3, EXC_SS);
    fake.gpr[3] = FAKE_DATA + 1;
    faults("\x0f\x28\x03", 3, EXC_GP); /* movaps */
    fake.e.cr0 |= BIT(3);
    faults("\x0f\x10\x03", 3, EXC_NM);
    fake.e.cr4 = 0;
    faults("\x0f\x10\x03", 3, EXC_UD);
    faults("\xf0\x8b\x03", 3, EXC_UD); /* LOCK MOV */
}

/* Segment registers from device fake.memory, by descriptors in RAM. */
static void test_segment_loads(void **state)
{
    (void)state;
    start(INSN_32);
    fake.segments[SEG_GDTR] = (struct emul_segment){.base = FAKE_DATA + PAGE_SIZE, .limit = 0x1f};
    uint64_t *gdt = (uint64_t *)(fake.memory + PAGE_SIZE);
    gdt[1] = UINT64_C(0x12cf92345678abcd);
    gdt[2] = UINT64_C(0x00cf12000000ffff); /* not present */
    gdt[3] = UINT64_C(0x00cf98000000ffff); /* execute-only */
    fake.memory[0] = 0x08;
    fake.gpr[3] = FAKE_DATA;
    assert_int_equal(step_bytes(INSN_32, "\x8e\x1b", 2), EMUL_DONE); /* mov (%ebx), %ds */
    assert_int_equal(fake.segments[SEG_DS].selector, 8);
    assert_int_equal(fake.segments[SEG_DS].base, 0x12345678);
    assert_int_equal(fake.segments[SEG_DS].limit, 0xfabcdfff);
    assert_int_equal(fake.segments[SEG_DS].rights, 0xc093); /* accessed now */
    assert_int_equal(gdt[1] >> 40 & 1, 1);
    start(INSN_32);
    fake.segments[SEG_GDTR] = (struct emul_segment){.base = FAKE_DATA + PAGE_SIZE, .limit = 0x1f};
    gdt[2] = UINT64_C(0x00cf12000000ffff);
    gdt[3] = UINT64_C(0x00cf98000000ffff);
    static const struct {
        uint8_t selector, reg;
        unsigned vector, error;
    } bad[] = {{0x10, SEG_ES, EXC_NP, 0x10}, {0x18, SEG_ES, EXC_GP, 0x18},
               {0x20, SEG_ES, EXC_GP, 0x20}, {0x00, SEG_SS, EXC_GP, 0},
               {0x0c, SEG_ES, EXC_GP, 0x0c}, {0x18, SEG_SS, EXC_GP, 0x18}};
    fake.segments[SEG_LDTR].rights = SEG_UNUSABLE;
    for (unsigned k = 0; k < ARRAY_LEN(bad); k++) {
        char code[2] = {(char)0x8e, (char)(3 | bad[k].reg << 3)};
        fake.memory[0] = bad[k].selector;
        fake.gpr[3] = FAKE_DATA;
        assert_int_equal(step_bytes(INSN_32, code, 2), EMUL_FAULT);
        assert_int_equal(fake.e.fault.vector, bad[k].vector);
        assert_int_equal(fake.e.fault.error, bad[k].error);
    }
    fake.memory[0] = 0;
    assert_int_equal(step_bytes(INSN_32, "\x8e\x03", 2), EMUL_DONE);
    assert_true(fake.segments[SEG_ES].rights & SEG_UNUSABLE);
    start(INSN_16); /* real mode: a paragraph; SS holds interrupts back */
    fake.e.cr0 = 0;
    fake.memory[0] = 0x34;
    fake.memory[1] = 0x12;
    fake.segments[SEG_DS].base = FAKE_DATA;
    assert_int_equal(step_bytes(INSN_16, "\x8e\x17", 2), EMUL_DONE); /* mov (%bx), %ss */
    assert_int_equal(fake.segments[SEG_SS].base, 0x12340);
    assert_true(fake.e.blocks_ss);
    assert_int_equal(step_bytes(INSN_16, "\x0f\xb2\x17", 3), EMUL_DONE); /* lss (%bx), %dx */
    assert_true(fake.gpr[2] == 0x1234 && fake.segments[SEG_SS].base == 0);
    assert_false(fake.e.blocks_ss);
}

/* A lack of frames comes before a device sees anything, and nothing has changed. */
static void test_no_memory(void **state)
{
    static const struct {
        const char *bytes;
        unsigned n;
    } code[] = {{"\xa4", 1}, {"\xff\x33", 2}, {"\xf3\xa5", 2}, {"\x8f\x06", 2}, {"\xff\x13", 2}};
    (void)state;

    for (unsigned k = 0; k < ARRAY_LEN(code); k++) {
        start(INSN_64);
        fake.gpr[1] = 5;
        fake.gpr[3] = FAKE_DATA; /* the device */
        fake.gpr[6] = code[k].bytes[0] == (char)0x8f ? FAKE_DATA + 2 * PAGE_SIZE : FAKE_DATA;
        fake.gpr[7] = FAKE_DATA + 2 * PAGE_SIZE;
        fake.gpr[4] = code[k].bytes[0] == (char)0x8f ? FAKE_DATA : FAKE_DATA + 3 * PAGE_SIZE;
        uint64_t was[16];
        memcpy(was, fake.gpr, sizeof(was));
        fake.frameless = ~0u;
        assert_int_equal(step_bytes(INSN_64, code[k].bytes, code[k].n), EMUL_NO_MEMORY);
        assert_int_equal(fake.device_accesses, 0);
        assert_memory_equal(fake.gpr, was, sizeof(was));
        fake.frameless = 0;
        assert_int_equal(step_bytes(INSN_64, code[k].bytes, code[k].n),
                         code[k].n == 2 && code[k].bytes[0] == (char)0xf3 ? EMUL_AGAIN : EMUL_DONE);
    }
}

static void test_single_step(void **state)
{
    (void)state;
    start(INSN_64);
    fake.e.rflags |= BIT(8) | BIT(16);
    fake.gpr[7] = FAKE_DATA;
    fake.gpr[1] = 3;
    assert_int_equal(step_bytes(INSN_64, "\xf3\xaa", 2), EMUL_AGAIN);
    assert_true(fake.e.single_step && (fake.e.rflags & BIT(16)) && fake.gpr[1] == 2);
    assert_int_equal(emul_step(&fake.e), EMUL_AGAIN);
    assert_int_equal(emul_step(&fake.e), EMUL_DONE);
    assert_true(fake.e.single_step && !(fake.e.rflags & BIT(16)) && fake.gpr[1] == 0 &&
                fake.gpr[7] == FAKE_DATA + 3);
    assert_int_equal(step_bytes(INSN_64, "\xf3\xaa", 2), EMUL_DONE); /* RCX is 0: one trap */
    assert_true(fake.e.single_step && fake.gpr[7] == FAKE_DATA + 3);
}

static void test_unknown(void **state)
{
    static const char *bytes[] = {"\xd9\x03",         "\xdb\x03",     "\x0f\xae\x03", "\xff\x1b",
                                  "\x66\x0f\xfe\x03", "\x0f\x6f\x03", "\xff\xff"};
    (void)state;

    for (unsigned k = 0; k < ARRAY_LEN(bytes); k++) {
        start(INSN_64);
        fake.gpr[3] = FAKE_DATA;
        assert_int_equal(step_bytes(INSN_64, bytes[k], (unsigned)strlen(bytes[k])), EMUL_UNKNOWN);
        assert_int_equal(fake.device_accesses, 0);
    }
}

/* `n` prefixes and a load of 2 bytes that begin `before` bytes before the code page's end. */
static enum emul_result long_insn(enum insn_mode mode, uint8_t prefix, unsigned n, unsigned before)
{
    uint8_t bytes[24];

    memset(bytes, prefix, n);
    memcpy(bytes + n, "\x8b\x03", 2); /* mov (%rbx), %eax; mov (%bp,%di), %ax */
    memcpy((uint8_t *)FAKE_CODE + PAGE_SIZE - before, bytes, before);
    memcpy(fake.memory, bytes + before, sizeof(bytes) - before);
    fake.e.mode = mode;
    fake.e.rip = FAKE_CODE + PAGE_SIZE - before;
    fake.segments[SEG_CS].base = 0;
    return emul_step(&fake.e);
}

/* 15 bytes are an instruction, 16 are #GP(0), wherever the page ends (SDM vol. 3, 6.15); unless the
 * bytes up to the 15th cannot even be fetched. */
static void test_length(void **state)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    static const enum insn_mode modes[] = {INSN_16, INSN_32, INSN_64};
    (void)state;

    for (unsigned before = 1; before <= 20; before++) {
        for (unsigned k = 0; k < ARRAY_LEN(prefixes) * ARRAY_LEN(modes); k++) {
            uint8_t prefix = prefixes[k / ARRAY_LEN(modes)];
            enum insn_mode mode = modes[k % ARRAY_LEN(modes)];

            for (unsigned n = 13; n <= 16; n++) {
                start(mode);
                fake.device_pages = 0;
                for (unsigned s = 0; mode == INSN_16 && s < SEG_REGISTERS; s++) {
                    fake.segments[s].base = FAKE_DATA;
                }
                fake.gpr[3] = mode == INSN_16 ? 0 : FAKE_DATA;
                enum emul_result r = long_insn(mode, prefix, n, before);
                if (n == 13 && !(prefix == 0x67 && mode != INSN_64)) {
                    assert_int_equal(r, EMUL_DONE);
                    assert_int_equal(fake.e.insn.length, 15);
                } else if (n > 13) {
                    assert_int_equal(r, EMUL_FAULT);
                    assert_true(fake.e.fault.vector == EXC_GP && fake.e.fault.has_error);
                    assert_int_equal(fake.e.fault.error, 0);
                }
            }
        }
        /* LOCK, which is illegal here, counts only once the instruction is one. */
        start(INSN_32);
        fake.device_pages = 0;
        fake.gpr[3] = FAKE_DATA;
        assert_int_equal(long_insn(INSN_32, 0xf0, 14, before), EMUL_FAULT);
        assert_int_equal(fake.e.fault.vector, EXC_GP);
        assert_int_equal(long_insn(INSN_32, 0xf0, 13, before), EMUL_FAULT);
        assert_int_equal(fake.e.fault.vector, EXC_UD);
    }
    for (unsigned before = 1; before <= 20; before++) { /* the second page is not present */
        start(INSN_32);
        fake.device_pages = 0;
        fake.e.cr0 |= BIT(31);
        fake.e.cr3 = FAKE_DATA + 2 * PAGE_SIZE;
        store_le32(fake.memory + 2 * PAGE_SIZE + 4 * (FAKE_CODE >> 22),
                   (uint32_t)(FAKE_DATA + 3 * PAGE_SIZE) | 7);
        store_le32(fake.memory + 3 * PAGE_SIZE, (uint32_t)FAKE_CODE | 7);
        assert_int_equal(long_insn(INSN_32, 0x66, 16, before), EMUL_FAULT);
        assert_int_equal(fake.e.fault.vector, before < 15 ? EXC_PF : EXC_GP);
        assert_true(before >= 15 || fake.e.fault.cr2 == FAKE_DATA);
    }
}

/* PUSHA and POPA go on at the stack's other end, as eight pushes do; an element across it faults.
 */
static void test_stack_wraps(void **state)
{
    (void)state;

    for (unsigned sp = 0; sp <= 20; sp++) {
        uint8_t *stack = fake.memory; /* 64 KiB that repeat every FAKE_BYTES */
        uint64_t was[16];

        start(INSN_16);
        fake.segments[SEG_SS].base = FAKE_DATA; /* its low end in RAM, its upper in the device */
        fake.segments[SEG_SS].rights = 0x93;
        fake.segments[SEG_SS].limit = 0xffff;
        fake.aliased = true;
        for (unsigned n = 0; n < 8; n++) {
            fake.gpr[n] = 0x1110u * (n + 1);
        }
        fake.gpr[4] = 0xabcd0000 | sp;
        memcpy(was, fake.gpr, sizeof(was));
        memcpy(stack + 2 * PAGE_SIZE, "\x60\x61", 2); /* pusha; popa */
        fake.e.rip = 2 * PAGE_SIZE;
        fake.segments[SEG_CS].base = 0;
        if (sp % 2 == 1 && sp < 16) {
            assert_int_equal(emul_step(&fake.e), EMUL_FAULT);
            assert_int_equal(fake.e.fault.vector, EXC_SS);
            assert_memory_equal(fake.gpr, was, sizeof(was));
            fake.aliased = false;
            continue;
        }
        assert_int_equal(emul_step(&fake.e), EMUL_DONE);
        assert_int_equal(fake.gpr[4], 0xabcd0000 | ((sp - 16) & 0xffff));
        for (unsigned n = 0; n < 8; n++) {
            uint64_t at = fake.segments[SEG_SS].base + ((sp - 2 * (n + 1)) & 0xffff);
            assert_int_equal(load_le16(stack + at % FAKE_BYTES), was[n] & 0xffff);
        }
        memset(fake.gpr, 0, 4 * sizeof(fake.gpr[0]));
        assert_int_equal(emul_step(&fake.e), EMUL_DONE);
        assert_memory_equal(fake.gpr, was, sizeof(was));
        fake.aliased = false;
    }
}

/* With UMIP a user is told nothing of the system's tables. */
static void test_umip(void **state)
{
    /* sgdt, sidt, sldt, str, smsw (%rbx) */
    static const char *code[] = {"\x0f\x01\x03", "\x0f\x01\x0b", "\x0f\x00\x03", "\x0f\x00\x0b",
                                 "\x0f\x01\x23"};
    (void)state;

    for (unsigned k = 0; k < ARRAY_LEN(code); k++) {
        for (unsigned how = 0; how < 4; how++) {
            start(INSN_64);
            fake.gpr[3] = FAKE_DATA;
            fake.e.cpl = how & 1 ? 3 : 0;
            fake.e.cr4 |= how & 2 ? BIT(11) : 0;
            memcpy((void *)FAKE_CODE, code[k], 3);
            assert_int_equal(emul_step(&fake.e), how == 3 ? EMUL_FAULT : EMUL_DONE);
            assert_true(how != 3 || (fake.e.fault.vector == EXC_GP && fake.device_accesses == 0));
        }
    }
}

/* AC lets level 0 to 2 reach user pages under SMAP by an operand, not by a descriptor. */
static void test_smap_implicit(void **state)
{
    struct emul_range r;
    uint8_t byte;
    (void)state;

    for (unsigned how = 0; how < 4; how++) {
        start(INSN_32);
        fake.device_pages = 0;
        fake.e.cr0 |= BIT(31);
        fake.e.cr4 |= BIT(4) | BIT(21);
        fake.e.cr3 = FAKE_DATA + 2 * PAGE_SIZE;
        fake.e.cpl = how & 1 ? 3 : 0;
        fake.e.rflags |= how & 2 ? BIT(18) : 0;
        store_le32(fake.memory + 2 * PAGE_SIZE + 4 * (FAKE_DATA >> 22), (uint32_t)FAKE_CODE | 0x87);
        assert_int_equal(emul_map_at(&fake.e, SEG_DS, FAKE_DATA, 1, false, &r),
                         how == 0 ? EMUL_FAULT : EMUL_DONE);
        assert_int_equal(emul_read(&fake.e, FAKE_DATA, &byte, 1, 0), EMUL_FAULT);
        assert_int_equal(fake.e.fault.error, PF_PRESENT);
        assert_int_equal(emul_read(&fake.e, FAKE_DATA, &byte, 1, GWALK_USER), EMUL_DONE);
    }
}

/* Bits of a page table entry above the width that CPUID tells are reserved. */
static void test_phys_bits(void **state)
{
    uint8_t byte;
    (void)state;

    for (unsigned bits = 0; bits < 64; bits += 40) {
        start(INSN_32);
        fake.device_pages = 0;
        fake.e.cr0 |= BIT(31);
        fake.e.cr4 |= BIT(5);
        fake.e.cr3 = FAKE_DATA + 2 * PAGE_SIZE;
        fake.e.phys_bits = (uint8_t)bits;
        store_le32(fake.memory + 2 * PAGE_SIZE, (uint32_t)(FAKE_DATA + 3 * PAGE_SIZE) | 1);
        store_le64(fake.memory + 3 * PAGE_SIZE + 8 * (FAKE_DATA >> 21), FAKE_CODE | 0x83 | BIT(44));
        assert_int_equal(emul_read(&fake.e, FAKE_DATA, &byte, 1, 0),
                         bits == 40 ? EMUL_FAULT : EMUL_DONE);
        assert_true(bits != 40 || fake.e.fault.error == (PF_PRESENT | PF_RESERVED));
    }
}

/* PAE's four top entries are the CPU's copies, until CR3 is written. */
static void test_pdptes(void **state)
{
    uint8_t byte;
    (void)state;

    for (unsigned how = 0; how < 4; how++) {
        bool loaded = how & 1, in_memory = how & 2;
        uint64_t pdpte = (FAKE_DATA + 3 * PAGE_SIZE) | 1;

        start(INSN_32);
        fake.device_pages = 0;
        fake.e.cr0 |= BIT(31);
        fake.e.cr4 |= BIT(5);
        fake.e.cr3 = FAKE_DATA + 2 * PAGE_SIZE;
        fake.e.has_pdptes = true;
        fake.e.pdptes[FAKE_DATA >> 30] = loaded ? pdpte : 0;
        store_le64(fake.memory + 2 * PAGE_SIZE + 8 * (FAKE_DATA >> 30), in_memory ? pdpte : 0);
        store_le64(fake.memory + 3 * PAGE_SIZE + 8 * (FAKE_DATA >> 21 & 511), FAKE_CODE | 0x83);
        assert_int_equal(emul_read(&fake.e, FAKE_DATA, &byte, 1, 0),
                         loaded ? EMUL_DONE : EMUL_FAULT);
        emul_forget(&fake.e);
        fake.e.has_pdptes = false;
        assert_int_equal(emul_read(&fake.e, FAKE_DATA, &byte, 1, 0),
                         in_memory ? EMUL_DONE : EMUL_FAULT);
    }
}

static void test_double_faults(void **state)
{
    (void)state;
    assert_int_equal(event_combine(false, 14, 14), EVENT_SECOND); /* INT 14 */
    assert_int_equal(event_combine(true, 6, 13), EVENT_SECOND);
    assert_int_equal(event_combine(true, 13, 14), EVENT_SECOND);
    assert_int_equal(event_combine(true, 13, 11), EVENT_DOUBLE_FAULT);
    assert_int_equal(event_combine(true, 0, 10), EVENT_DOUBLE_FAULT);
    assert_int_equal(event_combine(true, 14, 14), EVENT_DOUBLE_FAULT);
    assert_int_equal(event_combine(true, 14, 12), EVENT_DOUBLE_FAULT);
    assert_int_equal(event_combine(true, 14, 1), EVENT_SECOND);
    assert_int_equal(event_combine(true, 8, 13), EVENT_SHUTDOWN);
    assert_int_equal(event_combine(true, 8, 14), EVENT_SHUTDOWN);
    assert_int_equal(event_combine(true, 8, 1), EVENT_SECOND);
}

static int setup(void **state)
{
    (void)state;
    return fake_map() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overrides),     cmocka_unit_test(test_segment_faults),
        cmocka_unit_test(test_segment_loads), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_single_step),   cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_length),        cmocka_unit_test(test_umip),
        cmocka_unit_test(test_smap_implicit), cmocka_unit_test(test_phys_bits),
        cmocka_unit_test(test_pdptes),        cmocka_unit_test(test_stack_wraps),
        cmocka_unit_test(test_double_faults),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
