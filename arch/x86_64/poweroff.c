/* SPDX-License-Identifier: BSD-2-Clause */
/* Power-off and reset, from the most specific way to the one that always works. */
#include "arch/x86_64/poweroff.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/early_uart.h"
#include "arch/x86_64/io.h"
#include "base/format.h"

#define BOCHS_SHUTDOWN_PORT 0x8900
#define QEMU_DEBUG_EXIT_PORT 0xf4
#define QEMU_PIIX4_PM1A 0xb004
#define QEMU_Q35_PM1A 0x604
#define PM1_SCI_EN 0x0001
#define PM1_SLP_TYP_MASK 0x1c00
#define PM1_SLP_EN 0x2000
#define PCI_RESET_PORT 0xcf9
#define KBD_COMMAND 0x64

static struct acpi_info acpi;

void machine_set_acpi(const struct acpi_info *info)
{
    acpi = *info;
}

static bool in_emulator(void)
{
    return cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR;
}

static void spin(unsigned polls)
{
    for (unsigned i = 0; i < polls; i++) {
        (void)in8(0x80);
    }
}

/* ACPI 6.5, 4.8.3.2 and 7.4.2.5: SLP_TYP then SLP_EN, in both halves. */
static void acpi_s5(void)
{
    if (!acpi.has_s5 || !acpi.pm1a_cnt) {
        return;
    }
    if (acpi.smi_cmd && acpi.acpi_enable && !(in16(acpi.pm1a_cnt) & PM1_SCI_EN)) {
        out8(acpi.smi_cmd, acpi.acpi_enable);
        for (unsigned i = 0; i < 300000 && !(in16(acpi.pm1a_cnt) & PM1_SCI_EN); i++) {
            (void)in8(0x80);
        }
    }
    uint16_t keep = in16(acpi.pm1a_cnt) & (uint16_t) ~(PM1_SLP_TYP_MASK | PM1_SLP_EN);
    uint16_t a = (uint16_t)(keep | acpi.slp_typa << 10), b = (uint16_t)(keep | acpi.slp_typb << 10);
    out16(acpi.pm1a_cnt, a);
    if (acpi.pm1b_cnt) {
        out16(acpi.pm1b_cnt, b);
    }
    out16(acpi.pm1a_cnt, a | PM1_SLP_EN);
    if (acpi.pm1b_cnt) {
        out16(acpi.pm1b_cnt, b | PM1_SLP_EN);
    }
    spin(100000);
}

/* A real machine stays on after a failure, so that its last words can be read. */
static _Noreturn void stop(bool power_off)
{
    cpu_cli();
    early_uart_drain();
    for (const char *s = "Shutdown"; *s; s++) {
        out8(BOCHS_SHUTDOWN_PORT, (uint8_t)*s);
    }
    if (power_off) {
        acpi_s5();
    }
    if (in_emulator()) {
        out16(QEMU_Q35_PM1A, PM1_SLP_EN);
        out16(QEMU_PIIX4_PM1A, PM1_SLP_EN);
        out32(QEMU_DEBUG_EXIT_PORT, 0);
    }
    for (;;) {
        cpu_cli();
        cpu_hlt();
    }
}

void machine_exit(int code)
{
    char line[40];

    cpu_cli();
    format(line, sizeof(line), "\nPAGEFOLD-EXIT %d\n", code);
    early_uart_mark();
    early_uart_puts(line);
    stop(code == 0);
}

void machine_reboot(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_idt = {0, 0};

    cpu_cli();
    early_uart_drain();
    if (acpi.reset_port) {
        out8(acpi.reset_port, acpi.reset_value);
        spin(100000);
    }
    out8(PCI_RESET_PORT, 0x02);
    out8(PCI_RESET_PORT, 0x06);
    spin(100000);
    for (unsigned i = 0; i < 100000 && (in8(KBD_COMMAND) & 2); i++) {
    }
    out8(KBD_COMMAND, 0xfe);
    spin(100000);
    __asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
    __builtin_unreachable();
}
