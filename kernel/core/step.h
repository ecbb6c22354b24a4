/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steps of the scheduler's loop: their deadlines, and how long they took.
 *
 * Nothing that a guest asks for may make one take longer than STEP_BOUND_NS: everything else waits
 * for its end. The longest is in the statistics (`step_max_us`), and beyond the bound in the log; a
 * debug build panics there.
 */
#ifndef KERNEL_CORE_STEP_H
#define KERNEL_CORE_STEP_H

#include "base/deadline.h"

/* What is under way when the deadline passes is brought to an end in the rest of STEP_MAX_NS. */
#define STEP_NS (STEP_MAX_NS / 5 * 4)
#define STEP_BOUND_NS (4 * STEP_MAX_NS)

/* A step begins now. The clock is the TSC itself, as it is read between two pages. */
struct deadline step_begin(void);
/* Likewise, one that may take ns. */
struct deadline step_begin_of(uint64_t ns);

/* A step has ended that took ns. `what` and `whose`, which may be NULL, are for the message; both
 * are read at once. */
void step_note(const char *what, const char *whose, uint64_t ns);
uint64_t step_max_ns(void);

#endif
