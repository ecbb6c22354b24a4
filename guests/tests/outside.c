/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that this VM does not have. Reads are all ones, writes vanish, nothing of its own changes.
 * `how`: 0 that; each other one ends in a triple fault: 1 has page tables there, 2 its IDT, 3 its
 * stack when an exception comes.
 */
#include "paging.h"

#define HIGH 0x200000000ul /* a linear address for guest-physical addresses above 4 GiB */

static uint64_t checksum(uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint64_t at = from; at < to; at += 8) {
        sum = (sum << 7 | sum >> 57) ^ *(uint64_t *)at;
    }
    return sum;
}

static void at(uint64_t linear, const char *what)
{
    volatile uint8_t *b = (uint8_t *)linear;

    bool ok = *b == 0xff && *(volatile uint16_t *)b == 0xffff &&
              *(volatile uint32_t *)b == 0xffffffff && *(volatile uint64_t *)b == ~0ul;
    tap_ok(ok, "%s (%lx) reads all ones in every size", what, linear);
    *b = 1;
    *(volatile uint16_t *)b = 2;
    *(volatile uint32_t *)b = 3;
    *(volatile uint64_t *)b = 4;
    tap_ok(*(volatile uint64_t *)b == ~0ul, "%s swallows writes", what);
}

static void map_high(uint64_t physical)
{
    *kit_pte(HIGH) = physical | PTE_P | PTE_W;
    kit_flush();
}

/* RAM and nothing meet in the middle of an operand: each byte is where it belongs. */
static void seam(uint64_t end)
{
    volatile uint32_t *last = (uint32_t *)(end - 4);
    volatile uint64_t *both = (uint64_t *)(end - 4);

    *last = 0x12345678;
    tap_ok(*both == 0xffffffff12345678, "8 bytes, half of them RAM: %lx", *both);
    *both = 0x1122334455667788;
    tap_ok(*last == 0x55667788, "stored, the half in RAM stays: %x", *last);
    __asm__ volatile("lock addq $0x10, %0" : "+m"(*both));
    tap_ok(*last == 0x55667798, "and of an addition: %x", *last);
    __asm__ volatile("movdqu %0, %%xmm0; movq %%xmm0, %1" ::"m"(*both), "m"(*last) : "memory");
    tap_ok(*last == 0x55667798, "and of a vector: %x", *last);
    *(volatile uint16_t *)(end - 1) = 0xabcd;
    tap_ok(*last == 0xcd667798, "and of two bytes: %x", *last);
}

static void run_at(void *at)
{
    ((void (*)(void))at)();
}

static void push_at(void *at)
{
    uint64_t got;

    __asm__ volatile("mov %%rsp, %%r8; mov %1, %%rsp; push $5; pop %0; mov %%r8, %%rsp"
                     : "=&r"(got)
                     : "r"(at)
                     : "r8", "memory");
    tap_ok(got == ~0ul, "a stack there: %lx", got);
}

/* A #DF that has a stack of its own is delivered when the ordinary one is nowhere. */
static uint64_t gdt[6] = {[2] = 0x00af9b000000ffff, [3] = 0x00cf93000000ffff}; /* as before */
static uint8_t tss[104] __attribute__((aligned(16)));
static uint8_t df_stack[4096] __attribute__((aligned(16)));
extern char df_handler[];
volatile uint64_t df_seen;
uint64_t df_rsp;

__asm__(".text\ndf_handler: movq $1, df_seen\nmov df_rsp, %rsp\njmp df_return\n");

static void double_fault(uint64_t end)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {sizeof(gdt) - 1, (uint64_t)gdt}, idtr;
    uint64_t base = (uint64_t)tss, top = (uint64_t)(df_stack + sizeof(df_stack));

    gdt[4] = 103 | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    gdt[5] = base >> 32;
    memcpy(tss + 36, &top, 8); /* IST1 */
    __asm__ volatile("sidt %0" : "=m"(idtr));
    uint8_t *gate = (uint8_t *)idtr.base + 16 * 8;
    uint64_t at = (uint64_t)df_handler;
    memcpy(gate, &at, 2);
    gate[4] = 1;
    memcpy(gate + 6, (uint8_t *)&at + 2, 6);
    __asm__ volatile("lgdt %0; ltr %w1" ::"m"(table), "r"(0x20));
    __asm__ volatile("push %%rbx; push %%rbp; mov %%rsp, df_rsp; mov %0, %%rsp; ud2\n"
                     ".globl df_return\ndf_return: pop %%rbp; pop %%rbx" ::"r"(end + 0x2000)
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
                       "r14", "r15", "memory", "cc");
    tap_ok(df_seen == 1, "#DF where the stack of #UD is nowhere");
}

static void everywhere(uint64_t end)
{
    for (uint64_t p = KIT_HEAP; p < end; p += 8) {
        *(uint64_t *)p = p * 0x9e3779b97f4a7c15ul;
    }
    uint64_t before = checksum(KIT_HEAP, end);
    at(end, "just past RAM");
    at(end + PAGE - 8, "the end of that page");
    at(0x40000000, "1 GiB");
    at(0xd0000000, "the PCI hole");
    at(0xfed40000, "an absent device");
    at(0xff000000, "where firmware would be");
    at(0xfffffff8, "the last bytes below 4 GiB");
    map_high(0x100000000);
    at(HIGH, "4 GiB");
    map_high(0x700000000);
    at(HIGH, "28 GiB");
    seam(end);
    int v = kit_try(run_at, (void *)(end + 0x1000));
    tap_ok(v == 6 && kit_caught_frame.rip == end + 0x1000, "executing there: vector %d", v);
    push_at((void *)(end + 0x2000));
    double_fault(end);
    volatile uint32_t *seam = (uint32_t *)(end - 4);
    *seam = 0x12345678;
    at(end, "past RAM again");
    tap_ok(*seam == 0x12345678, "the last word of RAM");
    *(volatile uint64_t *)(end - 8) = (end - 8) * 0x9e3779b97f4a7c15ul;
    tap_ok(checksum(KIT_HEAP, end) == before, "its own memory is as it was");
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t end = kit_ram_end(boot_params);
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr = {0xfff, 0};

    print("outside: RAM ends at %lx\n", end);
    switch (kit_option(boot_params, "how", 0)) {
    case 0:
        everywhere(end);
        return;
    case 1:
        __asm__ volatile("mov %0, %%cr3" ::"r"(end + 0x3000) : "memory");
        break;
    case 2:
        idtr.base = end + 0x4000;
        __asm__ volatile("lidt %0; ud2" ::"m"(idtr));
        break;
    case 3:
        __asm__ volatile("mov %0, %%rsp; ud2" ::"r"(end + 0x2000) : "memory");
        break;
    }
    print("outside: still here\n");
}
