/* SPDX-License-Identifier: BSD-2-Clause */
/* Local APIC register access in both modes. */
#include "arch/x86_64/lapic.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/trap.h"
#include "base/log.h"

/* Register offsets: SDM vol. 3, table 11-1. In x2APIC mode, MSR 0x800 + offset / 16. */
enum {
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_SVR = 0xf0,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

#define SVR_ENABLE BIT32(8)
#define LVT_MASKED BIT32(16)
#define LVT_EXTINT 0x700u
#define LVT_NMI 0x400u
#define LVT_TIMER_TSC_DEADLINE (2u << 17)
#define DIVIDE_BY_1 0x0bu

/* The same address for each CPU, which finds its own there; NULL in x2APIC mode. */
static volatile uint32_t *mmio;

static uint32_t apic_read(unsigned reg)
{
    return mmio ? mmio[reg / 4] : (uint32_t)rdmsr(MSR_X2APIC_BASE + reg / 16);
}

static void apic_write(unsigned reg, uint32_t v)
{
    if (mmio) {
        mmio[reg / 4] = v;
    } else {
        wrmsr(MSR_X2APIC_BASE + reg / 16, v);
    }
}

static void eoi(unsigned vector)
{
    (void)vector; /* the one in service of the highest priority */
    apic_write(APIC_EOI, 0);
}

const struct irq_chip host_lapic_chip = {.name = "local APIC", .eoi = eoi};

void host_lapic_init(void)
{
    uint64_t base = rdmsr(MSR_IA32_APIC_BASE);

    if (!(cpuid(1, 0).edx & CPUID_1_EDX_APIC)) {
        panic("this CPU has no local APIC, which Pagefold needs");
    }
    if (!(base & APIC_BASE_ENABLE)) {
        base |= APIC_BASE_ENABLE;
        wrmsr(MSR_IA32_APIC_BASE, base);
    }
    if (!(base & APIC_BASE_X2APIC)) {
        uint64_t at = base & (BIT(phys_bits()) - 1) & ~(uint64_t)PAGE_MASK;
        mmio = mmio_map(HPA(at), PAGE_SIZE);
        ASSERT(mmio);
    }
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
    apic_write(APIC_LVT_ERROR, LVT_MASKED | VECTOR_SPURIOUS);
    apic_write(APIC_LVT_LINT0, LVT_EXTINT);
    apic_write(APIC_LVT_LINT1, LVT_NMI);
    apic_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    apic_write(APIC_EOI, 0); /* what the firmware may have left in service */
}

bool host_lapic_has_tsc_deadline(void)
{
    return cpuid(1, 0).ecx & CPUID_1_ECX_TSC_DEADLINE;
}

void host_lapic_timer_mode(bool deadline)
{
    apic_write(APIC_TIMER_INITIAL, 0);
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER | (deadline ? LVT_TIMER_TSC_DEADLINE : 0));
    /* In xAPIC mode nothing else orders this write before the MSR's: SDM vol. 3, 11.5.4.1. */
    __asm__ volatile("mfence" : : : "memory");
    if (deadline) {
        wrmsr(MSR_IA32_TSC_DEADLINE, 0);
    }
}

void host_lapic_timer_oneshot(uint32_t count)
{
    apic_write(APIC_TIMER_INITIAL, count);
}

uint32_t host_lapic_timer_left(void)
{
    return apic_read(APIC_TIMER_CURRENT);
}

void host_lapic_timer_deadline(uint64_t tsc)
{
    wrmsr(MSR_IA32_TSC_DEADLINE, tsc);
}
