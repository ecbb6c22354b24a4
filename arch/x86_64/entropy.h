/* SPDX-License-Identifier: BSD-2-Clause */
/* What the machine has that guests cannot know: the start of every key. */
#ifndef ARCH_ENTROPY_H
#define ARCH_ENTROPY_H

#include "base/random.h"
#include "base/status.h"

/*
 * Stirs 256 bits of the CPU's random number generator into `r`, RDSEED's if it has it, else
 * RDRAND's; and the state of the machine's clocks in any case. Names what served in `source`. False
 * where the CPU has no generator, or one that does not deliver: then only the clocks served, read
 * some hundred times, which takes some milliseconds. To be called with the PIT and the TSC running.
 */
bool entropy_stir(struct random *r, const char **source) MUST_CHECK;

#endif
