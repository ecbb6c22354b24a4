/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The emulator against this very CPU: each form with random operands is run here, on RAM, and by
 * the emulator, on pages that are RAM or a fake device's. Registers, flags and fake.memory must
 * agree.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/decode/alu.h"
#include "arch/x86_64/decode/emul.h"
#include "base/bits.h"
#include "fake_emul.h"
#include "rnd.h"

#define CODE FAKE_CODE
#define PAD (CODE + 0x800) /* where jumps go to */
#define DATA FAKE_DATA
#define PAGES FAKE_PAGES
#define BYTES FAKE_BYTES

static struct rnd sequence = {88172645463325252u};

static uint64_t rnd(void)
{
    return rnd_next(&sequence);
}

/* ---- running it here ----------------------------------------------------------------------- */

struct native {
    uint64_t gpr[16];
    uint64_t rflags;
    uint64_t host_rsp;
    uint64_t code;
    uint64_t vectors; /* whether ymm is loaded and stored */
    uint8_t ymm[16][32];
};
struct native native;
void native_run(void);
void native_back(void);

#define EACH(F)                                                                                    \
    F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
#define LOAD_YMM(n) "vmovdqu native+160+32*" #n "(%rip), %ymm" #n "\n"
#define STORE_YMM(n) "vmovdqu %ymm" #n ", native+160+32*" #n "(%rip)\n"
__asm__(
    ".text\n.globl native_run, native_back\n"
    "native_run:\n"
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, native+136(%rip)\n"
    "cmpq $0, native+152(%rip)\nje 1f\n" EACH(
        LOAD_YMM) "1:\n"
                  "pushq native+128(%rip)\npopfq\n"
                  "mov native+0(%rip), %rax\nmov native+8(%rip), %rcx\nmov native+16(%rip), %rdx\n"
                  "mov native+24(%rip), %rbx\nmov native+32(%rip), %rsp\nmov native+40(%rip), "
                  "%rbp\n"
                  "mov native+48(%rip), %rsi\nmov native+56(%rip), %rdi\nmov native+64(%rip), %r8\n"
                  "mov native+72(%rip), %r9\nmov native+80(%rip), %r10\nmov native+88(%rip), %r11\n"
                  "mov native+96(%rip), %r12\nmov native+104(%rip), %r13\nmov native+112(%rip), "
                  "%r14\n"
                  "mov native+120(%rip), %r15\n"
                  "jmp *native+144(%rip)\n"
                  "native_back:\n"
                  "mov %rax, native+0(%rip)\nmov %rcx, native+8(%rip)\nmov %rdx, native+16(%rip)\n"
                  "mov %rbx, native+24(%rip)\nmov %rsp, native+32(%rip)\nmov %rbp, "
                  "native+40(%rip)\n"
                  "mov %rsi, native+48(%rip)\nmov %rdi, native+56(%rip)\nmov %r8, native+64(%rip)\n"
                  "mov %r9, native+72(%rip)\nmov %r10, native+80(%rip)\nmov %r11, native+88(%rip)\n"
                  "mov %r12, native+96(%rip)\nmov %r13, native+104(%rip)\nmov %r14, "
                  "native+112(%rip)\n"
                  "mov %r15, native+120(%rip)\n"
                  "mov native+136(%rip), %rsp\npushfq\npopq native+128(%rip)\ncld\n"
                  "cmpq $0, native+152(%rip)\nje 1f\n" EACH(
                      STORE_YMM) "vzeroupper\n1:\n"
                                 "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop "
                                 "%rbx\nret\n");

static sigjmp_buf trapped;

static void on_signal(int sig)
{
    siglongjmp(trapped, sig);
}

/* 0, or the signal that the instruction raised. */
static int run_native(void)
{
    int sig = sigsetjmp(trapped, 1);

    if (sig == 0) {
        native_run();
    } else {
        __asm__ volatile("cld");
    }
    return sig;
}

/* ---- forms --------------------------------------------------------------------------------- */

enum {
    BYTE = 1,      /* the lowest bit of the opcode is clear for bytes */
    I8 = 2,        /* an immediate of a byte, or of the operand's size */
    IZ = 4,        /*   follows */
    SIZE_ONLY = 8, /* no 16-bit form */
    BITS = 16,     /* the register is a bit offset */
    EQUAL = 32,    /* memory is what the accumulator is, half of the time */
    STRING = 64,   /* no ModRM */
    STACK = 128,   /* RSP in the data; 64-bit operands */
    JUMP = 256,    /* fake.memory holds an address */
    LOCKABLE = 512,
    VECTOR = 1024, /* `prefix` is its mandatory one; ALIGN aligned */
    VEX = 2048,
    ALIGN = 4096,
    NOMODRM = 8192,
    DIVIDE = 16384,
    ALIGN16 = 32768, /* CMPXCHG16B */
    BY_CPU = 65536,  /* MOVBE, LZCNT ...: not on every CPU */
};

#define ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
#define ALL_BUT(flags) (ARITHMETIC & ~(unsigned)(flags))

struct form {
    const char *name;
    uint8_t prefix, map, opcode;
    int8_t reg;                /* ModRM's; -1: any register */
    unsigned flags, undefined; /* undefined: flags that are not compared */
};

static const struct form forms[] = {
    {"ADD m,r", 0, 0, 0x01, -1, BYTE | LOCKABLE, 0},
    {"OR m,r", 0, 0, 0x09, -1, BYTE | LOCKABLE, FLAG_AF},
    {"ADC m,r", 0, 0, 0x11, -1, BYTE | LOCKABLE, 0},
    {"SBB m,r", 0, 0, 0x19, -1, BYTE | LOCKABLE, 0},
    {"AND m,r", 0, 0, 0x21, -1, BYTE | LOCKABLE, FLAG_AF},
    {"SUB m,r", 0, 0, 0x29, -1, BYTE | LOCKABLE, 0},
    {"XOR m,r", 0, 0, 0x31, -1, BYTE | LOCKABLE, FLAG_AF},
    {"CMP m,r", 0, 0, 0x39, -1, BYTE, 0},
    {"ADD r,m", 0, 0, 0x03, -1, BYTE, 0},
    {"OR r,m", 0, 0, 0x0b, -1, BYTE, FLAG_AF},
    {"ADC r,m", 0, 0, 0x13, -1, BYTE, 0},
    {"SBB r,m", 0, 0, 0x1b, -1, BYTE, 0},
    {"AND r,m", 0, 0, 0x23, -1, BYTE, FLAG_AF},
    {"SUB r,m", 0, 0, 0x2b, -1, BYTE, 0},
    {"XOR r,m", 0, 0, 0x33, -1, BYTE, FLAG_AF},
    {"CMP r,m", 0, 0, 0x3b, -1, BYTE, 0},
    {"ADD m,imm", 0, 0, 0x81, 0, BYTE | IZ | LOCKABLE, 0},
    {"OR m,imm", 0, 0, 0x81, 1, BYTE | IZ | LOCKABLE, FLAG_AF},
    {"ADC m,imm", 0, 0, 0x81, 2, BYTE | IZ, 0},
    {"SBB m,imm", 0, 0, 0x81, 3, BYTE | IZ, 0},
    {"AND m,imm", 0, 0, 0x81, 4, BYTE | IZ, FLAG_AF},
    {"SUB m,imm", 0, 0, 0x81, 5, BYTE | IZ, 0},
    {"XOR m,imm", 0, 0, 0x81, 6, BYTE | IZ, FLAG_AF},
    {"CMP m,imm", 0, 0, 0x81, 7, BYTE | IZ, 0},
    {"ADD m,imm8", 0, 0, 0x83, 0, I8 | LOCKABLE, 0},
    {"SBB m,imm8", 0, 0, 0x83, 3, I8, 0},
    {"CMP m,imm8", 0, 0, 0x83, 7, I8, 0},
    {"TEST m,r", 0, 0, 0x85, -1, BYTE, FLAG_AF},
    {"XCHG m,r", 0, 0, 0x87, -1, BYTE | LOCKABLE, 0},
    {"MOV m,r", 0, 0, 0x89, -1, BYTE, 0},
    {"MOV r,m", 0, 0, 0x8b, -1, BYTE, 0},
    {"MOV m,imm", 0, 0, 0xc7, 0, BYTE | IZ, 0},
    {"MOVSXD", 0, 0, 0x63, -1, SIZE_ONLY, 0},
    {"POP m", 0, 0, 0x8f, 0, STACK, 0},
    {"ROL m,imm", 0, 0, 0xc1, 0, BYTE | I8, FLAG_OF},
    {"ROR m,imm", 0, 0, 0xc1, 1, BYTE | I8, FLAG_OF},
    {"RCL m,imm", 0, 0, 0xc1, 2, BYTE | I8, FLAG_OF},
    {"RCR m,imm", 0, 0, 0xc1, 3, BYTE | I8, FLAG_OF},
    {"SHL m,imm", 0, 0, 0xc1, 4, BYTE | I8, FLAG_OF | FLAG_AF},
    {"SHR m,imm", 0, 0, 0xc1, 5, BYTE | I8, FLAG_OF | FLAG_AF},
    {"SAR m,imm", 0, 0, 0xc1, 7, BYTE | I8, FLAG_OF | FLAG_AF},
    {"ROL m,1", 0, 0, 0xd1, 0, BYTE, 0},
    {"ROR m,1", 0, 0, 0xd1, 1, BYTE, 0},
    {"RCL m,1", 0, 0, 0xd1, 2, BYTE, 0},
    {"RCR m,1", 0, 0, 0xd1, 3, BYTE, 0},
    {"SHL m,1", 0, 0, 0xd1, 4, BYTE, FLAG_AF},
    {"SHR m,1", 0, 0, 0xd1, 5, BYTE, FLAG_AF},
    {"SAR m,1", 0, 0, 0xd1, 7, BYTE, FLAG_AF},
    {"ROL m,CL", 0, 0, 0xd3, 0, BYTE, FLAG_OF},
    {"ROR m,CL", 0, 0, 0xd3, 1, BYTE, FLAG_OF},
    {"RCL m,CL", 0, 0, 0xd3, 2, BYTE, FLAG_OF},
    {"RCR m,CL", 0, 0, 0xd3, 3, BYTE, FLAG_OF},
    {"SHL m,CL", 0, 0, 0xd3, 4, BYTE, FLAG_OF | FLAG_AF},
    {"SHR m,CL", 0, 0, 0xd3, 5, BYTE, FLAG_OF | FLAG_AF},
    {"SAR m,CL", 0, 0, 0xd3, 7, BYTE, FLAG_OF | FLAG_AF},
    {"TEST m,imm", 0, 0, 0xf7, 0, BYTE | IZ, FLAG_AF},
    {"NOT m", 0, 0, 0xf7, 2, BYTE | LOCKABLE, 0},
    {"NEG m", 0, 0, 0xf7, 3, BYTE | LOCKABLE, 0},
    {"MUL m", 0, 0, 0xf7, 4, BYTE, ALL_BUT(FLAG_CF | FLAG_OF)},
    {"IMUL m", 0, 0, 0xf7, 5, BYTE, ALL_BUT(FLAG_CF | FLAG_OF)},
    {"DIV m", 0, 0, 0xf7, 6, BYTE | DIVIDE, ARITHMETIC},
    {"IDIV m", 0, 0, 0xf7, 7, BYTE | DIVIDE, ARITHMETIC},
    {"INC m", 0, 0, 0xff, 0, BYTE | LOCKABLE, 0},
    {"DEC m", 0, 0, 0xff, 1, BYTE | LOCKABLE, 0},
    {"CALL m", 0, 0, 0xff, 2, STACK | JUMP, 0},
    {"JMP m", 0, 0, 0xff, 4, STACK | JUMP, 0},
    {"PUSH m", 0, 0, 0xff, 6, STACK, 0},
    {"IMUL r,m,imm", 0, 0, 0x69, -1, IZ, ALL_BUT(FLAG_CF | FLAG_OF)},
    {"IMUL r,m,imm8", 0, 0, 0x6b, -1, I8, ALL_BUT(FLAG_CF | FLAG_OF)},
    {"IMUL r,m", 0, 1, 0xaf, -1, 0, ALL_BUT(FLAG_CF | FLAG_OF)},
    {"CMOVB", 0, 1, 0x42, -1, 0, 0},
    {"CMOVNLE", 0, 1, 0x4f, -1, 0, 0},
    {"CMOVP", 0, 1, 0x4a, -1, 0, 0},
    {"SETNO", 0, 1, 0x91, 0, 0, 0},
    {"SETBE", 0, 1, 0x96, 0, 0, 0},
    {"SETL", 0, 1, 0x9c, 0, 0, 0},
    {"SETNS", 0, 1, 0x99, 0, 0, 0},
    {"BT m,r", 0, 1, 0xa3, -1, BITS, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"BTS m,r", 0, 1, 0xab, -1, BITS | LOCKABLE, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"BTR m,r", 0, 1, 0xb3, -1, BITS | LOCKABLE, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"BTC m,r", 0, 1, 0xbb, -1, BITS | LOCKABLE, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"BT m,imm", 0, 1, 0xba, 4, I8, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"BTS m,imm", 0, 1, 0xba, 5, I8 | LOCKABLE, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"BTR m,imm", 0, 1, 0xba, 6, I8, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"BTC m,imm", 0, 1, 0xba, 7, I8, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"SHLD m,r,imm", 0, 1, 0xa4, -1, I8 | SIZE_ONLY, FLAG_OF | FLAG_AF},
    {"SHLD m,r,CL", 0, 1, 0xa5, -1, SIZE_ONLY, FLAG_OF | FLAG_AF},
    {"SHRD m,r,imm", 0, 1, 0xac, -1, I8 | SIZE_ONLY, FLAG_OF | FLAG_AF},
    {"SHRD m,r,CL", 0, 1, 0xad, -1, SIZE_ONLY, FLAG_OF | FLAG_AF},
    {"CMPXCHG", 0, 1, 0xb1, -1, BYTE | EQUAL | LOCKABLE, 0},
    {"CMPXCHG8B", 0, 1, 0xc7, 1, EQUAL | LOCKABLE | ALIGN16, 0},
    {"XADD", 0, 1, 0xc1, -1, BYTE | LOCKABLE, 0},
    {"MOVZX r,m8", 0, 1, 0xb6, -1, 0, 0},
    {"MOVZX r,m16", 0, 1, 0xb7, -1, 0, 0},
    {"MOVSX r,m8", 0, 1, 0xbe, -1, 0, 0},
    {"MOVSX r,m16", 0, 1, 0xbf, -1, 0, 0},
    {"BSF", 0, 1, 0xbc, -1, 0, ALL_BUT(FLAG_ZF)},
    {"BSR", 0, 1, 0xbd, -1, 0, ALL_BUT(FLAG_ZF)},
    {"TZCNT", 0xf3, 1, 0xbc, -1, 0, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"LZCNT", 0xf3, 1, 0xbd, -1, 0, ALL_BUT(FLAG_CF | FLAG_ZF)},
    {"POPCNT", 0xf3, 1, 0xb8, -1, 0, 0},
    {"MOVNTI", 0, 1, 0xc3, -1, SIZE_ONLY, 0},
    {"MOVBE r,m", 0, 2, 0xf0, -1, BY_CPU, 0},
    {"MOVBE m,r", 0, 2, 0xf1, -1, BY_CPU, 0},
    {"PREFETCHT0", 0, 1, 0x18, 1, 0, 0},
    {"CLFLUSH", 0, 1, 0xae, 7, SIZE_ONLY, 0},
    {"MOV m,CS", 0, 0, 0x8c, 1, 0, 0},
    {"MOVS", 0, 0, 0xa5, -1, BYTE | STRING, 0},
    {"CMPS", 0, 0, 0xa7, -1, BYTE | STRING, 0},
    {"STOS", 0, 0, 0xab, -1, BYTE | STRING, 0},
    {"LODS", 0, 0, 0xad, -1, BYTE | STRING, 0},
    {"SCAS", 0, 0, 0xaf, -1, BYTE | STRING, 0},
    {"PUSH r9", 0, 0, 0x51, -1, STACK | NOMODRM, 0},
    {"POP r9", 0, 0, 0x59, -1, STACK | NOMODRM, 0},
    {"PUSH imm", 0, 0, 0x68, -1, STACK | NOMODRM | IZ, 0},
    {"PUSHF", 0, 0, 0x9c, -1, STACK | NOMODRM, 0},
    {"CALL rel", 0, 0, 0xe8, -1, STACK | NOMODRM | JUMP, 0},
    {"RET", 0, 0, 0xc3, -1, STACK | NOMODRM | JUMP, 0},
    {"LEAVE", 0, 0, 0xc9, -1, STACK | NOMODRM, 0},
    {"ENTER", 0, 0, 0xc8, -1, STACK | NOMODRM, 0},
#define SSE(name, prefix, opcode, flags)                                                           \
    {name, prefix, 1, opcode, -1, VECTOR | (flags), 0},                                            \
    {                                                                                              \
        "V" name, prefix, 1, opcode, -1, VECTOR | VEX | (flags), 0                                 \
    }
    SSE("MOVUPS x,m", 0, 0x10, 0),
    SSE("MOVUPS m,x", 0, 0x11, 0),
    SSE("MOVUPD x,m", 0x66, 0x10, 0),
    SSE("MOVSS x,m", 0xf3, 0x10, 0),
    SSE("MOVSS m,x", 0xf3, 0x11, 0),
    SSE("MOVSD x,m", 0xf2, 0x10, 0),
    SSE("MOVSD m,x", 0xf2, 0x11, 0),
    SSE("MOVLPS x,m", 0, 0x12, 0),
    SSE("MOVLPS m,x", 0, 0x13, 0),
    SSE("MOVHPD x,m", 0x66, 0x16, 0),
    SSE("MOVHPS m,x", 0, 0x17, 0),
    SSE("MOVAPS x,m", 0, 0x28, ALIGN),
    SSE("MOVAPD m,x", 0x66, 0x29, ALIGN),
    SSE("MOVNTPS m,x", 0, 0x2b, ALIGN),
    SSE("MOVD x,m", 0x66, 0x6e, 0),
    SSE("MOVD m,x", 0x66, 0x7e, 0),
    SSE("MOVQ x,m", 0xf3, 0x7e, 0),
    SSE("MOVQ m,x", 0x66, 0xd6, 0),
    SSE("MOVDQA x,m", 0x66, 0x6f, ALIGN),
    SSE("MOVDQA m,x", 0x66, 0x7f, ALIGN),
    SSE("MOVDQU x,m", 0xf3, 0x6f, 0),
    SSE("MOVDQU m,x", 0xf3, 0x7f, 0),
    SSE("MOVNTDQ m,x", 0x66, 0xe7, ALIGN),
    SSE("LDDQU x,m", 0xf2, 0xf0, 0),
    {"MOVNTDQA", 0x66, 2, 0x2a, -1, VECTOR | ALIGN, 0},
};

/* ---- making an instance -------------------------------------------------------------------- */

struct instance {
    uint8_t bytes[24];
    unsigned n;
    uint64_t gpr[16];
    uint64_t rflags;
    unsigned operand_size;
};

static void emit(struct instance *in, uint64_t v, unsigned n)
{
    memcpy(in->bytes + in->n, &v, n);
    in->n += n;
}

/* Where the operand is: often across two pages. */
static uint64_t pick_address(unsigned align)
{
    uint64_t offset = 512 + rnd() % (BYTES - 1024);

    if (rnd() % 3 == 0) {
        offset = PAGE_SIZE * (1 + rnd() % (PAGES - 1)) - rnd() % 34;
    }
    return DATA + offset / align * align;
}

/* ModRM with SIB and displacement for an operand at `at`; sets the registers that it uses. */
static void emit_memory(struct instance *in, uint8_t reg, uint8_t *rex, uint64_t at,
                        unsigned behind, uint8_t modrm[8], unsigned *n)
{
    static const uint8_t bases[] = {3, 6, 9, 14, 5, 13};
    uint8_t base = bases[rnd() % ARRAY_LEN(bases)];
    uint64_t disp = rnd() % 2 ? (uint64_t)(int64_t)(int8_t)rnd() : rnd() % 100000;
    bool disp8 = (int64_t)disp == (int8_t)disp && rnd() % 2;
    uint8_t mod = disp8 ? 0x40 : 0x80;

    (void)behind;
    *n = 0;
    *rex |= base >= 8 ? 1 : 0;
    if (rnd() % 3 == 0) { /* with an index, R10 */
        unsigned scale = (unsigned)(rnd() % 4);
        in->gpr[10] = rnd() % 64;
        in->gpr[base] = at - disp - (in->gpr[10] << scale);
        *rex |= 2;
        modrm[(*n)++] = (uint8_t)(mod | reg << 3 | 4);
        modrm[(*n)++] = (uint8_t)(scale << 6 | 2 << 3 | (base & 7));
    } else {
        in->gpr[base] = at - disp;
        modrm[(*n)++] = (uint8_t)(mod | reg << 3 | (base & 7));
    }
    memcpy(modrm + *n, &disp, disp8 ? 1 : 4);
    *n += disp8 ? 1 : 4;
}

static void make_vex(const struct form *f, struct instance *in, uint8_t rex, bool wide)
{
    uint8_t pp = f->prefix == 0x66 ? 1 : f->prefix == 0xf3 ? 2 : f->prefix == 0xf2 ? 3 : 0;
    bool whole = strstr(f->name, "UP") || strstr(f->name, "AP") || strstr(f->name, "DQ") ||
                 strstr(f->name, "NT");
    bool merges = f->opcode == 0x12 || f->opcode == 0x16;
    uint8_t l = whole && rnd() % 2 ? 4 : 0, vvvv = merges ? (uint8_t)(rnd() % 16) : 0;

    emit(in, 0xc4, 1);
    emit(in, (uint64_t)((~rex & 7) << 5 | f->map), 1);
    emit(in, (uint64_t)((wide ? 0x80 : 0) | (~vvvv & 15) << 3 | l | pp), 1);
}

static void make(const struct form *f, struct instance *in)
{
    unsigned size = 4, align = (f->flags & ALIGN) ? 32 : 1, n = 0;
    bool byte = (f->flags & BYTE) && rnd() % 4 == 0, wide = rnd() % 2, locked;
    uint8_t reg = f->reg >= 0 ? (uint8_t)f->reg : (uint8_t)(rnd() % 16), rex = 0, modrm[8];
    uint8_t opcode = byte ? f->opcode & 0xfe : f->opcode;
    bool modrm_form = !(f->flags & (STRING | NOMODRM));

    memset(in, 0, sizeof(*in));
    for (unsigned r = 0; r < 16; r++) {
        in->gpr[r] = rnd() % 4 ? rnd() : (uint64_t)(int64_t)(int8_t)rnd();
    }
    in->rflags = 0x202 | (rnd() & ARITHMETIC);
    in->gpr[4] = DATA + 1024 + rnd() % 8192 / 8 * 8;
    if (f->flags & ALIGN16) {
        align = wide ? 16 : 1;
    }
    uint64_t at = pick_address(align);
    /* The stack pointer as an operand would be lost here. */
    reg = f->reg < 0 && reg == 4 && !(f->flags & VECTOR) ? 7 : reg;
    if (modrm_form) {
        rex = (uint8_t)(reg >= 8 ? 4 : 0);
        emit_memory(in, reg & 7, &rex, at, 0, modrm, &n);
    }
    if (f->flags & BITS) {
        uint64_t offset = rnd() % 4000 - 2000;
        /* Unless it is part of the address. */
        if (reg != 3 && reg != 6 && reg != 9 && reg != 14 && reg != 5 && reg != 13 && reg != 10) {
            in->gpr[reg] = offset;
        } else {
            reg = 0;
            modrm[0] &= 0xc7;
            rex &= (uint8_t)~4u;
            in->gpr[0] = offset;
        }
    }
    if (!(f->flags & (SIZE_ONLY | STACK | ALIGN16)) && !(f->flags & VECTOR) && !wide &&
        rnd() % 3 == 0) {
        emit(in, 0x66, 1);
        size = 2;
    }
    if (wide && !(f->flags & VEX)) {
        rex |= 8;
        size = 8;
    }
    if (f->flags & STRING) {
        unsigned rep = (unsigned)(rnd() % 3);
        in->gpr[6] = pick_address(1);
        in->gpr[7] = pick_address(1);
        in->gpr[1] = rnd() % 12;
        in->rflags |= rnd() % 2 ? BIT(10) : 0;
        if (rep) {
            emit(in, rep == 1 ? 0xf3 : 0xf2, 1);
        }
    } else if (f->flags & STACK) {
        in->gpr[5] = modrm_form ? in->gpr[5] : pick_address(1);
        in->gpr[4] = rnd() % 2 ? pick_address(1) : in->gpr[4];
    }
    locked = (f->flags & LOCKABLE) && rnd() % 3 == 0;
    if (locked) {
        emit(in, 0xf0, 1);
    }
    if (f->flags & VEX) {
        make_vex(f, in, rex, wide);
    } else {
        if (f->prefix) {
            emit(in, f->prefix, 1);
        }
        if (strstr(f->name, " r9")) {
            rex |= 1;
        }
        if (rex || rnd() % 4 == 0) {
            emit(in, 0x40u | rex, 1);
        }
        if (f->map) {
            emit(in, 0x0f, 1);
        }
        if (f->map == 2) {
            emit(in, 0x38, 1);
        }
    }
    emit(in, opcode, 1);
    if (modrm_form) {
        memcpy(in->bytes + in->n, modrm, n);
        in->n += n;
    }
    if (!strcmp(f->name, "CALL rel")) {
        emit(in, PAD - (CODE + in->n + 4), 4);
    } else if (!strcmp(f->name, "ENTER")) {
        emit(in, rnd() % 100, 2);
        emit(in, rnd() % 6, 1);
    } else if ((f->flags & I8) || ((f->flags & IZ) && byte)) {
        emit(in, rnd(), 1);
    } else if (f->flags & IZ) {
        emit(in, rnd(), size == 8 || (f->flags & STACK) ? 4 : size);
    }
    in->operand_size = byte ? 1 : size;
    /* Memory: random, or what makes the interesting case. */
    for (size_t k = 0; k < BYTES; k += 8) {
        uint64_t v = rnd() % 8 ? rnd() : 0;
        memcpy(fake.memory + k, &v, 8);
    }
    if (f->flags & STRING) {
        memset(fake.memory, (int)(rnd() % 2 ? in->gpr[0] : 7),
               BYTES); /* long runs of equal elements */
        fake.memory[rnd() % BYTES] ^= 1;
    }
    if (f->flags & JUMP) {
        uint64_t pad = PAD, slot = modrm_form ? at : in->gpr[4];
        memcpy(fake.memory + (slot - DATA), &pad, 8);
    }
    if ((f->flags & EQUAL) && rnd() % 2) {
        uint64_t a = in->gpr[0];
        memcpy(fake.memory + (at - DATA), &a, 8);
        if (f->flags & ALIGN16) {
            memcpy(fake.memory + (at - DATA) + (wide ? 8 : 4), &in->gpr[2], 8);
        }
    }
    if (f->flags & DIVIDE) { /* mostly without overflow */
        in->gpr[2] = f->reg == 7 ? (uint64_t)((int64_t)in->gpr[0] >> 63) : rnd() % 4;
        if (rnd() % 2) {
            in->gpr[0] &= 0xffff;
            in->gpr[2] = 0;
        }
    }
}

static void complain(const struct form *f, const struct instance *in, const char *what, unsigned k,
                     uint64_t here, uint64_t there)
{
    char text[80] = "";

    for (unsigned i = 0; i < in->n; i++) {
        snprintf(text + 3 * i, sizeof(text) - 3 * i, "%02x ", in->bytes[i]);
    }
    fail_msg("%s: %s: %s %u: CPU %llx, emulator %llx (pages %x)", f->name, text, what, k,
             (unsigned long long)here, (unsigned long long)there, fake.device_pages);
}

static enum emul_result run_emulator(unsigned *again)
{
    enum emul_result r;

    for (*again = 0; (r = emul_step(&fake.e)) == EMUL_AGAIN; ++*again) {
        assert_true(*again < 20 && (fake.e.rflags & BIT(16)));
        assert_int_equal(fake.e.rip, CODE);
    }
    return r;
}

static void check_form(const struct form *f)
{
    struct instance in;
    unsigned again;

    make(f, &in);
    fake.device_pages = (unsigned)(rnd() % 16);
    /* Here. */
    uint8_t *code = (uint8_t *)CODE;
    uint64_t back = (uint64_t)native_back;
    memcpy(code, in.bytes, in.n);
    memcpy(code + in.n, "\xff\x25\0\0\0\0", 6);
    memcpy(code + in.n + 6, &back, 8);
    memcpy((uint8_t *)PAD, code + in.n, 14);
    memcpy((void *)DATA, fake.memory, BYTES);
    memcpy(native.gpr, in.gpr, sizeof(in.gpr));
    native.rflags = in.rflags;
    native.code = CODE;
    native.vectors = (f->flags & VECTOR) && host_has(1, 2, 28);
    for (unsigned n = 0; n < 16; n++) {
        for (unsigned k = 0; k < 32; k++) {
            native.ymm[n][k] = fake.ymm[n][k] = (uint8_t)rnd();
        }
    }
    int sig = run_native();
    /* There. */
    fake_reset(INSN_64);
    memcpy(fake.gpr, in.gpr, sizeof(fake.gpr));
    fake.e.rflags = in.rflags;
    enum emul_result r = run_emulator(&again);
    if (sig == SIGFPE) {
        if (r != EMUL_FAULT || fake.e.fault.vector != EXC_DE) {
            complain(f, &in, "#DE, but result", 0, 0, r);
        }
        assert_memory_equal(fake.gpr, in.gpr, sizeof(fake.gpr));
        return;
    }
    if (sig != 0 || r != EMUL_DONE) {
        complain(f, &in, "signal and result", fake.e.fault.vector, (uint64_t)sig, r);
    }
    for (unsigned n = 0; n < 16; n++) {
        if (native.gpr[n] != fake.gpr[n]) {
            complain(f, &in, "register", n, native.gpr[n], fake.gpr[n]);
        }
        if (native.vectors && memcmp(native.ymm[n], fake.ymm[n], 32) != 0) {
            complain(f, &in, "vector register", n, 0, 0);
        }
    }
    uint64_t undefined = f->undefined;
    if ((f->opcode & 0xfe) == 0xc0 && f->map == 0) { /* OF is defined for a count of one */
        undefined &= (in.bytes[in.n - 1] & 31) == 1 ? ~(uint64_t)FLAG_OF : UINT64_MAX;
    }
    uint64_t mask = (ARITHMETIC | BIT(10)) & ~undefined;
    if ((native.rflags & mask) != (fake.e.rflags & mask)) {
        complain(f, &in, "flags", 0, native.rflags & mask, fake.e.rflags & mask);
    }
    uint64_t to = (f->flags & JUMP) ? PAD : CODE + in.n;
    if (fake.e.rip != to) {
        complain(f, &in, "RIP", 0, to, fake.e.rip);
    }
    for (size_t k = 0; k < BYTES; k++) {
        if (fake.memory[k] != ((uint8_t *)DATA)[k]) {
            complain(f, &in, "memory at", (unsigned)k, ((uint8_t *)DATA)[k], fake.memory[k]);
        }
    }
}

/* On a stack of their own: RSP may be anywhere. (The test library has set handlers, too.) */
static void catch_signals(void)
{
    static uint8_t stack[65536];
    const stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
    const struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

    sigaltstack(&alt, NULL);
    sigaction(SIGFPE, &act, NULL);
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGILL, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
}

static void test_against_cpu(void **state)
{
    bool avx = host_has(1, 2, 28), movbe = host_has(1, 2, 22);
    (void)state;

    catch_signals();
    for (unsigned k = 0; k < ARRAY_LEN(forms); k++) {
        const struct form *f = &forms[k];
        if (((f->flags & VEX) && !avx) || ((f->flags & BY_CPU) && !movbe)) {
            continue;
        }
        for (unsigned round = 0; round < 500; round++) {
            check_form(f);
        }
    }
    assert_true(fake.device_accesses > 50000);
}

static int setup(void **state)
{
    (void)state;
    return fake_map() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_cpu),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
