/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: the leaves fit together, and what they offer works. */
#include "kit.h"

static uint32_t r[4];

static bool has(uint32_t leaf, unsigned reg, unsigned bit)
{
    cpuid(leaf, 0, r);
    return r[reg] >> bit & 1;
}

static void do_xgetbv(void *out)
{
    uint32_t a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    *(uint64_t *)out = a | (uint64_t)d << 32;
}

static void do_xsetbv(void *value)
{
    uint64_t v = *(uint64_t *)value;
    __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static void do_rdtscp(void *arg)
{
    (void)arg;
    __asm__ volatile("rdtscp" ::: "rax", "rcx", "rdx");
}

static void do_invpcid(void *arg)
{
    static uint64_t descriptor[2];
    (void)arg;
    __asm__ volatile("invpcid %0, %1" ::"m"(descriptor), "r"(2ul) : "memory");
}

static void do_rdfsbase(void *arg)
{
    (void)arg;
    __asm__ volatile("rdfsbase %%rax" ::: "rax");
}

static void set_cr4(uint64_t bits)
{
    __asm__ volatile("mov %%cr4, %%rax; or %0, %%rax; mov %%rax, %%cr4" ::"r"(bits) : "rax");
}

static uint8_t area[16384] __attribute__((aligned(64)));

static void do_xsave(void *arg)
{
    (void)arg;
    __asm__ volatile("xsave64 %0" : "=m"(area) : "a"(-1), "d"(-1) : "memory");
}

static void do_xsavec(void *arg)
{
    (void)arg;
    __asm__ volatile("xsavec64 %0" : "=m"(area) : "a"(-1), "d"(-1) : "memory");
}

/* How many bytes of `area` a save wrote: no more than CPUID says may be. */
static uint32_t written(void (*save)(void *))
{
    uint32_t n = sizeof(area);

    memset(area, 0, sizeof(area));
    for (unsigned i = 576; i < sizeof(area); i++) {
        area[i] = 0xa5; /* the header must be zero beforehand */
    }
    if (kit_try(save, NULL) >= 0) {
        return UINT32_MAX;
    }
    while (n > 576 && area[n - 1] == 0xa5) {
        n--;
    }
    return n;
}

static void xsave(void)
{
    uint64_t all, now = 1;
    uint32_t size, max, mask_low;

    tap_ok(!has(1, 2, 27), "OSXSAVE is off at first");
    tap_ok(kit_try(do_xgetbv, &all) == 6, "XGETBV without OSXSAVE is #UD");
    set_cr4(1ul << 18);
    tap_ok(has(1, 2, 27), "OSXSAVE follows CR4");
    tap_ok(kit_try(do_xgetbv, &now) < 0 && now == 1, "XCR0 is 1 at first: %lx", now);
    cpuid(0xd, 0, r);
    mask_low = r[0];
    all = r[0] | (uint64_t)r[3] << 32;
    size = r[1];
    max = r[2];
    tap_ok((all & 3) == 3, "x87 and SSE state: %lx", all);
    tap_ok(size == 576, "XSAVE area with XCR0=1: %u", size);
    tap_ok(max >= size && max <= sizeof(area), "the largest area: %u", max);
    for (unsigned i = 2; i < 63; i++) {
        cpuid(0xd, i, r);
        if (!(all >> i & 1)) {
            if (r[0] | r[1]) {
                tap_ok(false, "component %u is not offered but has a size", i);
            }
            continue;
        }
        tap_ok(r[0] > 0 && r[1] >= 576 && r[0] + r[1] <= max, "component %u: %u bytes at %u", i,
               r[0], r[1]);
    }
    tap_ok(kit_try(do_xsetbv, &all) < 0, "XCR0 takes all that is offered");
    now = 0;
    tap_ok(kit_try(do_xgetbv, &now) < 0 && now == all, "and reads back: %lx", now);
    cpuid(0xd, 0, r);
    tap_ok(r[1] == max, "with all components the area is the largest: %u", r[1]);
    uint32_t n = written(do_xsave);
    tap_ok(n <= max, "XSAVE writes %u bytes", n);
    cpuid(0xd, 1, r);
    if (r[0] & 2) {
        uint32_t compact = r[1];
        n = written(do_xsavec);
        tap_ok(compact >= 576 && n <= compact, "XSAVEC writes %u bytes of %u", n, compact);
    }
    tap_ok(!(r[0] & 8), "no XSAVES");
    bool avx512 = has(7, 1, 16);
    tap_ok(!avx512 || (mask_low & 0xe0) == 0xe0, "AVX-512 only with its state");
    tap_ok(!has(1, 2, 28) || (mask_low & 4), "AVX only with its state");
}

void guest_main(const uint8_t *boot_params)
{
    uint32_t last[4];
    uint32_t max;
    char name[13] = {0};

    (void)boot_params;
    cpuid(0, 0, r);
    max = r[0];
    memcpy(name, &r[1], 4);
    memcpy(name + 4, &r[3], 4);
    memcpy(name + 8, &r[2], 4);
    tap_ok(memcmp(name, "GenuineIntel", 12) == 0, "vendor %s", name);
    tap_ok(max >= 0x15 && max < 0x80, "highest basic leaf %x", max);
    cpuid(max, 0, last);
    cpuid(0x7fffffff, 0, r);
    tap_ok(memcmp(last, r, 16) == 0, "a leaf past the end reads like the last");
    uint64_t a = ~0ul, b = ~0ul, c = 0xffffffff00000000ul, d = ~0ul;
    __asm__ volatile("movl $0, %%eax; cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
    tap_ok(!((a | b | c | d) >> 32), "CPUID clears the upper halves");

    tap_ok(has(1, 2, 31), "a hypervisor");
    tap_ok(has(1, 2, 21), "x2APIC");
    tap_ok(has(1, 2, 24), "TSC deadline");
    tap_ok(!has(1, 2, 5), "no VMX");
    tap_ok(!has(1, 2, 6), "no SMX");
    tap_ok(!has(1, 2, 3), "no MONITOR");
    tap_ok(!has(1, 2, 15), "no PDCM");
    tap_ok(has(1, 3, 4) && has(1, 3, 6) && has(1, 3, 9) && has(1, 3, 25), "TSC, PAE, APIC, SSE");
    tap_ok(has(1, 3, 7) && has(1, 3, 14) && has(1, 3, 12) && has(1, 3, 16), "MCE, MCA, MTRR, PAT");
    uint64_t apic_base = rdmsr(0x1b);
    wrmsr(0x1b, apic_base & ~0x800ul);
    bool without = has(1, 3, 9);
    wrmsr(0x1b, apic_base);
    tap_ok(!without && has(1, 3, 9), "the APIC's bit follows IA32_APIC_BASE");
    cpuid(0xa, 0, r);
    tap_ok((r[0] & 0xff) == 0, "no performance counters");

    cpuid(0x40000000, 0, r);
    memcpy(name, &r[1], 12);
    tap_ok(r[0] >= 0x40000001 && memcmp(name, "KVMKVMKVM", 9) == 0, "hypervisor leaf: %s", name);
    cpuid(0x40000100, 0, r);
    memcpy(name, &r[1], 12);
    tap_ok(memcmp(name, "Pagefold", 8) == 0, "own leaf: %s", name);
    cpuid(0x40000001, 0, r);
    tap_ok(r[0] == 0x100000a, "KVM's features: no I/O delay, the stable clock page: %x", r[0]);

    cpuid(0x80000000, 0, r);
    tap_ok(r[0] >= 0x80000008, "extended leaves to %x", r[0]);
    tap_ok(has(0x80000001, 3, 29), "long mode");
    tap_ok(!has(0x80000001, 2, 2), "no SVM");
    tap_ok(has(0x80000007, 3, 8), "invariant TSC");
    cpuid(0x80000008, 0, r);
    tap_ok((r[0] & 0xff) >= 32 && (r[0] & 0xff) <= 52, "%u physical bits", r[0] & 0xff);
    tap_ok((r[0] >> 8 & 0xff) == 48, "%u linear bits", r[0] >> 8 & 0xff);

    int vector = kit_try(do_rdtscp, NULL);
    tap_ok(vector == (has(0x80000001, 3, 27) ? -1 : 6), "RDTSCP as offered: %d", vector);
    vector = kit_try(do_invpcid, NULL);
    tap_ok(vector == (has(7, 1, 10) ? -1 : 6), "INVPCID as offered: %d", vector);
    tap_ok(kit_try(do_rdfsbase, NULL) == 6, "RDFSBASE without CR4.FSGSBASE is #UD");
    if (has(7, 1, 0)) {
        set_cr4(1ul << 16);
        tap_ok(kit_try(do_rdfsbase, NULL) < 0, "RDFSBASE as offered");
    }
    tap_ok(kit_tsc_hz() > 1000000, "TSC frequency %lu Hz", kit_tsc_hz());
    if (has(1, 2, 26)) {
        xsave();
    }
}
