/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU's accounts (account.h): a VM's is in struct sched_vm; those of no VM are here.
 *
 * Everything that is done because of a VM is charged to that VM, also outside its turn:
 *
 *     struct account *before = charge(&vm->account);
 *     ... a step of its work ...
 *     charge(before);
 *
 * The scheduler's loop opens the hypervisor's account at the top of each turn, so an early return
 * that forgets to switch back charges at most one turn of the loop wrongly.
 */
#ifndef KERNEL_CORE_CHARGE_H
#define KERNEL_CORE_CHARGE_H

#include "kernel/core/account.h"

/* The uses that belong to no VM. */
extern struct account charge_hypervisor; /* what belongs to nothing else, and the start */
extern struct account charge_console;    /* the serial line, the monitor and its commands */
extern struct account charge_scanner;
extern struct account charge_idle;

/* Opens the hypervisor's account, with the time since boot. Before any other call. */
void charge_init(void);
/* Opens an account; returns the one that was open. Costs one reading of the clock. */
struct account *charge(struct account *to);
/* Likewise, but returns the moment. */
uint64_t charge_at(struct account *to);
/* Likewise, from `now_ns` on, which was read a moment ago; reads no clock. */
void charge_from(struct account *to, uint64_t now_ns);
/* Brings the open account up to this moment. */
void charge_up(void);
/* Opens `to`, unless it is open. */
void charge_back(struct account *to);
/* The VMs' accounts, from number 1 on: of n VMs, of which VM k's is by_number[k - 1]. The array
 * stays the caller's, who may fill it later. */
void charge_set_vms(struct account *const *by_number, unsigned n);
/* By a VM's number, as struct blk_account has it; 0 is no VM's: the hypervisor. */
struct account *charge_vm_number(uint16_t number);
/* What was charged to an account until now. */
uint64_t charged_ns(const struct account *a);

#endif
