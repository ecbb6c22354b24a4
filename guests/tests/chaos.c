/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random instructions at privilege level 0, 3 and in 32-bit and 16-bit code segments, with operands
 * in devices, at the end of RAM and on pages that are mapped anyhow, under random descriptors,
 * gates and stacks. It ends in triple faults, again and again, and begins anew after each reset.
 *
 * Nothing is asserted here: a guest that does this may stop, reset or fault as it likes. What must
 * not happen is that the CPU refuses to run it, or that anything else notices.
 */
#include "paging.h"

#define TRIES 2000u /* between two resets of its own */
#define LAPIC 0xfee00000ul
#define IOAPIC 0xfec00000ul
#define EMPTY 0xd0000000ul
#define WINDOW 0x200000000ul /* four pages that are mapped anyhow */
#define LOW_WINDOW 0x60000000ul
#define DESCRIPTORS 32u

struct table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static uint64_t seed, ram_end;
static uint8_t code[3 * PAGE] __attribute__((aligned(4096)));
static uint8_t scratch[2 * PAGE] __attribute__((aligned(4096)));
static uint8_t stacks[4][PAGE] __attribute__((aligned(16)));
static uint64_t gdt[DESCRIPTORS], gdt_kept[DESCRIPTORS];
static uint8_t tss[104] __attribute__((aligned(128)));
static uint64_t idt[512], idt_kept[512];
static struct table gdtr = {sizeof(gdt) - 1, 0}, idtr = {sizeof(idt) - 1, 0};
static uint64_t cr0, cr4, efer;
static volatile bool trying;
static volatile unsigned overtime;
static uint8_t *at; /* where the next byte of code goes */
uint64_t chaos_regs[16], chaos_entry[5];

/* CS and SS: of 64 bits, 32 and 16 at level 0; of 64 and 32 at level 3. */
static const uint16_t kinds[][2] = {{0x10, 0x18}, {0x10, 0x18}, {0x10, 0x18}, {0x40, 0x18},
                                    {0x48, 0x18}, {0x53, 0x5b}, {0x2b, 0x5b}};
static unsigned kind;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dul >> 8;
}

static bool one_in(unsigned n)
{
    return rnd() % n == 0;
}

static void emit(uint64_t bytes, unsigned n)
{
    memcpy(at, &bytes, n);
    at += n;
}

/* An address that is worth a try. Not the registers that the watchdog needs. */
static uint64_t place(void)
{
    const uint64_t places[] = {
        LAPIC,      LAPIC + 0x300, IOAPIC + 0x100, IOAPIC + 0xffc,
        EMPTY,      ram_end - 4,   ram_end,        WINDOW + rnd() % (4 * PAGE),
        LOW_WINDOW, 0xfffffffcul,  1ul << 47,      -8ul,
        0,          0xffffful,     rnd() << 8,     LAPIC + PAGE - 4};

    return one_in(3) ? (uint64_t)scratch + rnd() % sizeof(scratch)
                     : places[rnd() % (sizeof(places) / 8)] + rnd() % 9;
}

static void prefixes(void)
{
    static const uint8_t all[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36,
                                  0x3e, 0x26, 0x64, 0x65, 0x48, 0x4c, 0x41};

    while (one_in(3)) {
        emit(all[rnd() % sizeof(all)], 1);
    }
}

/* RBX, RSI or RDI as base, with any register as the other operand. */
static void memory_operand(void)
{
    static const uint8_t bases[] = {3, 6, 7};
    uint8_t mod = (uint8_t)(rnd() % 3);

    emit(mod << 6 | (rnd() & 7) << 3 | bases[rnd() % 3], 1);
    emit(rnd(), mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static void on_memory(void)
{
    static const uint8_t one[] = {0x01, 0x03, 0x29, 0x31, 0x38, 0x80, 0x81, 0x83, 0x84, 0x86, 0x87,
                                  0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8e, 0x8f, 0xc0, 0xc1, 0xc4, 0xc5,
                                  0xc6, 0xc7, 0xd1, 0xd3, 0xd8, 0xdd, 0xf6, 0xf7, 0xfe, 0xff, 0x62};
    static const uint8_t strings[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac,
                                      0xad, 0xae, 0xaf, 0x6c, 0x6d, 0x6e, 0x6f};

    prefixes();
    switch (rnd() % 4) {
    case 0:
        emit(strings[rnd() % sizeof(strings)], 1);
        return;
    case 1:
        emit(0x0f, 1);
        emit(rnd(), 1);
        break;
    default:
        emit(one[rnd() % sizeof(one)], 1);
        break;
    }
    memory_operand();
    emit(rnd(), rnd() % 5);
}

static uint64_t selector(void)
{
    return rnd() % DESCRIPTORS << 3 | (one_in(4) ? rnd() & 7 : 0);
}

/* mov to a control register of what it has, one bit turned. */
static void control_register(void)
{
    static const uint8_t numbers[] = {0, 0, 0, 4, 4, 4, 4, 8, 8, 2, 2};
    uint8_t number = one_in(40) ? 3 : numbers[rnd() % sizeof(numbers)],
            modrm = 0xc0 | (uint8_t)(number << 3);

    if (kinds[kind][0] != 0x10) {
        on_memory(); /* out of paging there is no watchdog */
        return;
    }
    if (number == 8) {
        emit(0xc0200f44, 4);
        emit(0xc0220f44, 4);
        return;
    }
    emit(0x200f | (uint64_t)modrm << 16, 3);
    emit(0xf8ba0f48 | (rnd() % 40) << 32, 5); /* btc $n, %rax */
    emit(0x220f | (uint64_t)modrm << 16, 3);
}

static void load_segment(void)
{
    emit(0xb8, 1); /* mov $selector, %eax */
    emit(selector(), 4);
    switch (rnd() % 8) {
    case 0:
        emit(0xd8000f | (uint64_t)(rnd() & 1) << 19, 3); /* ltr; or a bad one */
        break;
    case 1:
        emit(0xd0000f, 3); /* lldt */
        break;
    default:
        emit(0xc08e | (rnd() % 6) << 11, 2);
        break;
    }
}

static void flags(void)
{
    emit(0x68, 1); /* push $flags; popfq */
    emit(rnd() & rnd() & 0x3f7fd5, 4);
    emit(0x9d, 1);
}

static void push_imm(uint64_t value)
{
    emit(0x68, 1);
    emit(value, 4);
}

static void far_return(void)
{
    bool iret = one_in(2);

    if (iret) {
        push_imm(selector());
        push_imm((uint64_t)stacks[3] + 2048 + rnd() % 16);
        push_imm(rnd() & rnd() & 0x3f7fd5);
    }
    push_imm(one_in(2) ? (8 + rnd() % 4) << 3 : selector());
    push_imm((uint64_t)(one_in(4) ? code + PAGE - rnd() % 8 : at + rnd() % 48));
    emit(iret ? 0xcf48 : 0xcb48, 2);
}

static void msr(void)
{
    static const uint32_t msrs[] = {
        0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100, 0xc0000101, 0x1d9,     0x277,
        0x2ff,      0x1a0,      0x808,      0x830,      0x832,      0x838,      0x6e0,     0x174,
        0x175,      0x176,      0x10,       0x3b,       0x1b,       0x200,      0x4b564d01};

    emit(0xb9, 1);
    emit(msrs[rnd() % (sizeof(msrs) / 4)], 4);
    emit(0x320f, 2);
    emit(0xf8ba0f | (rnd() & 31) << 24, 4); /* btc $n, %eax */
    if (one_in(3)) {
        emit(0xfaba0f | (rnd() & 31) << 24, 4); /* btc $n, %edx */
    }
    emit(0x300f, 2);
}

static void port(void)
{
    static const uint16_t ports[] = {0x20,  0x40,  0x43,  0x61,  0x70,
                                     0x3f9, 0x3fd, 0xcf8, 0xcfc, 0x80};
    static const uint8_t codes[] = {0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f};

    emit(0xba, 1);
    emit(ports[rnd() % (sizeof(ports) / 2)], 4);
    emit(0xb9, 1);
    emit(rnd() % 600, 4);
    prefixes();
    emit(codes[rnd() % sizeof(codes)], 1);
}

static void odd(void)
{
    static const struct {
        uint32_t bytes;
        uint8_t n;
    } all[] = {{0xf1, 1},     {0xcc, 1},     {0xce, 1},     {0x0b0f, 2},   {0xf4fb, 2},
               {0x340f, 2},   {0x350f, 2},   {0x050f, 2},   {0x070f48, 3}, {0xc1010f, 3},
               {0xc4010f, 3}, {0xc8010f, 3}, {0xc9010f, 3}, {0xd0010f, 3}, {0xd1010f, 3},
               {0xf9010f, 3}, {0xa20f, 2},   {0x310f, 2},   {0x330f, 2},   {0x060f, 2},
               {0x080f, 2},   {0x090f, 2},   {0xf8010f, 3}, {0xca010f, 3}, {0x90f3, 2},
               {0xf0010f, 3}, {0xd8230f, 3}, {0xf8230f, 3}, {0xf0210f, 3}, {0x770f, 2},
               {0xaa0f, 2},   {0xfa, 1},     {0xfb, 1},     {0xfd, 1},     {0xc8d08e, 3},
               {0xe3db, 2},   {0xc35f, 2},   {0xcd010f, 3}, {0x9cfb, 2},   {0x82c766, 3}};
    unsigned k = (unsigned)(rnd() % (sizeof(all) / sizeof(all[0])));

    if (one_in(3)) {
        emit(0xcd | (rnd() & 0xff) << 8, 2); /* INT n */
    } else {
        emit(all[k].bytes, all[k].n);
    }
}

static void on_stack(void)
{
    static const uint8_t codes[] = {0x50, 0x58, 0x9c, 0x9d, 0xc9, 0xc3, 0x60, 0x61, 0x06, 0x17};

    emit(0xdc8948, 3); /* mov %rbx, %rsp */
    for (unsigned n = 1 + rnd() % 3; n > 0; n--) {
        prefixes();
        if (one_in(3)) {
            emit(0xff, 1); /* push, call, jmp by memory */
            memory_operand();
        } else if (one_in(4)) {
            emit(0xc8 | (rnd() & 0x1fffff) << 8, 4); /* enter */
        } else {
            emit(codes[rnd() % sizeof(codes)], 1);
        }
    }
}

/* Of (%rbx): SGDT, SIDT, SMSW; rarely LGDT and LIDT, after which little works. */
static void table_registers(void)
{
    static const uint8_t usual[] = {0, 1, 4};
    uint64_t which = one_in(30) ? 2 + rnd() % 2 : usual[rnd() % 3];

    emit(0x03010f | which << 19, 3);
}

static void any_bytes(void)
{
    uint64_t bytes = rnd();

    emit(bytes, 1 + bytes % 7);
}

static void generate(void)
{
    static void (*const makers[])(void) = {any_bytes,
                                           any_bytes,
                                           control_register,
                                           control_register,
                                           load_segment,
                                           flags,
                                           load_segment,
                                           far_return,
                                           far_return,
                                           msr,
                                           port,
                                           odd,
                                           odd,
                                           on_stack,
                                           table_registers,
                                           on_memory,
                                           on_memory,
                                           on_memory,
                                           on_memory,
                                           on_memory};

    kind = (unsigned)(rnd() % (sizeof(kinds) / sizeof(kinds[0])));
    memset(code, 0xcc, sizeof(code));
    at = code + (one_in(2) ? 0 : PAGE - 1 - rnd() % 20); /* often over a page's end */
    chaos_entry[0] = (uint64_t)at;
    for (unsigned n = 1 + rnd() % 6; n > 0; n--) {
        makers[rnd() % (sizeof(makers) / sizeof(makers[0]))]();
    }
}

static uint64_t frame_for_page(void)
{
    const uint64_t frames[] = {LAPIC,
                               EMPTY,
                               ram_end,
                               ram_end - PAGE,
                               (uint64_t)scratch,
                               (uint64_t)code,
                               1ul << 40,
                               (uint64_t)gdt & ~0xffful};

    return frames[rnd() % (sizeof(frames) / 8)];
}

/* Everything that memory says of what may be done. */
static void mutate(void)
{
    memcpy(gdt, gdt_kept, sizeof(gdt));
    memcpy(idt, idt_kept, sizeof(idt));
    for (unsigned n = 12; n < DESCRIPTORS; n++) {
        gdt[n] = one_in(2) ? rnd() << 8 ^ rnd() : gdt_kept[8 + rnd() % 4] ^ 1ul << rnd() % 64;
    }
    for (unsigned n = 0; n < 8; n++) {
        unsigned vector = one_in(200) ? (unsigned)(rnd() % 32) : 32 + (unsigned)(rnd() % 224);
        idt[2 * vector] = idt_kept[2 * vector] ^ 1ul << rnd() % 64;
        if (one_in(2)) {
            idt[2 * vector] = (idt[2 * vector] & ~0xffff0000ul) | selector() << 16;
        }
    }
    for (unsigned n = 0; n < 4; n++) {
        uint64_t e = frame_for_page() | (rnd() & 0x1e7) | 3;
        *kit_pte(WINDOW + n * PAGE) = one_in(6) ? e ^ 1ul << rnd() % 64 : e;
        *kit_pte(LOW_WINDOW + n * PAGE) = frame_for_page() | (rnd() & 0x67) | 1;
    }
    for (unsigned n = 0; n < 3; n++) { /* RSP0 and IST2; rarely IST1, which all exceptions use */
        uint64_t top = one_in(3) ? place() : (uint64_t)(stacks[2] + PAGE);
        memcpy(tss + (n == 0 ? 4 : n == 1 ? 44 : 36), &top, n < 2 || one_in(60) ? 8 : 0);
    }
    for (unsigned n = 0; n < 16; n++) {
        chaos_regs[n] = one_in(4) ? rnd() : place();
    }
    chaos_regs[4] = (uint64_t)(stacks[3] + 2048);
    chaos_regs[1] = rnd() % 300; /* RCX */
}

static bool on_trap(struct trap_frame *f)
{
    if (f->vector == 2) {
        if (!trying || ++overtime < 3) {
            return true;
        }
    }
    if (!trying) {
        kit_triple_fault();
    }
    trying = false;
    f->rflags = 2;
    f->cs = 0x10;
    f->ss = 0x18;
    f->rsp = (uint64_t)(stacks[3] + 1024);
    return false;
}

void chaos_go(void);
__asm__(".text\n.globl chaos_go\nchaos_go:\n"
        "mov chaos_regs+0*8, %rax\nmov chaos_regs+1*8, %rcx\nmov chaos_regs+2*8, %rdx\n"
        "mov chaos_regs+3*8, %rbx\nmov chaos_regs+5*8, %rbp\nmov chaos_regs+6*8, %rsi\n"
        "mov chaos_regs+7*8, %rdi\nmov chaos_regs+8*8, %r8\nmov chaos_regs+9*8, %r9\n"
        "mov chaos_regs+10*8, %r10\nmov chaos_regs+11*8, %r11\nmov chaos_regs+12*8, %r12\n"
        "mov chaos_regs+13*8, %r13\nmov chaos_regs+14*8, %r14\nmov chaos_regs+15*8, %r15\n"
        "mov $chaos_entry, %rsp\niretq\n");

static void go(void *arg)
{
    (void)arg;
    chaos_entry[1] = kinds[kind][0];
    chaos_entry[2] = 2 | (rnd() & rnd() & rnd() & 0x57fd5);
    chaos_entry[3] = chaos_regs[4];
    chaos_entry[4] = kinds[kind][1];
    overtime = 0;
    trying = true;
    chaos_go();
}

/* As before, whatever the code has done that can be undone. */
static void repair(void)
{
    __asm__ volatile("mov %0, %%cr0; mov %1, %%cr4" ::"r"(cr0), "r"(cr4) : "memory");
    memcpy(gdt, gdt_kept, sizeof(gdt));
    memcpy(idt, idt_kept, sizeof(idt));
    __asm__ volatile("lgdt %0; lidt %1; ltr %w2" ::"m"(gdtr), "m"(idtr), "r"(0x30));
    __asm__ volatile(
        "mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %0, %%fs; mov %0, %%gs" ::"r"(0x18));
    __asm__ volatile("xor %%eax, %%eax; lldt %%ax; mov %%rax, %%dr7; cld" ::: "rax");
    wrmsr(0xc0000080, efer);
    for (unsigned n = 1; n <= 3; n++) { /* IST1 to IST3 */
        uint64_t top = (uint64_t)(stacks[n - 1] + PAGE);
        memcpy(tss + 28 + 8 * n, &top, 8);
    }
}

static uint64_t flat(uint64_t rights)
{
    return 0x000f00000000fffful | rights << 40;
}

static void set_up(void)
{
    uint64_t base = (uint64_t)tss;
    struct table old;

    gdt_kept[2] = flat(0xa09b);
    gdt_kept[3] = flat(0xc093);
    gdt_kept[4] = flat(0xc09b);
    gdt_kept[5] = flat(0xc0fb); /* 0x2b: 32-bit code at level 3 */
    gdt_kept[6] = 103 | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    gdt_kept[7] = base >> 32;
    gdt_kept[8] = flat(0xc09b);  /* 0x40 */
    gdt_kept[9] = flat(0x809b);  /* 0x48: 16-bit */
    gdt_kept[10] = flat(0xa0fb); /* 0x53 */
    gdt_kept[11] = flat(0xc0f3); /* 0x5b */
    gdtr.base = (uint64_t)gdt;
    idtr.base = (uint64_t)idt;
    __asm__ volatile("sidt %0" : "=m"(old));
    memcpy(idt_kept, (void *)old.base, sizeof(idt_kept));
    for (unsigned n = 0; n < 256; n++) {
        uint64_t ist = n == 8 ? 3 : n < 32 ? 1 : n % 2 ? 2 : 0;
        idt_kept[2 * n] = (idt_kept[2 * n] & ~0x6007ffff0000ul & ~(7ul << 32)) | ist << 32 |
                          0x10ul << 16 | (n >= 32 ? 3ul << 45 : 0);
    }
    for (unsigned n = 0; n < sizeof(code); n += PAGE) {
        *kit_pte((uint64_t)code + n) |= PTE_U;
        *kit_pte((uint64_t)scratch + n % sizeof(scratch)) |= PTE_U;
    }
    *kit_pte((uint64_t)stacks[3]) |= PTE_U;
    __asm__ volatile("mov %%cr0, %0; mov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
    efer = rdmsr(0xc0000080) | 1;
    repair();
}

/* The PIT's line as an NMI, each 5 ms. */
static void watchdog(void)
{
    outb(0x43, 0x34);
    outb(0x40, 0x4e);
    outb(0x40, 0x17);
    ioapic_write(0x15, (uint32_t)rdmsr(0x802) << 24); /* input 2 */
    ioapic_write(0x14, 4u << 8);
}

void guest_main(const uint8_t *boot_params)
{
    static unsigned ended[34];
    static volatile uint32_t wall[4] __attribute__((aligned(16)));

    ram_end = kit_ram_end(boot_params);
    wrmsr(0x4b564d00, (uint64_t)wall); /* KVM's wall clock: the TSC begins anew with each reset */
    seed = ((uint64_t)wall[1] << 32 | wall[2]) + kit_option(boot_params, "salt", 0);
    seed *= 0x9e3779b97f4a7c15ul;
    seed = kit_option(boot_params, "seed", seed | 1);
    print("chaos: seed %lx\n", seed);
    apic_init();
    kit_on_trap = on_trap;
    set_up();
    for (unsigned n = 1; n <= TRIES; n++) {
        if (n % 32 == 1) {
            watchdog();
        }
        mutate();
        generate();
        __asm__ volatile("lgdt %0; lidt %1" ::"m"(gdtr), "m"(idtr));
        int vector = kit_try(go, NULL);
        trying = false;
        ended[vector + 1]++;
        repair();
        if (n % 500 == 0) {
            print("chaos: %u tries, #UD %u #DF %u #SS %u #GP %u #PF %u\n", n, ended[7], ended[9],
                  ended[13], ended[14], ended[15]);
        }
    }
    kit_triple_fault();
}
