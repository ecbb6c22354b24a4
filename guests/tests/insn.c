/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions that exit or fault, exceptions with their error codes, single steps and breakpoints.
 */
#include "paging.h"

#define DO(name, code)                                                                             \
    static void do_##name(void *arg)                                                               \
    {                                                                                              \
        (void)arg;                                                                                 \
        __asm__ volatile(code ::: "rax", "rbx", "rcx", "rdx", "memory");                           \
    }
DO(vmxoff, ".byte 0x0f, 0x01, 0xc4")
DO(vmlaunch, ".byte 0x0f, 0x01, 0xc2")
DO(vmresume, ".byte 0x0f, 0x01, 0xc3")
DO(vmfunc, ".byte 0x0f, 0x01, 0xd4")
DO(vmread, "vmread %%rax, %%rbx")
DO(vmwrite, "vmwrite %%rax, %%rbx")
DO(vmxon, "lea -64(%%rsp), %%rax; vmxon (%%rax)")
DO(vmptrld, "lea -64(%%rsp), %%rax; vmptrld (%%rax)")
DO(vmptrst, "lea -64(%%rsp), %%rax; vmptrst (%%rax)")
DO(vmclear, "lea -64(%%rsp), %%rax; vmclear (%%rax)")
DO(invept, "lea -64(%%rsp), %%rax; mov $2, %%ecx; invept (%%rax), %%rcx")
DO(invvpid, "lea -64(%%rsp), %%rax; mov $2, %%ecx; invvpid (%%rax), %%rcx")
DO(monitor, "lea -64(%%rsp), %%rax; xor %%ecx, %%ecx; xor %%edx, %%edx; monitor")
DO(mwait, "xor %%eax, %%eax; xor %%ecx, %%ecx; mwait")
DO(getsec, "xor %%eax, %%eax; .byte 0x0f, 0x37")
DO(rdpmc, "xor %%ecx, %%ecx; rdpmc")
DO(rdpmc_far, "mov $0x40000000, %%ecx; rdpmc")
DO(vmmcall, ".byte 0x0f, 0x01, 0xd9")
DO(rsm, "rsm")
DO(ud2, "ud2")
DO(div, "xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; div %%ecx")
DO(idiv, "mov $0x80000000, %%eax; cltd; mov $-1, %%ecx; idiv %%ecx")
DO(bp, "int3")
DO(lock, ".byte 0xf0, 0x89, 0xc0")
DO(noncanonical, "movabs $0x800000000000, %%rax; mov (%%rax), %%rax")
DO(bad_selector, "mov $0x1238, %%eax; mov %%ax, %%ds")
DO(bad_stack, "movabs $0x800000000000, %%rax; xchg %%rax, %%rbp; mov (%%rbp), %%rbx")
DO(bad_int, "int $0x90")
DO(load_tr, "mov $0x777, %%eax; ltr %%ax")

static void raises(void (*fn)(void *), int want, uint64_t error, const char *what)
{
    int v = kit_try(fn, NULL);
    tap_ok(v == want && kit_caught_frame.error == error, "%s: vector %d, error %lx", what, v,
           kit_caught_frame.error);
}

static void undefined(void)
{
    static const struct {
        void (*fn)(void *);
        const char *name;
    } all[] = {{do_vmxoff, "VMXOFF"},   {do_vmlaunch, "VMLAUNCH"}, {do_vmresume, "VMRESUME"},
               {do_vmfunc, "VMFUNC"},   {do_vmread, "VMREAD"},     {do_vmwrite, "VMWRITE"},
               {do_vmxon, "VMXON"},     {do_vmptrld, "VMPTRLD"},   {do_vmptrst, "VMPTRST"},
               {do_vmclear, "VMCLEAR"}, {do_invept, "INVEPT"},     {do_invvpid, "INVVPID"},
               {do_monitor, "MONITOR"}, {do_mwait, "MWAIT"},       {do_getsec, "GETSEC"},
               {do_vmmcall, "VMMCALL"}, {do_rsm, "RSM"},           {do_ud2, "UD2"},
               {do_lock, "LOCK MOV"}};
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        raises(all[i].fn, 6, 0, all[i].name);
    }
}

static void harmless(void)
{
    uint64_t word = 0x1234;

    __asm__ volatile("wbinvd" ::: "memory");
    *(volatile uint64_t *)&word = 0x5678;
    __asm__ volatile("invd" ::: "memory");
    tap_ok(*(volatile uint64_t *)&word == 0x5678, "INVD and WBINVD lose nothing");
    for (unsigned i = 0; i < 20000; i++) {
        __asm__ volatile("pause");
    }
    tap_ok(true, "a PAUSE loop ends");
    __asm__ volatile("invlpg (%0)" ::"r"(KIT_HEAP) : "memory");
    tap_ok(true, "INVLPG");
}

/* ---- page faults ---- */
#define WINDOW 0x1800000ul

static void do_load(void *at)
{
    __asm__ volatile("mov (%0), %%al" ::"r"(at) : "rax", "memory");
}

static void do_store(void *at)
{
    __asm__ volatile("movb $1, (%0)" ::"r"(at) : "memory");
}

static void do_call(void *at)
{
    ((void (*)(void))at)();
}

static void faults_at(void (*fn)(void *), uint64_t at, uint64_t error, const char *what)
{
    int v = kit_try(fn, (void *)at);
    tap_ok(v == 14 && kit_caught_cr2 == at && kit_caught_frame.error == error,
           "%s: vector %d, CR2 %lx, error %lx", what, v, kit_caught_cr2, kit_caught_frame.error);
}

static void page_faults(void)
{
    uint64_t *pte = kit_pte(WINDOW), was = *pte;

    faults_at(do_load, 0x140000123, 0, "load of an unmapped address");
    faults_at(do_store, 0x140000123, 2, "store to it");
    *pte = 0;
    kit_flush();
    faults_at(do_load, WINDOW + 7, 0, "load of a page that is not there");
    faults_at(do_store, WINDOW + 7, 2, "store to it");
    __asm__ volatile("mov %%cr0, %%rax; bts $16, %%rax; mov %%rax, %%cr0" ::: "rax");
    *pte = was & ~PTE_W;
    kit_flush();
    faults_at(do_store, WINDOW + 9, 3, "store to a read-only page");
    *pte = was | 1ul << 51;
    kit_flush();
    faults_at(do_load, WINDOW + 9, 9, "a reserved bit in the entry");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    *pte = was | PTE_NX;
    kit_flush();
    *(volatile uint8_t *)WINDOW = 0xc3;
    faults_at(do_call, WINDOW, 0x11, "executing a page that forbids it");
    *pte = was;
    kit_flush();
    tap_ok(kit_try(do_call, (void *)WINDOW) < 0, "and one that does not");
}

/* ---- #DB ---- */
static volatile uint64_t steps, db_dr6, db_rip;

static bool on_debug(struct trap_frame *f)
{
    uint64_t dr6;

    if (f->vector != 1) {
        return false;
    }
    __asm__ volatile("mov %%dr6, %0; mov %1, %%dr6" : "=&r"(dr6) : "r"(0xffff0ff0ul));
    db_dr6 = dr6;
    db_rip = f->rip;
    steps++;
    f->rflags |= 1ul << 16; /* RF: go past an instruction breakpoint */
    return true;
}

static void single_step(void)
{
    steps = 0;
    __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq\n" /* the trap comes after the next one */
                     "nop\n"
                     "xor %%eax, %%eax\n"
                     "cpuid\n"
                     "mov $0x3ff, %%edx\n"
                     "in %%dx, %%al\n"
                     "out %%al, %%dx\n"
                     "mov $0x1b, %%ecx\n"
                     "rdmsr\n"
                     "wbinvd\n"
                     "pushfq; andl $~0x100, (%%rsp); popfq\n" ::
                         : "rax", "rbx", "rcx", "rdx", "memory");
    tap_ok(steps == 12, "single steps over emulated instructions: %lu", steps);
    tap_ok(db_dr6 & 1ul << 14, "DR6 says so: %lx", db_dr6);
}

static void on_irq(unsigned vector)
{
    if (vector == 0x77) {
        apic_eoi();
    }
}

static bool on_debug_or_nmi(struct trap_frame *f)
{
    return f->vector == 2 || on_debug(f);
}

/* An interrupt that the instruction itself raises does not take the place of its single step. */
static void step_with_interrupt(uint32_t msr, uint64_t value, const char *what)
{
    steps = 0;
    __asm__ volatile("sti; pushfq; orl $0x100, (%%rsp); popfq\n"
                     "wrmsr\n"
                     "nop\n"
                     "pushfq; andl $~0x100, (%%rsp); popfq; cli\n" ::"c"(msr),
                     "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
    tap_ok(steps == 5, "single steps over a WRMSR that raises %s: %lu", what, steps);
}

static void steps_with_interrupts(void)
{
    apic_init();
    kit_on_irq = on_irq;
    kit_on_trap = on_debug_or_nmi;
    step_with_interrupt(0x83f, 0x77, "an interrupt");
    tap_ok(kit_irqs[0x77] == 1, "which comes");
    step_with_interrupt(0x830, 4u << 8 | rdmsr(0x802) << 32, "an NMI");
    kit_on_trap = on_debug;
}

static void breakpoints(void)
{
    static volatile uint64_t watched;
    uint64_t dr0, dr1, dr2, dr3, dr7;

    __asm__ volatile("mov %0, %%dr0" ::"r"(&watched));
    __asm__ volatile("mov %0, %%dr7" ::"r"(0x90402ul)); /* 8-byte writes at DR0, global */
    steps = 0;
    watched = 5;
    /* An emulator may have been built without breakpoints; then there is neither kind. */
    bool none = steps == 0;
    tap_ok(none || (steps == 1 && (db_dr6 & 1)), "a data breakpoint: %lu, DR6 %lx", steps, db_dr6);
    (void)watched;
    tap_ok(steps == !none, "a read is none");
    __asm__ volatile("mov %0, %%dr7" ::"r"(0x400ul));
    extern char breakpoint_here[];
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" ::"r"(breakpoint_here), "r"(0x402ul));
    steps = 0;
    __asm__ volatile("nop\n.globl breakpoint_here\nbreakpoint_here: cpuid" ::"a"(0)
                     : "rbx", "rcx", "rdx");
    tap_ok(none ? steps == 0 : steps == 1 && db_rip == (uint64_t)breakpoint_here,
           "an instruction breakpoint on CPUID: %lu", steps);
    /* The handler's RF is for one instruction: the breakpoint on the next one hits, too. */
    extern char breakpoint_first[], breakpoint_next[];
    __asm__ volatile("mov %0, %%dr1; mov %1, %%dr7" ::"r"(breakpoint_next), "r"(0x40aul));
    steps = 0;
    __asm__ volatile("mov %0, %%dr0" ::"r"(breakpoint_first));
    __asm__ volatile("nop\n.globl breakpoint_first, breakpoint_next\nbreakpoint_first: "
                     "cpuid\n\nbreakpoint_next: nop" ::"a"(0)
                     : "rbx", "rcx", "rdx");
    tap_ok(steps == (none ? 0 : 2), "instruction breakpoints on CPUID and behind it: %lu", steps);
    __asm__ volatile("mov %0, %%dr7" ::"r"(0x400ul));
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3" ::"r"(0x1111ul),
                     "r"(0x2222ul), "r"(0x3333ul), "r"(0x4444ul));
    apic_init();
    kit_sleep_ms(50);
    __asm__ volatile(
        "cli; mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2; mov %%dr3, %3; mov %%dr7, %4"
        : "=r"(dr0), "=r"(dr1), "=r"(dr2), "=r"(dr3), "=r"(dr7));
    tap_ok(dr0 == 0x1111 && dr1 == 0x2222 && dr2 == 0x3333 && dr3 == 0x4444 && dr7 == 0x400,
           "the debug registers are kept: %lx %lx %lx %lx %lx", dr0, dr1, dr2, dr3, dr7);
}

void guest_main(const uint8_t *boot_params)
{
    (void)boot_params;
    undefined();
    harmless();
    raises(do_rdpmc, 13, 0, "RDPMC");
    raises(do_rdpmc_far, 13, 0, "RDPMC of a fixed counter");
    raises(do_div, 0, 0, "division by 0");
    raises(do_idiv, 0, 0, "division overflow");
    raises(do_bp, 3, 0, "INT3");
    raises(do_noncanonical, 13, 0, "a non-canonical address");
    raises(do_bad_selector, 13, 0x1238, "a selector beyond the GDT");
    raises(do_bad_stack, 12, 0, "a non-canonical address by RBP");
    raises(do_load_tr, 13, 0x774, "LTR beyond the GDT");
    tap_ok(kit_try(do_bad_int, NULL) < 0 && kit_irqs[0x90] == 1, "INT n");
    page_faults();
    kit_on_trap = on_debug;
    single_step();
    steps_with_interrupts();
    breakpoints();
}
