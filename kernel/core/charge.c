/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU's accounts: see charge.h. */
#include "kernel/core/charge.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/percpu.h"
#include "base/log.h"

struct account charge_hypervisor, charge_console, charge_scanner, charge_idle;

static PERCPU struct charge_cpu {
    struct accounts accounts; /* which one is open on it */
} charge_cpu;
static struct account *const *vm_accounts;
static unsigned n_vm_accounts;

void charge_init(void)
{
    accounts_init(&this_cpu(charge_cpu)->accounts, &charge_hypervisor, 0);
}

struct account *charge(struct account *to)
{
    return account_switch(&this_cpu(charge_cpu)->accounts, to, clock_now_ns());
}

uint64_t charge_at(struct account *to)
{
    uint64_t now = clock_now_ns();

    (void)account_switch(&this_cpu(charge_cpu)->accounts, to, now);
    return now;
}

void charge_from(struct account *to, uint64_t now_ns)
{
    (void)account_switch(&this_cpu(charge_cpu)->accounts, to, now_ns);
}

void charge_up(void)
{
    (void)charge(this_cpu(charge_cpu)->accounts.open);
}

void charge_back(struct account *to)
{
    if (this_cpu(charge_cpu)->accounts.open != to) {
        (void)charge(to);
    }
}

void charge_set_vms(struct account *const *by_number, unsigned n)
{
    vm_accounts = by_number;
    n_vm_accounts = n;
}

struct account *charge_vm_number(uint16_t number)
{
    ASSERT(number <= n_vm_accounts);
    return charge(number > 0 ? vm_accounts[number - 1] : &charge_hypervisor);
}

uint64_t charged_ns(const struct account *a)
{
    return account_ns(&this_cpu(charge_cpu)->accounts, a, clock_now_ns());
}
