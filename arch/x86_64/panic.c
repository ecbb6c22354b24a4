/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end: what happened, where, and the last log lines, straight to COM1; then the machine stops.
 * Nothing here trusts the state it prints: frame pointers are followed only within the stacks.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/early_uart.h"
#include "arch/x86_64/ksyms.h"
#include "arch/x86_64/poweroff.h"
#include "arch/x86_64/stacks.h"
#include "arch/x86_64/trap.h"
#include "base/format.h"
#include "base/log.h"

#define MAX_DEPTH 40

static bool panicking;

static void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void print(const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    format_va(line, sizeof(line), fmt, ap);
    va_end(ap);
    early_uart_puts(line);
}

static const char *exception_name(uint64_t vector)
{
    static const char *const names[] = {
        "divide error",
        "debug",
        "NMI",
        "breakpoint",
        "overflow",
        "bound range",
        "invalid opcode",
        "no device",
        "double fault",
        "coprocessor overrun",
        "invalid TSS",
        "segment not present",
        "stack fault",
        "general protection fault",
        "page fault",
        "reserved",
        "x87 error",
        "alignment check",
        "machine check",
        "SIMD error",
        "EPT violation",
        "control protection",
    };
    return vector < ARRAY_LEN(names) ? names[vector] : "exception";
}

static void print_place(const char *what, uint64_t addr)
{
    uint64_t off;
    const char *name = ksyms_find(addr, &off);

    if (name) {
        print("%s %016llx %s+%#llx\n", what, (unsigned long long)addr, name,
              (unsigned long long)off);
    } else {
        print("%s %016llx\n", what, (unsigned long long)addr);
    }
}

/* A frame is {caller's rbp, return address}; callers' frames lie above. */
static void print_backtrace(uint64_t rbp)
{
    print("backtrace:\n");
    for (unsigned depth = 0; depth < MAX_DEPTH; depth++) {
        if (rbp < (uint64_t)stacks_start || rbp > (uint64_t)stacks_end - 16 || (rbp & 7) ||
            (rbp & ~(uint64_t)PAGE_MASK) == (uint64_t)stack_main_guard) {
            return;
        }
        const uint64_t *frame = (const uint64_t *)rbp;
        if (frame[1] == 0) {
            return;
        }
        print_place("   ", frame[1] - 1); /* the call, not what follows it */
        if (frame[0] <= rbp) {
            return;
        }
        rbp = frame[0];
    }
}

static void print_registers(const struct trap_frame *f)
{
    const struct {
        const char *name;
        uint64_t value;
    } r[] = {
        {"rax", f->rax},     {"rbx", f->rbx},     {"rcx", f->rcx},     {"rdx", f->rdx},
        {"rsi", f->rsi},     {"rdi", f->rdi},     {"rbp", f->rbp},     {"rsp", f->rsp},
        {" r8", f->r8},      {" r9", f->r9},      {"r10", f->r10},     {"r11", f->r11},
        {"r12", f->r12},     {"r13", f->r13},     {"r14", f->r14},     {"r15", f->r15},
        {"cr0", read_cr0()}, {"cr2", read_cr2()}, {"cr3", read_cr3()}, {"cr4", read_cr4()},
    };

    print_place("rip", f->rip);
    print("cs %04llx ss %04llx rflags %08llx\n", (unsigned long long)f->cs,
          (unsigned long long)f->ss, (unsigned long long)f->rflags);
    for (unsigned i = 0; i < ARRAY_LEN(r); i++) {
        print("%s %016llx%s", r[i].name, (unsigned long long)r[i].value, i % 4 == 3 ? "\n" : "  ");
    }
}

static void begin(void)
{
    cpu_cli();
    if (panicking) {
        early_uart_puts("\nPANIC: again, while printing the first one\n");
        machine_exit(1);
    }
    panicking = true;
    early_uart_init(); /* the console's driver may have been anywhere */
    early_uart_mark();
}

static _Noreturn void end(void)
{
    print("last log lines:\n");
    log_tail(early_uart_put);
    machine_exit(1);
}

/* Which guard page the address lies in, or NULL. */
static const char *overflowed_stack(uint64_t addr)
{
    const struct {
        const char *guard, *name;
    } s[] = {{stack_main_guard, "main"},
             {stack_nmi_guard, "NMI"},
             {stack_df_guard, "double fault"},
             {stack_mc_guard, "machine check"}};

    for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
        if (addr - (uint64_t)s[i].guard < PAGE_SIZE) {
            return s[i].name;
        }
    }
    return NULL;
}

void panic_trap(const struct trap_frame *f)
{
    const char *stack = NULL;

    begin();
    if (f->vector == VECTOR_DF || f->vector == VECTOR_PF) {
        stack = overflowed_stack(read_cr2());
    }
    print("\nPANIC: %s (vector %llu, error %#llx)", exception_name(f->vector),
          (unsigned long long)f->vector, (unsigned long long)f->error);
    if (stack) {
        print(": the %s stack overflowed", stack);
    } else if (f->vector == VECTOR_PF) {
        print(": %s %016llx",
              f->error & 16  ? "execute"
              : f->error & 2 ? "write to"
                             : "read of",
              (unsigned long long)read_cr2());
    }
    print("\n");
    print_registers(f);
    print_backtrace(f->rbp);
    end();
}

void panic(const char *fmt, ...)
{
    va_list ap;
    char line[256];
    /* The registers as they are here: what the caller kept in them is often still there. */
    struct trap_frame f;

    __asm__ volatile("mov %%rax, %0; mov %%rbx, %1; mov %%rcx, %2; mov %%rdx, %3"
                     : "=m"(f.rax), "=m"(f.rbx), "=m"(f.rcx), "=m"(f.rdx));
    __asm__ volatile("mov %%rsi, %0; mov %%rdi, %1; mov %%rbp, %2; mov %%rsp, %3"
                     : "=m"(f.rsi), "=m"(f.rdi), "=m"(f.rbp), "=m"(f.rsp));
    __asm__ volatile("mov %%r8, %0; mov %%r9, %1; mov %%r10, %2; mov %%r11, %3"
                     : "=m"(f.r8), "=m"(f.r9), "=m"(f.r10), "=m"(f.r11));
    __asm__ volatile("mov %%r12, %0; mov %%r13, %1; mov %%r14, %2; mov %%r15, %3"
                     : "=m"(f.r12), "=m"(f.r13), "=m"(f.r14), "=m"(f.r15));
    f.rflags = read_rflags();
    f.cs = SEL_CODE;
    f.ss = SEL_DATA;
    f.rip = (uint64_t)__builtin_return_address(0);
    va_start(ap, fmt);
    format_va(line, sizeof(line), fmt, ap);
    va_end(ap);
    begin();
    print("\nPANIC: %s\n", line);
    print_registers(&f);
    print_backtrace((uint64_t)__builtin_frame_address(0));
    end();
}
