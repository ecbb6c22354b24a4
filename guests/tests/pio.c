/* SPDX-License-Identifier: BSD-2-Clause */
/* IN and OUT of all sizes, INS and OUTS with their repeats, directions and faults. */
#include "paging.h"

#define SCRATCH 0x3ff     /* the UART's scratch register */
#define ABSENT 0x5550     /* no device */
#define PCI_ADDRESS 0xcf8 /* keeps 32 bits, of which 2 are always 0 */
#define WINDOW 0x1800000ul

static uint8_t *const pages = (uint8_t *)WINDOW;

static void plain(void)
{
    uint64_t a;

    outb(SCRATCH, 0x5a);
    tap_ok(inb(SCRATCH) == 0x5a, "OUT and IN of a byte, port in DX");
    __asm__ volatile("mov $0x1122334455667788, %%rax; in %%dx, %%al" : "=a"(a) : "d"(SCRATCH));
    tap_ok(a == 0x112233445566775a, "IN to AL leaves the rest: %lx", a);
    __asm__ volatile("mov $0x1122334455667788, %%rax; in %%dx, %%ax" : "=a"(a) : "d"(ABSENT));
    tap_ok(a == 0x112233445566ffff, "IN to AX leaves the rest, an absent port is all ones: %lx", a);
    __asm__ volatile("mov $0x1122334455667788, %%rax; in %%dx, %%eax" : "=a"(a) : "d"(ABSENT));
    tap_ok(a == 0xffffffff, "IN to EAX clears the upper half: %lx", a);
    outl(ABSENT, 0x12345678);
    outw(ABSENT + 1, 0x1234);
    outb(ABSENT, 1);
    tap_ok(inb(ABSENT) == 0xff && inw(ABSENT + 1) == 0xffff, "writes to an absent port vanish");
    __asm__ volatile("mov $0xf5, %%al; out %%al, $0x21; xor %%eax, %%eax; in $0x21, %%al"
                     : "=a"(a));
    tap_ok(a == 0xf5, "immediate port: %lx", a);
    outb(0x21, 0xff);
    outl(PCI_ADDRESS, 0x80000000);
    tap_ok(inl(PCI_ADDRESS) == 0x80000000, "OUT and IN of four bytes");
    uint32_t id = inl(0xcfc);
    tap_ok(inw(0xcfc) == (uint16_t)id && inw(0xcfe) == id >> 16, "words of a PCI id %x", id);
    tap_ok(inb(0xcfc) == (uint8_t)id && inb(0xcff) == id >> 24, "bytes of it");
    tap_ok(inl(0xffff) == 0xffffffff, "four bytes at the last port");
}

static void outs(const void *from, uint64_t n, uint16_t port)
{
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(port) : "memory");
}

static void ins(void *to, uint64_t n, uint16_t port)
{
    __asm__ volatile("rep insb" : "+D"(to), "+c"(n) : "d"(port) : "memory");
}

/* The UART's loop-back is a queue of 16 bytes: what goes in comes out in order. */
static void loop(bool on)
{
    while (on && !(inb(COM1 + 5) & 0x40)) {
    }
    outb(COM1 + 4, on ? 0x1b : 0x0b);
    outb(COM1 + 2, 7);
}

static void order(void)
{
    static const char text[] = "sixteen bytes...";
    uint8_t got[16] = {0}, back[16] = {0};

    loop(true);
    outs(text, 16, COM1);
    ins(got, 16, COM1);
    loop(false);
    tap_ok(memcmp(got, text, 16) == 0, "REP OUTSB and REP INSB keep the order");
    loop(true);
    const char *s = text + 15;
    uint8_t *d = back + 15;
    uint64_t n = 16, m = 16;
    __asm__ volatile("std; rep outsb; cld" : "+S"(s), "+c"(n) : "d"(COM1) : "memory");
    __asm__ volatile("std; rep insb; cld" : "+D"(d), "+c"(m) : "d"(COM1) : "memory");
    loop(false);
    tap_ok(memcmp(back, text, 16) == 0 && (uint64_t)s == (uint64_t)text - 1 &&
               (uint64_t)d == (uint64_t)back - 1 && !n && !m,
           "DF turns the direction");
    loop(true);
    s = text;
    __asm__ volatile("outsb; outsb" : "+S"(s) : "d"(COM1) : "memory");
    d = got;
    __asm__ volatile("insb; insb" : "+D"(d) : "d"(COM1) : "memory");
    loop(false);
    tap_ok(s == text + 2 && d == got + 2 && got[0] == 's' && got[1] == 'i',
           "without REP one element each");
    n = 0;
    s = text;
    __asm__ volatile("rep outsb" : "+S"(s), "+c"(n) : "d"(COM1) : "memory");
    tap_ok(s == text && n == 0, "REP with a count of 0 does nothing");
}

static void sizes(void)
{
    uint8_t *cross = pages + PAGE - 2;
    uint32_t want = 0x80001234, got;
    uint64_t n;

    memset(pages, 0, 2 * PAGE);
    memcpy(cross, &want, 4);
    uint8_t *s = cross;
    __asm__ volatile("outsl" : "+S"(s) : "d"(PCI_ADDRESS) : "memory");
    got = inl(PCI_ADDRESS);
    tap_ok(got == want && s == cross + 4, "OUTSD across a page: %x", got);
    outl(PCI_ADDRESS, 0x80005678);
    uint8_t *d = cross;
    __asm__ volatile("insl" : "+D"(d) : "d"(PCI_ADDRESS) : "memory");
    memcpy(&got, cross, 4);
    tap_ok(got == 0x80005678 && d == cross + 4, "INSD across a page: %x", got);
    outl(PCI_ADDRESS, 0x80000000);
    uint16_t id = inw(0xcfc);
    uint16_t *w = (uint16_t *)(pages + PAGE - 5);
    n = 8;
    d = (uint8_t *)w;
    __asm__ volatile("rep insw" : "+D"(d), "+c"(n) : "d"(0xcfc) : "memory");
    bool ok = n == 0 && d == (uint8_t *)(w + 8);
    for (unsigned i = 0; i < 8; i++) {
        uint16_t v;
        memcpy(&v, w + i, 2);
        ok &= v == id;
    }
    tap_ok(ok, "REP INSW across a page");
    memset(pages, 0x11, 4 * PAGE);
    outb(SCRATCH, 0x77);
    ins(pages + 100, 2 * PAGE, SCRATCH);
    ok = pages[99] == 0x11 && pages[100 + 2 * PAGE] == 0x11;
    for (unsigned i = 0; i < 2 * PAGE; i++) {
        ok &= pages[100 + i] == 0x77;
    }
    tap_ok(ok, "a REP of 8192 fills just that");
    pages[100 + 2 * PAGE - 1] = 0x42;
    outs(pages + 100, 2 * PAGE, SCRATCH);
    tap_ok(inb(SCRATCH) == 0x42, "a REP of 8192 out");
    /* 32-bit addressing: only ECX and ESI count, and they come back zero-extended. */
    uint64_t si = WINDOW + 8 + (0xdeadul << 32), cx = 3 + (0xbeeful << 32);
    pages[10] = 0x99;
    __asm__ volatile("addr32 rep outsb" : "+S"(si), "+c"(cx) : "d"(SCRATCH) : "memory");
    tap_ok(si == WINDOW + 11 && cx == 0 && inb(SCRATCH) == 0x99,
           "32-bit addressing: RSI %lx RCX %lx", si, cx);
    wrmsr(0xc0000100, WINDOW);
    si = 16;
    pages[16] = 0x3c;
    __asm__ volatile("fs outsb" : "+S"(si) : "d"(SCRATCH) : "memory");
    tap_ok(inb(SCRATCH) == 0x3c && si == 17, "OUTSB with an FS base");
}

struct string {
    uint64_t at, n;
    bool in;
};

static void do_string(void *arg)
{
    struct string *s = arg;
    if (s->in) {
        __asm__ volatile("rep insb" : "+D"(s->at), "+c"(s->n) : "d"(SCRATCH) : "memory");
    } else {
        __asm__ volatile("rep outsb" : "+S"(s->at), "+c"(s->n) : "d"(SCRATCH) : "memory");
    }
}

static void faults(void)
{
    uint64_t *pte = kit_pte(WINDOW + PAGE), was = *pte;
    struct string s = {WINDOW + PAGE - 300, 600, true};

    memset(pages, 0, PAGE);
    outb(SCRATCH, 0x66);
    *pte = 0;
    kit_flush();
    int v = kit_try(do_string, &s);
    tap_ok(v == 14 && kit_caught_cr2 == WINDOW + PAGE && kit_caught_frame.error == 2,
           "INS into a page that is not there: vector %d, CR2 %lx, error %lx", v, kit_caught_cr2,
           kit_caught_frame.error);
    tap_ok(kit_caught_frame.rdi == WINDOW + PAGE && kit_caught_frame.rcx == 300,
           "with the registers as far as it came: RDI %lx RCX %lu", kit_caught_frame.rdi,
           kit_caught_frame.rcx);
    tap_ok(pages[PAGE - 1] == 0x66 && pages[PAGE - 300] == 0x66 && pages[PAGE - 301] == 0,
           "and its elements done");
    s = (struct string){WINDOW + PAGE - 10, 20, false};
    v = kit_try(do_string, &s);
    tap_ok(v == 14 && kit_caught_cr2 == WINDOW + PAGE && kit_caught_frame.error == 0 &&
               kit_caught_frame.rsi == WINDOW + PAGE && kit_caught_frame.rcx == 10,
           "OUTS from a page that is not there: CR2 %lx, error %lx", kit_caught_cr2,
           kit_caught_frame.error);
    *pte = (was & ~PTE_W);
    kit_flush();
    __asm__ volatile("mov %%cr0, %%rax; bts $16, %%rax; mov %%rax, %%cr0" ::: "rax");
    s = (struct string){WINDOW + PAGE - 1, 2, true};
    v = kit_try(do_string, &s);
    tap_ok(v == 14 && kit_caught_cr2 == WINDOW + PAGE && kit_caught_frame.error == 3,
           "INS into a read-only page: CR2 %lx, error %lx", kit_caught_cr2, kit_caught_frame.error);
    *pte = was;
    kit_flush();
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    plain();
    order();
    sizes();
    faults();
}
