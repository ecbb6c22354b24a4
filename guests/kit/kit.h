/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a bare-metal test guest is written with: console, TAP, traps, time, and the CPU's
 * instructions. A guest defines guest_main, reports with tap_*, and ends by kit_power_off.
 */
#ifndef KIT_H
#define KIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COM1 0x3f8
#define PAGE 4096ul

/* The guest's program. boot_params: Linux's zero page. */
void guest_main(const uint8_t *boot_params);

/* ---- console and TAP ---- */
void put_char(char c);
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* %s %c %d %u %x %lu.. */
void print_list(const char *fmt, va_list ap);
void tap_plan_end(void); /* "1..N" for what ran, and "TAP-PASS" or "TAP-FAIL" */
bool tap_ok(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void kit_power_off(void); /* ACPI S5 */
_Noreturn void kit_reset(void);     /* port 0xcf9 */
_Noreturn void kit_triple_fault(void);

/* ---- memory ---- */
void *memset(void *d, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);
/* End of RAM below 4 GiB, from the zero page's memory map. */
uint64_t kit_ram_end(const uint8_t *boot_params);
/* Where a guest may use memory freely: from here to kit_ram_end. */
#define KIT_HEAP 0x1000000ul
/* The command line. */
const char *kit_cmdline(const uint8_t *boot_params);
/* The number after "NAME=" on it, or `otherwise`. */
uint64_t kit_option(const uint8_t *boot_params, const char *name, uint64_t otherwise);

/* ---- traps ---- */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
/* -1, or the vector of the exception that fn raised; kit_caught_frame and kit_caught_cr2 tell more.
 */
int kit_try(void (*fn)(void *), void *arg);
extern struct trap_frame kit_caught_frame;
extern uint64_t kit_caught_cr2;
/* Asked first about each exception and NMI, within kit_try too; true: it is dealt with. */
extern bool (*kit_on_trap)(struct trap_frame *f);
/* Called for vectors from 32 on, interrupts off; NULL: they are only counted. */
extern void (*kit_on_irq)(unsigned vector);
extern volatile uint64_t kit_irqs[256];

/* ---- time ---- */
uint64_t kit_tsc_hz(void); /* as CPUID has it */
void kit_spin_ms(uint64_t ms);
/* Waits in HLT for the APIC's deadline timer (vector 0xef, which kit_on_irq does not see); needs
 * apic_init, and leaves interrupts enabled. */
void kit_sleep_ms(uint64_t ms);

/* ---- local APIC (x2APIC), PIC ---- */
void apic_init(void); /* x2APIC on, spurious vector 255, PIC masked */
void apic_eoi(void);
void apic_timer_deadline(uint64_t tsc, unsigned vector);
void pic_remap(uint8_t mask_master, uint8_t mask_slave); /* vectors 32..47 */

/* ---- instructions ---- */
static inline uint64_t rdtsc(void)
{
    uint32_t a, d;
    __asm__ volatile("rdtsc" : "=a"(a), "=d"(d)::"memory");
    return a | (uint64_t)d << 32;
}
static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint8_t cmos_read(uint8_t at)
{
    outb(0x70, at);
    return inb(0x71);
}
static inline void cmos_write(uint8_t at, uint8_t v)
{
    outb(0x70, at);
    outb(0x71, v);
}
static inline void ioapic_write(unsigned index, uint32_t v)
{
    *(volatile uint32_t *)0xfec00000ul = index;
    *(volatile uint32_t *)0xfec00010ul = v;
}
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t a, d;
    __asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(msr) : "memory");
    return a | (uint64_t)d << 32;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(sub)
                     : "memory");
}

#endif
