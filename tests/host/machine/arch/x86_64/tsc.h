/* SPDX-License-Identifier: BSD-2-Clause */
/* In the place of arch/x86_64/tsc.h on the host: the TSC of fake_machine.c. */
#ifndef MACHINE_TSC_H
#define MACHINE_TSC_H

#include "base/types.h"

uint64_t rdtsc(void);

#endif
