/* SPDX-License-Identifier: BSD-2-Clause */
/* Control registers and XCR0: what may be written reads back, what may not is #GP. */
#include "kit.h"

#define CR(n)                                                                                      \
    static void set_cr##n(void *v)                                                                 \
    {                                                                                              \
        __asm__ volatile("mov %0, %%cr" #n ::"r"(*(uint64_t *)v) : "memory");                      \
    }                                                                                              \
    static uint64_t get_cr##n(void)                                                                \
    {                                                                                              \
        uint64_t v;                                                                                \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory");                                \
        return v;                                                                                  \
    }
CR(0)
CR(2)
CR(3)
CR(4)
CR(8)

static void takes(void (*set)(void *), uint64_t (*get)(void), uint64_t v, const char *what)
{
    uint64_t old = get(), now;
    int vector = kit_try(set, &v);

    now = get();
    tap_ok(vector < 0 && now == v, "%s: %lx reads back (%d, %lx)", what, v, vector, now);
    set(&old);
}

static void refuses(void (*set)(void *), uint64_t (*get)(void), uint64_t v, const char *what)
{
    uint64_t old = get();
    int vector = kit_try(set, &v);

    tap_ok(vector == 13 && kit_caught_frame.error == 0 && get() == old, "%s is #GP (%d)", what,
           vector);
}

static void do_sse(void *arg)
{
    (void)arg;
    __asm__ volatile("movups %%xmm0, %%xmm1" ::);
}

static void cr0(void)
{
    uint64_t v = get_cr0();

    tap_ok((v & 0x80000011) == 0x80000011, "CR0 has PE, ET and PG: %lx", v);
    takes(set_cr0, get_cr0, v ^ 1ul << 16, "CR0.WP");
    takes(set_cr0, get_cr0, v ^ 1ul << 18, "CR0.AM");
    takes(set_cr0, get_cr0, v ^ 1ul << 5, "CR0.NE");
    takes(set_cr0, get_cr0, v | 1ul << 30, "CR0.CD");
    takes(set_cr0, get_cr0, v | 3ul << 29, "CR0.CD and NW");
    takes(set_cr0, get_cr0, v ^ 2, "CR0.MP");
    refuses(set_cr0, get_cr0, (v & ~(1ul << 30)) | 1ul << 29, "NW without CD");
    refuses(set_cr0, get_cr0, v & ~1ul, "PG without PE");
    refuses(set_cr0, get_cr0, v & ~0x80000000ul, "leaving paging in 64-bit mode");
    refuses(set_cr0, get_cr0, v | 1ul << 32, "bit 32 of CR0");
    refuses(set_cr0, get_cr0, v | 1ul << 63, "bit 63 of CR0");
    uint64_t ts = v | 8;
    set_cr0(&ts);
    tap_ok(kit_try(do_sse, NULL) == 7, "TS: an SSE instruction is #NM");
    __asm__ volatile("clts");
    tap_ok(!(get_cr0() & 8) && kit_try(do_sse, NULL) < 0, "CLTS");
    __asm__ volatile("lmsw %w0" ::"r"(0xa | (unsigned)(v & 1)));
    uint64_t sw;
    __asm__ volatile("smsw %0" : "=r"(sw));
    tap_ok((get_cr0() & 0xf) == 0xb && (sw & 0xf) == 0xb, "LMSW and SMSW: %lx", sw);
    set_cr0(&v);
    __asm__ volatile("lmsw %w0" ::"r"(2)); /* PE cannot be cleared so */
    tap_ok(get_cr0() & 1, "LMSW does not leave protected mode");
    set_cr0(&v);
    /* The register behind an owned bit's exit: every general one, RSP among them. */
    uint64_t want = v | 1ul << 30, got;
    __asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; mov %%rsp, %%cr0; mov %%rbx, %%rsp;"
                     "mov %%cr0, %0"
                     : "=r"(got)
                     : "r"(want)
                     : "rbx", "memory");
    tap_ok(got == want, "CR0 from RSP: %lx", got);
    set_cr0(&v);
    __asm__ volatile("mov %1, %%r15; mov %%r15, %%cr0; mov %%cr0, %0"
                     : "=r"(got)
                     : "r"(want)
                     : "r15", "memory");
    tap_ok(got == want, "CR0 from R15: %lx", got);
    set_cr0(&v);
}

static void cr4(void)
{
    uint64_t v = get_cr4();
    uint32_t r[4];

    tap_ok((v & 0x20) && !(v & 0x2000), "CR4 has PAE and shows no VMXE: %lx", v);
    takes(set_cr4, get_cr4, v ^ 0x80, "CR4.PGE");
    takes(set_cr4, get_cr4, v ^ 4, "CR4.TSD");
    takes(set_cr4, get_cr4, v ^ 8, "CR4.DE");
    takes(set_cr4, get_cr4, v ^ 0x40, "CR4.MCE");
    refuses(set_cr4, get_cr4, v | 0x2000, "CR4.VMXE");
    refuses(set_cr4, get_cr4, v | 0x4000, "CR4.SMXE");
    refuses(set_cr4, get_cr4, v | 1ul << 15, "reserved bit 15 of CR4");
    refuses(set_cr4, get_cr4, v | 1ul << 31, "reserved bit 31 of CR4");
    refuses(set_cr4, get_cr4, v | 1ul << 63, "reserved bit 63 of CR4");
    refuses(set_cr4, get_cr4, v & ~0x20ul, "leaving PAE in 64-bit mode");
    static const struct {
        unsigned leaf, reg, bit, cr4;
        const char *name;
    } features[] = {{1, 2, 17, 17, "PCIDE"}, {1, 2, 26, 18, "OSXSAVE"}, {7, 1, 7, 20, "SMEP"},
                    {7, 1, 20, 21, "SMAP"},  {7, 1, 0, 16, "FSGSBASE"}, {7, 2, 2, 11, "UMIP"},
                    {7, 2, 3, 22, "PKE"},    {7, 2, 7, 23, "CET"},      {7, 2, 16, 12, "LA57"}};
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        cpuid(features[i].leaf, 0, r);
        if (r[features[i].reg] >> features[i].bit & 1) {
            takes(set_cr4, get_cr4, v | 1ul << features[i].cr4, features[i].name);
        } else {
            refuses(set_cr4, get_cr4, v | 1ul << features[i].cr4, features[i].name);
        }
    }
    takes(set_cr3, get_cr3, get_cr3(), "CR3");
    takes(set_cr3, get_cr3, get_cr3() | 0x18, "CR3 with PWT and PCD");
    takes(set_cr2, get_cr2, 0xffff800012345000ul, "CR2");
}

static void cr8(void)
{
    static const uint64_t bad[] = {16, 0x80, 1ul << 32, 1ul << 63};

    for (uint64_t i = 0; i < 16; i++) {
        takes(set_cr8, get_cr8, i, "CR8");
    }
    for (unsigned i = 0; i < 4; i++) {
        refuses(set_cr8, get_cr8, bad[i], "a reserved bit of CR8");
    }
    apic_init();
    uint64_t v = 5;
    set_cr8(&v);
    tap_ok(rdmsr(0x808) == 0x50, "the TPR is CR8's upper digit: %lx", rdmsr(0x808));
    wrmsr(0x808, 0x7f);
    tap_ok(get_cr8() == 7, "and the other way: %lx", get_cr8());
    v = 5;
    set_cr8(&v);
    __asm__ volatile("sti");
    wrmsr(0x83f, 0x44);
    __asm__ volatile("nop; nop");
    tap_ok(kit_irqs[0x44] == 0, "CR8 = 5 holds vector 0x44 back");
    v = 3;
    set_cr8(&v);
    __asm__ volatile("nop; nop");
    tap_ok(kit_irqs[0x44] == 1, "CR8 = 3 lets it through");
    __asm__ volatile("cli");
    apic_eoi();
    v = 0;
    set_cr8(&v);
}

struct xcr {
    uint32_t n;
    uint64_t v;
};

static void do_xsetbv(void *arg)
{
    struct xcr *x = arg;
    __asm__ volatile("xsetbv" ::"c"(x->n), "a"((uint32_t)x->v), "d"((uint32_t)(x->v >> 32)));
}

static void xsetbv(uint32_t n, uint64_t v, int want)
{
    struct xcr x = {n, v};
    int vector = kit_try(do_xsetbv, &x);
    tap_ok(vector == want, "XSETBV %u with %lx: %d", n, v, vector);
}

static void xcr0(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    xsetbv(0, 1, 6);
    if (!(r[2] >> 26 & 1)) {
        return;
    }
    uint64_t v = get_cr4() | 1ul << 18;
    set_cr4(&v);
    cpuid(0xd, 0, r);
    uint64_t all = r[0] | (uint64_t)r[3] << 32;
    xsetbv(0, 1, -1);
    xsetbv(0, 3, -1);
    xsetbv(0, 0, 13);
    xsetbv(0, 2, 13);
    xsetbv(0, 5, 13);
    xsetbv(0, 1ul << 63 | 1, 13);
    xsetbv(0, 1ul << 62 | 1, 13);
    xsetbv(1, 1, 13);
    xsetbv(0xffffffff, 1, 13);
    xsetbv(0, all, -1);
    xsetbv(0, 7, all & 4 ? -1 : 13);
    xsetbv(0, 0x23, 13);
    xsetbv(0, 0x67, 13);
    xsetbv(0, 0x1b, 13);
    xsetbv(0, 0xe7, (all & 0xe0) == 0xe0 ? -1 : 13);
    xsetbv(0, 0xe3, 13);
    xsetbv(0, 1, -1);
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    cr0();
    cr4();
    cr8();
    xcr0();
}
