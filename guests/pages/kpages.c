/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A static program for an initramfs: prints what the kernel uses each page of its memory for, by
 * its own account (/proc/kpageflags and /proc/kpagecount), in the form of the monitor's `classes
 * NAME map`, so that the two can be compared.
 *
 *     map 0: k160 f96 c12 ...        from frame 0 (hexadecimal): 160 pages of class k, and so on
 *
 * Everything is read before the first byte is printed: printing changes what is in use.
 */
#include <stdint.h>

#define PAGES_MAX (1u << 18)
#define CHUNK 4096u
#define RUNS_A_LINE 16u

/* /proc/kpageflags (Linux, include/uapi/linux/kernel-page-flags.h). */
#define KPF(n) (UINT64_C(1) << (n))
#define KPF_UPTODATE KPF(3)
#define KPF_LRU KPF(5)
#define KPF_SLAB KPF(7)
#define KPF_BUDDY KPF(10)
#define KPF_ANON KPF(12)
#define KPF_SWAPBACKED KPF(14)
#define KPF_HWPOISON KPF(19)
#define KPF_NOPAGE KPF(20)
#define KPF_OFFLINE KPF(23)
#define KPF_PGTABLE KPF(26)
#define KPF_RESERVED KPF(32)
#define KPF_KERNEL (KPF_SLAB | KPF_HWPOISON | KPF_OFFLINE | KPF_PGTABLE | KPF_RESERVED)

static uint64_t flags[CHUNK], counts[CHUNK];
static char classes[PAGES_MAX];
static char line[512];
static unsigned long length;

static long call(long number, long a, long b, long c)
{
    long result = number;

    __asm__ volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

__attribute__((noreturn)) static void leave(long status)
{
    call(60, status, 0, 0); /* exit(2) */
    __builtin_unreachable();
}

static long open_file(const char *name)
{
    long fd = call(2, (long)name, 0, 0); /* open(2) */

    if (fd < 0) {
        leave(1);
    }
    return fd;
}

static char class_of(uint64_t f, uint64_t count)
{
    if (f & KPF_NOPAGE) {
        return 'u';
    }
    if (f & KPF_BUDDY) {
        return 'f';
    }
    if (f & KPF_KERNEL) {
        return 'k';
    }
    if (f & KPF_ANON) {
        return 'a';
    }
    /* A page on its way to the LRU lists has no flag of theirs yet. */
    if (f & (KPF_LRU | KPF_UPTODATE)) {
        return count > 0 || (f & KPF_SWAPBACKED) ? 'm' : 'c';
    }
    return 'k';
}

/* Fills `classes`; returns how many pages there are. */
static uint64_t read_all(void)
{
    long flags_fd = open_file("/proc/kpageflags"), counts_fd = open_file("/proc/kpagecount");
    uint64_t n = 0;

    while (n < PAGES_MAX) {
        long got = call(0, flags_fd, (long)flags, sizeof(flags)); /* read(2) */
        if (got <= 0 || call(0, counts_fd, (long)counts, got) != got) {
            break;
        }
        for (long i = 0; i < got / 8 && n < PAGES_MAX; i++) {
            classes[n++] = class_of(flags[i], counts[i]);
        }
    }
    return n;
}

static void put(char c)
{
    line[length++] = c;
}

static void put_number(uint64_t v, unsigned base)
{
    char digits[24];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v != 0);
    while (n > 0) {
        put(digits[--n]);
    }
}

static void flush_line(void)
{
    put('\n');
    call(1, 1, (long)line, (long)length); /* write(2) */
    length = 0;
}

__attribute__((used, noreturn)) static void kpages_main(void)
{
    uint64_t n = read_all(), at = 0;

    while (at < n) {
        put('m'), put('a'), put('p'), put(' ');
        put_number(at, 16);
        put(':');
        for (unsigned runs = 0; runs < RUNS_A_LINE && at < n; runs++) {
            uint64_t end = at;
            while (end < n && classes[end] == classes[at]) {
                end++;
            }
            put(' ');
            put(classes[at]);
            put_number(end - at, 10);
            at = end;
        }
        flush_line();
    }
    leave(n == 0);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    and $-16, %rsp\n"
        "    call kpages_main\n");
