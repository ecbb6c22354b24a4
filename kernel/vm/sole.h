/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which frames of the disk cache, and of what was folded, a VM with memory.max holds alone: found
 * out anew once in a while, as other VMs come and go at them (p2m_sole_walk). A walk is a charged
 * part of the VM's work, in steps.
 */
#ifndef KERNEL_VM_SOLE_H
#define KERNEL_VM_SOLE_H

#include "mm/p2m.h"

struct vm;

struct vm_sole {
    bool on;    /* a walk is under way, */
    gfn_t next; /* and goes on here */
    uint64_t spent_ns;
    uint64_t due_ns; /* no walk begins before this */
};

/* The VM's memory has been made anew. */
void vm_sole_begin(struct vm *vm);
/* Begins a walk if one is due; for looks.c. */
void vm_sole_look(struct vm *vm, uint64_t now_ns);
/* A step of the walk that is under way; true: there is more. */
bool vm_sole_work(struct vm *vm);

#endif
