/* SPDX-License-Identifier: BSD-2-Clause */
/* A program that is built or lies in the tree, run as a user would. */
#ifndef SUPPORT_PROGRAM_H
#define SUPPORT_PROGRAM_H

#include "base/types.h"

/* Runs the shell's command, whose words are printf's. `said` (size bytes) is what it printed,
 * errors as well, cut where it is longer. Returns its exit status; -1: it was ended by a signal. */
int program_run(char *said, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The last number that stands behind "KEY": in JSON: of a whole run, or of its last pass. */
long program_number(const char *json, const char *key);

#endif
