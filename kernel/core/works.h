/* SPDX-License-Identifier: BSD-2-Clause */
/* The works that were added to the loop, for the loop (sched.h). */
#ifndef KERNEL_CORE_WORKS_H
#define KERNEL_CORE_WORKS_H

#include "kernel/core/account.h"

/* A step of each. What a work finds to do it charges itself; the looks are charged to `looker`.
 * True: some work has more. */
bool works_do(struct account *looker);
/* Of the console's alone. */
void works_do_console(struct account *looker);

#endif
