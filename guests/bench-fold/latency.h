/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a page that has become equal to another VM's stays two pages. */
#ifndef LATENCY_H
#define LATENCY_H

#include "recipe.h"

/* Options: trials=N; wait=N, ticks before the first and between two of them; spin=1: this VM only
 * holds the equal pages, and keeps the CPU busy (2: leaves it idle). Does not return. */
_Noreturn void latency_main(const uint8_t *boot_params, const struct recipe *r);

#endif
