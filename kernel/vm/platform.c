/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC that a guest sees: makes its devices, wires them, and takes them away. */
#include "arch/x86_64/clock.h"
#include "base/bits.h"
#include "base/log.h"
#include "drivers/host/cmos.h"
#include "kernel/core/machine.h"
#include "kernel/core/sched.h"
#include "kernel/vm/internal.h"
#include "kernel/vm/loader.h"

static void power_off(void *ctx)
{
    struct vm *vm = ctx;

    log_info("%s: powered off", vm->config->name);
    vm_stop(vm, false, "powered off by the guest");
}

static void reset(void *ctx)
{
    struct vm *vm = ctx;

    log_info("%s: reset by the guest", vm->config->name);
    vm_stop(vm, true, "reset by the guest");
}

static void rtc_alarm(void *ctx)
{
    struct vm *vm = ctx;

    vacpi_pm_rtc_alarm(&vm->pm);
}

static const struct vacpi_pm_ops pm_ops = {.power_off = power_off, .reset = reset};

static void panic_event(void *ctx, unsigned event)
{
    vm_dead_panicked(ctx, event);
}

static void stop_timers(struct vm *vm)
{
    vpit_stop(&vm->pit);
    vrtc_stop(&vm->rtc);
    vacpi_pm_stop(&vm->pm);
    vm_clock_fini(vm);
    vm_dead_fini(vm);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        vlapic_stop(&vm->vcpus[i].lapic);
    }
}

enum status vm_platform_init(struct vm *vm)
{
    uint64_t low = MIN(vm->config->memory_bytes, LOADER_LOW_RAM_MAX);
    uint64_t wall_s = cmos_now_s(clock_now_ns());
    enum status s;

    iobus_init(&vm->pio);
    iobus_init(&vm->mmio);
    vm_irq_init(vm);
    vpit_init(&vm->pit, &vm->sched.timers, &vm->irq);
    vrtc_init(&vm->rtc, &vm->sched.timers, &vm->irq, wall_s);
    vm_clock_init(vm, wall_s);
    vm->floor = (struct tick_floor){.min_ns = machine_config.host.timer_floor_ns};
    vm->pit.floor = &vm->floor;
    vm->rtc.floor = &vm->floor;
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        vm->vcpus[i].lapic.floor = &vm->floor;
    }
    vrtc_set_memory(&vm->rtc, low, vm->config->memory_bytes - low);
    vrtc_on_alarm(&vm->rtc, rtc_alarm, vm);
    vm_serial_init(vm);
    vacpi_pm_init(&vm->pm, &vm->sched.timers, &vm->irq, &pm_ops, vm);
    vm->panic_port = (struct pvpanic){.event = panic_event, .ctx = vm};
    vm_dead_init(vm);
    vpci_bus_init(&vm->pci, &vm->pio, &vm->mmio, &vm->irq);
    if ((s = vpic_attach(&vm->pic, &vm->pio)) != OK ||
        (s = vioapic_attach(&vm->ioapic, &vm->mmio)) != OK ||
        (s = vpit_attach(&vm->pit, &vm->pio)) != OK ||
        (s = vrtc_attach(&vm->rtc, &vm->pio)) != OK ||
        (s = vuart_attach(&vm->uart, &vm->pio)) != OK ||
        (s = vacpi_pm_attach(&vm->pm, &vm->pio)) != OK ||
        (s = pvpanic_attach(&vm->panic_port, &vm->pio)) != OK ||
        (s = vpci_attach(&vm->pci)) != OK) {
        goto fail;
    }
    for (unsigned line = 10; line <= 11; line++) {
        vpic_set_level_triggered(&vm->pic, line); /* PCI's INTx lines */
    }
    vm_devices_clear(vm);
    vm->n_disks = 0;
    return OK;

fail:
    stop_timers(vm);
    log_error("%s: making its devices: %s", vm->config->name, status_name(s));
    return s;
}

void vm_platform_fini(struct vm *vm)
{
    for (unsigned i = 0; i < vm->config->n_disks; i++) {
        if (vm->disks[i].made) { /* perhaps not to its end */
            vm_disk_fini(&vm->disks[i]);
        }
    }
    vm_devices_clear(vm);
    vm->n_disks = 0;
    stop_timers(vm);
}
