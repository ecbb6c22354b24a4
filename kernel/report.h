/* SPDX-License-Identifier: BSD-2-Clause */
/* The closing table: what was promised, what it took, what folding and the cache did. */
#ifndef KERNEL_REPORT_H
#define KERNEL_REPORT_H

/* Prints it to the console, for the moment at which the most pages were saved so far. */
void report_print(void);

#endif
