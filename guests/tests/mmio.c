/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC in xAPIC mode and the I/O APIC, touched by many kinds of instructions. */
#include "kit.h"

#define LAPIC 0xfee00000ul
#define TPR (LAPIC + 0x80)
#define ICR2 (LAPIC + 0x310)
#define IOAPIC 0xfec00000ul

static uint32_t rd(uint64_t at)
{
    return *(volatile uint32_t *)at;
}

static void wr(uint64_t at, uint32_t v)
{
    *(volatile uint32_t *)at = v;
}

#define READ(code, want, ...)                                                                      \
    do {                                                                                           \
        uint64_t got;                                                                              \
        wr(TPR, 0x95);                                                                             \
        __asm__ volatile(code : "=&a"(got) : "b"(TPR) : "cc", "memory", ##__VA_ARGS__);            \
        tap_ok(got == (want), "%s: %lx", code, got);                                               \
    } while (0)

/* Runs with the operand's address in RBX and 0x3c in RCX; the register must then hold `want`. */
#define WRITE(code, want)                                                                          \
    do {                                                                                           \
        uint64_t c = 0x3c;                                                                         \
        wr(TPR, 0x95);                                                                             \
        __asm__ volatile(code : "+c"(c) : "b"(TPR) : "rax", "r9", "cc", "memory");                 \
        uint32_t got = rd(TPR);                                                                    \
        tap_ok(got == (want), "%s: %x", code, got);                                                \
    } while (0)

static void loads(void)
{
    READ("mov $-1, %%rax; mov (%%rbx), %%eax", 0x95);
    READ("mov (%%rbx), %%r9d; mov %%r9, %%rax", 0x95, "r9");
    READ("xor %%ecx, %%ecx; mov (%%rbx,%%rcx,4), %%eax", 0x95, "rcx");
    READ("mov $0x10, %%ecx; mov -0x40(%%rbx,%%rcx,4), %%eax", 0x95, "rcx");
    READ("movabs 0xfee00080, %%eax; mov %%eax, %%eax", 0x95);
    READ("mov %%rsp, %%rcx; mov (%%rbx), %%esp; mov %%rsp, %%rax; mov %%rcx, %%rsp", 0x95, "rcx");
    READ("mov $1, %%eax; add (%%rbx), %%eax", 0x96);
    READ("mov $0x9f, %%eax; and (%%rbx), %%eax", 0x95);
    READ("mov $0x100, %%eax; or (%%rbx), %%eax", 0x195);
    READ("mov $0x95, %%eax; xor (%%rbx), %%eax", 0);
    READ("mov $0x96, %%eax; sub (%%rbx), %%eax", 1);
    READ("stc; mov $1, %%eax; adc (%%rbx), %%eax", 0x97);
    READ("stc; mov $0x97, %%eax; sbb (%%rbx), %%eax", 1);
    READ("xor %%eax, %%eax; cmpl $0x95, (%%rbx); sete %%al", 1);
    READ("xor %%eax, %%eax; cmpl $0x96, (%%rbx); setb %%al", 1);
    READ("xor %%eax, %%eax; mov $0x96, %%ecx; cmp (%%rbx), %%ecx; seta %%al", 1, "rcx");
    READ("xor %%eax, %%eax; testl $0x80, (%%rbx); setnz %%al", 1);
    READ("xor %%eax, %%eax; mov $0x40, %%ecx; test %%ecx, (%%rbx); setz %%al", 1, "rcx");
    READ("movslq (%%rbx), %%rax", 0x95);
    READ("addr32 mov (%%ebx), %%eax", 0x95);
}

static void stores(void)
{
    WRITE("mov %%ecx, (%%rbx)", 0x3c);
    WRITE("movl $0x7b, (%%rbx)", 0x7b);
    WRITE("mov %%ecx, %%r9d; mov %%r9d, (%%rbx)", 0x3c);
    WRITE("mov %%ecx, %%eax; movabs %%eax, 0xfee00080", 0x3c);
    WRITE("xchg %%ecx, (%%rbx); mov %%ecx, %%eax; cmp $0x95, %%eax; je 1f; movl $1, (%%rbx); 1:",
          0x3c);
    WRITE("orl $0x42, (%%rbx)", 0xd7);
    WRITE("andl $0xf0, (%%rbx)", 0x90);
    WRITE("andl $-16, (%%rbx)", 0x90);
    WRITE("xorl $0xff, (%%rbx)", 0x6a);
    WRITE("addl $1, (%%rbx)", 0x96);
    WRITE("subl $5, (%%rbx)", 0x90);
    WRITE("add %%ecx, (%%rbx)", 0xd1);
    WRITE("or %%ecx, (%%rbx)", 0xbd);
    WRITE("lock; andl $0x0f, (%%rbx)", 0x05);
    WRITE("lock; orl $0x0f, (%%rbx)", 0x9f);
    uint64_t di = TPR, ax = 0x44;
    __asm__ volatile("stosl" : "+D"(di) : "a"(ax) : "memory");
    tap_ok(rd(TPR) == 0x44 && di == TPR + 4, "STOSD");
}

static void copies(void)
{
    uint32_t from[2] = {0x12000000, 0x34000000}, to[4] = {0};
    uint64_t si = (uint64_t)from, di = ICR2, n = 1;

    __asm__ volatile("movsl" : "+S"(si), "+D"(di)::"memory");
    tap_ok(rd(ICR2) == 0x12000000 && si == (uint64_t)(from + 1) && di == ICR2 + 4, "MOVSD to it");
    si = (uint64_t)(from + 1);
    di = ICR2;
    __asm__ volatile("rep movsl" : "+S"(si), "+D"(di), "+c"(n)::"memory");
    tap_ok(rd(ICR2) == 0x34000000 && n == 0 && di == ICR2 + 4, "REP MOVSD to it");
    si = TPR;
    di = (uint64_t)to;
    n = 1;
    wr(TPR, 0x5a);
    __asm__ volatile("rep movsl" : "+S"(si), "+D"(di), "+c"(n)::"memory");
    tap_ok(to[0] == 0x5a && to[1] == 0 && si == TPR + 4 && di == (uint64_t)(to + 1),
           "REP MOVSD from it");
    /* From the I/O APIC's data register, four times the same. */
    wr(IOAPIC, 1);
    for (unsigned i = 0; i < 4; i++) {
        si = IOAPIC + 0x10;
        __asm__ volatile("movsl" : "+S"(si), "+D"(di)::"memory");
    }
    tap_ok(to[1] == to[2] && to[1] == rd(IOAPIC + 0x10), "MOVSD from the I/O APIC: %x", to[1]);
    uint8_t page_end[8192];
    uint32_t *cross = (uint32_t *)((((uint64_t)page_end + PAGE) & ~(PAGE - 1)) - 2);
    di = (uint64_t)cross;
    si = TPR;
    __asm__ volatile("movsl" : "+S"(si), "+D"(di)::"memory");
    uint32_t v;
    memcpy(&v, cross, 4);
    tap_ok(v == 0x5a, "MOVSD from it to the seam of two pages: %x", v);
}

static uint64_t level_eois;

static void on_irq(unsigned vector)
{
    (void)vector;
    level_eois++;
    wr(LAPIC + 0xb0, 0);
}

static void io_write(uint32_t reg, uint32_t v)
{
    wr(IOAPIC, reg);
    wr(IOAPIC + 0x10, v);
}

static uint32_t io_read(uint32_t reg)
{
    wr(IOAPIC, reg);
    return rd(IOAPIC + 0x10);
}

static void ioapic(void)
{
    uint32_t pins = (io_read(1) >> 16 & 0xff) + 1;

    tap_ok(pins >= 16 && pins <= 240, "the I/O APIC has %u pins", pins);
    io_write(0x11, 0x01000000);
    io_write(0x10, 0x10033);
    tap_ok(io_read(0x10) == 0x10033 && io_read(0x11) == 0x01000000, "an entry keeps its bits");
    io_write(0x11, 0);
    io_write(0x10 + 2 * 2, 0x10000);
    (void)io_read(0xff); /* no such register: nothing happens */
    io_write(0xff, 0x12345678);
    /* The PIT, edge-triggered, on pin 2 as the MADT says, or pin 0 without an override. */
    pic_remap(0xff, 0xff);
    kit_on_irq = on_irq;
    io_write(0x14, 0x60);
    io_write(0x10, 0x61);
    outb(0x43, 0x34);
    outb(0x40, 0x9c);
    outb(0x40, 0x13);
    for (unsigned i = 0; i < 5; i++) {
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
    tap_ok(kit_irqs[0x60] + kit_irqs[0x61] >= 5, "the PIT through the I/O APIC: %lu on 2, %lu on 0",
           kit_irqs[0x60], kit_irqs[0x61]);
    uint64_t before = kit_irqs[0x60] + kit_irqs[0x61];
    io_write(0x14, 0x10060);
    io_write(0x10, 0x10061);
    __asm__ volatile("sti");
    kit_spin_ms(20);
    __asm__ volatile("cli");
    tap_ok(kit_irqs[0x60] + kit_irqs[0x61] <= before + 1, "masked there are none");
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    wr(LAPIC + 0xf0, 0x1ff);
    tap_ok(rd(LAPIC + 0x20) == 0, "APIC id %x", rd(LAPIC + 0x20));
    tap_ok((rd(LAPIC + 0x30) & 0xff) >= 0x10, "APIC version %x", rd(LAPIC + 0x30));
    loads();
    stores();
    wr(TPR, 0);
    copies();
    wr(TPR, 0);
    wr(ICR2, 0);
    __asm__ volatile("sti");
    kit_on_irq = on_irq;
    wr(LAPIC + 0x300, 0x48 | 1u << 18);
    __asm__ volatile("nop; nop; cli");
    tap_ok(kit_irqs[0x48] == 1 && level_eois == 1, "a self-IPI, and its EOI, by MMIO");
    ioapic();
}
