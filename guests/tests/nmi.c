/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs whose delivery meets something: a stack page that was never touched, a stack that is
 * nowhere, and a stack behind page tables that are nowhere. The first is delivered all the same;
 * the others become a fault, in whose handler NMIs are blocked until its IRET.
 */
#include "paging.h"

#define BEHIND 0x300000000ul /* a linear address whose page tables are nowhere */

static uint64_t gdt[6] = {[2] = 0x00af9b000000ffff, [3] = 0x00cf93000000ffff};
static uint8_t tss[104] __attribute__((aligned(16)));
static uint8_t nmi_stack[4096] __attribute__((aligned(16)));
static uint8_t fault_stack[4096] __attribute__((aligned(16)));
static volatile unsigned nmis, faults, inside;
static volatile uint64_t vector, error;

/* The stacks of IST1, for NMIs, and IST2, for #SS and #PF. */
static void set_ist(unsigned n, uint64_t top)
{
    memcpy(tss + 36 + 8 * (n - 1), &top, 8);
}

static uint64_t top_of(uint8_t *stack)
{
    return (uint64_t)(stack + 4096);
}

static void send_nmi(void)
{
    wrmsr(0x830, 4u << 8 | rdmsr(0x802) << 32);
    __asm__ volatile("nop; nop; nop");
}

static bool on_trap(struct trap_frame *f)
{
    if (f->vector == 2) {
        if (++nmis == 1 && faults == 0) {
            send_nmi();
            inside = nmis; /* 1: the second one waits */
        }
        return true;
    }
    if (f->vector != 12 && f->vector != 14) {
        return false;
    }
    faults++;
    vector = f->vector;
    error = f->error;
    set_ist(1, top_of(nmi_stack));
    send_nmi();
    inside = nmis; /* 0: it waits for this handler's end */
    return true;
}

static void begin(uint64_t stack)
{
    nmis = faults = 0;
    inside = 99;
    vector = error = 0;
    set_ist(1, stack);
    send_nmi();
}

static void set_up(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {sizeof(gdt) - 1, (uint64_t)gdt}, idtr;
    uint64_t base = (uint64_t)tss;

    gdt[4] = 103 | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    gdt[5] = base >> 32;
    set_ist(2, top_of(fault_stack));
    __asm__ volatile("sidt %0" : "=m"(idtr));
    ((uint8_t *)idtr.base)[2 * 16 + 4] = 1;
    ((uint8_t *)idtr.base)[12 * 16 + 4] = 2;
    ((uint8_t *)idtr.base)[14 * 16 + 4] = 2;
    __asm__ volatile("lgdt %0; ltr %w1" ::"m"(table), "r"(0x20));
}

/* The directory entry above a linear address. */
static uint64_t *directory_entry(uint64_t linear)
{
    uint64_t table;

    (void)kit_pte(linear); /* makes the tables */
    __asm__ volatile("mov %%cr3, %0" : "=r"(table));
    for (unsigned shift = 39; shift > 21; shift -= 9) {
        table = ((uint64_t *)(table & ~0xffful))[linear >> shift & 511];
    }
    return &((uint64_t *)(table & ~0xffful))[linear >> 21 & 511];
}

void guest_main(const uint8_t *boot_params)
{
    uint64_t end = kit_ram_end(boot_params);

    apic_init();
    set_up();
    kit_on_trap = on_trap;
    begin(KIT_HEAP + PAGE);
    tap_ok(nmis == 2 && inside == 1 && faults == 0,
           "on a stack that was never touched: %u, %u of them inside", nmis, inside);
    begin(end + 2 * PAGE);
    tap_ok(faults == 1 && vector == 12 && error == 1,
           "on a stack that is nowhere: vector %lu (%lx)", vector, error);
    tap_ok(inside == 0, "NMIs are blocked in its handler: %u", inside);
    tap_ok(nmis == 1, "and open behind it: %u", nmis);
    *directory_entry(BEHIND) = (end + 3 * PAGE) | PTE_P | PTE_W;
    kit_flush();
    begin(BEHIND + 2048);
    tap_ok(faults == 1 && vector == 14 && (error & 8), "behind such page tables: vector %lu (%lx)",
           vector, error);
    tap_ok(inside == 0, "NMIs are blocked in its handler: %u", inside);
    tap_ok(nmis == 1, "and open behind it: %u", nmis);
    kit_on_trap = NULL;
}
