/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts: the PIT through the PIC, HLT, windows, IPIs, NMIs, the APIC's timer in its modes. */
#include "kit.h"

static volatile unsigned order[16], n_order;
static volatile unsigned nmis, nmis_inside;
static bool pic_eoi;
static bool crowded; /* other VMs run too: `crowded`=1; more ticks may pass, later */

static void on_irq(unsigned vector)
{
    if (n_order < 16) {
        order[n_order++] = vector;
    }
    if (vector == 0xff) {
        return;
    }
    if (pic_eoi) {
        outb(0x20, 0x20);
    } else {
        apic_eoi();
    }
}

static void pit_and_pic(void)
{
    pic_eoi = true;
    pic_remap(0xfe, 0xff);
    outb(0x43, 0x34); /* channel 0, rate generator */
    outb(0x40, 0x9c); /* 1193 Hz and a little */
    outb(0x40, 0x03);
    for (unsigned i = 0; i < 20; i++) {
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
    tap_ok(kit_irqs[32] == 20 || (crowded && kit_irqs[32] > 20),
           "20 HLTs, 20 PIT interrupts through the PIC: %lu", kit_irqs[32]);
    uint64_t before = kit_irqs[32];
    outb(0x21, 0xff);
    __asm__ volatile("sti");
    kit_spin_ms(20);
    __asm__ volatile("cli");
    tap_ok(kit_irqs[32] == before, "masked in the PIC there are none");
    outb(0x21, 0xfe);
    kit_spin_ms(5);
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
    tap_ok(kit_irqs[32] == before + 1 || (crowded && kit_irqs[32] > before),
           "one was pending when it was unmasked: %lu", kit_irqs[32] - before);
    outb(0x43, 0x30); /* one-shot: no more of them */
    outb(0x40, 0xff);
    outb(0x40, 0xff);
    outb(0x21, 0xff);
    /* A spurious one: the line has gone by the time of the acknowledge, or nothing comes at all. */
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
    pic_eoi = false;
}

static void windows(void)
{
    __asm__ volatile("cli");
    wrmsr(0x83f, 0x50);
    kit_spin_ms(1);
    tap_ok(kit_irqs[0x50] == 0, "CLI holds a self-IPI back");
    tap_ok(rdmsr(0x822) >> 16 & 1, "and it is in the IRR");
    uint64_t a = 0;
    __asm__ volatile("sti; cli; mov kit_irqs+0x50*8(%%rip), %0" : "=r"(a)::"memory");
    tap_ok(a == 0, "STI; CLI lets nothing in");
    __asm__ volatile("sti; nop; cli; mov kit_irqs+0x50*8(%%rip), %0" : "=r"(a)::"memory");
    tap_ok(a == 1, "STI; NOP; CLI lets it in");
    wrmsr(0x83f, 0x51);
    __asm__ volatile("sti; hlt; cli" ::: "memory");
    tap_ok(kit_irqs[0x51] == 1, "STI; HLT with one pending goes on");
    n_order = 0;
    wrmsr(0x83f, 0x41);
    wrmsr(0x83f, 0x92);
    wrmsr(0x83f, 0x63);
    wrmsr(0x83f, 0x63); /* the same vector twice is one */
    __asm__ volatile("sti; nop; nop; nop; cli" ::: "memory");
    tap_ok(n_order == 3 && order[0] == 0x92 && order[1] == 0x63 && order[2] == 0x41,
           "the highest comes first: %u %x %x %x", n_order, order[0], order[1], order[2]);
    n_order = 0;
    wrmsr(0x830, 0x44 | 1ul << 18);
    wrmsr(0x830, 0x45 | rdmsr(0x802) << 32);
    wrmsr(0x830, 0x46 | 2ul << 18);
    wrmsr(0x830, 0x47 | 3ul << 18); /* all but this one: nobody */
    __asm__ volatile("sti; nop; nop; nop; cli" ::: "memory");
    tap_ok(n_order == 3 && order[0] == 0x46 && order[1] == 0x45 && order[2] == 0x44,
           "IPIs by shorthand and by id: %u", n_order);
    wrmsr(0x828, 0);
    wrmsr(0x83f, 7);
    wrmsr(0x828, 0);
    tap_ok(rdmsr(0x828) & 0x60, "an IPI with vector 7 is an error: ESR %lx", rdmsr(0x828));
}

static bool on_trap(struct trap_frame *f)
{
    if (f->vector != 2) {
        return false;
    }
    nmis++;
    if (nmis == 1) {
        wrmsr(0x830, 4u << 8 | rdmsr(0x802) << 32);
        __asm__ volatile("nop; nop");
        nmis_inside = nmis;
    }
    return true;
}

static void nmi(void)
{
    kit_on_trap = on_trap;
    wrmsr(0x830, 4u << 8 | rdmsr(0x802) << 32);
    __asm__ volatile("nop; nop");
    tap_ok(nmis >= 1, "an NMI to itself comes with interrupts off");
    tap_ok(nmis_inside == 1 && nmis == 2, "a second one waits for IRET: %u %u", nmis_inside, nmis);
    kit_on_trap = NULL;
}

static void timer(void)
{
    uint64_t hz = kit_tsc_hz(), late = 0, early = 0;

    for (unsigned i = 0; i < 20; i++) {
        uint64_t end = rdtsc() + hz / 500;
        apic_timer_deadline(end, 0x70);
        __asm__ volatile("sti; hlt; cli" ::: "memory");
        uint64_t now = rdtsc();
        early += now < end;
        late = now > end && now - end > late ? now - end : late;
    }
    tap_ok(kit_irqs[0x70] == 20 && early == 0, "20 HLTs end at their deadlines: %lu, %lu early",
           kit_irqs[0x70], early);
    tap_ok(late < (crowded ? hz : hz / 50), "at most %lu ticks late", late);
    tap_ok(rdmsr(0x6e0) == 0, "the deadline reads 0 afterwards");
    apic_timer_deadline(rdtsc() - 1, 0x71);
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
    tap_ok(kit_irqs[0x71] == 1, "a deadline that is past comes at once");
    apic_timer_deadline(rdtsc() + hz, 0x72);
    tap_ok(rdmsr(0x6e0) != 0, "an armed deadline reads back");
    /* On a crowded machine the deadline may pass before it is taken back: that try does not count.
     */
    for (uint64_t deadline = 0; rdtsc() >= deadline;) {
        __asm__ volatile("sti; nop; nop; cli" ::: "memory");
        kit_irqs[0x72] = 0;
        deadline = rdtsc() + hz / 100;
        apic_timer_deadline(deadline, 0x72);
        wrmsr(0x6e0, 0);
    }
    __asm__ volatile("sti");
    kit_spin_ms(20);
    __asm__ volatile("cli");
    tap_ok(kit_irqs[0x72] == 0, "one that was set to 0 never comes");
    apic_timer_deadline(rdtsc() + hz / 200, 0x73);
    __asm__ volatile("sti");
    kit_spin_ms(20);
    __asm__ volatile("cli");
    tap_ok(kit_irqs[0x73] == 1, "a deadline comes while the guest computes");
    wrmsr(0x83e, 3);    /* divide by 16 */
    wrmsr(0x832, 0x74); /* one-shot */
    wrmsr(0x838, 10000);
    uint64_t count = rdmsr(0x839);
    tap_ok(count > 0 && count <= 10000, "the timer counts down: %lu", count);
    __asm__ volatile("sti; hlt; cli" ::: "memory");
    kit_spin_ms(10);
    tap_ok(kit_irqs[0x74] == 1 && rdmsr(0x839) == 0, "one-shot mode, once");
    wrmsr(0x832, 1u << 17 | 0x75); /* periodic */
    wrmsr(0x838, 20000);
    for (unsigned i = 0; i < 10; i++) {
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
    wrmsr(0x838, 0);
    tap_ok(kit_irqs[0x75] >= 10, "periodic mode: %lu", kit_irqs[0x75]);
    wrmsr(0x832, 1u << 16);
}

void guest_main(const uint8_t *boot_params)
{
    crowded = kit_option(boot_params, "crowded", 0);
    kit_on_irq = on_irq;
    pit_and_pic();
    apic_init();
    windows();
    nmi();
    timer();
    tap_ok(kit_irqs[0xff] == 0, "no spurious interrupts");
}
