/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of which AddressSanitizer knows whether they are in use.
 *
 * A frame of an arena is poisoned while it is free. Between the frames stand guards, which the
 * frame table calls reserved and which are poisoned for ever. So code under test that leaves its
 * frame at either end, or uses a frame that it has let go, is reported at that very access.
 *
 * The linker puts wrappers around the frame table's operations for this (--wrap, in the Makefile).
 */
#ifndef TESTS_HOST_SUPPORT_ARENA_H
#define TESTS_HOST_SUPPORT_ARENA_H

#include "mm/frame.h"

/* The frames that `count` need when a guard stands before each `run` of them, and behind the last.
 * run 0: no guards. */
uint64_t arena_places(uint64_t count, unsigned run);
/* arena_places(count, 1), for arrays. */
#define ARENA_SINGLES(count) (2 * (count) + 1)
/* Makes `count` frames free, as frames_add_free, with guards: in arena_places(count, run) from
 * `first` on. May be called again for the same window, after frames_init. */
void arena_add(struct frames *f, uint64_t first, uint64_t count, unsigned run);
/* Frame `mfn`, which stays reserved, is a guard from now on; of a window with arena_add. */
void arena_guard(struct frames *f, mfn_t mfn);
/* Before the window's memory goes: none of its `f->count` frames is poisoned any more. */
void arena_end(struct frames *f);

#endif
