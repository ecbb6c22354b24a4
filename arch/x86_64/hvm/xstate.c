/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest state that no control block holds: x87/SSE/AVX/AVX-512 registers, XCR0, debug registers and
 * the MSRs of SYSCALL. The last guest's stays in the CPU until another vCPU runs there, or, the
 * vector registers and XCR0, until the hypervisor borrows them.
 *
 * CR0.TS is set whenever the hypervisor runs, but here and between xstate_borrow and
 * xstate_give_back: a vector instruction anywhere else raises #NM, which panics, before it can harm
 * a guest. (Guests have a CR0 of their own; an exit loads this one.)
 */
#include "arch/x86_64/hvm/xstate.h"

#include <cpuid.h>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"
#include "base/bits.h"
#include "base/log.h"
#include "base/page.h"
#include "base/string.h"

static bool has_xsave; /* the machine's */

static PERCPU struct xstate_cpu {
    struct hvm_vcpu *live; /* whose x87 and vector registers and XCR0 it holds, or NULL */
    bool held, borrowed;   /* by xstate_load, by xstate_borrow */
} xstate_cpu;

static void vectors_on(void)
{
    __asm__ volatile("clts" : : : "memory");
}

static void vectors_off(void)
{
    write_cr0(read_cr0() | CR0_TS);
}

void xstate_init_machine(void)
{
    has_xsave = cpuid(1, 0).ecx & bit_XSAVE;
    if (!has_xsave) {
        hvm_caps.xcr0_may = XCR0_X87 | XCR0_SSE;
        write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
        vectors_off();
        return;
    }
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    struct cpuid_regs d = cpuid(0xd, 0);
    uint64_t may = d.eax | (uint64_t)d.edx << 32;
    may &= XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU;
    if ((may & XCR0_AVX512) != XCR0_AVX512 || !(may & XCR0_AVX)) {
        may &= ~XCR0_AVX512;
    }
    /* One page holds the standard-format area of all that we let through (at most 2,696 bytes by
     * SDM vol. 1, 13.4); should a CPU want more, leave the newer components out. */
    write_xcr0(may);
    if (cpuid(0xd, 0).ebx > PAGE_SIZE) {
        may &= XCR0_X87 | XCR0_SSE | XCR0_AVX;
        write_xcr0(may);
    }
    hvm_caps.xcr0_may = may;
    vectors_off();
}

bool xstate_xcr0_valid(uint64_t value)
{
    /* SDM vol. 1, 13.3: x87 always; AVX needs SSE; the AVX-512 parts come together and need AVX. */
    if (!(value & XCR0_X87) || (value & ~hvm_caps.xcr0_may)) {
        return false;
    }
    if ((value & XCR0_AVX) && !(value & XCR0_SSE)) {
        return false;
    }
    return !(value & XCR0_AVX512) || ((value & XCR0_AVX512) == XCR0_AVX512 && (value & XCR0_AVX));
}

void xstate_reset(struct hvm_vcpu *v)
{
    uint8_t *area = frame_bytes(v->frames, v->xsave);

    page_zero(area);
    store_le16(area, 0x37f);       /* FCW */
    store_le32(area + 24, 0x1f80); /* MXCSR */
    v->xcr0 = XCR0_X87;
}

/* Leaves nobody's state live, XCR0 at all that there is, and vector instructions possible. */
static void save_vectors(void)
{
    struct xstate_cpu *cpu = this_cpu(xstate_cpu);
    uint8_t *area = frame_bytes(cpu->live->frames, cpu->live->xsave);

    vectors_on();
    if (has_xsave) {
        write_xcr0(hvm_caps.xcr0_may);
        __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(UINT32_MAX), "d"(UINT32_MAX) : "memory");
    } else {
        __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
    }
    cpu->live = NULL;
}

/*
 * Replaces all that the registers held: with every bit of XCR0 asked for, XRSTOR resets those
 * components that the area has none of (SDM vol. 1, 13.8), and MXCSR is always loaded. Nothing of
 * another guest's state or of the hypervisor's is left.
 */
static void load_vectors(struct hvm_vcpu *v)
{
    struct xstate_cpu *cpu = this_cpu(xstate_cpu);
    const uint8_t *area = frame_bytes(v->frames, v->xsave);

    ASSERT(!cpu->live); /* so XCR0 has all bits, since save_vectors or from the start */
    vectors_on();
    if (has_xsave) {
        __asm__ volatile("xrstor64 (%0)"
                         :
                         : "r"(area), "a"(UINT32_MAX), "d"(UINT32_MAX)
                         : "memory");
        write_xcr0(v->xcr0);
    } else {
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
    }
    vectors_off();
    cpu->live = v;
}

void xstate_load(struct hvm_vcpu *v)
{
    struct xstate_cpu *cpu = this_cpu(xstate_cpu);

    ASSERT(!cpu->borrowed);
    if (cpu->live != v) {
        load_vectors(v);
    }
    cpu->held = true;
}

void xstate_release(void)
{
    this_cpu(xstate_cpu)->held = false;
}

void xstate_borrow(void)
{
    struct xstate_cpu *cpu = this_cpu(xstate_cpu);

    ASSERT(!cpu->held && !cpu->borrowed);
    cpu->borrowed = true;
    if (cpu->live) {
        save_vectors();
    } else {
        vectors_on();
    }
}

void xstate_give_back(void)
{
    struct xstate_cpu *cpu = this_cpu(xstate_cpu);

    ASSERT(cpu->borrowed);
    cpu->borrowed = false;
    vectors_off();
}

/* Where the saved area has register n: its low 16 bytes, the next 16, and the upper 32, each a
 * component of its own (SDM vol. 1, 13.4 and 13.5). */
static const struct {
    unsigned component, at, n;
} parts[] = {{1, 0, 16}, {2, 16, 16}, {6, 32, 32}};
#define XSTATE_BV 512

/* NULL: this CPU has no such part. */
static uint8_t *part_of(uint8_t *area, unsigned k, unsigned n)
{
    unsigned offset = 160; /* XMM0 in the legacy region */

    if (parts[k].component > 1) {
        if (!(hvm_caps.xcr0_may & BIT(parts[k].component))) {
            return NULL;
        }
        offset = cpuid(0xd, parts[k].component).ebx;
    }
    return area + offset + (size_t)n * parts[k].n;
}

/* Takes the registers to memory and back, which is slow; device memory seldom meets them. */
void xstate_read_vector(struct hvm_vcpu *v, unsigned n, uint8_t to[64])
{
    struct xstate_cpu *cpu = this_cpu(xstate_cpu);
    uint8_t *area = frame_bytes(v->frames, v->xsave);

    ASSERT(cpu->live == v && cpu->held && n < 16);
    save_vectors();
    memset(to, 0, 64);
    for (unsigned k = 0; k < ARRAY_LEN(parts); k++) {
        const uint8_t *from = part_of(area, k, n);
        /* A component in its initial state is 0, and may not have been written. */
        if (from && (!has_xsave || (load_le64(area + XSTATE_BV) & BIT(parts[k].component)))) {
            memcpy(to + parts[k].at, from, parts[k].n);
        }
    }
    load_vectors(v);
}

void xstate_write_vector(struct hvm_vcpu *v, unsigned n, const uint8_t from[64])
{
    struct xstate_cpu *cpu = this_cpu(xstate_cpu);
    uint8_t *area = frame_bytes(v->frames, v->xsave);

    ASSERT(cpu->live == v && cpu->held && n < 16);
    save_vectors();
    for (unsigned k = 0; k < ARRAY_LEN(parts); k++) {
        uint8_t *to = part_of(area, k, n), *first = part_of(area, k, 0);
        uint64_t bv = has_xsave ? load_le64(area + XSTATE_BV) : BIT(1);

        if (to && !(bv & BIT(parts[k].component))) {
            memset(first, 0, 16 * parts[k].n);
            store_le64(area + XSTATE_BV, bv | BIT(parts[k].component));
        }
        if (to) {
            memcpy(to, from + parts[k].at, parts[k].n);
        }
    }
    load_vectors(v);
}

static void save(struct hvm_vcpu *v)
{
    v->star = rdmsr(MSR_IA32_STAR);
    v->lstar = rdmsr(MSR_IA32_LSTAR);
    v->cstar = rdmsr(MSR_IA32_CSTAR);
    v->fmask = rdmsr(MSR_IA32_FMASK);
    v->kernel_gs_base = rdmsr(MSR_IA32_KERNEL_GS_BASE);
    if (hvm_caps.has_rdtscp) {
        v->tsc_aux = rdmsr(MSR_IA32_TSC_AUX);
    }
    __asm__ volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2; mov %%dr3, %3; mov %%dr6, %4"
                     : "=r"(v->dr[0]), "=r"(v->dr[1]), "=r"(v->dr[2]), "=r"(v->dr[3]),
                       "=r"(v->dr6));
}

static void load(const struct hvm_vcpu *v)
{
    wrmsr(MSR_IA32_STAR, v->star);
    wrmsr(MSR_IA32_LSTAR, v->lstar);
    wrmsr(MSR_IA32_CSTAR, v->cstar);
    wrmsr(MSR_IA32_FMASK, v->fmask);
    wrmsr(MSR_IA32_KERNEL_GS_BASE, v->kernel_gs_base);
    if (hvm_caps.has_rdtscp) {
        wrmsr(MSR_IA32_TSC_AUX, v->tsc_aux);
    }
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3; mov %4, %%dr6"
                     :
                     : "r"(v->dr[0]), "r"(v->dr[1]), "r"(v->dr[2]), "r"(v->dr[3]), "r"(v->dr6));
}

void xstate_switch(struct hvm_vcpu *from, struct hvm_vcpu *to)
{
    struct xstate_cpu *cpu = this_cpu(xstate_cpu);

    ASSERT(!cpu->held && !cpu->borrowed);
    if (cpu->live) {
        save_vectors();
        vectors_off();
    }
    if (from) {
        save(from);
        from->cr2 = read_cr2(); /* ours never changes: the hypervisor takes no page faults */
    }
    if (to) {
        load(to);
        write_cr2(to->cr2);
    }
}
