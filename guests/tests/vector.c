/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the CPU keeps for this VM stays this VM's: x87, SSE, AVX and AVX-512 state, XCR0, MXCSR,
 * debug registers, CR2, system-call MSRs. Several VMs run it at once, each with its own `seed`, and
 * `xcr0` (a mask) limits the state that one uses. `pages` of memory are there to be scanned
 * meanwhile: half of them are alike in all VMs, and some are written anew in each round.
 */
#include "kit.h"

static uint64_t seed, xcr0 = 3;
static uint8_t in[2048] __attribute__((aligned(64))), out[2048] __attribute__((aligned(64)));

static void fill(uint64_t round)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ul + round;
    for (unsigned i = 0; i < sizeof(in); i++) {
        x = x * 6364136223846793005ul + 1442695040888963407ul;
        in[i] = (uint8_t)(x >> 56);
    }
}

#define EACH8(a) a(0) a(1) a(2) a(3) a(4) a(5) a(6) a(7)
#define EACH16(a) EACH8(a) a(8) a(9) a(10) a(11) a(12) a(13) a(14) a(15)
#define EACH32(a)                                                                                  \
    EACH16(a)                                                                                      \
    a(16) a(17) a(18) a(19) a(20) a(21) a(22) a(23) a(24) a(25) a(26) a(27) a(28) a(29) a(30) a(31)
#define S(x) #x
#define LOAD_X(n) "movups " S(n) "*16(%0), %%xmm" S(n) "\n"
#define SAVE_X(n) "movups %%xmm" S(n) ", " S(n) "*16(%0)\n"
#define LOAD_Y(n) "vmovups " S(n) "*32(%0), %%ymm" S(n) "\n"
#define SAVE_Y(n) "vmovups %%ymm" S(n) ", " S(n) "*32(%0)\n"
#define LOAD_Z(n) "vmovups " S(n) "*64(%0), %%zmm" S(n) "\n"
#define SAVE_Z(n) "vmovups %%zmm" S(n) ", " S(n) "*64(%0)\n"
#define LOAD_K(n) "kmovw " S(n) "*2(%0), %%k" S(n) "\n"
#define SAVE_K(n) "kmovw %%k" S(n) ", " S(n) "*2(%0)\n"

static uint8_t mask_in[16], mask_out[16];
static uint64_t x87_in[8], x87_out[8];

/* Returns the bytes in use. */
static unsigned load(void)
{
    for (unsigned i = 0; i < 8; i++) {
        x87_in[i] = seed * 1000003 + i;
    }
    __asm__ volatile("fninit; fildll 0(%0); fildll 8(%0); fildll 16(%0); fildll 24(%0);"
                     "fildll 32(%0); fildll 40(%0); fildll 48(%0); fildll 56(%0)" ::"r"(x87_in)
                     : "memory");
    if (xcr0 & 0x80) {
        memcpy(mask_in, in + 100, 16);
        __asm__ volatile(EACH32(LOAD_Z)::"r"(in) : "memory");
        __asm__ volatile(EACH8(LOAD_K)::"r"(mask_in) : "memory");
        return 2048;
    }
    if (xcr0 & 4) {
        __asm__ volatile(EACH16(LOAD_Y)::"r"(in) : "memory");
        return 512;
    }
    __asm__ volatile(EACH16(LOAD_X)::"r"(in) : "memory");
    return 256;
}

static void save(void)
{
    memset(out, 0, sizeof(out));
    if (xcr0 & 0x80) {
        __asm__ volatile(EACH32(SAVE_Z)::"r"(out) : "memory");
        __asm__ volatile(EACH8(SAVE_K)::"r"(mask_out) : "memory");
    } else if (xcr0 & 4) {
        __asm__ volatile(EACH16(SAVE_Y)::"r"(out) : "memory");
    } else {
        __asm__ volatile(EACH16(SAVE_X)::"r"(out) : "memory");
    }
    __asm__ volatile("fistpll 56(%0); fistpll 48(%0); fistpll 40(%0); fistpll 32(%0);"
                     "fistpll 24(%0); fistpll 16(%0); fistpll 8(%0); fistpll 0(%0)" ::"r"(x87_out)
                     : "memory");
}

/* Pages to scan, behind those that exits() touches. */
static uint64_t first_page, pages;

static void write_page(uint64_t i)
{
    volatile uint64_t *p = (uint64_t *)(KIT_HEAP + (first_page + i) * PAGE);
    uint64_t x = i % 2 == 0 ? i : i + seed * 1000003;

    for (unsigned k = 0; k < PAGE / 8; k++) {
        p[k] = x * 0x9e3779b97f4a7c15ul;
    }
}

static void write_some(uint64_t round)
{
    for (uint64_t i = 0; pages > 0 && i < 4; i++) {
        write_page((round * 4 + i) * 2654435761ul % pages);
    }
}

static uint64_t get_xcr0(void)
{
    uint32_t a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a | (uint64_t)d << 32;
}

static void set_xcr0(uint64_t want)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    if (!(r[2] >> 26 & 1)) {
        xcr0 = 3;
        return;
    }
    __asm__ volatile("mov %%cr4, %%rax; bts $18, %%rax; mov %%rax, %%cr4" ::: "rax");
    cpuid(0xd, 0, r);
    xcr0 = (want & r[0]) | 3;
    if ((xcr0 & 0xe0) != 0xe0) {
        xcr0 &= 7;
    }
    __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)xcr0), "d"(0));
}

/* Of registers that it has not enabled so far, a VM finds none used: the hypervisor's secrets and
 * another VM's data are not there. Enables all. */
static void look_beyond(void)
{
    unsigned had = xcr0 & 0x80 ? 64 : xcr0 & 4 ? 32 : 16, used = 0;

    set_xcr0(0xe7);
    unsigned size = xcr0 & 0x80 ? 64 : xcr0 & 4 ? 32 : 16, number = size == 64 ? 32 : 16;
    if (size == had) {
        return;
    }
    save();
    for (unsigned n = 0; n < number; n++) {
        for (unsigned i = n < 16 ? had : 0; i < size; i++) {
            used += out[n * size + i] != 0;
        }
    }
    for (unsigned i = 0; i < sizeof(mask_out); i++) {
        used += mask_out[i];
    }
    tap_ok(used == 0, "what was not enabled so far is as after a reset: %u bytes are not", used);
}

static void exits(unsigned round)
{
    uint32_t r[4];

    cpuid(0, 0, r);
    (void)inb(0x3ff);
    if (round % 3 == 0) {
        kit_sleep_ms(1);
    } else if (round % 3 == 1) {
        kit_spin_ms(3);
    } else {
        __asm__ volatile("pause; pause; pause");
        *(volatile uint8_t *)(KIT_HEAP + (uint64_t)round * PAGE) = 1; /* demand-zero */
    }
}

static void set_others(void)
{
    uint32_t mxcsr = 0x1f80 | (uint32_t)(seed & 3) << 13;

    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    __asm__ volatile("mov %0, %%cr2" ::"r"(seed << 32));
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr3" ::"r"(seed * 3), "r"(seed * 7));
    wrmsr(0xc0000082, seed << 16); /* LSTAR */
    wrmsr(0xc0000081, seed << 48); /* STAR */
    wrmsr(0xc0000102, seed << 20); /* KERNEL_GS_BASE */
    wrmsr(0xc0000100, seed << 24);
    wrmsr(0x176, seed << 8);
    wrmsr(0xc0000103, seed);
}

static bool others_kept(void)
{
    uint32_t mxcsr;
    uint64_t cr2, dr0, dr3;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("mov %%cr2, %0; mov %%dr0, %1; mov %%dr3, %2"
                     : "=r"(cr2), "=r"(dr0), "=r"(dr3));
    return (mxcsr >> 13 & 3) == (seed & 3) && cr2 == seed << 32 && dr0 == seed * 3 &&
           dr3 == seed * 7 && rdmsr(0xc0000082) == seed << 16 && rdmsr(0xc0000081) == seed << 48 &&
           rdmsr(0xc0000102) == seed << 20 && rdmsr(0xc0000100) == seed << 24 &&
           rdmsr(0x176) == seed << 8 && rdmsr(0xc0000103) == seed;
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t rounds = kit_option(boot_params, "rounds", 300);
    unsigned wrong = 0, wrong_x87 = 0, wrong_masks = 0, wrong_others = 0;

    seed = kit_option(boot_params, "seed", 1);
    set_xcr0(kit_option(boot_params, "xcr0", 0xe7));
    first_page = rounds;
    pages = kit_option(boot_params, "pages", 0);
    for (uint64_t i = 0; i < pages; i++) {
        write_page(i);
    }
    apic_init();
    set_others();
    for (uint64_t round = 0; round < rounds; round++) {
        write_some(round);
        fill(round);
        unsigned n = load();
        exits((unsigned)round);
        save();
        wrong += memcmp(in, out, n) != 0;
        wrong_x87 += memcmp(x87_in, x87_out, sizeof(x87_in)) != 0;
        wrong_masks += (xcr0 & 0x80) && memcmp(mask_in, mask_out, 16) != 0;
        wrong_others += !others_kept();
    }
    tap_ok(wrong == 0, "vector registers kept over %lu rounds, XCR0 %lx: %u wrong", rounds, xcr0,
           wrong);
    tap_ok(wrong_x87 == 0, "x87 registers: %u wrong", wrong_x87);
    tap_ok(wrong_masks == 0, "mask registers: %u wrong", wrong_masks);
    tap_ok(wrong_others == 0, "MXCSR, CR2, debug registers, MSRs: %u wrong", wrong_others);
    tap_ok(xcr0 == 3 || get_xcr0() == xcr0, "XCR0 is still %lx", xcr0);
    look_beyond();
}
