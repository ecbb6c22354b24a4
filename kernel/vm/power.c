/* SPDX-License-Identifier: BSD-2-Clause */
/* What the VMs do at the machine's end: they are asked to shut down, named, stopped. */
#include "kernel/vm/power.h"

#include "base/format.h"
#include "base/log.h"
#include "kernel/core/power.h"
#include "kernel/vm/vm.h"

/* A paused guest could not shut down: it goes on for that. */
static void press_one(struct vm *vm)
{
    if (vm->state == VM_PAUSED && vm_resume(vm) == OK) {
        log_info("%s: goes on, to shut down", vm->config->name);
    }
    if (vm->state == VM_STARTING) {
        vm_stop(vm, false, "the machine is about to go off"); /* nothing runs in it yet */
    } else if (vm->state == VM_RUN || vm->state == VM_NO_MEMORY) {
        vacpi_pm_press_power(&vm->pm);
    }
}

static void press(void)
{
    for (unsigned i = 0; i < n_vms; i++) {
        press_one(vms[i]);
    }
}

static unsigned on(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_vms; i++) {
        vms[i]->restart = false;
        n += vms[i]->state != VM_OFF;
    }
    return n;
}

static const char *list_on(void)
{
    static char list[160];
    unsigned left = on();
    size_t n = 0;

    list[0] = '\0';
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->state == VM_OFF) {
            continue;
        }
        if (n + CONFIG_VM_NAME + 16 > sizeof(list)) {
            format(list + n, sizeof(list) - n, " and %u more", left);
            break;
        }
        n += format(list + n, sizeof(list) - n, "%s%s", n > 0 ? ", " : "", vms[i]->config->name);
        left--;
    }
    return list;
}

static void say_overdue(void)
{
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->state != VM_OFF) {
            log_warn("%s: did not shut down in time: it is stopped", vms[i]->config->name);
        }
    }
}

static bool stop(unsigned n, bool reboot)
{
    if (n >= n_vms) {
        return false;
    }
    vm_stop(vms[n], false, reboot ? "the machine is restarted" : "the machine is turned off");
    vms[n]->restart = false; /* also where it was resetting already */
    return true;
}

static bool ended(void)
{
    bool any = false;

    for (unsigned i = 0; i < n_vms; i++) {
        if (!vm_has_ended(vms[i])) {
            return false;
        }
        any |= vms[i]->boots > 0 || vms[i]->config->start;
    }
    return any;
}

static bool failed(void)
{
    for (unsigned i = 0; i < n_vms; i++) {
        if (vms[i]->config->start && vms[i]->boots == 0) {
            return true;
        }
    }
    return false;
}

static const struct power_vms power = {
    .press = press,
    .on = on,
    .list_on = list_on,
    .say_overdue = say_overdue,
    .stop = stop,
    .ended = ended,
    .failed = failed,
};

void vm_power_init(void)
{
    power_set_vms(&power);
}
