/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The facts of an exit, as handlers that know no vendor get them. The vendor's code reads them out
 * of its control block once, where the exit arrives, and hands them on; an exit that needs none, as
 * CPUID's and HLT's, pays for none.
 */
#ifndef ARCH_HVM_EXIT_INFO_H
#define ARCH_HVM_EXIT_INFO_H

#include "arch/x86_64/decode/task.h"
#include "base/types.h"

/* IN, OUT, INS or OUTS. */
struct hvm_pio_info {
    uint16_t port;
    uint8_t size; /* bytes: 1, 2 or 4 */
    bool in;      /* IN or INS, else OUT or OUTS */
    bool rep;
    uint8_t address_size; /* INS, OUTS: bytes, 2, 4 or 8 */
    uint8_t segment;      /* INS, OUTS: enum insn_segment of the memory operand */
};

/* An access to guest-physical memory that the nested page tables do not allow. */
struct hvm_access_info {
    gpa_t gpa;
    uint64_t linear; /* its linear address, if linear_valid */
    bool linear_valid;
    bool translated; /* the access was to what `linear` translates to; else to an entry of the
                        guest's page tables. Says something only if linear_valid */
    bool fetch;
    bool nmi_unblocked; /* an IRET had just unblocked NMIs */
};

/* A task switch, and the event that it is part of. */
struct hvm_task_info {
    struct task_switch task;
    bool in_event;  /* it delivers one: an interrupt or an exception came by a task gate */
    bool exception; /* which the CPU raised */
    uint8_t vector;
};

#endif
