/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A static program for an initramfs: prints its argument and the time-stamp counter, and no more.
 *
 * It runs as the first act of /init, so that the ticks from a kernel's entry to its init can be
 * taken without trusting any clock of the guest. No C library: the program must add nothing to
 * what it measures, and nothing to the size of the initramfs.
 */
#include <stdint.h>

static long write_stdout(const char *bytes, long length)
{
    long result = 1; /* write(2) */

    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(1L), "S"(bytes), "d"(length)
                     : "rcx", "r11", "memory");
    return result;
}

/* The kernel's entry state: argc at the stack pointer, then the arguments. */
__attribute__((used, noreturn)) static void tsc_main(const long *stack)
{
    uint32_t low;
    uint32_t high;
    char line[96];
    char digits[20];
    long length = 0;
    long count = 0;
    const char *label = stack[0] > 1 ? (const char *)stack[2] : "TSC";

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    uint64_t ticks = (uint64_t)high << 32 | low;

    while (label[length] != 0 && length < 64) {
        line[length] = label[length];
        length++;
    }
    line[length++] = ' ';
    do {
        digits[count++] = (char)('0' + ticks % 10);
        ticks /= 10;
    } while (ticks != 0);
    while (count > 0) {
        line[length++] = digits[--count];
    }
    line[length++] = '\n';
    write_stdout(line, length);
    __asm__ volatile("syscall" : : "a"(60L), "D"(0L)); /* exit(2) */
    __builtin_unreachable();
}

__asm__(".globl _start\n"
        "_start:\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call tsc_main\n");
