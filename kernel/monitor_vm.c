/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's commands for one VM. What happens to it later, the log says. */
#include "base/log.h"
#include "kernel/console.h"
#include "kernel/monitor.h"
#include "kernel/stats.h"
#include "kernel/vm.h"

/* The VM of that name, or NULL after saying which there are. */
static struct vm *find(const char *name)
{
    struct vm *vm = vm_find(name);

    if (vm) {
        return vm;
    }
    if (n_vms == 0) {
        console_printf("there is no VM '%.40s': the configuration has none\n", name);
    } else {
        console_printf("there is no VM '%.40s'; `vms` lists them\n", name);
    }
    return NULL;
}

/* The state after a command that ended with `s`. */
static void say_state(const struct vm *vm, enum status s)
{
    console_printf("%s is %s%s\n", vm->config->name, vm_state_name(vm),
                   s == OK ? "" : ": nothing was done");
}

void monitor_console(void *ctx, unsigned argc, char *const *argv)
{
    struct vm *vm = find(argv[1]);

    (void)ctx;
    (void)argc;
    if (vm) {
        if (vm->state == VM_OFF) {
            say_state(vm, OK);
        }
        console_attach(vm);
    }
}

void monitor_start(void *ctx, unsigned argc, char *const *argv)
{
    struct vm *vm = find(argv[1]);

    (void)ctx;
    (void)argc;
    if (!vm) {
        return;
    }
    enum status s = vm_start(vm); /* the log says how it went */
    if (s == E_BUSY) {
        say_state(vm, s);
    } else if (s != OK) {
        console_printf("%s was not started: %s\n", vm->config->name, status_name(s));
    }
}

void monitor_pause(void *ctx, unsigned argc, char *const *argv)
{
    struct vm *vm = find(argv[1]);

    (void)ctx;
    (void)argc;
    if (vm) {
        say_state(vm, vm_pause(vm));
    }
}

void monitor_resume(void *ctx, unsigned argc, char *const *argv)
{
    struct vm *vm = find(argv[1]);

    (void)ctx;
    (void)argc;
    if (vm) {
        say_state(vm, vm_resume(vm));
    }
}

void monitor_stop(void *ctx, unsigned argc, char *const *argv)
{
    struct vm *vm = find(argv[1]);

    (void)ctx;
    (void)argc;
    if (!vm) {
        return;
    }
    if (vm->state == VM_OFF) {
        say_state(vm, E_INVAL);
        return;
    }
    stats_note_peak();
    vm_stop(vm, false, "stopped from the monitor");
    vm->restart = false; /* also where it was resetting */
}

void monitor_shutdown(void *ctx, unsigned argc, char *const *argv)
{
    struct vm *vm = find(argv[1]);

    (void)ctx;
    (void)argc;
    if (!vm) {
        return;
    }
    if (vm->state != VM_RUN) {
        say_state(vm, E_INVAL);
        return;
    }
    acpipm_press_power(&vm->pm);
    console_printf("%s: power button pressed; a guest that does not listen needs `stop`\n",
                   vm->config->name);
}

void monitor_restart(void *ctx, unsigned argc, char *const *argv)
{
    struct vm *vm = find(argv[1]);

    if (!vm) {
        return;
    }
    if (vm->state == VM_OFF) {
        monitor_start(ctx, argc, argv);
        return;
    }
    stats_note_peak();
    vm_stop(vm, true, "restarted from the monitor");
}
