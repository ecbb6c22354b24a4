/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `check`: the audit of memory, folding and cache over the live machine. */
#ifndef KERNEL_STATS_CHECK_H
#define KERNEL_STATS_CHECK_H

#include "base/types.h"
#include "base/yield.h"

/* Takes the memory that the audit needs. At boot; the frame table has its size. */
void check_init(void);
/*
 * Prints `check: OK (...)`, or each violation and then `check: FAILED n` and a line
 * PAGEFOLD-CHECK-FAILED for tools; nothing when `y`, which comes between two pieces of the work,
 * ends it. Nothing of memory, folding and cache may change meanwhile: it is for still_ask.
 */
void check_run(struct yield *y);
/* Frames that the cache alone held when check_run last ran to its end, though a guest's page had
 * the same content (mm/audit/duplicates.h). */
uint64_t check_duplicates(void);
/* And those of which that is not known. */
uint64_t check_unknown(void);
/* Bytes that check_init took, for `mem`. */
uint64_t check_bytes(void);

#endif
