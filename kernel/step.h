/* SPDX-License-Identifier: BSD-2-Clause */
/* The deadline of a step of the loop's work, by the machine's clock. */
#ifndef KERNEL_STEP_H
#define KERNEL_STEP_H

#include "base/deadline.h"

/* What is under way when the deadline passes is brought to an end in the rest of STEP_MAX_NS. */
#define STEP_NS (STEP_MAX_NS / 5 * 4)

/* A step begins now. The clock is the TSC itself, as it is read between two pages. */
struct deadline step_begin(void);

#endif
