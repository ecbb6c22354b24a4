/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times what costs a guest an exit, from inside.
 *
 * Two VMs run it. The first has role=2 on its command line and only holds pages equal to the
 * other's. The second fills its pages, waits until the folder has merged them, and measures while
 * the folder sleeps (scan.sleep is long in tools/bench's configuration). With role=3 it is alone
 * and only times the disk.
 */
#include "bench.h"

#define PAGES 2048u /* samples of each kind of page fault */
#define EXITS 4000u /* samples of each other exit */
#define WITNESSES 512u
#define TIMER_VECTOR 0x40u
#define WAIT_TICKS 20000000ul /* between two looks */
#define COPY_TICKS 500ul      /* nothing that copies or clears a page is quicker than this */
#define UART_SCRATCH 0x3ff
#define RTC_INDEX 0x70
#define RTC_DATA 0x71
#define MSR_X2APIC_ID 0x802
#define MSR_X2APIC_TPR 0x808
#define MSR_X2APIC_EOI 0x80b
#define MSR_TSC_DEADLINE 0x6e0

/* Test memory in the order in which the folder comes by: the witnesses are last. */
enum { TWINS, PAIRS, ZEROES = PAIRS + 2, WITNESS, HOLES_WRITE = WITNESS + 2, HOLES_READ };

static volatile uint64_t *page(unsigned region, unsigned i)
{
    return (volatile uint64_t *)(KIT_HEAP + (region * (uint64_t)PAGES + i) * PAGE);
}

/* Contents by seed, no two seeds alike, differing near the end as real pages rarely do sooner. */
static void fill(volatile uint64_t *p, uint64_t seed)
{
    for (unsigned i = 0; i < PAGE / 8; i++) {
        p[i] = (seed + 1) * 0x9e3779b97f4a7c15ul + i;
    }
}

static void on_irq(unsigned vector)
{
    (void)vector;
    apic_eoi();
}

static void sleep(uint64_t ticks)
{
    uint64_t end = rdtsc() + ticks;

    while (rdtsc() < end) {
        apic_timer_deadline(end, TIMER_VECTOR);
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
}

/* What both VMs have. */
static void fill_twins(void)
{
    for (unsigned i = 0; i < PAGES; i++) {
        fill(page(TWINS, i), i);
    }
}

static void fill_own(void)
{
    for (unsigned i = 0; i < PAGES; i++) {
        fill(page(PAIRS, i), 0x10000u + i);
        fill(page(PAIRS + 1, i), 0x10000u + i);
        fill(page(ZEROES, i), i);
        memset((void *)page(ZEROES, i), 0, PAGE);
    }
}

/*
 * Pairs of equal pages witness that the folder has come by: a write that takes the time of a page's
 * copy has found its page folded. Each look spoils a pair. A pass goes through the VMs in the order
 * of the configuration, and the witnesses are the last VM's last pages: when one is folded, a whole
 * pass is over.
 */
static bool wait_witness(unsigned round)
{
    for (unsigned i = round * WITNESSES; i < (round + 1) * WITNESSES; i++) {
        fill(page(WITNESS, i), 0x20000u + i);
        fill(page(WITNESS + 1, i), 0x20000u + i);
    }
    for (unsigned i = round * WITNESSES; i < (round + 1) * WITNESSES; i++) {
        sleep(WAIT_TICKS);
        uint64_t start = rdtsc();
        page(WITNESS, i)[0] = i;
        if (rdtsc() - start > COPY_TICKS) {
            return true;
        }
    }
    return false;
}

/* Twice: a page that was being filled while the first passes came by is folded by later ones. */
static bool wait_folded(void)
{
    return wait_witness(0) && wait_witness(1);
}

static void measure_writes(const char *name, unsigned region)
{
    for (unsigned i = 0; i < PAGES; i++) {
        volatile uint64_t *p = page(region, i);
        BENCH_SAMPLE(p[PAGE / 8 - 1] = i);
    }
    bench_report(name);
}

static void measure_faults(void)
{
    measure_writes("cow_break_two_vms", TWINS);
    measure_writes("cow_break_one_vm", PAIRS);
    measure_writes("take_over", PAIRS + 1);
    measure_writes("zero_break", ZEROES);
    measure_writes("demand_zero_write", HOLES_WRITE);
    for (unsigned i = 0; i < PAGES; i++) {
        volatile uint64_t *p = page(HOLES_READ, i);
        BENCH_SAMPLE((void)p[PAGE / 8 - 1]);
    }
    bench_report("demand_zero_read");
    measure_writes("no_fault_write", HOLES_WRITE);
}

#define MEASURE_EXITS(name, body)                                                                  \
    do {                                                                                           \
        for (unsigned k = 0; k < EXITS; k++) {                                                     \
            BENCH_SAMPLE(body);                                                                    \
        }                                                                                          \
        bench_report(name);                                                                        \
    } while (0)

static void measure_exits(void)
{
    uint32_t r[4];

    MEASURE_EXITS("empty", (void)0);
    MEASURE_EXITS("cpuid", cpuid(0, 0, r));
    MEASURE_EXITS("cpuid_leaf1", cpuid(1, 0, r));
    MEASURE_EXITS("pio_out_uart", outb(UART_SCRATCH, (uint8_t)k));
    MEASURE_EXITS("pio_in_uart", (void)inb(UART_SCRATCH));
    MEASURE_EXITS("pio_out_rtc", outb(RTC_INDEX, 0x0d));
    MEASURE_EXITS("pio_in_rtc", (void)inb(RTC_DATA));
    MEASURE_EXITS("pio_out_nobody", outb(0x80, (uint8_t)k));
    MEASURE_EXITS("rdmsr_x2apic", (void)rdmsr(MSR_X2APIC_ID));
    MEASURE_EXITS("wrmsr_x2apic_tpr", wrmsr(MSR_X2APIC_TPR, 0));
    MEASURE_EXITS("wrmsr_x2apic_eoi", wrmsr(MSR_X2APIC_EOI, 0));
    apic_timer_deadline(rdtsc() + 1000000000, TIMER_VECTOR);
    MEASURE_EXITS("timer_deadline", wrmsr(MSR_TSC_DEADLINE, bench_start + 1000000000));
}

/* From the deadline, through the interrupt's handler with its EOI, back to behind the HLT. */
static void measure_timer(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t end = rdtsc() + 20000;
        apic_timer_deadline(end, TIMER_VECTOR);
        __asm__ volatile("sti; hlt; cli" ::: "memory");
        bench_add(rdtsc() - end);
    }
    bench_report("timer_wake_from_hlt");
}

void guest_main(const uint8_t *boot_params)
{
    kit_on_irq = on_irq;
    apic_init();
    if (kit_option(boot_params, "role", 1) == 3) {
        if (bench_disk_all()) {
            print("BENCH-DONE\n");
        }
        kit_power_off();
    }
    fill_twins();
    if (kit_option(boot_params, "role", 1) == 2) {
        for (;;) {
            sleep(1000000000);
        }
    }
    fill_own();
    if (!wait_folded()) {
        print("BENCH-FAILED the pages were not folded\n");
        kit_power_off();
    }
    measure_faults();
    measure_exits();
    measure_timer();
    if (bench_disk()) {
        print("BENCH-DONE\n");
    }
    kit_power_off();
}
