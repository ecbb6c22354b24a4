/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions of many kinds on an address where nothing is, which reads as all ones, and on the
 * I/O APIC: they do what the SDM says, and what is not emulated is #UD. Single steps over them.
 */
#include "kit.h"

#define EMPTY 0xd0000040ul /* in the window for PCI devices */
#define IOAPIC 0xfec00000ul
#define LAPIC 0xfee00000ul

#define ONES (~0ul)
#define ONES32 0xfffffffful

static uint64_t result;

/* Each runs with the address in RBX, RDI and RSI, and leaves its result in RAX. */
#define FORMS(F)                                                                                   \
    F("mov (%%rbx), %%al; movzbl %%al, %%eax", 0xff)                                               \
    F("movzbl (%%rbx), %%eax", 0xff)                                                               \
    F("movzwl (%%rbx), %%eax", 0xffff)                                                             \
    F("movsbw (%%rbx), %%ax; movzwl %%ax, %%eax", 0xffff)                                          \
    F("movslq (%%rbx), %%rax", ONES)                                                               \
    F("movbe (%%rbx), %%eax", ONES32)                                                              \
    F("movnti %%rax, (%%rbx); mov $1, %%eax", 1)                                                   \
    F("movdqu (%%rbx), %%xmm0; movq %%xmm0, %%rax", ONES)                                          \
    F("pxor %%xmm0, %%xmm0; movdqu %%xmm0, (%%rbx); mov $1, %%eax", 1)                             \
    F("movaps (%%rbx), %%xmm1; movhlps %%xmm1, %%xmm1; movq %%xmm1, %%rax", ONES)                  \
    F("movd (%%rbx), %%xmm0; movq %%xmm0, %%rax", ONES32)                                          \
    F("movq (%%rbx), %%xmm0; movq %%xmm0, %%rax", ONES)                                            \
    F("movntdq %%xmm0, (%%rbx); mov $1, %%eax", 1)                                                 \
    F("pxor %%xmm0, %%xmm0; movhps (%%rbx), %%xmm0; movq %%xmm0, %%rax", 0)                        \
    F("xor %%eax, %%eax; btl $3, (%%rbx); setc %%al", 1)                                           \
    F("xor %%eax, %%eax; mov $1000, %%ecx; btq %%rcx, (%%rbx); setc %%al", 1)                      \
    F("xor %%eax, %%eax; lock btsl $3, (%%rbx); setc %%al", 1)                                     \
    F("xor %%eax, %%eax; lock btrl $3, (%%rbx); setc %%al", 1)                                     \
    F("xor %%eax, %%eax; btcl $3, (%%rbx); setc %%al", 1)                                          \
    F("xor %%eax, %%eax; mov $5, %%ecx; lock cmpxchg %%ecx, (%%rbx)", ONES32)                      \
    F("xor %%eax, %%eax; xor %%edx, %%edx; lock cmpxchg8b (%%rsi)", ONES32)                        \
    F("xor %%eax, %%eax; xor %%edx, %%edx; lock cmpxchg16b (%%rsi)", ONES)                         \
    F("mov $1, %%eax; lock xadd %%eax, (%%rbx)", ONES32)                                           \
    F("xor %%eax, %%eax; lock incl (%%rbx); setz %%al", 1)                                         \
    F("xor %%eax, %%eax; decl (%%rbx); sets %%al", 1)                                              \
    F("notl (%%rbx); mov $1, %%eax", 1)                                                            \
    F("xor %%eax, %%eax; negl (%%rbx); setc %%al", 1)                                              \
    F("xor %%eax, %%eax; shll $4, (%%rbx); setc %%al", 1)                                          \
    F("xor %%eax, %%eax; mov $5, %%ecx; sarl %%cl, (%%rbx); setc %%al", 1)                         \
    F("xor %%eax, %%eax; rorl (%%rbx); setc %%al", 1)                                              \
    F("xor %%eax, %%eax; rcll $3, (%%rbx); setc %%al", 1)                                          \
    F("xor %%eax, %%eax; shldl $3, %%ecx, (%%rbx); setc %%al", 1)                                  \
    F("xor %%eax, %%eax; shrdl $3, %%ecx, (%%rbx); setc %%al", 1)                                  \
    F("mov $2, %%eax; mull (%%rbx)", 0xfffffffe)                                                   \
    F("mov $2, %%eax; imull (%%rbx)", 0xfffffffe)                                                  \
    F("mov $3, %%eax; imul (%%rbx), %%eax", 0xfffffffd)                                            \
    F("imul $5, (%%rbx), %%eax", 0xfffffffb)                                                       \
    F("mov $5, %%eax; xor %%edx, %%edx; divl (%%rbx)", 0)                                          \
    F("mov $5, %%eax; xor %%edx, %%edx; idivl (%%rbx)", 0xfffffffb)                                \
    F("popcntq (%%rbx), %%rax", 64)                                                                \
    F("bsfl (%%rbx), %%eax", 0)                                                                    \
    F("bsrl (%%rbx), %%eax", 31)                                                                   \
    F("setz (%%rbx); mov $1, %%eax", 1)                                                            \
    F("xor %%eax, %%eax; cmovz (%%rbx), %%eax", ONES32)                                            \
    F("mov $7, %%eax; test %%eax, %%eax; cmovz (%%rbx), %%eax", 7)                                 \
    F("mov %%ds, (%%rbx); mov $1, %%eax", 1)                                                       \
    F("pushq (%%rbx); pop %%rax", ONES)                                                            \
    F("pushq $5; popq (%%rbx); mov $1, %%eax", 1)                                                  \
    F("lodsq", ONES)                                                                               \
    F("xor %%eax, %%eax; cmpsb; setz %%al", 1)                                                     \
    F("xor %%eax, %%eax; mov $8, %%ecx; repe cmpsb; setz %%al; add %%ecx, %%eax", 1)               \
    F("mov $5, %%eax; scasl; mov $0, %%eax; setb %%al", 1)                                         \
    F("xor %%eax, %%eax; mov $6, %%ecx; repne scasb; mov %%ecx, %%eax", 0)                         \
    F("movsq; mov %%rdi, %%rax; sub %%rbx, %%rax", 8)                                              \
    F("mov $100, %%ecx; rep movsq; mov %%rdi, %%rax; sub %%rbx, %%rax", 800)                       \
    F("mov $300, %%ecx; rep stosb; mov %%rdi, %%rax; sub %%rbx, %%rax", 300)                       \
    F("mov $0x3ff, %%edx; outsb; in %%dx, %%al; movzbl %%al, %%eax", 0xff)                         \
    F("mov $0x3ff, %%edx; insb; mov %%rdi, %%rax; sub %%rbx, %%rax", 1)                            \
    F("sgdt (%%rbx); mov $1, %%eax", 1)                                                            \
    F("sidt (%%rbx); mov $1, %%eax", 1)                                                            \
    F("smsw (%%rbx); mov $1, %%eax", 1)                                                            \
    F("str (%%rbx); mov $1, %%eax", 1)                                                             \
    F("clflush (%%rbx); mov $1, %%eax", 1)                                                         \
    F("prefetcht0 (%%rbx); mov $1, %%eax", 1)                                                      \
    F("mov %%rsp, %%r8; mov %%rbx, %%rsp; push %%rcx; pop %%rax; mov %%r8, %%rsp", ONES)           \
    F("mov %%rsp, %%r8; mov %%rbx, %%rsp; call 1f; 1: mov %%rsp, %%rax; mov %%r8, %%rsp;"          \
      "sub %%rbx, %%rax",                                                                          \
      -8ul)                                                                                        \
    F("mov %%rsp, %%r8; mov %%rbp, %%r9; mov %%rbx, %%rbp; mov %%rbx, %%rsp; enter $8, $31; mov "  \
      "%%rsp, %%rax;"                                                                              \
      "mov %%r8, %%rsp; mov %%r9, %%rbp; sub %%rbx, %%rax",                                        \
      -264ul)                                                                                      \
    F("mov %%rsp, %%r8; mov %%rbp, %%r9; mov %%rbx, %%rbp; mov %%rbx, %%rsp; enter $8, $2; mov "   \
      "%%rsp, %%rax;"                                                                              \
      "mov %%r8, %%rsp; mov %%r9, %%rbp; sub %%rbx, %%rax",                                        \
      -32ul)                                                                                       \
    F("mov %%rsp, %%r8; mov %%rbp, %%r9; mov %%rbx, %%rbp; leave; mov %%rbp, %%rax;"               \
      "mov %%r8, %%rsp; mov %%r9, %%rbp",                                                          \
      ONES)

#define RUN(code, want)                                                                            \
    {                                                                                              \
        uint64_t di = (uint64_t)at, si = (uint64_t)at, ax = 0;                                     \
        __asm__ volatile("test %%eax, %%eax\n\t" code                                              \
                         : "+a"(ax), "+D"(di), "+S"(si)                                            \
                         : "b"(at)                                                                 \
                         : "rcx", "rdx", "r8", "r9", "cc", "memory");                              \
        result = ax;                                                                               \
        return;                                                                                    \
    }
#define CASE(code, want)                                                                           \
    if (which == n++)                                                                              \
    RUN(code, want)
#define ENTRY(code, want) {code, want},

static const struct {
    const char *code;
    uint64_t want;
} forms[] = {FORMS(ENTRY)};

static unsigned which;

static void run_form(void *at)
{
    unsigned n = 0;
    FORMS(CASE)
}

static void on_nothing(void)
{
    for (which = 0; which < sizeof(forms) / sizeof(forms[0]); which++) {
        int v = kit_try(run_form, (void *)EMPTY);
        tap_ok(v < 0 && result == forms[which].want, "%s: %lx, vector %d", forms[which].code,
               result, v);
    }
}

/* ---- AVX ---- */

static void do_avx(void *at)
{
    __asm__ volatile("vpxor %%xmm2, %%xmm2, %%xmm2; vmovdqu (%1), %%ymm2; vextracti128 $1, %%ymm2,"
                     "%%xmm2; vmovq %%xmm2, %0"
                     : "=r"(result)
                     : "r"(at)
                     : "memory");
    __asm__ volatile("vmovups %%ymm3, (%0); vmovdqa %%xmm3, (%0)" ::"r"(at) : "memory");
}

static void avx(void)
{
    uint32_t r[4], r7[4];

    cpuid(1, 0, r);
    cpuid(7, 0, r7);
    if ((r[2] & 1u << 28) && (r7[1] & 1u << 5)) {
        __asm__ volatile("mov %%cr4, %%rax; bts $18, %%rax; mov %%rax, %%cr4; xor %%ecx, %%ecx;"
                         "xgetbv; or $7, %%eax; xsetbv" ::
                             : "rax", "rcx", "rdx");
        int v = kit_try(do_avx, (void *)EMPTY);
        tap_ok(v < 0 && result == ONES, "VMOVDQU, VMOVUPS, VMOVDQA: %lx, vector %d", result, v);
    }
}

/* ---- what is a fault ---- */

#define DO(name, code)                                                                             \
    static void do_##name(void *at)                                                                \
    {                                                                                              \
        __asm__ volatile(code ::"b"(at) : "rax", "rcx", "rdx", "memory");                          \
    }
DO(fild, "fildl (%%rbx)")
DO(fxsave, "fxsave (%%rbx)")
DO(paddd, "paddd (%%rbx), %%xmm0")
DO(farcall, "lcall *(%%rbx)")
DO(callm, "call *(%%rbx)")
DO(unaligned, "movaps 8(%%rbx), %%xmm0")
DO(selector, "mov (%%rbx), %%ds")
DO(div, "mov $-1, %%rdx; mov %%rdx, %%rax; divq (%%rbx)")
DO(canonical, "mov $0x800000000000, %%rax; mov %%rax, %%rdi; mov %%rbx, %%rsi; movsb")

static void faults(void)
{
    static const struct {
        void (*fn)(void *);
        int vector;
        uint64_t error;
        const char *name;
    } all[] = {
        {do_fild, 6, 0, "FILD"},
        {do_fxsave, 6, 0, "FXSAVE"},
        {do_paddd, 6, 0, "PADDD"},
        {do_farcall, 6, 0, "a far CALL"},
        {do_callm, 14, 0x10, "a CALL to what is read there"},
        {do_unaligned, 13, 0, "MOVAPS of an unaligned address"},
        {do_selector, 13, 0xfffc, "a selector of all ones"},
        {do_div, 0, 0, "an overflow in DIV"},
        {do_canonical, 13, 0, "MOVS to a non-canonical address"},
    };
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        int v = kit_try(all[i].fn, (void *)EMPTY);
        tap_ok(v == all[i].vector && (v == 14 || (kit_caught_frame.error == all[i].error &&
                                                  (kit_caught_frame.rflags & 1ul << 16))),
               "%s: vector %d, error %lx", all[i].name, v, kit_caught_frame.error);
    }
}

/* ---- the I/O APIC's data register, on an entry that is masked ---- */

static void select(uint32_t reg)
{
    *(volatile uint32_t *)IOAPIC = reg;
}

#define ON_IOAPIC(code, want)                                                                      \
    do {                                                                                           \
        volatile uint32_t *data = (volatile uint32_t *)(IOAPIC + 0x10);                            \
        *data = 0x0f000000;                                                                        \
        __asm__ volatile(code ::"b"(data), "c"(0x50000000)                                         \
                         : "rax", "rdx", "rsi", "rdi", "cc", "memory");                            \
        uint32_t got = *data;                                                                      \
        tap_ok(got == (want), "I/O APIC: %s: %x", code, got);                                      \
    } while (0)

static void on_ioapic(void)
{
    select(0x11);
    ON_IOAPIC("notl (%%rbx)", 0xf0000000);
    ON_IOAPIC("negl (%%rbx)", 0xf1000000);
    ON_IOAPIC("shll $4, (%%rbx)", 0xf0000000);
    ON_IOAPIC("shrl (%%rbx)", 0x07000000);
    ON_IOAPIC("lock btsl $28, (%%rbx)", 0x1f000000);
    ON_IOAPIC("btrl $24, (%%rbx)", 0x0e000000);
    ON_IOAPIC("btcl $25, (%%rbx)", 0x0d000000);
    ON_IOAPIC("mov $0x0f000000, %%eax; lock cmpxchg %%ecx, (%%rbx)", 0x50000000);
    ON_IOAPIC("mov $0x0e000000, %%eax; lock cmpxchg %%ecx, (%%rbx)", 0x0f000000);
    ON_IOAPIC("mov %%ecx, %%eax; lock xadd %%eax, (%%rbx)", 0x5f000000);
    ON_IOAPIC("movd %%ecx, %%xmm0; movd %%xmm0, (%%rbx)", 0x50000000);
    ON_IOAPIC("movnti %%ecx, (%%rbx)", 0x50000000);
    ON_IOAPIC("mov $0x50, %%eax; movbe %%eax, (%%rbx)", 0x50000000);
    ON_IOAPIC("mov %%rbx, %%rsi; mov %%rbx, %%rdi; lodsl; add %%ecx, %%eax; stosl", 0x5f000000);
}

/* ---- segments ---- */

static void overrides(void)
{
    volatile uint32_t *data = (volatile uint32_t *)(IOAPIC + 0x10);
    uint32_t by_ds = 0x01000000, by_fs = 0x02000000;
    uint64_t si = (uint64_t)&by_ds, di = (uint64_t)data;

    wrmsr(0xc0000100, (uint64_t)&by_fs - (uint64_t)&by_ds);
    select(0x11);
    __asm__ volatile("fs movsl" : "+S"(si), "+D"(di)::"memory");
    tap_ok(*data == by_fs && si == (uint64_t)(&by_ds + 1), "FS: MOVS to a device: %x", *data);
    wrmsr(0xc0000100, 0);
}

/* ---- single steps ---- */

static volatile uint64_t steps;

static bool on_debug(struct trap_frame *f)
{
    if (f->vector != 1) {
        return false;
    }
    steps++;
    return true;
}

#define STEPS(code, address)                                                                       \
    ({                                                                                             \
        uint64_t di = (address), si = (address), c = 4;                                            \
        steps = 0;                                                                                 \
        __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq\n" code                               \
                         "\npushfq; andl $~0x100, (%%rsp); popfq\n"                                \
                         : "+D"(di), "+S"(si), "+c"(c)::"rax", "rdx", "memory");                   \
        steps;                                                                                     \
    })

static void single_steps(void)
{
    uint64_t ram, device;

    kit_on_trap = on_debug;
    ram = STEPS("rep stosb", KIT_HEAP);
    device = STEPS("rep stosb", EMPTY);
    tap_ok(device == ram && device >= 4, "steps in REP STOSB: %lu, in RAM %lu", device, ram);
    ram = STEPS("rep movsl", KIT_HEAP);
    device = STEPS("rep movsl", EMPTY);
    tap_ok(device == ram && device >= 4, "steps in REP MOVSL: %lu, in RAM %lu", device, ram);
    ram = STEPS("lock incl (%%rdi); bsf (%%rsi), %%eax; push (%%rsi); pop (%%rdi)", KIT_HEAP);
    device = STEPS("lock incl (%%rdi); bsf (%%rsi), %%eax; push (%%rsi); pop (%%rdi)", EMPTY);
    tap_ok(device == ram, "steps in four others: %lu, in RAM %lu", device, ram);
    device = STEPS("rep movsl", KIT_HEAP);
    ram = STEPS("mov $0x3ff, %%edx; rep outsb", KIT_HEAP);
    tap_ok(ram == device + 1, "steps in MOV and REP OUTSB: %lu, REP MOVSL %lu", ram, device);
    kit_on_trap = NULL;
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    on_nothing();
    avx();
    faults();
    on_ioapic();
    overrides();
    single_steps();
}
