/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether this CPU can do what Pagefold needs. */
#ifndef ARCH_FEATURES_H
#define ARCH_FEATURES_H

#include "base/types.h"

/*
 * Checks for VT-x, usable and with EPT (4 levels, write-back) and unrestricted guest. False with
 * one line in `why` (n bytes) that names what is missing and what can be done about it. Changes
 * nothing in the CPU.
 */
bool cpu_check(char *why, size_t n);

#endif
