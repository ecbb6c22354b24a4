/* SPDX-License-Identifier: BSD-2-Clause */
/* Start-up, from the first C to kernel_run: an ordered list, each step needs those above it. */
#include "arch/x86_64/clock.h"
#include "arch/x86_64/early_uart.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/irq.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/poweroff.h"
#include "arch/x86_64/trap.h"
#include "base/bits.h"
#include "boot/acpi.h"
#include "boot/multiboot2.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/log.h"
#include "kernel/core/machine.h"

_Noreturn void kernel_main(uint32_t magic, uint32_t mbi); /* called by boot/entry32.S */

static struct mb2_info boot;

static _Noreturn void refuse(const char *why)
{
    log_error("Pagefold cannot run here: %s", why);
    machine_exit(1);
}

static const void *acpi_view(void *ctx, uint64_t at, uint64_t len)
{
    (void)ctx;
    return phys_view(HPA(at), len);
}

static void read_acpi(void)
{
    const struct acpi_reader reader = {.view = acpi_view};
    struct acpi_info acpi;
    const char *why;

    if (boot.rsdp_len == 0) {
        log_info("ACPI: the boot loader passed no RSDP");
        return;
    }
    if (acpi_parse(boot.rsdp, boot.rsdp_len, &reader, &acpi, &why) != OK || why) {
        log_warn("%s", why);
    }
    machine_set_acpi(&acpi);
    ioapic_mask_all(&acpi);
}

static void *boot_page(void)
{
    return boot_alloc(PAGE_SIZE, PAGE_SIZE);
}

void kernel_main(uint32_t magic, uint32_t mbi)
{
    char why[160];
    /* The window already shows the first 4 GiB, where multiboot2 puts everything. */
    const uint8_t *info = window(HPA(mbi));

    early_uart_init(); /* so that everything below can say what is wrong */
    log_info("Pagefold starts");
    trap_init(); /* faults print a backtrace from here on */

    if (magic != MB2_LOADER_MAGIC) {
        refuse("it was not loaded by a multiboot2 boot loader");
    }
    uint32_t mbi_bytes = load_le32(info);
    if (mb2_parse(info, MIN(mbi_bytes, MB2_MAX_BYTES), &boot, why, sizeof(why)) != OK) {
        refuse(why);
    }
    if (!cpu_check(why, sizeof(why))) { /* nothing has touched VT-x before this */
        refuse(why);
    }

    bootmem_init(&boot, HPA(mbi), mbi_bytes);
    unsigned n_ram;
    const struct phys_range *ram = bootmem_ram(&n_ram);
    machine_set_memory(ram, n_ram);
    paging_init(ram, n_ram, boot_page); /* W^X, guard pages; all RAM is in the window now */
    bootmem_set_limit(UINT64_MAX);

    read_acpi(); /* how to turn the machine off; I/O APICs quiet */
    irq_init();  /* PIC and local APIC; every line is masked still */
    if (!clock_init(why, sizeof(why))) {
        refuse(why);
    }
    log_info("%llu MiB of memory, %u boot modules, loaded by %s%s",
             (unsigned long long)machine_memory_bytes() >> 20, boot.n_modules,
             boot.loader[0] ? boot.loader : "a nameless boot loader", boot.efi ? " from UEFI" : "");
    kernel_run(&boot); /* configuration, VT-x, disks, VMs, console */
}
