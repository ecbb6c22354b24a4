/* SPDX-License-Identifier: BSD-2-Clause */
/* The closing table: what was promised, what it took, what folding and the cache did. */
#ifndef KERNEL_STATS_REPORT_H
#define KERNEL_STATS_REPORT_H

#include "base/types.h"

/* Prints its n-th line to the console, from 0 on: what was at the moment at which the most pages
 * were saved so far. False: there is none. */
bool report_line(unsigned n);
/* Takes the statistics' part in the machine's end (kernel/core/power.h). From stats_init. */
void report_init(void);

#endif
