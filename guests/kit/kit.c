/* SPDX-License-Identifier: BSD-2-Clause */
/* The bare-metal guests' small library: see kit.h. */
#include "kit.h"

extern char kit_stubs[], kit_caught[];
extern uint64_t kit_try_rsp;
void kit_main(const uint8_t *boot_params);
void kit_trap(struct trap_frame *f);

void (*kit_on_irq)(unsigned vector);
bool (*kit_on_trap)(struct trap_frame *f);
struct trap_frame kit_caught_frame;
uint64_t kit_caught_cr2;
volatile uint64_t kit_irqs[256];

static struct {
    uint16_t offset0, selector;
    uint8_t ist, type;
    uint16_t offset1;
    uint32_t offset2, zero;
} __attribute__((packed)) idt[256];

#define SLEEP_VECTOR 0xef

static unsigned tap_n, tap_failed;

void *memset(void *d, int c, size_t n)
{
    void *p = d;
    __asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
    return d;
}

void *memcpy(void *d, const void *s, size_t n)
{
    void *p = d;
    __asm__ volatile("rep movsb" : "+D"(p), "+S"(s), "+c"(n)::"memory");
    return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < n; i++) {
        if (x[i] != y[i]) {
            return x[i] - y[i];
        }
    }
    return 0;
}

void put_char(char c)
{
    if (c == '\n') {
        put_char('\r');
    }
    while (!(inb(COM1 + 5) & 0x20)) {
        __asm__ volatile("pause");
    }
    outb(COM1, (uint8_t)c);
}

static void put_number(uint64_t v, unsigned base, int width, char pad)
{
    char buf[24];
    int n = 0;

    do {
        buf[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (width-- > n) {
        put_char(pad);
    }
    while (n > 0) {
        put_char(buf[--n]);
    }
}

void print_list(const char *fmt, va_list ap)
{
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put_char(*fmt);
            continue;
        }
        char pad = ' ';
        int width = 0, longs = 0;
        fmt++;
        if (*fmt == '0') {
            pad = '0';
            fmt++;
        }
        while (*fmt >= '0' && *fmt <= '9') {
            width = width * 10 + *fmt++ - '0';
        }
        while (*fmt == 'l' || *fmt == 'z') {
            longs++;
            fmt++;
        }
        if (*fmt == 's') {
            for (const char *s = va_arg(ap, const char *); *s; s++) {
                put_char(*s);
            }
        } else if (*fmt == 'c') {
            put_char((char)va_arg(ap, int));
        } else if (*fmt == 'd') {
            int64_t v = longs ? va_arg(ap, long) : va_arg(ap, int);
            if (v < 0) {
                put_char('-');
                v = -v;
            }
            put_number((uint64_t)v, 10, width, pad);
        } else if (*fmt == 'u' || *fmt == 'x') {
            uint64_t v = longs ? va_arg(ap, unsigned long) : va_arg(ap, unsigned);
            put_number(v, *fmt == 'u' ? 10 : 16, width, pad);
        } else {
            put_char(*fmt);
        }
    }
}

void print(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_list(fmt, ap);
    va_end(ap);
}

bool tap_ok(bool ok, const char *fmt, ...)
{
    va_list ap;

    tap_n++;
    tap_failed += !ok;
    print("%s %u - ", ok ? "ok" : "not ok", tap_n);
    va_start(ap, fmt);
    print_list(fmt, ap);
    va_end(ap);
    put_char('\n');
    return ok;
}

void tap_plan_end(void)
{
    print("1..%u\n%s\n", tap_n, tap_failed || !tap_n ? "TAP-FAIL" : "TAP-PASS");
}

void kit_power_off(void)
{
    for (;;) {
        outw(0x604, 0x2000 | 5 << 10);
        __asm__ volatile("hlt");
    }
}

void kit_reset(void)
{
    for (;;) {
        outb(0xcf9, 6);
    }
}

void kit_triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};
    __asm__ volatile("lidt %0; ud2" ::"m"(none));
    for (;;) {
    }
}

static uint64_t le(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++) {
        v |= (uint64_t)p[i] << 8 * i;
    }
    return v;
}

uint64_t kit_ram_end(const uint8_t *zero)
{
    uint64_t end = 0;
    for (unsigned i = 0; i < zero[0x1e8]; i++) {
        const uint8_t *e = zero + 0x2d0 + 20 * i;
        uint64_t stop = le(e, 8) + le(e + 8, 8);
        if (le(e + 16, 4) == 1 && stop <= 0x100000000ul && stop > end) {
            end = stop;
        }
    }
    return end;
}

const char *kit_cmdline(const uint8_t *zero)
{
    return (const char *)le(zero + 0x228, 4);
}

uint64_t kit_option(const uint8_t *zero, const char *name, uint64_t otherwise)
{
    for (const char *p = kit_cmdline(zero); *p; p++) {
        const char *a = p, *b = name;
        while (*b && *a == *b) {
            a++;
            b++;
        }
        if (!*b && *a == '=') {
            uint64_t v = 0;
            for (a++; *a >= '0' && *a <= '9'; a++) {
                v = v * 10 + (uint64_t)(*a - '0');
            }
            return v;
        }
    }
    return otherwise;
}

void kit_trap(struct trap_frame *f)
{
    kit_irqs[f->vector]++;
    if (f->vector >= 32) {
        if (f->vector == SLEEP_VECTOR) {
            apic_eoi();
        } else if (kit_on_irq) {
            kit_on_irq((unsigned)f->vector);
        }
        return;
    }
    if (kit_on_trap && kit_on_trap(f)) {
        return;
    }
    if (kit_try_rsp) {
        kit_caught_frame = *f;
        __asm__ volatile("mov %%cr2, %0" : "=r"(kit_caught_cr2));
        f->rax = f->vector;
        f->rip = (uint64_t)kit_caught;
        return;
    }
    print("UNEXPECTED TRAP %lu error %lx rip %lx\n", f->vector, f->error, f->rip);
    tap_ok(false, "no unexpected trap");
    tap_plan_end();
    kit_power_off();
}

uint64_t kit_tsc_hz(void)
{
    uint32_t r[4];

    cpuid(0x15, 0, r);
    return r[0] ? (uint64_t)r[2] * r[1] / r[0] : 0;
}

void kit_spin_ms(uint64_t ms)
{
    uint64_t end = rdtsc() + kit_tsc_hz() / 1000 * ms;

    while (rdtsc() < end) {
        __asm__ volatile("pause");
    }
}

void kit_sleep_ms(uint64_t ms)
{
    uint64_t end = rdtsc() + kit_tsc_hz() / 1000 * ms;

    apic_timer_deadline(end, SLEEP_VECTOR);
    while (rdtsc() < end) {
        __asm__ volatile("cli");
        if (rdtsc() < end) {
            __asm__ volatile("sti; hlt" ::: "memory");
        }
        __asm__ volatile("sti");
    }
}

void apic_init(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
    wrmsr(0x80f, 0x1ff);
    wrmsr(0x808, 0);
}

void apic_eoi(void)
{
    wrmsr(0x80b, 0);
}

void apic_timer_deadline(uint64_t tsc, unsigned vector)
{
    wrmsr(0x832, 2u << 17 | vector);
    wrmsr(0x6e0, tsc);
}

void pic_remap(uint8_t mask_master, uint8_t mask_slave)
{
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, 32);
    outb(0xa1, 40);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, 1);
    outb(0xa1, 1);
    outb(0x21, mask_master);
    outb(0xa1, mask_slave);
}

void kit_main(const uint8_t *boot_params)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr = {sizeof(idt) - 1, (uint64_t)idt};
    uint16_t cs;

    __asm__("mov %%cs, %0" : "=r"(cs));
    for (unsigned i = 0; i < 256; i++) {
        uint64_t at = (uint64_t)kit_stubs + 16 * i;
        idt[i].offset0 = (uint16_t)at;
        idt[i].selector = cs;
        idt[i].type = 0x8e;
        idt[i].offset1 = (uint16_t)(at >> 16);
        idt[i].offset2 = (uint32_t)(at >> 32);
    }
    __asm__ volatile("lidt %0" ::"m"(idtr));
    guest_main(boot_params);
    tap_plan_end();
    kit_power_off();
}
