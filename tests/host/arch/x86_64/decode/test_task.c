/* SPDX-License-Identifier: BSD-2-Clause */
/* Task switches over a fake machine: 32 and 16 bits, by each source, and every fault of SDM vol. 3,
 * table 8-1, in the task that it belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/decode/task.h"
#include "base/bits.h"
#include "fake_emul.h"

/* Selectors; the GDT is at FAKE_DATA. */
enum {
    CODE = 0x08,
    DATA = 0x10,
    OLD = 0x18,   /* the running task's TSS, busy */
    NEW = 0x20,   /* 32-bit, available */
    SMALL = 0x28, /* 16-bit */
    LDT = 0x30,
    USER_CODE = 0x38,
    USER_DATA = 0x40,
    ABSENT = 0x48,
    LIMIT = 0x4f,
};

#define OLD_AT PAGE_SIZE
#define NEW_AT (PAGE_SIZE + 0xfd0) /* across two pages */
#define SMALL_AT (2 * PAGE_SIZE + 0x100)
#define LDT_AT (2 * PAGE_SIZE + 0x200)
#define STACK_AT (3 * PAGE_SIZE)

#define FLAT UINT64_C(0x00cf00000000ffff)
#define NT BIT(14)

static uint64_t descriptor(uint64_t base, uint32_t limit, uint8_t rights)
{
    base += FAKE_DATA;
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)rights << 40 |
           (base >> 24 & 0xff) << 56;
}

static void set_descriptor(unsigned selector, uint64_t d)
{
    store_le64(fake.memory + selector, d);
}

static uint8_t rights_of(unsigned selector)
{
    return fake.memory[selector + 5];
}

static void set32(unsigned at, uint32_t v)
{
    store_le32(fake.memory + at, v);
}

static uint32_t get32(unsigned at)
{
    return load_le32(fake.memory + at);
}

static void fill_tss(void)
{
    set32(NEW_AT + 28, 0x5000); /* CR3 */
    set32(NEW_AT + 32, 0x1234);
    set32(NEW_AT + 36, 0x8d7 | 0x200); /* all arithmetic flags, IF */
    for (unsigned n = 0; n < 8; n++) {
        set32(NEW_AT + 40 + 4 * n, 0x11111111 * (n + 1));
        store_le16(fake.memory + SMALL_AT + 18 + 2 * n, (uint16_t)(0x1111 * (n + 1)));
    }
    set32(NEW_AT + 40 + 16, (uint32_t)FAKE_DATA + STACK_AT + 0x80); /* ESP */
    for (unsigned n = 0; n < 6; n++) {
        set32(NEW_AT + 72 + 4 * n, n == SEG_CS ? CODE : DATA);
    }
    set32(NEW_AT + 96, LDT);
    store_le16(fake.memory + SMALL_AT + 14, 0x4321);
    store_le16(fake.memory + SMALL_AT + 16, 0x0202);
    for (unsigned n = 0; n < 4; n++) {
        store_le16(fake.memory + SMALL_AT + 34 + 2 * n, n == SEG_CS ? CODE : DATA);
    }
}

static void start(void)
{
    memset(fake.memory, 0, sizeof(fake.memory));
    fake_reset(INSN_32);
    fake.device_pages = 0;
    fake.frameless = fake.unreadable = 0;
    fake.cr3_status = OK;
    fake.cr3 = 0;
    set_descriptor(CODE, FLAT | UINT64_C(0x9a) << 40);
    set_descriptor(DATA, FLAT | UINT64_C(0x92) << 40);
    set_descriptor(OLD, descriptor(OLD_AT, 103, 0x8b));
    set_descriptor(NEW, descriptor(NEW_AT, 103, 0x89));
    set_descriptor(SMALL, descriptor(SMALL_AT, 43, 0x81));
    set_descriptor(LDT, descriptor(LDT_AT, 0xff, 0x82));
    set_descriptor(USER_CODE, FLAT | UINT64_C(0xfa) << 40);
    set_descriptor(USER_DATA, FLAT | UINT64_C(0xf2) << 40);
    set_descriptor(ABSENT, FLAT | UINT64_C(0x12) << 40);
    fill_tss();
    fake.segments[SEG_GDTR] = (struct emul_segment){.base = FAKE_DATA, .limit = LIMIT};
    fake.segments[SEG_TR] = (struct emul_segment){
        .selector = OLD, .base = FAKE_DATA + OLD_AT, .limit = 103, .rights = 0x8b};
    for (unsigned n = 0; n < SEG_REGISTERS; n++) {
        fake.segments[n].selector = (uint16_t)(0x100 + 8 * n);
    }
    for (unsigned n = 0; n < 16; n++) {
        fake.gpr[n] = 0xa0a0a000u + n;
    }
    fake.e.rip = 0x7000;
    fake.e.rflags = 0x202 | NT;
}

static struct task_switch switch_to(uint16_t selector, enum task_source source,
                                    enum emul_result want)
{
    struct task_switch t = {.selector = selector,
                            .source = source,
                            .return_eip = 0x7002,
                            .external = source == TASK_GATE};

    assert_int_equal(task_switch(&fake.e, &t), want);
    assert_true(t.switched || want != EMUL_DONE);
    return t;
}

static void check_old(uint32_t flags)
{
    assert_int_equal(get32(OLD_AT + 32), 0x7002);
    assert_int_equal(get32(OLD_AT + 36), flags);
    for (unsigned n = 0; n < 8; n++) {
        assert_int_equal(get32(OLD_AT + 40 + 4 * n), 0xa0a0a000u + n);
    }
    for (unsigned n = 0; n < 6; n++) {
        assert_int_equal(get32(OLD_AT + 72 + 4 * n), 0x100 + 8 * n);
    }
    assert_int_equal(get32(OLD_AT + 28), 0); /* CR3 and LDT are not saved */
    assert_int_equal(get32(OLD_AT + 96), 0);
}

static void check_new(uint64_t flags)
{
    assert_int_equal(fake.e.rip, 0x1234);
    assert_true(fake.e.rflags == (flags | 2));
    for (unsigned n = 0; n < 8; n++) {
        assert_true(n == 4 || fake.gpr[n] == 0x11111111u * (n + 1));
    }
    for (unsigned n = 0; n < SEG_REGISTERS; n++) {
        assert_int_equal(fake.segments[n].selector, n == SEG_CS ? CODE : DATA);
        assert_int_equal(fake.segments[n].rights, n == SEG_CS ? 0xc09b : 0xc093);
        assert_true(fake.segments[n].limit == UINT32_MAX && fake.segments[n].base == 0);
    }
    assert_int_equal(fake.segments[SEG_TR].selector, NEW);
    assert_int_equal(fake.segments[SEG_TR].rights, 0x8b);
    assert_true(fake.segments[SEG_TR].base == FAKE_DATA + NEW_AT);
    assert_int_equal(fake.segments[SEG_LDTR].selector, LDT);
    assert_true(fake.segments[SEG_LDTR].base == FAKE_DATA + LDT_AT);
    assert_true(fake.e.cr0 & BIT(3)); /* TS */
    assert_int_equal(rights_of(CODE) & 1, 1);
}

static void test_call_and_back(void **state)
{
    (void)state;
    start();
    (void)switch_to(NEW, TASK_CALL, EMUL_DONE);
    check_old(0x202 | NT);
    check_new(0xad7 | NT);
    assert_int_equal(get32(NEW_AT) & 0xffff, OLD); /* the link */
    assert_int_equal(rights_of(OLD), 0x8b);
    assert_int_equal(rights_of(NEW), 0x8b);
    /* IRET: back by the link; the task left is available again, its saved NT clear. */
    fake.e.rip = 0x9999;
    struct task_switch t = {.selector = OLD, .source = TASK_IRET, .return_eip = 0x999a};
    set32(OLD_AT + 72 + 4 * SEG_ES, 0);
    for (unsigned n = 0; n < 6; n++) {
        set32(OLD_AT + 72 + 4 * n, n == SEG_CS ? CODE : DATA);
    }
    assert_int_equal(task_switch(&fake.e, &t), EMUL_DONE);
    assert_int_equal(fake.e.rip, 0x7002);
    assert_true(fake.e.rflags == (0x202 | NT));
    assert_int_equal(rights_of(NEW), 0x89);
    assert_int_equal(rights_of(OLD), 0x8b);
    assert_int_equal(get32(NEW_AT + 32), 0x999a);
    assert_int_equal(get32(NEW_AT + 36), 0xad7);
    assert_true(fake.segments[SEG_LDTR].rights & SEG_UNUSABLE);
    assert_true(fake.gpr[3] == 0xa0a0a003u);
}

static void test_jump(void **state)
{
    (void)state;
    start();
    (void)switch_to(NEW, TASK_JMP, EMUL_DONE);
    check_old(0x202 | NT);
    check_new(0xad7); /* not nested */
    assert_int_equal(get32(NEW_AT) & 0xffff, 0);
    assert_int_equal(rights_of(OLD), 0x89);
    assert_int_equal(rights_of(NEW), 0x8b);
}

static void test_gate(void **state)
{
    struct task_switch t = {.selector = NEW,
                            .source = TASK_GATE,
                            .return_eip = 0x7002,
                            .external = true,
                            .has_error = true,
                            .error = 0xbeef};
    (void)state;

    start();
    set32(NEW_AT + 100, 1);   /* T */
    fake.e.rflags |= BIT(16); /* RF: a fault's */
    assert_int_equal(task_switch(&fake.e, &t), EMUL_DONE);
    check_old(0x202 | NT | BIT(16)); /* RF */
    check_new(0xad7 | NT);
    assert_true(t.debug_trap);
    assert_true(fake.gpr[4] == FAKE_DATA + STACK_AT + 0x7c);
    assert_int_equal(get32(STACK_AT + 0x7c), 0xbeef);
}

static void test_16bit(void **state)
{
    (void)state;
    start();
    (void)switch_to(SMALL, TASK_CALL, EMUL_DONE);
    check_old(0x202 | NT);
    assert_int_equal(fake.e.rip, 0x4321);
    assert_true(fake.e.rflags == (0x202 | NT));
    for (unsigned n = 0; n < 8; n++) {
        assert_true(fake.gpr[n] == 0x1111 * (n + 1));
    }
    assert_int_equal(rights_of(SMALL), 0x83);
    assert_int_equal(fake.segments[SEG_FS].selector, 0);
    assert_true(fake.segments[SEG_FS].rights & SEG_UNUSABLE);
    /* And from a 16-bit task: 16 bits are saved. */
    fake.gpr[0] = 0x12345678;
    struct task_switch t = {.selector = NEW, .source = TASK_JMP, .return_eip = 0x5678};
    assert_int_equal(task_switch(&fake.e, &t), EMUL_DONE);
    assert_int_equal(load_le16(fake.memory + SMALL_AT + 14), 0x5678);
    assert_int_equal(load_le16(fake.memory + SMALL_AT + 18), 0x5678);
    assert_int_equal(rights_of(SMALL), 0x81);
    check_new(0xad7);
}

static void test_virtual_8086(void **state)
{
    (void)state;
    start();
    set32(NEW_AT + 36, 0x202 | (1 << 17));
    for (unsigned n = 0; n < 6; n++) {
        set32(NEW_AT + 72 + 4 * n, 0x1000 + n);
    }
    (void)switch_to(NEW, TASK_JMP, EMUL_DONE);
    assert_int_equal(fake.e.cpl, 3);
    for (unsigned n = 0; n < SEG_REGISTERS; n++) {
        assert_true(fake.segments[n].base == (0x1000 + n) * 16);
        assert_int_equal(fake.segments[n].limit, 0xffff);
        assert_int_equal(fake.segments[n].rights, 0xf3);
    }
}

static void test_user_task(void **state)
{
    (void)state;
    start();
    for (unsigned n = 0; n < 6; n++) {
        set32(NEW_AT + 72 + 4 * n, n == SEG_CS ? USER_CODE | 3 : USER_DATA | 3);
    }
    (void)switch_to(NEW, TASK_JMP, EMUL_DONE);
    assert_int_equal(fake.e.cpl, 3);
    assert_int_equal(fake.segments[SEG_SS].rights >> SEG_DPL_SHIFT & 3, 3);
}

/* What is found before the switch is the old task's fault, and nothing of it has changed. */
static void test_old_faults(void **state)
{
    static const struct {
        uint16_t selector;
        enum task_source source;
        unsigned vector, error;
    } cases[] = {
        {0, TASK_JMP, EXC_GP, 0},
        {NEW | 4, TASK_JMP, EXC_GP, NEW | 4},
        {NEW | 4, TASK_IRET, EXC_TS, NEW | 4},
        {LIMIT + 1, TASK_CALL, EXC_GP, LIMIT + 1},
        {LIMIT + 1, TASK_IRET, EXC_TS, LIMIT + 1},
        {LIMIT + 1, TASK_GATE, EXC_GP, (LIMIT + 1) | 1}, /* EXT */
        {OLD, TASK_JMP, EXC_GP, OLD},                    /* busy */
        {OLD, TASK_GATE, EXC_GP, OLD | 1},
        {NEW, TASK_IRET, EXC_TS, NEW}, /* not busy */
        {CODE, TASK_CALL, EXC_GP, CODE},
        {LDT, TASK_CALL, EXC_GP, LDT},
    };
    (void)state;

    for (unsigned k = 0; k < ARRAY_LEN(cases) + 2; k++) {
        bool small = k == ARRAY_LEN(cases), absent = k == ARRAY_LEN(cases) + 1;

        start();
        uint64_t was[16];
        memcpy(was, fake.gpr, sizeof(was));
        set_descriptor(NEW, descriptor(NEW_AT, small ? 102 : 103, absent ? 0x09 : 0x89));
        struct task_switch t = small || absent
                                   ? switch_to(NEW, TASK_CALL, EMUL_FAULT)
                                   : switch_to(cases[k].selector, cases[k].source, EMUL_FAULT);
        assert_false(t.switched);
        assert_int_equal(fake.e.fault.vector, small    ? EXC_TS
                                              : absent ? EXC_NP
                                                       : (int)cases[k].vector);
        assert_int_equal(fake.e.fault.error, small || absent ? NEW : cases[k].error);
        assert_memory_equal(fake.gpr, was, sizeof(was));
        assert_int_equal(fake.e.rip, 0x7000);
        assert_int_equal(fake.segments[SEG_TR].selector, OLD);
        assert_int_equal(rights_of(OLD), 0x8b);
    }
    start();
    fake.frameless = ~0u;
    (void)switch_to(NEW, TASK_CALL, EMUL_NO_MEMORY);
    assert_int_equal(rights_of(NEW), 0x89);
    fake.frameless = 0;
    (void)switch_to(NEW, TASK_CALL, EMUL_DONE);
    check_old(0x202 | NT);
}

/* What is found afterwards is the new task's, and an entry into it is possible. */
static void test_new_faults(void **state)
{
    static const struct {
        unsigned which; /* a segment register, or SEG_LDTR */
        uint16_t selector;
        unsigned vector, error;
    } cases[] = {
        {SEG_CS, 0, EXC_TS, 0},
        {SEG_CS, DATA, EXC_TS, DATA},
        {SEG_CS, CODE | 3, EXC_TS, CODE},
        {SEG_SS, 0, EXC_TS, 0},
        {SEG_SS, CODE, EXC_TS, CODE},
        {SEG_SS, ABSENT, EXC_SS, ABSENT},
        {SEG_DS, ABSENT, EXC_NP, ABSENT},
        {SEG_GS, LIMIT + 1, EXC_TS, LIMIT + 1},
        {SEG_ES, OLD, EXC_TS, OLD},
        {SEG_LDTR, CODE, EXC_TS, CODE},
        {SEG_LDTR, LDT | 4, EXC_TS, LDT | 4},
    };
    (void)state;

    for (unsigned k = 0; k < ARRAY_LEN(cases); k++) {
        start();
        set32(NEW_AT + (cases[k].which == SEG_LDTR ? 96 : 72 + 4 * cases[k].which),
              cases[k].selector);
        struct task_switch t = switch_to(NEW, TASK_JMP, EMUL_FAULT);
        assert_true(t.switched);
        assert_int_equal(fake.e.fault.vector, cases[k].vector);
        assert_int_equal(fake.e.fault.error, cases[k].error);
        assert_int_equal(fake.e.rip, 0x1234);
        assert_int_equal(fake.segments[SEG_TR].selector, NEW);
        for (unsigned n = 0; n < SEG_REGISTERS; n++) {
            const struct emul_segment *s = &fake.segments[n];
            uint32_t type = s->rights & 0x1f, usable = n == SEG_CS ? 0x1b : 0x13;

            assert_true(type == usable || (n != SEG_CS && (s->rights & SEG_UNUSABLE)));
            assert_int_equal(s->rights >> 8 & 0xf, 0);
        }
        assert_int_equal(fake.segments[SEG_SS].rights >> SEG_DPL_SHIFT & 3, fake.e.cpl);
        assert_int_equal(fake.segments[SEG_CS].rights >> SEG_DPL_SHIFT & 3, fake.e.cpl);
    }
    start();
    set_descriptor(CODE, UINT64_C(0x00409a0000000fff)); /* 4 KiB: EIP is beyond */
    (void)switch_to(NEW, TASK_JMP, EMUL_FAULT);
    assert_int_equal(fake.e.fault.vector, EXC_GP);
}

/* With paging, CR3 is the new TSS's, and descriptors are read through its tables. */
static void test_paging(void **state)
{
    (void)state;
    for (unsigned bad = 0; bad < 2; bad++) {
        start();
        fake.e.cr0 |= BIT(31);
        fake.e.cr4 |= BIT(4);
        fake.e.cr3 = FAKE_DATA + 3 * PAGE_SIZE;
        fake.cr3_status = bad ? E_INVAL : OK;
        set32(NEW_AT + 28, (uint32_t)FAKE_DATA + 2 * PAGE_SIZE);
        for (unsigned page = 2; page < 4; page++) { /* a 4 MiB page over all of the fake */
            set32(page * PAGE_SIZE + 4 * (FAKE_DATA >> 22), (uint32_t)FAKE_CODE | 0x83);
        }
        struct task_switch t = switch_to(NEW, TASK_JMP, bad ? EMUL_FAULT : EMUL_DONE);
        assert_true(t.switched && fake.cr3 == FAKE_DATA + 2 * PAGE_SIZE);
        assert_true(fake.e.cr3 == (bad ? FAKE_DATA + 3 * PAGE_SIZE : fake.cr3));
        assert_true(!bad || fake.e.fault.vector == EXC_GP);
    }
}

/* Without a frame nothing has happened: no register, no byte of memory but old page tables' marks;
 * and with one the same switch is made. */
static void lacks_a_frame(struct task_switch t, uint32_t marks_at)
{
    static uint8_t was[FAKE_BYTES], now[FAKE_BYTES];
    struct emul_segment segments[SEG_ALL];
    struct emul e = fake.e;
    uint64_t gpr[16];

    memcpy(was, fake.memory, sizeof(was));
    memcpy(segments, fake.segments, sizeof(segments));
    memcpy(gpr, fake.gpr, sizeof(gpr));
    assert_int_equal(task_switch(&fake.e, &t), EMUL_NO_MEMORY);
    assert_false(t.switched);
    memcpy(now, fake.memory, sizeof(now));
    if (marks_at != 0) {
        was[marks_at] |= 0x60; /* accessed, dirty */
        now[marks_at] |= 0x60;
    }
    assert_memory_equal(now, was, sizeof(was));
    assert_memory_equal(fake.segments, segments, sizeof(segments));
    assert_memory_equal(fake.gpr, gpr, sizeof(gpr));
    assert_true(fake.cr3 == 0 && fake.e.cr3 == e.cr3 && fake.e.rip == e.rip);
    assert_true(fake.e.rflags == e.rflags && fake.e.cr0 == e.cr0 && fake.e.cpl == e.cpl);
    fake.frameless = fake.unreadable = 0;
    assert_int_equal(task_switch(&fake.e, &t), EMUL_DONE);
    check_new((get32(NEW_AT + 36) & 0x3f7fd5) | NT);
}

static void test_frames(void **state)
{
    struct task_switch call = {.selector = NEW, .source = TASK_CALL, .return_eip = 0x7002};
    struct task_switch fault = {.selector = NEW,
                                .source = TASK_GATE,
                                .return_eip = 0x7002,
                                .has_error = true,
                                .error = 0xbeef};
    unsigned entry = 4 * (FAKE_DATA >> 22);
    (void)state;

    /* For the accessed bits of the new task's page tables. */
    start();
    fake.e.cr0 |= BIT(31);
    fake.e.cr4 |= BIT(4);
    fake.e.cr3 = FAKE_DATA + 3 * PAGE_SIZE;
    set32(NEW_AT + 28, (uint32_t)FAKE_DATA + 2 * PAGE_SIZE);
    for (unsigned page = 2; page < 4; page++) {
        set32(page * PAGE_SIZE + entry, (uint32_t)FAKE_CODE | 0x83);
    }
    fake.frameless = 1 << 2;
    lacks_a_frame(call, 3 * PAGE_SIZE + entry);
    /* For its error code. */
    start();
    fake.frameless = 1 << 3;
    lacks_a_frame(fault, 0);
    assert_int_equal(get32(STACK_AT + 0x7c), 0xbeef);
    /* For the accessed bit of a descriptor in its LDT. */
    start();
    set32(NEW_AT + 72 + 4 * SEG_FS, 4);
    store_le64(fake.memory + LDT_AT, FLAT | UINT64_C(0x92) << 40);
    set_descriptor(NEW, descriptor(PAGE_SIZE + 0x400, 103, 0x89));
    memcpy(fake.memory + PAGE_SIZE + 0x400, fake.memory + NEW_AT, 104);
    fake.frameless = 1 << 2;
    assert_int_equal(task_switch(&fake.e, &call), EMUL_NO_MEMORY);
    assert_int_equal(rights_of(NEW), 0x89);
    fake.frameless = 0;
    assert_int_equal(task_switch(&fake.e, &call), EMUL_DONE);
    assert_int_equal(fake.memory[LDT_AT + 5], 0x93);
}

/* The four top entries of PAE paging cannot be read for now. */
static void test_frames_pae(void **state)
{
    struct task_switch call = {.selector = NEW, .source = TASK_CALL, .return_eip = 0x7002};
    (void)state;

    start();
    set_descriptor(NEW, descriptor(PAGE_SIZE + 0x400, 103, 0x89));
    set32(NEW_AT + 28, (uint32_t)FAKE_DATA + 2 * PAGE_SIZE + 0x400);
    memcpy(fake.memory + PAGE_SIZE + 0x400, fake.memory + NEW_AT, 104);
    for (unsigned page = 2; page < 4; page++) { /* each its own PDPT and directory */
        set32(page * PAGE_SIZE + 0x400, (uint32_t)(FAKE_DATA + page * PAGE_SIZE) | 1);
        set32(page * PAGE_SIZE + 8 * (FAKE_DATA >> 21), (uint32_t)FAKE_CODE | 0x83);
    }
    fake.e.cr0 |= BIT(31);
    fake.e.cr4 |= BIT(5);
    fake.e.cr3 = FAKE_DATA + 3 * PAGE_SIZE + 0x400;
    fake.unreadable = 1 << 2;
    assert_int_equal(task_switch(&fake.e, &call), EMUL_NO_MEMORY);
    assert_false(call.switched);
    assert_int_equal(rights_of(NEW), 0x89);
    assert_int_equal(get32(OLD_AT + 32), 0);
    assert_true(fake.cr3 == 0);
    fake.unreadable = 0;
    assert_int_equal(task_switch(&fake.e, &call), EMUL_DONE);
    assert_true(call.switched && fake.cr3 == FAKE_DATA + 2 * PAGE_SIZE + 0x400);
}

static int setup(void **state)
{
    (void)state;
    return fake_map() ? 0 : -1;
}

/* A nested task's caller stays busy, and IRET's target is: those descriptors need not be writable.
 */
static void test_descriptors_left_alone(void **state)
{
    (void)state;
    start();
    fake.segments[SEG_TR].selector = 3 * PAGE_SIZE + OLD;
    fake.frameless = BIT(3);
    (void)switch_to(NEW, TASK_JMP, EMUL_NO_MEMORY);
    (void)switch_to(NEW, TASK_CALL, EMUL_DONE);
    start();
    memcpy(fake.memory + 3 * PAGE_SIZE, fake.memory, LIMIT + 1);
    set_descriptor(3 * PAGE_SIZE + NEW, descriptor(NEW_AT, 103, 0x8b));
    fake.segments[SEG_GDTR].limit = 3 * PAGE_SIZE + LIMIT;
    fake.frameless = BIT(3);
    (void)switch_to(3 * PAGE_SIZE + NEW, TASK_IRET, EMUL_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_and_back), cmocka_unit_test(test_jump),
        cmocka_unit_test(test_gate),          cmocka_unit_test(test_16bit),
        cmocka_unit_test(test_virtual_8086),  cmocka_unit_test(test_user_task),
        cmocka_unit_test(test_old_faults),    cmocka_unit_test(test_new_faults),
        cmocka_unit_test(test_paging),        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_frames_pae),    cmocka_unit_test(test_descriptors_left_alone),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
