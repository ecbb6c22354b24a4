/* SPDX-License-Identifier: BSD-2-Clause */
/* Corners of the PC: the BIOS data area, ports without a device, HLT under the trap flag, a TSC
 * that is moved past an armed deadline, the PIC behind the I/O APIC, the RTC's alarm as an ACPI
 * event, hypercalls. */
#include "kit.h"

static volatile unsigned traps;

static void on_irq(unsigned vector)
{
    if (vector >= 32 && vector < 48) {
        outb(0xa0, 0x20);
        outb(0x20, 0x20);
    } else {
        apic_eoi();
    }
}

/* A word of low memory; by assembly, because GCC takes a small constant address for NULL. */
static uint16_t low_word(uint64_t at)
{
    uint16_t v;

    __asm__ volatile("movw (%1), %0" : "=r"(v) : "r"(at) : "memory");
    return v;
}

static void bda(const uint8_t *boot_params)
{
    uint16_t kib = low_word(0x413), ebda = low_word(0x40e);
    uint64_t end = 0;

    /* The first entry of the zero page's memory map is what is below the devices' hole. */
    memcpy(&end, boot_params + 0x2d0 + 8, sizeof(end));
    tap_ok(low_word(0x400) == 0x3f8 && low_word(0x402) == 0, "COM1 is at %x, and the only one",
           low_word(0x400));
    tap_ok((low_word(0x410) >> 9 & 7) == 1, "equipment word: one serial port (%x)",
           low_word(0x410));
    tap_ok(kib == 636 && kib * 1024ul == end, "%u KiB of base memory, as the map says (%lx)", kib,
           end);
    tap_ok(ebda * 16ul == kib * 1024ul, "the extended BIOS data area follows: %x0", ebda);
    tap_ok((low_word(ebda * 16ul) & 0xff) == 4, "and states its size in KiB");
}

static void no_keyboard(void)
{
    tap_ok(inb(0x60) == 0xff && inb(0x64) == 0xff, "no keyboard controller: %x %x", inb(0x60),
           inb(0x64));
}

static bool on_step(struct trap_frame *f)
{
    if (f->vector != 1) {
        return false;
    }
    traps++;
    if (traps >= 8) {
        f->rflags &= ~0x100ul;
    }
    return true;
}

/* Each instruction behind the POPF traps; HLT must end by its trap, with no interrupt to come. */
static void halt_under_tf(void)
{
    kit_on_trap = on_step;
    traps = 0;
    __asm__ volatile("pushf; orq $0x100, (%%rsp); popf; nop; hlt; nop; hlt;"
                     "pushf; andq $~0x100, (%%rsp); popf" ::
                         : "memory", "cc");
    tap_ok(traps == 7, "HLT with TF set ends by its single step: %u traps", traps);
    traps = 0;
    __asm__ volatile("pushf; orq $0x100, (%%rsp); popf; sti; hlt; cli;"
                     "pushf; andq $~0x100, (%%rsp); popf" ::
                         : "memory", "cc");
    tap_ok(traps == 6, "STI; HLT likewise: %u traps", traps);
    kit_on_trap = NULL;
}

static bool comes_within_ms(unsigned vector, uint64_t ms)
{
    /* The TSC itself is being moved: the PM timer tells the time. */
    uint32_t start = inl(0x608);

    __asm__ volatile("sti");
    while (!kit_irqs[vector] && inl(0x608) - start < 3580 * ms) {
        __asm__ volatile("pause");
    }
    __asm__ volatile("cli");
    return kit_irqs[vector];
}

static void tsc_moves(void)
{
    uint64_t hz = kit_tsc_hz();

    apic_init();
    apic_timer_deadline(rdtsc() + 100 * hz, 0x80);
    wrmsr(0x10, rdtsc() + 200 * hz);
    tap_ok(comes_within_ms(0x80, 5), "IA32_TSC written past an armed deadline: it comes");
    tap_ok(rdmsr(0x6e0) == 0, "and the deadline reads 0");
    apic_timer_deadline(rdtsc() + 100 * hz, 0x81);
    wrmsr(0x3b, rdmsr(0x3b) + 200 * hz);
    tap_ok(comes_within_ms(0x81, 5), "TSC_ADJUST likewise");
    apic_timer_deadline(rdtsc() + hz / 100, 0x82);
    wrmsr(0x10, rdtsc() - hz / 50);
    tap_ok(!comes_within_ms(0x82, 20), "the TSC set back 20 ms: a deadline in 10 ms waits");
    tap_ok(comes_within_ms(0x82, 20), "and comes when it is reached");
    apic_timer_deadline(rdtsc() + 100 * hz, 0x83);
    wrmsr(0x10, rdtsc() + 100 * hz - hz / 100);
    tap_ok(!comes_within_ms(0x83, 5), "the TSC set on to 10 ms before a deadline: it waits");
    tap_ok(comes_within_ms(0x83, 20), "and comes in time");
    wrmsr(0x3b, 0);
}

/* One-shot, expired, then periodic: it stands still until the initial count is written. */
static void periodic_after_one_shot(void)
{
    wrmsr(0x83e, 0xb);  /* divide by 1 */
    wrmsr(0x832, 0x84); /* one-shot */
    wrmsr(0x838, 1000);
    (void)comes_within_ms(0x84, 5);
    kit_irqs[0x84] = 0;
    wrmsr(0x832, 1u << 17 | 0x84);
    tap_ok(!comes_within_ms(0x84, 5) && rdmsr(0x839) == 0,
           "periodic mode after an expired one-shot: no interrupt, count %lx", rdmsr(0x839));
    wrmsr(0x838, 100000);
    tap_ok(comes_within_ms(0x84, 50), "the initial count starts it");
    wrmsr(0x832, 1u << 16);
    wrmsr(0x838, 0);
}

static void pic_by_ioapic(void)
{
    kit_irqs[32] = 0;
    pic_remap(0xfe, 0xff);
    wrmsr(0x835, 1u << 16); /* LINT0, the other way for the PIC, is shut */
    ioapic_write(0x11, (uint32_t)rdmsr(0x802) << 24);
    ioapic_write(0x10, 7u << 8); /* ExtINT */
    outb(0x43, 0x34);
    outb(0x40, 0x9c); /* 1193 Hz and a little */
    outb(0x40, 0x03);
    tap_ok(comes_within_ms(32, 20), "I/O APIC pin 0 as ExtINT takes the PIC's interrupts");
    ioapic_write(0x10, 1u << 16);
    kit_irqs[32] = 0;
    tap_ok(!comes_within_ms(32, 20), "masked, it does not");
    ioapic_write(0x10, 7u << 8);
    tap_ok(comes_within_ms(32, 1), "the one that waited comes when it is unmasked");
    ioapic_write(0x10, 0x90); /* a fixed vector at the PIC's output */
    kit_irqs[32] = 0;
    kit_irqs[0x90] = 0;
    outb(0x21, 0xff);
    outb(0x21, 0xfe);
    tap_ok(comes_within_ms(0x90, 5) && !kit_irqs[32], "as a fixed interrupt it has its own vector");
    ioapic_write(0x10, 1u << 16);
    outb(0x21, 0xff);
    outb(0x43, 0x30);
    outb(0x40, 0xff);
    outb(0x40, 0xff);
}

static void rtc_alarm(void)
{
    outw(0x600, 0xffff);
    cmos_write(1, 0xff); /* any second, minute and hour */
    cmos_write(3, 0xff);
    cmos_write(5, 0xff);
    (void)cmos_read(0x0c);
    kit_spin_ms(1100);
    tap_ok(!(inw(0x600) & 0x400), "an alarm without its interrupt is no ACPI event");
    (void)cmos_read(0x0c);
    cmos_write(0x0b, cmos_read(0x0b) | 0x20); /* AIE */
    kit_spin_ms(1100);
    tap_ok(inw(0x600) & 0x400, "the RTC's alarm sets RTC_STS: %x", inw(0x600));
    outw(0x600, 0x400);
    tap_ok(!(inw(0x600) & 0x400), "which is cleared by writing it");
    (void)cmos_read(0x0c);
    ioapic_write(0x23, (uint32_t)rdmsr(0x802) << 24);
    ioapic_write(0x22, 0x91); /* the SCI, by its edge */
    kit_irqs[0x91] = 0;
    outw(0x602, 0x400);
    tap_ok(comes_within_ms(0x91, 1100) && (inw(0x600) & 0x400), "and raises the SCI if enabled");
    outw(0x602, 0);
    outw(0x600, 0x400);
    cmos_write(0x0b, cmos_read(0x0b) & 0xdf);
    (void)cmos_read(0x0c);
    ioapic_write(0x22, 1u << 16);
}

static uint64_t vmcall(uint64_t nr)
{
    uint64_t value = nr;

    __asm__ volatile("vmcall" : "+a"(value) : "b"(1ul), "c"(2ul), "d"(3ul), "S"(4ul) : "memory");
    return value;
}

/* ---- ring 3, for one hypercall -------------------------------------------------------------- */

static uint64_t gdt[8];
static uint8_t ring0_stack[4096] __attribute__((aligned(16)));
static struct {
    uint32_t reserved;
    uint64_t rsp0;
    uint8_t rest[92];
} __attribute__((packed)) tss;
static uint64_t user_rax, user_back, user_rsp;

static bool on_user_trap(struct trap_frame *f)
{
    if ((f->cs & 3) != 3) {
        return false;
    }
    user_rax = f->vector == 6 ? f->rax : f->vector; /* UD2 ends it */
    f->cs = 0x10;
    f->ss = 0x18;
    f->rip = user_back;
    f->rsp = user_rsp;
    f->rflags = 2;
    return true;
}

static void open_to_user(uint64_t *table, unsigned level)
{
    for (unsigned i = 0; i < 512; i++) {
        if (table[i] & 1) {
            table[i] |= 4;
            if (level > 2) {
                open_to_user((uint64_t *)(table[i] & 0xffffffffff000ul), level - 1);
            }
        }
    }
}

static uint64_t vmcall_in_ring_3(uint64_t nr)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr = {sizeof(gdt) - 1, (uint64_t)gdt};
    uint64_t cr3, at = (uint64_t)&tss;

    gdt[2] = 0x00af9b000000fffful;
    gdt[3] = 0x00cf93000000fffful;
    gdt[4] = 0x00affb000000fffful;
    gdt[5] = 0x00cff3000000fffful;
    gdt[6] = (sizeof(tss) - 1) | (at & 0xffffff) << 16 | 0x89ul << 40 | (at >> 24 & 0xff) << 56;
    gdt[7] = at >> 32;
    tss.rsp0 = (uint64_t)ring0_stack + sizeof(ring0_stack);
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    open_to_user((uint64_t *)(cr3 & 0xffffffffff000ul), 4);
    __asm__ volatile("mov %0, %%cr3; lgdt %1; ltr %w2" ::"r"(cr3), "m"(gdtr), "r"(0x30) : "memory");
    kit_on_trap = on_user_trap;
    __asm__ volatile("lea 1f(%%rip), %%rcx; mov %%rcx, %0; mov %%rsp, %1;"
                     "push $0x2b; push %1; push $2; push $0x23; lea 2f(%%rip), %%rcx; push %%rcx;"
                     "iretq;"
                     "2: vmcall; ud2;"
                     "1:"
                     : "=m"(user_back), "=m"(user_rsp)
                     : "a"(nr)
                     : "rcx", "memory", "cc");
    kit_on_trap = NULL;
    return user_rax;
}

static void hypercalls(void)
{
    int64_t unknown = (int64_t)vmcall(~0ul), ipi = (int64_t)vmcall(10), user;

    tap_ok(unknown == -1000, "an unknown hypercall: %ld", unknown);
    tap_ok(ipi == -1000, "one of KVM's that is not offered: %ld", ipi);
    user = (int64_t)vmcall_in_ring_3(10);
    tap_ok(user == -1, "in ring 3: %ld", user);
}

void guest_main(const uint8_t *boot_params)
{
    kit_on_irq = on_irq;
    bda(boot_params);
    no_keyboard();
    tsc_moves();
    periodic_after_one_shot();
    pic_by_ioapic();
    rtc_alarm();
    hypercalls();
    halt_under_tf();
}
