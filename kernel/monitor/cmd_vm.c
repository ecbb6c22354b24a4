/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's commands for one VM. What happens to it later, the log says. */
#include "base/log.h"
#include "base/string.h"
#include "kernel/config/guess.h"
#include "kernel/console/console.h"
#include "kernel/core/power.h"
#include "kernel/monitor/monitor.h"
#include "kernel/stats/stats.h"
#include "kernel/vm/vm.h"

/* The VM of that name, or NULL after saying which there are. */
static struct vm *find(const char *name)
{
    struct vm *vm = vm_find(name);

    if (vm) {
        return vm;
    }
    struct guess g;
    guess_init(&g, name);
    for (unsigned i = 0; i < n_vms; i++) {
        guess_try(&g, vms[i]->config->name);
    }
    if (n_vms == 0) {
        console_printf("there is no VM '%.40s': the configuration has none\n", name);
    } else if (g.best) {
        console_printf("there is no VM '%.40s'; did you mean '%s'?\n", name, g.best);
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
        console_attach(vm->console);
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
    if (power_is_coming()) {
        console_printf("%s was not started: the machine is about to go off\n", vm->config->name);
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

/* False: it cannot be pressed now. */
static bool press_power(struct vm *vm)
{
    if (vm->state != VM_RUN) {
        return false;
    }
    vacpi_pm_press_power(&vm->pm);
    console_printf("%s: power button pressed; a guest that does not listen needs `stop`\n",
                   vm->config->name);
    return true;
}

static unsigned pressed; /* power buttons, by `shutdown all` */

/* The n-th VM's part of `shutdown all`. */
static bool shutdown_line(unsigned n)
{
    if (n == n_vms) {
        if (pressed == 0) {
            console_printf("no VM is running\n");
        }
        return false;
    }
    if (press_power(vms[n])) {
        pressed++;
    } else if (vms[n]->state != VM_OFF) {
        say_state(vms[n], E_INVAL);
    }
    return true;
}

void monitor_shutdown(void *ctx, unsigned argc, char *const *argv)
{
    (void)ctx;
    (void)argc;
    if (strcmp(argv[1], "all") == 0) {
        pressed = 0;
        monitor_lines(shutdown_line);
        return;
    }
    struct vm *vm = find(argv[1]);
    if (vm && !press_power(vm)) {
        say_state(vm, E_INVAL);
    }
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
    if (power_is_coming()) {
        console_printf("%s is not restarted: the machine is about to go off\n", vm->config->name);
        return;
    }
    stats_note_peak();
    vm_stop(vm, true, "restarted from the monitor");
}
