/* SPDX-License-Identifier: BSD-2-Clause */
/* What a fault in the middle of an event's delivery comes to: SDM vol. 3, 6.15, table 6-5. */
#ifndef ARCH_DECODE_EVENT_H
#define ARCH_DECODE_EVENT_H

#include "arch/x86_64/decode/emul.h"

enum event_outcome {
    EVENT_SECOND,       /* the fault is delivered; what it interrupted is gone */
    EVENT_DOUBLE_FAULT, /* #DF is delivered instead of both */
    EVENT_SHUTDOWN,     /* triple fault */
};

/* #DE, #TS, #NP, #SS, #GP, as are the faults of control-flow protection. */
static inline bool event_contributory(unsigned vector)
{
    return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP) || vector == 21;
}

/* `first` was being delivered; exception: it is one that the CPU raised (no interrupt, NMI or
 * INT n). `second` is the fault's vector. */
static inline enum event_outcome event_combine(bool exception, unsigned first, unsigned second)
{
    bool bad = event_contributory(second);

    if (!exception) {
        return EVENT_SECOND;
    }
    if (first == EXC_DF) {
        return bad || second == EXC_PF ? EVENT_SHUTDOWN : EVENT_SECOND;
    }
    if (first == EXC_PF) {
        return bad || second == EXC_PF ? EVENT_DOUBLE_FAULT : EVENT_SECOND;
    }
    return event_contributory(first) && bad ? EVENT_DOUBLE_FAULT : EVENT_SECOND;
}

#endif
