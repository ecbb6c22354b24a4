/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware task switches, which VT-x and SVM leave to the hypervisor: SDM vol. 3, chapter 8 (7 in
 * older editions), in 32-bit and 16-bit protected mode and with virtual-8086 tasks.
 */
#ifndef ARCH_DECODE_TASK_H
#define ARCH_DECODE_TASK_H

#include "arch/x86_64/decode/emul.h"

enum task_source { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE }; /* as VT-x numbers them */

struct task_switch {
    uint16_t selector; /* of the new task's TSS */
    enum task_source source;
    uint32_t return_eip; /* where the old task goes on */
    bool external;       /* by an interrupt or exception: the EXT bit of error codes */
    bool has_error;      /* the exception's error code, for the new task's stack */
    uint32_t error;
    /* Results. Whether `e` is the new task, in which a fault is to be raised then. */
    bool switched;
    /* The new task's T flag was set, so #DB with DR6.BT before its first instruction. */
    bool debug_trap;
};

/*
 * RF goes into the old TSS as e->rflags has it: with an event, as its handler is to see it, which
 * is how an exit saves it (SDM vol. 3, 28.3.3).
 *
 * EMUL_DONE: registers, RIP, RFLAGS, CR0.TS, CR3 (in `e`; loaded by ops->load_cr3 before) and
 * segments are the new task's. DR7's local enables are the caller's to clear. EMUL_FAULT: either
 * nothing has changed but the old TSS's saved state, or the switch was made and the fault is the
 * new task's: `e` is right in both cases. EMUL_NO_MEMORY: as nothing had happened; try again.
 */
enum emul_result task_switch(struct emul *e, struct task_switch *t) MUST_CHECK;

#endif
