/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work for which the machine stands still: `check`, whose counts must all be of one moment, and
 * settings that change the cache.
 *
 * While it lasts, no guest, no VM's own work and no scanner runs, and nothing is written back. The
 * interrupts of disks and the host's timers wait. A request that a disk completes meanwhile is
 * found completed afterwards. The console goes on, in steps of STEP_MAX_NS as always: keys are
 * echoed, and Ctrl-C ends the work.
 *
 * For a running guest that is a pause: its clocks do what they do in one (kernel/vm/clock.h). The
 * time is charged to the console and to no VM.
 *
 * The alternative, a walk that tolerates changes behind it, would have to keep a second count for
 * each frame up to date at every fault and merge, for a command that is seldom typed.
 */
#ifndef KERNEL_CORE_STILL_H
#define KERNEL_CORE_STILL_H

#include "base/yield.h"

typedef void still_fn(struct yield *y);
/* Stops the clocks of the guests that run, or has the same ones go on; y as above,
 * but it never ends that. No VM's state changes between the two. */
typedef void still_clocks_fn(bool stop, struct yield *y);

/* Before still_ask. */
void still_init(still_clocks_fn *clocks);

/* The loop will call fn once, which calls yield_go_on as often as base/yield.h says. Not while
 * another is asked for. */
void still_ask(still_fn *fn);
/* Asked for, and not over yet. */
bool still_is_asked(void);
/* Takes that back, or ends what is under way at its next yield_go_on. */
void still_end(void);

/* For the loop, between two of its rounds: does what was asked for. False: nothing was. */
bool still_run(void);

#endif
