/* SPDX-License-Identifier: BSD-2-Clause */
/* The exit of a hardware task switch: decode/task.h makes it. */
#include "arch/x86_64/decode/task.h"

#include "arch/x86_64/decode/event.h"
#include "arch/x86_64/hvm/backend.h"
#include "arch/x86_64/hvm/exits.h"
#include "arch/x86_64/hvm/mmio.h"

#define DR6_BT BIT(15)
#define DR7_LOCAL UINT64_C(0x155) /* L0 to L3, LE */

static void write_back(struct hvm_vcpu *v, const struct emul *e)
{
    hvm_backend->store_emul(v, e);
    hvm_backend->set_reg(v, HVM_CR0, e->cr0); /* TS */
}

/* Blocking by STI and MOV SS ends with the switch. IRET unblocks NMIs even if it faults (SDM vol.
 * 3, 6.7.1); this exit has left that to us. */
static void set_blocking(struct hvm_vcpu *v, const struct task_switch *t)
{
    uint32_t blocking = hvm_backend->get_blocking(v);

    if (t->switched) {
        blocking &= ~(HVM_BLOCKED_BY_STI | HVM_BLOCKED_BY_MOV_SS);
    }
    if (t->source == TASK_IRET) {
        blocking &= ~HVM_BLOCKED_BY_NMI;
    }
    hvm_backend->set_blocking(v, blocking);
}

/* A #DB trap before the new task's first instruction. */
static void debug_trap(struct hvm_vcpu *v)
{
    uint64_t dr6;

    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    __asm__ volatile("mov %0, %%dr6" : : "r"(dr6 | DR6_BT));
    hvm_backend->inject_trap(v, EXC_DB);
}

bool hvm_exit_task_switch(struct hvm_vcpu *v, struct hvm_task_info *info, enum hvm_exit *out)
{
    struct task_switch *t = &info->task;
    struct emul e;

    v->counts[HVM_N_OTHER]++;
    hvm_emul_begin(v, &e);
    enum emul_result r = task_switch(&e, t);
    if (r == EMUL_NO_MEMORY) {
        if (!info->in_event) {
            return hvm_backend->retry(v, HVM_EXIT_NO_MEMORY, out);
        }
        *out = HVM_EXIT_NO_MEMORY; /* the event comes again, with the RF that it is to save */
        return false;
    }
    hvm_backend->drop_cut_short(v);
    write_back(v, &e);
    set_blocking(v, t);
    if (t->switched) {
        hvm_backend->set_reg(v, HVM_DR7, hvm_backend->get_reg(v, HVM_DR7) & ~DR7_LOCAL);
    }
    if (r == EMUL_DONE) {
        if (t->debug_trap) {
            debug_trap(v);
        }
        return true;
    }
    /* A fault of the new task is one of its own; before that it is one of the event's delivery. */
    enum event_outcome outcome =
        t->switched ? EVENT_SECOND : event_combine(info->exception, info->vector, e.fault.vector);
    if (outcome == EVENT_SHUTDOWN) {
        *out = HVM_EXIT_SHUTDOWN;
        return false;
    }
    if (outcome == EVENT_DOUBLE_FAULT) {
        e.fault = (struct emul_fault){.vector = EXC_DF, .has_error = true};
    }
    hvm_emul_fault(v, &e.fault);
    return true;
}
