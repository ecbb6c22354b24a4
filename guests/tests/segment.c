/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segment limits in 32-bit code: string I/O and strings on devices fault at the element that is
 * beyond, and what came before is done; 16-bit addresses wrap.
 */
#include "kit.h"

#define EMPTY 0xd0000000ul
#define LIMIT 39u
#define LIMITED 0x28 /* selectors: bytes 0 to LIMIT of the buffer, */
#define DEVICE 0x30  /* of a device, */
#define WHOLE 0x38   /* and all from the buffer on */

static uint8_t buffer[0x10000 + 64] __attribute__((aligned(16)));
static uint64_t gdt[8] = {
    [2] = 0x00af9b000000ffff, [3] = 0x00cf93000000ffff, [4] = 0x00cf9b000000ffff};

/* EDI and ESI begin here, ECX is the count; afterwards what they are, or were at a fault. */
uint32_t seg_index, seg_count, seg_port, seg_selector, seg_after, seg_left;
uint64_t seg_rsp;

#define RUN(name, code)                                                                            \
    void seg_##name(void *);                                                                       \
    __asm__(".text\n.globl seg_" #name "\nseg_" #name ":\n"                                        \
            "push %rbx\npush %rbp\nmov %rsp, seg_rsp\n"                                            \
            "mov seg_selector, %eax\nmov %eax, %es\nmov %eax, %ds\n"                               \
            "pushq $0x20\npushq $1f\nlretq\n.code32\n1:\n"                                         \
            "mov %cs:seg_index, %edi\nmov %edi, %esi\nmov %cs:seg_count, %ecx\n"                   \
            "mov %cs:seg_port, %edx\nmov $0x5a, %eax\ncld\n" code "\n"                             \
            "ljmp $0x10, $2f\n.code64\n2:\n"                                                       \
            "mov $0x18, %eax\nmov %eax, %ds\nmov %eax, %es\nmov seg_rsp, %rsp\n"                   \
            "mov %ecx, seg_left\nmov %edi, seg_after\npop %rbp\npop %rbx\nret\n")

RUN(insb, "rep insb");
RUN(insw, "rep insw");
RUN(outsb, "rep outsb");
RUN(stosb, "rep stosb");
RUN(insb16, "addr16 rep insb");

static bool on_trap(struct trap_frame *f)
{
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0x18));
    seg_left = (uint32_t)f->rcx;
    seg_after = (uint32_t)(f->rsi > f->rdi ? f->rsi : f->rdi);
    f->cs = 0x10;
    f->ss = 0x18;
    return false;
}

static int run(void (*fn)(void *), unsigned selector, uint32_t index, uint32_t count)
{
    memset(buffer, 0x11, sizeof(buffer));
    seg_selector = selector;
    seg_index = index;
    seg_count = count;
    return kit_try(fn, NULL);
}

static bool is_untouched(unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        if (buffer[n] != 0x11) {
            return false;
        }
    }
    return true;
}

static void set_descriptor(unsigned selector, uint64_t base, uint64_t limit)
{
    gdt[selector / 8] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x93ul << 40 |
                        (limit >> 16 & 0xf) << 48 | 1ul << 54 | (base >> 24 & 0xff) << 56;
}

void guest_main(const uint8_t *boot_params)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {sizeof(gdt) - 1, (uint64_t)gdt};

    (void)boot_params;
    set_descriptor(LIMITED, (uint64_t)buffer, LIMIT);
    set_descriptor(DEVICE, EMPTY, LIMIT);
    set_descriptor(WHOLE, (uint64_t)buffer, 0xfffff);
    __asm__ volatile("lgdt %0" ::"m"(table));
    kit_on_trap = on_trap;
    seg_port = 0x3ff; /* COM1's scratch register */
    outb(0x3ff, 0x77);

    int v = run(seg_insb, LIMITED, 0, 64);
    tap_ok(v == 13 && kit_caught_frame.error == 0, "REP INSB over the limit: vector %d", v);
    tap_ok(seg_left == 24 && seg_after == 40, "at the element beyond: %u left, at %u", seg_left,
           seg_after);
    tap_ok(buffer[39] == 0x77 && is_untouched(40, 80), "nothing is written there");
    v = run(seg_insw, LIMITED, LIMIT - 4, 4);
    tap_ok(v == 13 && seg_left == 2 && is_untouched(39, 80), "REP INSW: vector %d, %u left", v,
           seg_left);
    v = run(seg_insw, LIMITED, LIMIT, 1);
    tap_ok(v == 13 && seg_left == 1 && is_untouched(0, 80), "its first element: vector %d", v);
    seg_port = 0x80;
    v = run(seg_outsb, LIMITED, 0, 64);
    tap_ok(v == 13 && seg_left == 24 && seg_after == 40, "REP OUTSB: vector %d, %u left", v,
           seg_left);
    v = run(seg_outsb, LIMITED, 0, 40);
    tap_ok(v < 0 && seg_left == 0, "up to the limit it does not fault: vector %d", v);
    v = run(seg_stosb, DEVICE, 0, 64);
    tap_ok(v == 13 && seg_left == 24 && seg_after == 40,
           "REP STOSB on a device: vector %d, %u left", v, seg_left);
    seg_port = 0x3ff;
    v = run(seg_insb16, WHOLE, 0xfffe, 5);
    tap_ok(v < 0 && seg_left == 0 && (seg_after & 0xffff) == 3,
           "16-bit addresses: vector %d, at %x", v, seg_after);
    tap_ok(buffer[0xffff] == 0x77 && buffer[0] == 0x77 && buffer[2] == 0x77 &&
               is_untouched(3, 0xfffe) && is_untouched(0x10000, 0x10010),
           "wrap to the segment's start");
    kit_on_trap = NULL;
}
